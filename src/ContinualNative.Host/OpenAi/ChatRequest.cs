using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine.Chat;
using ContinualNative.Host.Http;

namespace ContinualNative.Host.OpenAi;

/// <summary>Whether the model may, must or must not call tools.</summary>
internal enum ToolChoice
{
    Auto,
    None,
    Required,
    Named,
}

/// <summary>A body of <c>POST /v1/chat/completions</c>. It points into the document that it was read from.</summary>
internal sealed class ChatRequest : GenerationFields
{
    public const int MaxMessages = 8192;
    public const int MaxTools = 128;

    public List<ChatMessage> Messages { get; } = [];

    /// <summary>The text of the user's last message; null without one.</summary>
    public string? Question => Messages.FindLast(static m => m.Role == "user")?.Content;

    public List<ToolDefinition> Tools { get; } = [];

    public ToolChoice ToolChoice { get; private set; } = ToolChoice.Auto;

    /// <summary>The tool that <see cref="ToolChoice.Named"/> names.</summary>
    public string? NamedTool { get; private set; }

    public bool ParallelToolCalls { get; private set; } = true;

    public AnswerFormat ResponseFormat { get; private set; }

    public JsonElement Schema { get; private set; }

    public Dictionary<string, JsonElement>? TemplateArguments { get; private set; }

    /// <summary>Whether the answer may hold tool calls.</summary>
    public bool UsesTools => Tools.Count > 0 && ToolChoice != ToolChoice.None;

    /// <summary>What decides the prompt and the form of the answer.</summary>
    public ChatPrompt ToPrompt() => new()
    {
        Messages = Messages,
        Tools = Tools,
        ToolUse = ToolChoice switch
        {
            ToolChoice.None => ToolUse.None,
            ToolChoice.Required or ToolChoice.Named => ToolUse.Required,
            _ => ToolUse.Auto,
        },
        RequiredTool = NamedTool,
        ParallelToolCalls = ParallelToolCalls,
        Format = ResponseFormat,
        Schema = Schema,
        Grammar = Grammar,
        GuidedChoice = GuidedChoice,
        TemplateArguments = TemplateArguments,
    };

