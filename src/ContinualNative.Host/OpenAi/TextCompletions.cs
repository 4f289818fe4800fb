using System.Text;
using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Engine;
using ContinualNative.Engine.Generation;
using ContinualNative.Engine.Models;
using ContinualNative.Host.Http;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;

namespace ContinualNative.Host.OpenAi;

/// <summary>A prompt as it is echoed: its text, and its tokens with their log-probabilities where those were asked for.</summary>
internal sealed record EchoedPrompt(string Text, TextLogProbs? LogProbs)
{
    public static readonly EchoedPrompt None = new("", null);
}

/// <summary><c>POST /v1/completions</c>.</summary>
internal static class TextCompletions
{
    public static async Task HandleAsync(HttpContext http)
    {
        ServedModel model = http.RequestServices.GetRequiredService<ServerState>().Model;
        using JsonDocument body = await RequestBody.ReadObjectAsync(http);
        CompletionRequest request = CompletionRequest.Parse(body.RootElement);
        ModelAddress address = ModelAddresses.Resolve(model.Engine, request.Model);
        string? grammar = Constraints.OfFields(request);
        List<int[]> prompts = [.. request.Prompts.Select((p, i) => TokensOf(model, p, i))];
        string id = "cmpl-" + RequestIds.Of(http);
        using RequestRoute route = http.RequestServices.GetRequiredService<SignalHub>().Begin(http, model, request, address, body.RootElement);
        using GenerationRun? run = request.MaxTokens == 0 ? null : GenerationRun.Start(
            http, model, request, prompts, grammar, showSpecialTokens: false, keepTranscript: request.Stream && route.KeepsAnswers);
        List<EchoedPrompt> echoes = [];
        for (int i = 0; i < prompts.Count; i++)
        {
            echoes.Add(request.Echo ? await EchoAsync(http, model.Engine, request, address, i, prompts[i]) : EchoedPrompt.None);
        }
        if (run is null)
        {
            await EchoOnlyAsync(http, model, request, address, id, prompts, echoes);
            return;
        }
        if (request.Stream)
        {
            (string streamed, string by) = await run.AdmittedAsync();
            route.SetAdapter(by);
            RouteNote noted = route.Note with { Adapter = by };
            GenerationResult[]? results = await AnswerStream.WriteAsync(
                http, run, request, id, "text_completion", streamed, noted, (sse, i) => new TextChoiceWriter(sse, i, model.Engine.Tokenizer, request, echoes[i / request.Choices], noted));
            if (results is not null)
            {
                route.SetLocal(results[0], run.Transcript?.ToString());
            }
            await route.RecordAsync(results is null ? "error" : ChoiceWriter.NameOf(results[0].FinishReason));
            return;
        }
        (string name, string adapter) = await run.AdmittedAsync();
        route.SetAdapter(adapter);
        CollectedAnswer[] answers = await CollectedAnswer.AllAsync(run);
        RouteNote note = route.Note with { Adapter = adapter, Confidence = answers[0].Result.Confidence };
        note.SetHeaders(http);
        route.SetLocal(answers[0].Result, answers[0].Text);
        await route.RecordAsync(ChoiceWriter.NameOf(answers[0].Result.FinishReason));
        Usage usage = Usage.Of([.. answers.Select(static a => a.Result)], request.Choices);
        await JsonOut.WriteAsync(http, 0, (json, _) =>
        {
            WriteHead(json, id, name, model);
            json.WriteStartArray("choices");
            for (int i = 0; i < answers.Length; i++)
            {
                EchoedPrompt echo = echoes[i / request.Choices];
                TextLogProbs? logProbs = null;
                if (request.TopLogProbs >= 0)
                {
                    logProbs = echo.LogProbs?.Copy() ?? new TextLogProbs(model.Engine.Tokenizer, TextLogProbs.CodePoints(echo.Text));
                    logProbs.Add(answers[i].Tokens);
                }
                WriteChoice(json, i, echo.Text + answers[i].Text, logProbs, ChoiceWriter.NameOf(answers[i].Result.FinishReason));
            }
            json.WriteEndArray();
            json.WritePropertyName("usage");
            Usage.Write(json, usage);
            json.WritePropertyName("continual");
            RouteNote.Write(json, note);
            json.WriteEndObject();
        });
    }

