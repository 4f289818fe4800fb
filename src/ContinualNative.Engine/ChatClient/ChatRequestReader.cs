using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Generation;
using Microsoft.Extensions.AI;
using ChatMessage = ContinualNative.Core.Traffic.ChatMessage;

namespace ContinualNative.Engine.ChatClient;

/// <summary>Messages and options of Microsoft.Extensions.AI as those of the engine; refuses by name what a text model can't take.</summary>
internal static class ChatRequestReader
{
    // The characters of other scripts as themselves: a model reads "ä", not "\u00e4".
    private static readonly JsonSerializerOptions Json = new(AIJsonUtilities.DefaultOptions) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, WriteIndented = false };

    /// <summary>What decides prompt and grammar.</summary>
    public static ChatPrompt Prompt(IEnumerable<Microsoft.Extensions.AI.ChatMessage> messages, ChatOptions? options)
    {
        List<ChatMessage> read = Messages(messages);
        if (read.Count == 0)
        {
            throw new ArgumentException("There are no messages; at least one is needed.", nameof(messages));
        }
        if (options is null)
        {
            return new ChatPrompt { Messages = read };
        }
        if (options.ConversationId is { Length: > 0 } conversation)
        {
            throw new NotSupportedException($"ChatOptions.ConversationId is '{conversation}', but this client keeps no conversations; send all messages with each request.");
        }
        if (!string.IsNullOrEmpty(options.Instructions))
        {
            // Templates know one system message, at the beginning.
            if (read[0].Role == "system")
            {
                read[0] = read[0] with { Content = options.Instructions + "\n\n" + read[0].Content };
            }
            else
            {
                read.Insert(0, new ChatMessage { Role = "system", Content = options.Instructions });
            }
        }
        ChatResponseFormatJson? json = options.ResponseFormat as ChatResponseFormatJson;
        RequiredChatToolMode? required = options.ToolMode as RequiredChatToolMode;
        return new ChatPrompt
        {
            Messages = read,
            Tools = [.. (options.Tools ?? []).Select(Tool)],
            ToolUse = options.ToolMode switch
            {
                NoneChatToolMode => ToolUse.None,
                RequiredChatToolMode => ToolUse.Required,
                _ => ToolUse.Auto,
            },
            RequiredTool = required?.RequiredFunctionName,
            ParallelToolCalls = options.AllowMultipleToolCalls ?? true,
            Format = json is null ? AnswerFormat.Text : json.Schema is null ? AnswerFormat.JsonObject : AnswerFormat.JsonSchema,
            Schema = json?.Schema ?? default,
            Grammar = Text(options, "grammar"),
            GuidedChoice = Texts(options, "guided_choice"),
            TemplateArguments = TemplateArguments(options),
        };
    }

    /// <summary>The prepared chat with the options that decide how tokens are drawn.</summary>
    public static GenerationRequest Request(PreparedChat chat, ChatOptions? options)
    {
        GenerationRequest request = chat.ToRequest();
        if (options is null)
        {
            return request;
        }
        SamplingOptions defaults = request.Sampling;
        return request with
        {
            MaxTokens = options.MaxOutputTokens,
            Stop = options.StopSequences is { } stop ? [.. stop] : [],
            Timeout = Property(options, "timeout") switch
            {
                null => null,
                TimeSpan time => time,
                object other => throw Wrong("timeout", "a TimeSpan", other),
            },
            Sampling = defaults with
            {
                Temperature = options.Temperature ?? defaults.Temperature,
                TopP = options.TopP ?? defaults.TopP,
                TopK = options.TopK ?? defaults.TopK,
                MinP = Number(options, "min_p") ?? defaults.MinP,
                FrequencyPenalty = options.FrequencyPenalty ?? defaults.FrequencyPenalty,
                PresencePenalty = options.PresencePenalty ?? defaults.PresencePenalty,
                RepeatPenalty = Number(options, "repeat_penalty") ?? defaults.RepeatPenalty,
                Seed = options.Seed is { } seed ? unchecked((ulong)seed) : null,
                LogitBias = LogitBias(options) ?? defaults.LogitBias,
            },
        };
    }

    /// <summary>A call's arguments, which are a JSON object.</summary>
    public static IDictionary<string, object?> Arguments(string json)
    {
        Dictionary<string, object?> arguments = new(StringComparer.Ordinal);
        foreach (JsonProperty property in JsonElement.Parse(json.Length == 0 ? "{}" : json).EnumerateObject())
        {
            arguments[property.Name] = property.Value.Clone();
        }
        return arguments;
    }

    private static List<ChatMessage> Messages(IEnumerable<Microsoft.Extensions.AI.ChatMessage> messages)
    {
        List<ChatMessage> read = [];
        Dictionary<string, string> names = new(StringComparer.Ordinal);
        foreach (Microsoft.Extensions.AI.ChatMessage message in messages)
        {
            Read(message ?? throw new ArgumentException("One of the messages is null.", nameof(messages)), read, names);
        }
        return read;
    }

    private static void Read(Microsoft.Extensions.AI.ChatMessage message, List<ChatMessage> read, Dictionary<string, string> names)
    {
        string role = message.Role.Value.ToLowerInvariant();
        if (role is not ("system" or "developer" or "user" or "assistant" or "tool"))
        {
            throw new ArgumentException($"A message has the role '{message.Role}'; known are system, developer, user, assistant and tool.");
        }
        StringBuilder text = new();
        List<ToolCall> calls = [];
        bool answersCalls = false;
        foreach (AIContent content in message.Contents)
        {
            switch (content)
            {
                case TextContent part:
                    text.Append(part.Text);
                    break;
                case FunctionCallContent call when role == "assistant":
                    names[call.CallId] = call.Name;
                    calls.Add(new ToolCall(call.CallId, call.Name, JsonSerializer.Serialize(call.Arguments ?? new Dictionary<string, object?>(), Json.GetTypeInfo(typeof(IDictionary<string, object?>)))));
                    break;
                case FunctionResultContent result when role is "tool" or "user":
                    answersCalls = true;
                    read.Add(new ChatMessage { Role = "tool", Content = Result(result), ToolCallId = result.CallId, Name = names.GetValueOrDefault(result.CallId) });
                    break;
                case TextReasoningContent or UsageContent:
                    // Models don't get their earlier reasoning back: their templates drop it.
                    break;
                default:
                    throw new NotSupportedException($"A message of the role {role} holds {Describe(content)}, which this text model can't take. Take it out, or send its content as text.");
            }
        }
        if (role == "tool" && !answersCalls)
        {
            throw new ArgumentException("A message of the role tool holds no FunctionResultContent, so it answers no call.");
        }
        if (text.Length > 0 || calls.Count > 0 || !answersCalls)
        {
            read.Add(new ChatMessage
            {
                Role = role,
                Content = calls.Count > 0 && text.Length == 0 ? null : text.ToString(),
                Name = message.AuthorName,
                ToolCalls = calls,
            });
        }
    }

    private static string Describe(AIContent content) => content switch
    {
        DataContent data => $"a {nameof(DataContent)} of the type {data.MediaType}",
        UriContent uri => $"a {nameof(UriContent)} of the type {uri.MediaType}",
        _ => $"a {content.GetType().Name}",
    };

    private static string Result(FunctionResultContent result) => result.Result switch
    {
        null => result.Exception is { } failure ? $"Error: {failure.Message}" : "",
        string text => text,
        JsonElement { ValueKind: JsonValueKind.String } text => text.GetString()!,
        TextContent text => text.Text,
        AIContent content => throw new NotSupportedException($"The result of the call {result.CallId} is {Describe(content)}, which this text model can't take. Return text or data."),
        object value => JsonSerializer.Serialize(value, Json.GetTypeInfo(value.GetType())),
    };

    private static ToolDefinition Tool(AITool tool) => tool is AIFunctionDeclaration function
        ? new ToolDefinition(function.Name, string.IsNullOrEmpty(function.Description) ? null : function.Description, function.JsonSchema)
        : throw new NotSupportedException($"The tool '{tool.Name}' is a {tool.GetType().Name}; this client knows functions only (AIFunction or AIFunctionDeclaration).");

    private static Dictionary<string, JsonElement>? TemplateArguments(ChatOptions options)
    {
        Dictionary<string, JsonElement> arguments = new(StringComparer.Ordinal);
        if (options.Reasoning?.Effort is { } effort)
        {
            // The two spellings in use: a switch (Qwen 3, DeepSeek, ...) and a level (gpt-oss). Templates ignore what they don't know.
            arguments["enable_thinking"] = JsonElement.Parse(effort == ReasoningEffort.None ? "false" : "true");
            if (effort != ReasoningEffort.None)
            {
                arguments["reasoning_effort"] = JsonElement.Parse(effort switch { ReasoningEffort.Low => "\"low\"", ReasoningEffort.Medium => "\"medium\"", _ => "\"high\"" });
            }
        }
        switch (Property(options, "chat_template_kwargs"))
        {
            case null:
                break;
            case JsonElement { ValueKind: JsonValueKind.Object } json:
                foreach (JsonProperty property in json.EnumerateObject())
                {
                    arguments[property.Name] = property.Value;
                }
                break;
            case IEnumerable<KeyValuePair<string, object?>> pairs:
                foreach ((string name, object? value) in pairs)
                {
                    arguments[name] = value is JsonElement element ? element : JsonSerializer.SerializeToElement(value, Json.GetTypeInfo(value?.GetType() ?? typeof(object)));
                }
                break;
            case object other:
                throw Wrong("chat_template_kwargs", "a JSON object or a dictionary", other);
        }
        return arguments.Count == 0 ? null : arguments;
    }

    private static Dictionary<int, float>? LogitBias(ChatOptions options)
    {
        switch (Property(options, "logit_bias"))
        {
            case null:
                return null;
            case IEnumerable<KeyValuePair<int, float>> pairs:
                return new Dictionary<int, float>(pairs);
            case JsonElement { ValueKind: JsonValueKind.Object } json:
                Dictionary<int, float> read = [];
                foreach (JsonProperty property in json.EnumerateObject())
                {
                    if (!int.TryParse(property.Name, NumberStyles.None, CultureInfo.InvariantCulture, out int token) || property.Value.ValueKind != JsonValueKind.Number)
                    {
                        throw Wrong("logit_bias", "an object of token ids and numbers", json);
                    }
                    read[token] = property.Value.GetSingle();
                }
                return read;
            case object other:
                throw Wrong("logit_bias", "an IReadOnlyDictionary<int, float>", other);
        }
    }

    private static object? Property(ChatOptions options, string name) =>
        options.AdditionalProperties is { } properties && properties.TryGetValue(name, out object? value)
            ? value is JsonElement { ValueKind: JsonValueKind.Null or JsonValueKind.Undefined } ? null : value
            : null;

    private static string? Text(ChatOptions options, string name) => Property(options, name) switch
    {
        null => null,
        string text => text,
        JsonElement { ValueKind: JsonValueKind.String } text => text.GetString(),
        object other => throw Wrong(name, "a string", other),
    };

    private static List<string>? Texts(ChatOptions options, string name)
    {
        switch (Property(options, name))
        {
            case null:
                return null;
            case IEnumerable<string> texts:
                return [.. texts];
            case JsonElement { ValueKind: JsonValueKind.Array } array when array.EnumerateArray().All(static e => e.ValueKind == JsonValueKind.String):
                return [.. array.EnumerateArray().Select(static e => e.GetString()!)];
            case object other:
                throw Wrong(name, "a list of strings", other);
        }
    }

    private static float? Number(ChatOptions options, string name) => Property(options, name) switch
    {
        null => null,
        float number => number,
        double number => (float)number,
        int number => number,
        JsonElement { ValueKind: JsonValueKind.Number } number => number.GetSingle(),
        object other => throw Wrong(name, "a number", other),
    };

    private static ArgumentException Wrong(string name, string expected, object value) =>
        new($"ChatOptions.AdditionalProperties[\"{name}\"] must be {expected}; it is a {value.GetType().Name}.");
}