    /// <summary>Reads a request; throws <see cref="ApiException"/> naming the field that is wrong, unknown or unsupported.</summary>
    public static ChatRequest Parse(JsonElement root)
    {
        ChatRequest request = new();
        bool messages = false;
        bool streamOptions = false;
        bool? logProbs = null;
        int? topLogProbs = null;
        bool toolChoice = false;
        int? maxTokens = null;
        int? maxCompletionTokens = null;
        foreach (JsonProperty field in root.EnumerateObject())
        {
            string name = field.Name;
            JsonElement value = field.Value;
            if (value.IsNull() && name != "messages")
            {
                // Clients send null for what they leave out; an unknown name stays unknown.
                if (!IsKnown(name))
                {
                    throw ApiException.Unknown(JsonIn.Short(name));
                }
                continue;
            }
            switch (name)
            {
                case "messages":
                    messages = true;
                    request.ReadMessages(JsonIn.Array(value, name));
                    break;
                case "max_tokens":
                    maxTokens = (int)JsonIn.Whole(value, name, 1, int.MaxValue);
                    break;
                case "max_completion_tokens":
                    maxCompletionTokens = (int)JsonIn.Whole(value, name, 1, int.MaxValue);
                    break;
                case "logprobs":
                    logProbs = JsonIn.Flag(value, name);
                    break;
                case "top_logprobs":
                    topLogProbs = (int)JsonIn.Whole(value, name, 0, MaxTopLogProbs);
                    break;
                case "response_format":
                    request.ReadResponseFormat(JsonIn.Object(value, name));
                    break;
                case "tools":
                    request.ReadTools(JsonIn.Array(value, name));
                    break;
                case "tool_choice":
                    toolChoice = true;
                    request.ReadToolChoice(value);
                    break;
                case "parallel_tool_calls":
                    request.ParallelToolCalls = JsonIn.Flag(value, name);
                    break;
                case "chat_template_kwargs":
                    request.TemplateArguments = [];
                    foreach (JsonProperty argument in JsonIn.Object(value, name).EnumerateObject())
                    {
                        request.TemplateArguments[argument.Name] = argument.Value;
                    }
                    break;
                case "store":
                    if (JsonIn.Flag(value, name))
                    {
                        throw ApiException.Unsupported(name, "Unsupported value: 'store' must be false; this server keeps no completions to fetch later.");
                    }
                    break;
                case "service_tier":
                    if (JsonIn.Text(value, name) is not ("auto" or "default"))
                    {
                        throw ApiException.Unsupported(name, "Unsupported value: 'service_tier' must be 'auto' or 'default'.");
                    }
                    break;
                case "modalities":
                    foreach (JsonElement modality in JsonIn.Array(value, name).EnumerateArray())
                    {
                        if (JsonIn.Text(modality, name) != "text")
                        {
                            throw ApiException.Unsupported(name, "Unsupported value: 'modalities' may hold 'text' only.");
                        }
                    }
                    break;
                case "stream_options":
                    streamOptions = true;
                    request.TryRead(name, value);
                    break;
                case "reasoning_effort":
                    throw ApiException.Unsupported(name, "Unsupported parameter: 'reasoning_effort'. Where the model's chat template knows such a switch, pass it in 'chat_template_kwargs'.");
                case "functions" or "function_call":
                    throw ApiException.Unsupported(name, $"Unsupported parameter: '{name}'. Use 'tools' and 'tool_choice'.");
                case "audio" or "prediction" or "verbosity" or "web_search_options" or "moderation" or "prompt_cache_options":
                    throw ApiException.Unsupported(name, $"Unsupported parameter: '{name}'. A local model can't honour it.");
                default:
                    if (!request.TryRead(name, value))
                    {
                        throw ApiException.Unknown(JsonIn.Short(name));
                    }
                    break;
            }
        }
        if (!messages)
        {
            throw ApiException.Missing("messages");
        }
        if (request.Messages.Count == 0)
        {
            throw ApiException.WrongValue("messages", "Invalid 'messages': it is empty.");
        }
        if (maxTokens is not null && maxCompletionTokens is not null && maxTokens != maxCompletionTokens)
        {
            throw ApiException.WrongValue("max_tokens", "Invalid 'max_tokens': it differs from 'max_completion_tokens'; send one of them.");
        }
        request.MaxTokens = maxCompletionTokens ?? maxTokens;
        if (topLogProbs is not null && logProbs is not true)
        {
            throw ApiException.WrongValue("top_logprobs", "Invalid 'top_logprobs': it goes with 'logprobs': true only.");
        }
        request.TopLogProbs = logProbs is true ? topLogProbs ?? 0 : -1;
        if (toolChoice && request.Tools.Count == 0 && request.ToolChoice != ToolChoice.None)
        {
            throw ApiException.WrongValue("tool_choice", "Invalid 'tool_choice': it goes with 'tools' only.");
        }
        if (request.NamedTool is { } named && !request.Tools.Exists(t => t.Name == named))
        {
            throw ApiException.WrongValue("tool_choice", $"Invalid 'tool_choice': there is no tool '{JsonIn.Short(named)}' in 'tools'.");
        }
        request.CheckConstraints();
        request.Check(streamOptions);
        return request;
    }

    private void CheckConstraints()
    {
        string[] given =
        [
            .. ResponseFormat == AnswerFormat.Text ? (string[])[] : ["response_format"],
            .. Grammar is null ? (string[])[] : ["grammar"],
            .. GuidedChoice is null ? (string[])[] : ["guided_choice"],
        ];
        if (given.Length > 1)
        {
            throw ApiException.WrongValue(given[1], $"Invalid '{given[1]}': it can't be combined with '{given[0]}'; an answer obeys one constraint.");
        }
    }

