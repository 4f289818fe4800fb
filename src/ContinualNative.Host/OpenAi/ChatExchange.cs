using ContinualNative.Core.Routing;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Generation;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.Http;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;

namespace ContinualNative.Host.OpenAi;

/// <summary>
/// One chat request from its prompt to the last byte of its answer: local first, then judged, then, where the router says so, the frontier's answer instead,
/// in the same call. What the client gets and what is recorded are decided by <see cref="RequestRoute"/>.
/// </summary>
internal sealed class ChatExchange(HttpContext http, ServedModel model, ChatRequest request, RequestRoute route)
{
    private readonly string _id = "chatcmpl-" + RequestIds.Of(http);

    public async Task RunAsync()
    {
        if (route.Decision is { Route: Route.Frontier } && await SendFrontierAsync())
        {
            return;
        }
        PreparedChat chat;
        GenerationRun run;
        try
        {
            chat = model.Prompts.Prepare(request.ToPrompt());
            run = GenerationRun.Start(
                http, model, request, [chat.Tokens], chat.Grammar, chat.ShowSpecialTokens,
                earlyTokens: request.Stream && route.IsOpen ? route.HoldBack : 0,
                keepTranscript: request.Stream && route.KeepsAnswers,
                assigned: route.Assigned);
        }
        catch (Exception e) when (route.IsOpen && IsOurs(e))
        {
            route.LocalFailed();
            if (await SendFrontierAsync())
            {
                return;
            }
            throw;
        }
        bool handedOn = false;
        try
        {
            handedOn = request.Stream ? await StreamAsync(run, chat) : await CollectAsync(run, chat);
        }
        catch (Exception e) when (route.IsOpen && !http.Response.HasStarted && IsOurs(e))
        {
            route.LocalFailed();
            if (!await SendFrontierAsync())
            {
                throw;
            }
        }
        finally
        {
            if (!handedOn)
            {
                run.Dispose();
            }
        }
    }

    /// <summary>OpenAI's word for how an answer ended.</summary>
    private static string FinishOf(GenerationResult result, List<ToolCall> calls) => ChatCompletions.FinishName(result.FinishReason, calls.Count);

    // What the local model can't do and another may: a prompt beyond its context, a failure of the engine, time run out. Not a request that is wrong, and
    // not a full queue: whoever waits for a cheap answer has not asked for a dear one.
    private static bool IsOurs(Exception failure) => ApiErrors.From(failure) is { } error && (error.Status is 500 or 504 || error.Code == "context_length_exceeded");

    private async Task<bool> CollectAsync(GenerationRun run, PreparedChat chat)
    {
        (string name, string adapter) = await run.AdmittedAsync();
        route.SetAdapter(adapter);
        CollectedAnswer[] answers = await CollectedAnswer.AllAsync(run);
        GenerationResult result = answers[0].Result;
        (string text, List<ToolCall> calls) = ChatCompletions.Split(answers[0].Text, chat.NewReader());
        route.SetLocal(result, RequestText.OfAnswer(text, calls));
        if (route.IsOpen)
        {
            route.Judge(result.Confidence, result.PromptTokens, result.FinishReason == FinishReason.Length && request.MaxTokens is null, early: false);
            if (route.Decision!.Route == Route.Frontier && await SendFrontierAsync())
            {
                return false;
            }
        }
        RouteNote note = route.Note with { Adapter = adapter, Confidence = result.Confidence };
        note.SetHeaders(http);
        await route.RecordAsync(FinishOf(result, calls));
        ChatCompletion completion = new(
            _id,
            name,
            model.Fingerprint,
            [.. answers.Select((a, i) => OfLocal(a, i == 0 ? (text, calls) : ChatCompletions.Split(a.Text, chat.NewReader())))],
            Usage.Of([.. answers.Select(static a => a.Result)], request.Choices),
            note);
        await JsonOut.WriteAsync(http, (completion, request, model), static (json, c) => ChatCompletions.Write(json, c.completion, c.request, c.model.Engine.Tokenizer));
        return false;
    }

    private static ChatAnswer OfLocal(CollectedAnswer answer, (string Text, List<ToolCall> Calls) split) =>
        new(split.Text, split.Calls, FinishOf(answer.Result, split.Calls), answer.Tokens, null);

    // True when the run belongs to somebody else now.
    private async Task<bool> StreamAsync(GenerationRun run, PreparedChat chat)
    {
        (string name, string adapter) = await run.AdmittedAsync();
        route.SetAdapter(adapter);
        if (route.IsOpen)
        {
            RunningAnswer answer = run.Answers[0];
            Confidence seen = await answer.Early.WaitAsync(run.Cancelled);
            // Decision: by the number of tokens, not by whether more have come meanwhile: equal requests are judged by equal features on any machine.
            bool whole = seen.Tokens < route.HoldBack;
            bool truncated = whole && (await answer.Completion.WaitAsync(run.Cancelled)).FinishReason == FinishReason.Length && request.MaxTokens is null;
            route.Judge(seen, chat.Tokens.Length, truncated, early: !whole);
            // The local answer runs on until the frontier's has begun: it is the one to send when that never does.
            if (route.Decision!.Route == Route.Frontier && await SendFrontierAsync(() => FinishLocalAsync(run, chat)))
            {
                return true;
            }
        }
        RouteNote note = route.Note with { Adapter = adapter };
        GenerationResult[]? results = await AnswerStream.WriteAsync(
            http, run, request, _id, "chat.completion.chunk", name, note,
            (sse, i) => new ChatChoiceWriter(sse, i, model.Engine.Tokenizer, request, chat.NewReader(), note));
        if (results is null)
        {
            await route.RecordAsync("error");
            return false;
        }
        (string text, List<ToolCall> calls) = run.Transcript is { } transcript ? ChatCompletions.Split(transcript.ToString(), chat.NewReader()) : ("", []);
        route.SetLocal(results[0], run.Transcript is null ? null : RequestText.OfAnswer(text, calls));
        await route.RecordAsync(FinishOf(results[0], calls));
        return false;
    }