    private static int[] TokensOf(ServedModel model, TextOrTokens prompt, int i)
    {
        if (prompt.Text is { } text)
        {
            return model.Prompts.EncodeText(text, model.Engine.Model.ContextLength);
        }
        int[] tokens = prompt.Tokens!;
        int size = model.Engine.Model.VocabularySize;
        foreach (int token in tokens)
        {
            if (token >= size)
            {
                throw ApiException.WrongValue("prompt", $"Invalid 'prompt': {token} in prompt {i} is no token of this model, which has {size}.");
            }
        }
        return tokens;
    }

    private static async Task<EchoedPrompt> EchoAsync(HttpContext http, InferenceEngine engine, CompletionRequest request, ModelAddress address, int i, int[] tokens)
    {
        string text = request.Prompts[i].Text ?? engine.Tokenizer.Decode(tokens);
        if (request.TopLogProbs < 0)
        {
            return new EchoedPrompt(text, null);
        }
        if (tokens.Length > engine.Model.ContextLength)
        {
            throw ApiException.Invalid("context_length_exceeded", $"The prompt has {tokens.Length} tokens, and this server's context holds {engine.Model.ContextLength}.");
        }
        float[] scores = tokens.Length > 1 ? await engine.ScoreAsync(tokens, 1, address.Adapter, http.RequestAborted) : [];
        TextLogProbs logProbs = new(engine.Tokenizer, 0);
        for (int t = 0; t < tokens.Length; t++)
        {
            // The token that only begins a text has none itself.
            if (!engine.Tokenizer.Bytes(tokens[t]).IsEmpty)
            {
                logProbs.Add(tokens[t], t == 0 ? null : scores[t - 1]);
            }
        }
        return new EchoedPrompt(text, logProbs);
    }

    private static async Task EchoOnlyAsync(HttpContext http, ServedModel model, CompletionRequest request, ModelAddress address, string id, List<int[]> prompts, List<EchoedPrompt> echoes)
    {
        if (request.Stream)
        {
            throw ApiException.WrongValue("stream", "Invalid 'stream': with 'max_tokens': 0 there is nothing to stream.");
        }
        string adapter = address.Adapter ?? model.Engine.Adapters.Champion ?? ModelAddress.Base;
        RouteNote.Plain(adapter).SetHeaders(http);
        await JsonOut.WriteAsync(http, 0, (json, _) =>
        {
            WriteHead(json, id, adapter == ModelAddress.Base && address.Adapter is null ? model.Engine.Model.Name : new ModelAddress(model.Engine.Model.Name, adapter).ToString(), model);
            json.WriteStartArray("choices");
            for (int i = 0; i < echoes.Count * request.Choices; i++)
            {
                EchoedPrompt echo = echoes[i / request.Choices];
                WriteChoice(json, i, echo.Text, echo.LogProbs, "length");
            }
            json.WriteEndArray();
            json.WritePropertyName("usage");
            Usage.Write(json, new Usage(prompts.Sum(static p => p.Length), 0, 0));
            json.WriteEndObject();
        });
    }

    private static void WriteHead(Utf8JsonWriter json, string id, string name, ServedModel model)
    {
        json.WriteStartObject();
        json.WriteString("id", id);
        json.WriteString("object", "text_completion");
        json.WriteNumber("created", DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        json.WriteString("model", name);
        json.WriteString("system_fingerprint", model.Fingerprint);
    }

    private static void WriteChoice(Utf8JsonWriter json, int index, string text, TextLogProbs? logProbs, string finish)
    {
        json.WriteStartObject();
        json.WriteString("text", text);
        json.WriteNumber("index", index);
        json.WritePropertyName("logprobs");
        if (logProbs is null)
        {
            json.WriteNullValue();
        }
        else
        {
            logProbs.Write(json);
        }
        json.WriteString("finish_reason", finish);
        json.WriteEndObject();
    }
}

/// <summary>Log-probabilities in the shape of plain completions, gathered token by token.</summary>
internal sealed class TextLogProbs(Tokenizer tokenizer, int offset)
{
    private readonly List<(int Token, float? LogProb, IReadOnlyList<TokenLogProb> Top, int Offset)> _entries = [];
    private int _offset = offset;

    public TextLogProbs Copy()
    {
        TextLogProbs copy = new(tokenizer, _offset);
        copy._entries.AddRange(_entries);
        return copy;
    }