    private static bool IsKnown(string name) => name is "model" or "n" or "stream" or "stream_options" or "temperature" or "top_p" or "top_k" or "min_p"
        or "presence_penalty" or "frequency_penalty" or "repeat_penalty" or "seed" or "logit_bias" or "stop" or "route" or "grammar" or "guided_choice" or "ignore_eos"
        or "user" or "safety_identifier" or "prompt_cache_key" or "prompt_cache_retention" or "metadata" or "max_tokens" or "max_completion_tokens"
        or "logprobs" or "top_logprobs" or "response_format" or "tools" or "tool_choice" or "parallel_tool_calls" or "chat_template_kwargs" or "store"
        or "service_tier" or "modalities" or "reasoning_effort" or "functions" or "function_call" or "audio" or "prediction" or "verbosity"
        or "web_search_options" or "moderation" or "prompt_cache_options";

    private void ReadMessages(JsonElement messages)
    {
        if (messages.GetArrayLength() > MaxMessages)
        {
            throw ApiException.WrongValue("messages", $"Invalid 'messages': more than {MaxMessages} of them.");
        }
        int i = 0;
        foreach (JsonElement message in messages.EnumerateArray())
        {
            string param = $"messages[{i++}]";
            Messages.Add(ReadMessage(JsonIn.Object(message, param), param));
        }
    }

    private static ChatMessage ReadMessage(JsonElement message, string at)
    {
        string? role = null;
        string? content = null;
        string? name = null;
        string? toolCallId = null;
        List<ToolCall> calls = [];
        foreach (JsonProperty field in message.EnumerateObject())
        {
            string param = $"{at}.{field.Name}";
            JsonElement value = field.Value;
            switch (field.Name)
            {
                case "role":
                    role = JsonIn.OneOf(value, param, "system", "developer", "user", "assistant", "tool");
                    break;
                case "content":
                    content = value.IsNull() ? null : ReadContent(value, param);
                    break;
                case "name":
                    name = value.IsNull() ? null : JsonIn.Text(value, param);
                    break;
                case "tool_call_id":
                    toolCallId = value.IsNull() ? null : JsonIn.Text(value, param);
                    break;
                case "tool_calls":
                    if (!value.IsNull())
                    {
                        int i = 0;
                        foreach (JsonElement call in JsonIn.Array(value, param).EnumerateArray())
                        {
                            string callParam = $"{param}[{i++}]";
                            calls.Add(ReadToolCall(JsonIn.Object(call, callParam), callParam));
                        }
                    }
                    break;
                // Clients put an answer's message back into the chat as it came: these fields are part of it.
                case "refusal" when value.IsNull():
                case "annotations" when value.IsNull() || (value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == 0):
                case "audio" when value.IsNull():
                case "function_call" when value.IsNull():
                    break;
                case "refusal" or "annotations" or "audio" or "function_call":
                    throw ApiException.Unsupported(param, $"Unsupported parameter: '{param}'.");
                default:
                    throw ApiException.Unknown(JsonIn.Short(param));
            }
        }
        if (role is null)
        {
            throw ApiException.Missing($"{at}.role");
        }
        if (calls.Count > 0 && role != "assistant")
        {
            throw ApiException.WrongValue($"{at}.tool_calls", $"Invalid '{at}.tool_calls': only messages with the role 'assistant' have them.");
        }
        if (content is null && calls.Count == 0)
        {
            throw ApiException.Missing($"{at}.content");
        }
        if (role == "tool" && toolCallId is null)
        {
            throw ApiException.Missing($"{at}.tool_call_id");
        }
        return new ChatMessage { Role = role, Content = content, Name = name, ToolCalls = calls, ToolCallId = toolCallId };
    }

