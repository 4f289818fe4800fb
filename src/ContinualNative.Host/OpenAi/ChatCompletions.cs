using System.Text;
using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Generation;
using ContinualNative.Engine.Models;
using ContinualNative.Host.Http;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;

namespace ContinualNative.Host.OpenAi;

/// <summary><c>POST /v1/chat/completions</c>.</summary>
internal static class ChatCompletions
{
    public static async Task HandleAsync(HttpContext http)
    {
        ServedModel model = http.RequestServices.GetRequiredService<ServerState>().Model;
        SignalHub signal = http.RequestServices.GetRequiredService<SignalHub>();
        using JsonDocument body = await RequestBody.ReadObjectAsync(http);
        ChatRequest request = ChatRequest.Parse(body.RootElement);
        ModelAddress address = ModelAddresses.Resolve(model.Engine, request.Model);
        if (!model.Engine.Model.CanGenerate)
        {
            throw ApiException.Invalid("model_not_generative", $"The model '{model.Engine.Model.Name}' makes embeddings only; use /v1/embeddings.", "model");
        }
        if (model.Prompts.WhyNoChat is { } reason)
        {
            throw ApiException.Invalid("no_chat_template", reason, "messages");
        }
        using RequestRoute route = signal.Begin(http, model, request, address, body.RootElement);
        await new ChatExchange(http, model, request, route).RunAsync();
    }

    /// <summary>A whole completion as JSON.</summary>
    public static void Write(Utf8JsonWriter json, ChatCompletion completion, ChatRequest request, Tokenizer tokenizer)
    {
        json.WriteStartObject();
        json.WriteString("id", completion.Id);
        json.WriteString("object", "chat.completion");
        json.WriteNumber("created", DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        json.WriteString("model", completion.Model);
        json.WriteStartArray("choices");
        for (int i = 0; i < completion.Answers.Count; i++)
        {
            ChatAnswer answer = completion.Answers[i];
            json.WriteStartObject();
            json.WriteNumber("index", i);
            json.WriteStartObject("message");
            json.WriteString("role", "assistant");
            json.WriteString("content", answer.Text.Length == 0 && answer.Calls.Count > 0 ? null : answer.Text);
            json.WriteNull("refusal");
            if (answer.Calls.Count > 0)
            {
                json.WriteStartArray("tool_calls");
                foreach (ToolCall call in answer.Calls)
                {
                    WriteCall(json, call, null);
                }
                json.WriteEndArray();
            }
            json.WriteEndObject();
            json.WritePropertyName("logprobs");
            if (request.TopLogProbs < 0 || (answer.LogProbs is null && completion.Note.Decision.Route == Route.Frontier))
            {
                json.WriteNullValue();
            }
            else if (answer.LogProbs is { } given)
            {
                json.WriteStartObject();
                json.WritePropertyName("content");
                json.WriteRawValue(given);
                json.WriteNull("refusal");
                json.WriteEndObject();
            }
            else
            {
                LogProbsJson.Write(json, (answer.Tokens, tokenizer));
            }
            json.WriteString("finish_reason", answer.FinishReason);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WritePropertyName("usage");
        Usage.Write(json, completion.Usage);
        json.WriteString("service_tier", "default");
        json.WriteString("system_fingerprint", completion.Fingerprint);
        json.WritePropertyName("continual");
        RouteNote.Write(json, completion.Note);
        json.WriteEndObject();
    }

    /// <summary>The text and the tool calls of a local answer.</summary>
    public static (string Text, List<ToolCall> Calls) Split(string answer, ChatAnswerReader reader)
    {
        List<ToolCall> calls = [];
        StringBuilder text = new();
        Take(reader.Append(answer));
        Take(reader.Complete());
        return (text.ToString(), calls);

        void Take(IReadOnlyList<AnswerPart> parts)
        {
            foreach (AnswerPart part in parts)
            {
                text.Append(part.Text);
                if (part.Call is { } call)
                {
                    calls.Add(call);
                }
            }
        }
    }

    internal static string FinishName(FinishReason reason, int calls) => reason == FinishReason.Stop && calls > 0 ? "tool_calls" : ChoiceWriter.NameOf(reason);

    /// <summary>A call, as in a message; with an index as in a stream.</summary>
    internal static void WriteCall(Utf8JsonWriter json, ToolCall call, int? index)
    {
        json.WriteStartObject();
        if (index is { } number)
        {
            json.WriteNumber("index", number);
        }
        json.WriteString("id", call.Id);
        json.WriteString("type", "function");
        json.WriteStartObject("function");
        json.WriteString("name", call.Name);
        json.WriteString("arguments", call.Arguments);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