    /// <summary>A token of the prompt.</summary>
    public void Add(int token, float? logProb) => Add(token, logProb, []);

    /// <summary>Tokens of the answer; those that end it are no part of it.</summary>
    public void Add(IEnumerable<TokenInfo> tokens)
    {
        foreach (TokenInfo token in tokens)
        {
            if (!tokenizer.IsEnd(token.Token))
            {
                Add(token.Token, token.LogProb, token.Top);
            }
        }
    }

    /// <summary>Forgets what has been written, but not where the text stands.</summary>
    public void Clear() => _entries.Clear();

    public void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteStartArray("tokens");
        foreach ((int token, _, _, _) in _entries)
        {
            json.WriteStringValue(LogProbsJson.TextOf(tokenizer, token));
        }
        json.WriteEndArray();
        json.WriteStartArray("token_logprobs");
        foreach ((_, float? logProb, _, _) in _entries)
        {
            if (logProb is { } value)
            {
                json.WriteNumberValue(LogProbsJson.Clamp(value));
            }
            else
            {
                json.WriteNullValue();
            }
        }
        json.WriteEndArray();
        json.WriteStartArray("top_logprobs");
        HashSet<string> seen = [];
        foreach ((_, _, IReadOnlyList<TokenLogProb> top, _) in _entries)
        {
            json.WriteStartObject();
            seen.Clear();
            foreach (TokenLogProb candidate in top)
            {
                // Several tokens can have one text (parts of characters); the likeliest speaks for them.
                string text = LogProbsJson.TextOf(tokenizer, candidate.Token);
                if (seen.Add(text))
                {
                    json.WriteNumber(text, LogProbsJson.Clamp(candidate.LogProb));
                }
            }
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("text_offset");
        foreach ((_, _, _, int at) in _entries)
        {
            json.WriteNumberValue(at);
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>Length of a text in code points, the unit of <c>text_offset</c>.</summary>
    public static int CodePoints(string text) => text.EnumerateRunes().Count();

    private void Add(int token, float? logProb, IReadOnlyList<TokenLogProb> top)
    {
        _entries.Add((token, logProb, top, _offset));
        foreach (byte b in tokenizer.Bytes(token))
        {
            // Continuation bytes begin no character.
            _offset += (b & 0xC0) != 0x80 ? 1 : 0;
        }
    }
}

/// <summary>One choice of a streamed plain completion.</summary>
internal sealed class TextChoiceWriter(SseWriter sse, int index, Tokenizer tokenizer, CompletionRequest request, EchoedPrompt echo, RouteNote note) : ChoiceWriter(sse, index)
{
    private readonly TextLogProbs? _logProbs = request.TopLogProbs < 0 ? null : echo.LogProbs?.Copy() ?? new TextLogProbs(tokenizer, TextLogProbs.CodePoints(echo.Text));

    public override void Start()
    {
        if (request.Echo)
        {
            WriteEvent(echo.Text, null);
        }
    }

    public override void Write(GenerationChunk chunk)
    {
        _logProbs?.Add(chunk.Tokens);
        if (chunk.Text.Length > 0)
        {
            WriteEvent(chunk.Text, null);
        }
    }

    public override void End(GenerationResult result) => WriteEvent("", result);

    private void WriteEvent(string text, GenerationResult? end)
    {
        Sse.BeginEvent();
        Sse.Raw("[{\"index\":"u8);
        Sse.Number(Index);
        Sse.Raw(",\"text\":"u8);
        Sse.Text(text);
        Sse.Raw(",\"logprobs\":"u8);
        if (_logProbs is null)
        {
            Sse.Raw("null"u8);
        }
        else
        {
            Sse.Json(_logProbs, static (json, l) => l.Write(json));
            _logProbs.Clear();
        }
        if (end is null)
        {
            Sse.Raw(",\"finish_reason\":null}]}"u8);
        }
        else
        {
            Sse.Raw(",\"finish_reason\":\""u8);
            Sse.Raw(Encoding.UTF8.GetBytes(NameOf(end.FinishReason)));
            Sse.Raw("\"}],\"continual\":"u8);
            Sse.Json(note with { Adapter = end.Adapter, Confidence = end.Confidence }, RouteNote.Write);
            Sse.Raw("}"u8);
        }
        Sse.EndEvent();
    }
}