    private static string ReadContent(JsonElement value, string param)
    {
        if (value.ValueKind == JsonValueKind.String)
        {
            return value.GetString()!;
        }
        if (value.ValueKind != JsonValueKind.Array)
        {
            throw ApiException.WrongType(param, "a string or an array of parts", JsonKind.Of(value));
        }
        List<string> parts = [];
        int i = 0;
        foreach (JsonElement part in value.EnumerateArray())
        {
            string at = $"{param}[{i++}]";
            string? type = JsonIn.Object(part, at).TryGetProperty("type", out JsonElement kind) ? JsonIn.Text(kind, at + ".type") : throw ApiException.Missing(at + ".type");
            if (type is "image_url" or "input_audio" or "file" or "refusal")
            {
                throw ApiException.Unsupported(at + ".type", $"Unsupported content: '{at}' is of type '{type}'; this model reads text only.");
            }
            if (type != "text")
            {
                throw ApiException.WrongValue(at + ".type", $"Invalid '{at}.type': '{JsonIn.Short(type)}' is no type of content part; use 'text'.");
            }
            string? text = null;
            foreach (JsonProperty field in part.EnumerateObject())
            {
                switch (field.Name)
                {
                    case "type":
                        break;
                    case "text":
                        text = JsonIn.Text(field.Value, at + ".text");
                        break;
                    default:
                        throw ApiException.Unknown(JsonIn.Short($"{at}.{field.Name}"));
                }
            }
            parts.Add(text ?? throw ApiException.Missing(at + ".text"));
        }
        return parts.Count == 1 ? parts[0] : string.Join('\n', parts);
    }

    private static ToolCall ReadToolCall(JsonElement call, string at)
    {
        string? id = null;
        string? name = null;
        string? arguments = null;
        foreach (JsonProperty field in call.EnumerateObject())
        {
            string param = $"{at}.{field.Name}";
            switch (field.Name)
            {
                case "id":
                    id = JsonIn.Text(field.Value, param);
                    break;
                case "type":
                    RequireFunction(field.Value, param);
                    break;
                case "index":
                    break;
                case "function":
                    foreach (JsonProperty inner in JsonIn.Object(field.Value, param).EnumerateObject())
                    {
                        switch (inner.Name)
                        {
                            case "name":
                                name = JsonIn.Text(inner.Value, param + ".name");
                                break;
                            case "arguments":
                                arguments = JsonIn.Text(inner.Value, param + ".arguments");
                                break;
                            default:
                                throw ApiException.Unknown(JsonIn.Short($"{param}.{inner.Name}"));
                        }
                    }
                    break;
                default:
                    throw ApiException.Unknown(JsonIn.Short(param));
            }
        }
        return new ToolCall(
            id ?? throw ApiException.Missing(at + ".id"),
            name ?? throw ApiException.Missing(at + ".function.name"),
            arguments ?? throw ApiException.Missing(at + ".function.arguments"));
    }

    private void ReadTools(JsonElement tools)
    {
        if (tools.GetArrayLength() > MaxTools)
        {
            throw ApiException.WrongValue("tools", $"Invalid 'tools': {tools.GetArrayLength()} of them, and at most {MaxTools} are allowed.");
        }
        int i = 0;
        foreach (JsonElement tool in tools.EnumerateArray())
        {
            string at = $"tools[{i++}]";
            JsonElement function = default;
            foreach (JsonProperty field in JsonIn.Object(tool, at).EnumerateObject())
            {
                string param = $"{at}.{field.Name}";
                switch (field.Name)
                {
                    case "type":
                        RequireFunction(field.Value, param);
                        break;
                    case "function":
                        function = JsonIn.Object(field.Value, param);
                        break;
                    default:
                        throw ApiException.Unknown(JsonIn.Short(param));
                }
            }
            if (function.IsNull())
            {
                throw ApiException.Missing(at + ".function");
            }
            ToolDefinition definition = ReadFunction(function, at + ".function");
            if (Tools.Exists(t => t.Name == definition.Name))
            {
                throw ApiException.WrongValue(at + ".function.name", $"Invalid '{at}.function.name': there are two tools named '{definition.Name}'.");
            }
            Tools.Add(definition);
        }
    }

