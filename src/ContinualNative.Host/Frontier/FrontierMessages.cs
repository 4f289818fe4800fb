using System.Text.Json;
using ContinualNative.Core.Traffic;
using Microsoft.Extensions.AI;
using OpenAI.Chat;
using ChatMessage = ContinualNative.Core.Traffic.ChatMessage;
using OpenAiMessage = OpenAI.Chat.ChatMessage;

namespace ContinualNative.Host.Frontier;

/// <summary>Requests in the words of the packages.</summary>
internal static class FrontierMessages
{
    /// <summary>
    /// Decision: messages travel as the OpenAI package's own, which the chat client passes on untouched. In its own types a tool call's arguments
    /// would be parsed and written anew, and the model would see other text than it wrote.
    /// </summary>
    public static List<Microsoft.Extensions.AI.ChatMessage> Messages(FrontierRequest request) =>
        [.. request.Messages.Select(static m => new Microsoft.Extensions.AI.ChatMessage(RoleOf(m.Role), m.Content) { RawRepresentation = Message(m) })];

    public static ChatOptions Options(FrontierRequest request, FrontierEndpointOptions endpoint)
    {
        ChatCompletionOptions raw = Raw(request, endpoint);
        return new ChatOptions { RawRepresentationFactory = _ => raw };
    }

    /// <summary>Characters that the model has to read, tools and schema included.</summary>
    public static int Characters(FrontierRequest request)
    {
        long characters = 0;
        foreach (ChatMessage message in request.Messages)
        {
            characters += message.Content?.Length ?? 0;
            foreach (ToolCall call in message.ToolCalls)
            {
                characters += call.Name.Length + call.Arguments.Length;
            }
        }
        foreach (ToolDefinition tool in request.Tools)
        {
            characters += tool.Name.Length + (tool.Description?.Length ?? 0) + (tool.Parameters.ValueKind == JsonValueKind.Undefined ? 0 : tool.Parameters.GetRawText().Length);
        }
        if (request.Schema.ValueKind != JsonValueKind.Undefined)
        {
            characters += request.Schema.GetRawText().Length;
        }
        return (int)Math.Min(characters, int.MaxValue);
    }

    private static ChatRole RoleOf(string role) => role switch
    {
        "user" => ChatRole.User,
        "assistant" => ChatRole.Assistant,
        "tool" => ChatRole.Tool,
        _ => ChatRole.System,
    };

    private static OpenAiMessage Message(ChatMessage message)
    {
        string text = message.Content ?? "";
        switch (message.Role)
        {
            case "system":
                return new SystemChatMessage(text) { ParticipantName = message.Name };
            case "developer":
#pragma warning disable OPENAI001 // The class for a role that has long been there is still marked as new.
                return new DeveloperChatMessage(text) { ParticipantName = message.Name };
#pragma warning restore OPENAI001
            case "user":
                return new UserChatMessage(text) { ParticipantName = message.Name };
            case "tool":
                return new ToolChatMessage(message.ToolCallId ?? "", text);
            case "assistant":
                if (message.ToolCalls.Count == 0)
                {
                    return new AssistantChatMessage(text) { ParticipantName = message.Name };
                }
                AssistantChatMessage calling = new(message.ToolCalls.Select(static c => ChatToolCall.CreateFunctionToolCall(c.Id, c.Name, BinaryData.FromString(c.Arguments)))) { ParticipantName = message.Name };
                if (text.Length > 0)
                {
                    calling.Content.Add(ChatMessageContentPart.CreateTextPart(text));
                }
                return calling;
            default:
                throw new ArgumentException($"There is no role '{message.Role}'.", nameof(message));
        }
    }

    private static ChatCompletionOptions Raw(FrontierRequest request, FrontierEndpointOptions endpoint)
    {
        ChatCompletionOptions options = new()
        {
            Temperature = request.Temperature,
            TopP = request.TopP,
            PresencePenalty = request.PresencePenalty,
            FrequencyPenalty = request.FrequencyPenalty,
        };
        foreach (string stop in request.Stop)
        {
            options.StopSequences.Add(stop);
        }
        if (request.TopLogProbs is { } top)
        {
            options.IncludeLogProbabilities = true;
            options.TopLogProbabilityCount = top > 0 ? top : null;
        }
        foreach (ToolDefinition tool in request.Tools)
        {
            options.Tools.Add(ChatTool.CreateFunctionTool(tool.Name, tool.Description, tool.Parameters.ValueKind == JsonValueKind.Undefined ? null : BinaryData.FromString(tool.Parameters.GetRawText())));
        }
        if (request.Tools.Count > 0)
        {
            options.AllowParallelToolCalls = request.ParallelToolCalls;
            options.ToolChoice = request.ToolChoice switch
            {
                FrontierToolChoice.None => ChatToolChoice.CreateNoneChoice(),
                FrontierToolChoice.Required => ChatToolChoice.CreateRequiredChoice(),
                FrontierToolChoice.Named => ChatToolChoice.CreateFunctionChoice(request.NamedTool ?? throw new ArgumentException("The named tool has no name.", nameof(request))),
                _ => null,
            };
        }
        options.ResponseFormat = request.Format switch
        {
            FrontierFormat.JsonObject => OpenAI.Chat.ChatResponseFormat.CreateJsonObjectFormat(),
            FrontierFormat.JsonSchema => OpenAI.Chat.ChatResponseFormat.CreateJsonSchemaFormat("answer", BinaryData.FromString(request.Schema.GetRawText())),
            _ => null,
        };
        // The package has no property for these, or one that is not final.
#pragma warning disable SCME0001
        if (request.MaxTokens is { } most)
        {
            options.Patch.Set(endpoint.MaxTokensField == "max_tokens" ? "$.max_tokens"u8 : "$.max_completion_tokens"u8, most);
        }
        if (request.Seed is { } seed)
        {
            options.Patch.Set("$.seed"u8, seed);
        }
        foreach ((string name, JsonElement value) in endpoint.Extra)
        {
            options.Patch.Set(System.Text.Encoding.UTF8.GetBytes("$." + name), BinaryData.FromString(value.GetRawText()));
        }
#pragma warning restore SCME0001
        return options;
    }
}
