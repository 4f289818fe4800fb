using System.Text;
using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Generation;
using ContinualNative.Engine.Models;
using ContinualNative.Host.Http;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.OpenAi;

/// <summary><c>POST /v1/chat/completions</c>.</summary>
internal static class ChatCompletions
{
    public static async Task HandleAsync(HttpContext http)
    {
        ServedModel model = http.RequestServices.GetRequiredService<ServerState>().Model;
        using JsonDocument body = await RequestBody.ReadObjectAsync(http);
        ChatRequest request = ChatRequest.Parse(body.RootElement);
        ModelAddresses.Resolve(model.Engine, request.Model);
        if (!model.Engine.Model.CanGenerate)
        {
            throw ApiException.Invalid("model_not_generative", $"The model '{model.Engine.Model.Name}' makes embeddings only; use /v1/embeddings.", "model");
        }
        if (model.Prompts.WhyNoChat is { } reason)
        {
            throw ApiException.Invalid("no_chat_template", reason, "messages");
        }
        PreparedChat chat = model.Prompts.Prepare(request.ToPrompt());
        using GenerationRun run = GenerationRun.Start(http, model, request, [chat.Tokens], chat.Grammar, chat.ShowSpecialTokens);
        string id = "chatcmpl-" + RequestIds.Of(http);
        if (request.Stream)
        {
            await AnswerStream.WriteAsync(http, run, request, id, "chat.completion.chunk", (sse, i) => new ChatChoiceWriter(sse, i, model.Engine.Tokenizer, request, chat.NewReader()));
            return;
        }
        (string name, string adapter) = await run.AdmittedAsync();
        CollectedAnswer[] answers = await CollectedAnswer.AllAsync(run);
        GenerationHeaders.Set(http, adapter);
        GenerationHeaders.SetConfidence(http, answers[0].Result.Confidence);
        await JsonOut.WriteAsync(http, (id, name, model, request, answers, chat), static (json, r) => Write(json, r.id, r.name, r.model, r.request, r.answers, r.chat));
    }

    private static void Write(Utf8JsonWriter json, string id, string name, ServedModel model, ChatRequest request, CollectedAnswer[] answers, PreparedChat chat)
    {
        json.WriteStartObject();
        json.WriteString("id", id);
        json.WriteString("object", "chat.completion");
        json.WriteNumber("created", DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        json.WriteString("model", name);
        json.WriteStartArray("choices");
        for (int i = 0; i < answers.Length; i++)
        {
            CollectedAnswer answer = answers[i];
            (string text, List<ToolCall> calls) = Split(answer.Text, chat.NewReader());
            json.WriteStartObject();
            json.WriteNumber("index", i);
            json.WriteStartObject("message");
            json.WriteString("role", "assistant");
            json.WriteString("content", text.Length == 0 && calls.Count > 0 ? null : text);
            json.WriteNull("refusal");
            if (calls.Count > 0)
            {
                json.WriteStartArray("tool_calls");
                foreach (ToolCall call in calls)
                {
                    WriteCall(json, call, null);
                }
                json.WriteEndArray();
            }
            json.WriteEndObject();
            if (request.TopLogProbs >= 0)
            {
                json.WritePropertyName("logprobs");
                LogProbsJson.Write(json, (answer.Tokens, model.Engine.Tokenizer));
            }
            else
            {
                json.WriteNull("logprobs");
            }
            json.WriteString("finish_reason", FinishName(answer.Result.FinishReason, calls.Count));
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WritePropertyName("usage");
        Usage.Write(json, Usage.Of([.. answers.Select(static a => a.Result)], request.Choices));
        json.WriteString("service_tier", "default");
        json.WriteString("system_fingerprint", model.Fingerprint);
        json.WritePropertyName("continual");
        Usage.WriteContinual(json, answers[0].Result);
        json.WriteEndObject();
    }

    private static (string Text, List<ToolCall> Calls) Split(string answer, ChatAnswerReader reader)
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

/// <summary>One choice of a streamed chat completion.</summary>
internal sealed class ChatChoiceWriter(SseWriter sse, int index, Tokenizer tokenizer, ChatRequest request, ChatAnswerReader reader) : ChoiceWriter(sse, index)
{
    // Tokens whose text is held back (the beginning of what may be a tool call); they go out with the next event.
    private readonly List<TokenInfo> _waiting = [];
    private int _calls;

    public override void Start()
    {
        Begin();
        Sse.Raw("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null"u8);
        EndDelta(withLogProbs: false);
        Sse.Raw("null}]}"u8);
        Sse.EndEvent();
    }

    public override void Write(GenerationChunk chunk)
    {
        if (request.TopLogProbs >= 0)
        {
            _waiting.AddRange(chunk.Tokens);
        }
        WriteParts(reader.Append(chunk.Text));
    }

    public override void End(GenerationResult result)
    {
        WriteParts(reader.Complete());
        Begin();
        EndDelta(withLogProbs: _waiting.Count > 0);
        Sse.Raw("\""u8);
        Sse.Raw(Encoding.UTF8.GetBytes(ChatCompletions.FinishName(result.FinishReason, _calls)));
        Sse.Raw("\"}],\"continual\":"u8);
        Sse.Json(result, Usage.WriteContinual);
        Sse.Raw("}"u8);
        Sse.EndEvent();
    }

    private void WriteParts(IReadOnlyList<AnswerPart> parts)
    {
        foreach (AnswerPart part in parts)
        {
            if (part.Call is null)
            {
                if (part.Text.Length > 0)
                {
                    WriteText(part.Text);
                }
            }
            else
            {
                Begin();
                Sse.Raw("\"tool_calls\":["u8);
                Sse.Json((part.Call, _calls++), static (json, c) => ChatCompletions.WriteCall(json, c.Call, c.Item2));
                Sse.Raw("]"u8);
                EndDelta(withLogProbs: true);
                Sse.Raw("null}]}"u8);
                Sse.EndEvent();
            }
        }
    }

    private void WriteText(string text)
    {
        Begin();
        Sse.Raw("\"content\":"u8);
        Sse.Text(text);
        EndDelta(withLogProbs: true);
        Sse.Raw("null}]}"u8);
        Sse.EndEvent();
    }

    // ... [{"index":0,"delta":{
    private void Begin()
    {
        Sse.BeginEvent();
        Sse.Raw("[{\"index\":"u8);
        Sse.Number(Index);
        Sse.Raw(",\"delta\":{"u8);
    }

    // },"logprobs":...,"finish_reason":
    private void EndDelta(bool withLogProbs)
    {
        Sse.Raw("},\"logprobs\":"u8);
        if (withLogProbs && request.TopLogProbs >= 0)
        {
            Sse.Json(((IReadOnlyList<TokenInfo>)_waiting, tokenizer), LogProbsJson.Write);
            _waiting.Clear();
        }
        else
        {
            Sse.Raw("null"u8);
        }
        Sse.Raw(",\"finish_reason\":"u8);
    }
}