    private static ToolDefinition ReadFunction(JsonElement function, string at)
    {
        string? name = null;
        string? description = null;
        JsonElement parameters = default;
        foreach (JsonProperty field in function.EnumerateObject())
        {
            string param = $"{at}.{field.Name}";
            JsonElement value = field.Value;
            switch (field.Name)
            {
                case "name":
                    name = JsonIn.Text(value, param);
                    if (name.Length is 0 or > 64 || name.Any(static c => !char.IsAsciiLetterOrDigit(c) && c is not ('_' or '-')))
                    {
                        throw ApiException.WrongValue(param, $"Invalid '{param}': a tool's name has 1 to 64 letters, digits, '_' or '-'.");
                    }
                    break;
                case "description":
                    description = value.IsNull() ? null : JsonIn.Text(value, param);
                    break;
                case "parameters":
                    parameters = value.IsNull() ? default : JsonIn.Object(value, param);
                    break;
                case "strict":
                    // Arguments follow the schema wherever a grammar enforces the call; a promise beyond that would be false.
                    _ = value.IsNull() || JsonIn.Flag(value, param);
                    break;
                default:
                    throw ApiException.Unknown(JsonIn.Short(param));
            }
        }
        return new ToolDefinition(name ?? throw ApiException.Missing(at + ".name"), description, parameters);
    }

    private void ReadToolChoice(JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.String)
        {
            ToolChoice = JsonIn.OneOf(value, "tool_choice", "none", "auto", "required") switch
            {
                "none" => ToolChoice.None,
                "auto" => ToolChoice.Auto,
                _ => ToolChoice.Required,
            };
            return;
        }
        if (value.ValueKind != JsonValueKind.Object)
        {
            throw ApiException.WrongType("tool_choice", "a string or an object", JsonKind.Of(value));
        }
        foreach (JsonProperty field in value.EnumerateObject())
        {
            switch (field.Name)
            {
                case "type":
                    RequireFunction(field.Value, "tool_choice.type");
                    break;
                case "function":
                    foreach (JsonProperty inner in JsonIn.Object(field.Value, "tool_choice.function").EnumerateObject())
                    {
                        NamedTool = inner.Name == "name" ? JsonIn.Text(inner.Value, "tool_choice.function.name") : throw ApiException.Unknown(JsonIn.Short("tool_choice.function." + inner.Name));
                    }
                    break;
                default:
                    throw ApiException.Unknown(JsonIn.Short("tool_choice." + field.Name));
            }
        }
        ToolChoice = NamedTool is null ? throw ApiException.Missing("tool_choice.function.name") : ToolChoice.Named;
    }

    private static void RequireFunction(JsonElement value, string param)
    {
        if (JsonIn.Text(value, param) is not "function" and string type)
        {
            throw ApiException.Unsupported(param, $"Unsupported value: '{param}' is '{JsonIn.Short(type)}'; only 'function' is supported.");
        }
    }

    private void ReadResponseFormat(JsonElement format)
    {
        string? type = null;
        JsonElement schema = default;
        foreach (JsonProperty field in format.EnumerateObject())
        {
            string param = "response_format." + field.Name;
            switch (field.Name)
            {
                case "type":
                    type = JsonIn.OneOf(field.Value, param, "text", "json_object", "json_schema");
                    break;
                case "json_schema":
                    foreach (JsonProperty inner in JsonIn.Object(field.Value, param).EnumerateObject())
                    {
                        string innerParam = $"{param}.{inner.Name}";
                        switch (inner.Name)
                        {
                            case "name" or "description":
                                _ = inner.Value.IsNull() ? null : JsonIn.Text(inner.Value, innerParam);
                                break;
                            case "strict":
                                _ = inner.Value.IsNull() || JsonIn.Flag(inner.Value, innerParam);
                                break;
                            case "schema":
                                schema = inner.Value;
                                break;
                            default:
                                throw ApiException.Unknown(JsonIn.Short(innerParam));
                        }
                    }
                    break;
                default:
                    throw ApiException.Unknown(JsonIn.Short(param));
            }
        }
        switch (type)
        {
            case null:
                throw ApiException.Missing("response_format.type");
            case "json_object":
                ResponseFormat = AnswerFormat.JsonObject;
                break;
            case "json_schema":
                ResponseFormat = AnswerFormat.JsonSchema;
                Schema = schema.IsNull() ? throw ApiException.Missing("response_format.json_schema.schema") : schema;
                break;
        }
        if (type != "json_schema" && !schema.IsNull())
        {
            throw ApiException.WrongValue("response_format.json_schema", $"Invalid 'response_format.json_schema': it goes with the type 'json_schema', not '{type}'.");
        }
    }
}