    // A stream that went up after its beginning was judged: what the local model would have said in the end is worth knowing, since it says whether the
    // judgement was right. Runs after the client has been answered.
    private async Task FinishLocalAsync(GenerationRun run, PreparedChat chat)
    {
        using (run)
        {
            if (!route.WantsWholeLocal)
            {
                return;
            }
            try
            {
                CollectedAnswer[] answers = await CollectedAnswer.AllAsync(run);
                (string text, List<ToolCall> calls) = ChatCompletions.Split(answers[0].Text, chat.NewReader());
                route.SetLocal(answers[0].Result, RequestText.OfAnswer(text, calls));
            }
            catch (Exception e) when (e is OperationCanceledException or EngineException or ApiException)
            {
                // The server stops, or the engine failed: the request is recorded without a local answer.
            }
        }
    }

    /// <summary>
    /// Sends the frontier's answer; false when there is none and nothing was sent: the decision then says why, and a local answer is due.
    /// </summary>
    /// <param name="finishLocal">What to do with a local answer that still runs; it becomes this method's to call when it returns true.</param>
    private async Task<bool> SendFrontierAsync(Func<Task>? finishLocal = null)
    {
        if (request.Stream)
        {
            return await StreamFrontierAsync(finishLocal);
        }
        if (await route.AskFrontierAsync(http.RequestAborted) is not { } answer)
        {
            return false;
        }
        route.Note.SetHeaders(http);
        await route.RecordAsync(answer.FinishReason);
        ChatCompletion completion = new(
            _id,
            answer.Model,
            model.Fingerprint,
            [new ChatAnswer(answer.Text, answer.ToolCalls, answer.FinishReason, [], request.TopLogProbs >= 0 ? answer.LogProbs : null)],
            new Usage(answer.PromptTokens, answer.CachedTokens, answer.CompletionTokens),
            route.Note);
        await JsonOut.WriteAsync(http, (completion, request, model), static (json, c) => ChatCompletions.Write(json, c.completion, c.request, c.model.Engine.Tokenizer));
        return true;
    }

    private async Task<bool> StreamFrontierAsync(Func<Task>? finishLocal)
    {
        if (await route.OpenFrontierAsync(http.RequestAborted) is not { } stream)
        {
            return false;
        }
        await using (stream)
        {
            route.Note.SetHeaders(http);
            using SseWriter sse = new(http);
            string finish = "error";
            try
            {
                await sse.StartAsync(AnswerStream.Head(_id, "chat.completion.chunk", stream.Model, model.Fingerprint, request.IncludeUsage), http.RequestAborted);
                ChatEvents events = new(sse, 0);
                events.Start();
                await sse.FlushAsync(http.RequestAborted);
                await foreach (FrontierPart part in stream.ReadAsync(http.RequestAborted))
                {
                    if (part.Text.Length > 0)
                    {
                        events.Text(part.Text);
                    }
                    foreach (ToolCall call in part.Calls)
                    {
                        events.Call(call);
                    }
                    await sse.FlushAsync(http.RequestAborted);
                }
                FrontierAnswer answer = stream.Answer!;
                finish = answer.FinishReason;
                events.End(finish, route.Note, RouteNote.Write);
                if (request.IncludeUsage)
                {
                    sse.Raw("data: "u8);
                    sse.Raw(AnswerStream.Head(_id, "chat.completion.chunk", answer.Model, model.Fingerprint, includeUsage: false));
                    sse.Raw("[],\"usage\":"u8);
                    sse.Json(new Usage(answer.PromptTokens, answer.CachedTokens, answer.CompletionTokens), Usage.Write);
                    sse.Raw("}\n\n"u8);
                }
                await sse.DoneAsync(http.RequestAborted);
            }
            catch (Exception e) when (!http.RequestAborted.IsCancellationRequested)
            {
                ApiException error = e is FrontierException cut
                    ? new ApiException(502, "server_error", "frontier_cut_off", $"The answer broke off: {cut.Message}")
                    : ApiErrors.From(e);
                RequestLog.StreamFailed(http, e, error);
                await sse.FailAsync(error, http.RequestAborted);
            }
            finally
            {
                // Also for a client that has gone: what was asked is paid for, and worth keeping.
                route.FinishInBackground(finish, finishLocal);
            }
        }
        return true;
    }
}

/// <summary>One choice of a chat completion.</summary>
/// <param name="Text">May be empty beside calls.</param>
/// <param name="Calls">Tool calls.</param>
/// <param name="FinishReason">OpenAI's word.</param>
/// <param name="Tokens">The local model's tokens, where log-probabilities were asked for.</param>
/// <param name="LogProbs">Log-probabilities as a frontier endpoint gave them (the array <c>content</c>), or null.</param>
internal sealed record ChatAnswer(string Text, IReadOnlyList<ToolCall> Calls, string FinishReason, IReadOnlyList<TokenInfo> Tokens, string? LogProbs);

/// <summary>A whole chat completion.</summary>
internal sealed record ChatCompletion(string Id, string Model, string Fingerprint, IReadOnlyList<ChatAnswer> Answers, Usage Usage, RouteNote Note);
