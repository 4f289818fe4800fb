using System.Buffers;
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using ContinualNative.Engine.Generation;
using ContinualNative.Host.Http;
using ContinualNative.Host.Signal;

namespace ContinualNative.Host.OpenAi;

/// <summary>Streams the answers of one request, interleaved as they come.</summary>
internal static class AnswerStream
{
    /// <summary>
    /// Answers with server-sent events. Failures before the first byte are thrown; later ones go into the stream. Returns when the stream has ended, with the
    /// answers' results, or null when it failed.
    /// </summary>
    /// <param name="http">The request.</param>
    /// <param name="run">The answers.</param>
    /// <param name="fields">The request's fields.</param>
    /// <param name="id">The response's id.</param>
    /// <param name="objectName">The value of <c>object</c>.</param>
    /// <param name="model">What the response calls its model.</param>
    /// <param name="note">The route, for the headers.</param>
    /// <param name="writerOf">Makes the writer of one choice.</param>
    public static async Task<GenerationResult[]?> WriteAsync(
        HttpContext http, GenerationRun run, GenerationFields fields, string id, string objectName, string model, RouteNote note, Func<SseWriter, int, ChoiceWriter> writerOf)
    {
        note.SetHeaders(http);
        using SseWriter sse = new(http);
        await sse.StartAsync(Head(id, objectName, model, run.Model.Fingerprint, fields.IncludeUsage), run.Cancelled);
        try
        {
            ChoiceWriter[] writers = [.. run.Answers.Select((_, i) => writerOf(sse, i))];
            foreach (ChoiceWriter writer in writers)
            {
                writer.Start();
            }
            await sse.FlushAsync(run.Cancelled);
            GenerationResult[] results = run.Answers.Count == 1
                ? [await PumpAsync(run, run.Answers[0], writers[0], sse)]
                : await Task.WhenAll(run.Answers.Select((a, i) => PumpOrStopAllAsync(run, a, writers[i], sse)));
            if (fields.IncludeUsage)
            {
                // The head of ordinary events says "usage":null; this one event says it itself.
                sse.Raw("data: "u8);
                sse.Raw(Head(id, objectName, model, run.Model.Fingerprint, includeUsage: false));
                sse.Raw("[],\"usage\":"u8);
                sse.Json(Usage.Of(results, fields.Choices), Usage.Write);
                sse.Raw("}\n\n"u8);
            }
            await sse.DoneAsync(run.Cancelled);
            return results;
        }
        catch (Exception e) when (!http.RequestAborted.IsCancellationRequested)
        {
            run.Cancel();
            ApiException error = e is OperationCanceledException ? ApiException.Unavailable("shutting_down", "The server stopped before the answer was complete.") : ApiErrors.From(e);
            RequestLog.StreamFailed(http, e, error);
            await sse.FailAsync(error, http.RequestAborted);
            return null;
        }
    }

    private static async Task<GenerationResult> PumpOrStopAllAsync(GenerationRun run, RunningAnswer answer, ChoiceWriter writer, SseWriter sse)
    {
        try
        {
            return await PumpAsync(run, answer, writer, sse);
        }
        catch
        {
            run.Cancel();
            throw;
        }
    }

    private static async Task<GenerationResult> PumpAsync(GenerationRun run, RunningAnswer answer, ChoiceWriter writer, SseWriter sse)
    {
        IAsyncEnumerator<GenerationChunk> chunks = answer.ReadAllAsync(run.Cancelled).GetAsyncEnumerator(run.Cancelled);
        ValueTask<bool> next = default;
        bool pending = false;
        try
        {
            long last = 0;
            next = chunks.MoveNextAsync();
            pending = true;
            while (true)
            {
                pending = false;
                if (!await next)
                {
                    break;
                }
                long now = Stopwatch.GetTimestamp();
                GenerationChunk chunk = chunks.Current;
                if (last != 0)
                {
                    run.Metrics.InterToken(Stopwatch.GetElapsedTime(last, now), chunk.TokenCount);
                }
                last = now;
                if (ReferenceEquals(answer, run.Answers[0]))
                {
                    run.Transcript?.Append(chunk.Text);
                }
                await sse.TakeTurnAsync(run.Cancelled);
                try
                {
                    writer.Write(chunk);
                    next = chunks.MoveNextAsync();
                    pending = true;
                    // Several chunks that are ready together leave in one packet.
                    if (!next.IsCompleted)
                    {
                        await sse.FlushAsync(run.Cancelled);
                    }
                }
                finally
                {
                    sse.EndTurn();
                }
            }
        }
        finally
        {
            if (pending)
            {
                // An enumerator must not be disposed in the middle of a step.
                run.Cancel();
                await Settle(next);
            }
            await chunks.DisposeAsync();
        }
        GenerationResult result = await run.EndAsync(answer);
        await sse.TakeTurnAsync(run.Cancelled);
        try
        {
            writer.End(result);
            await sse.FlushAsync(run.Cancelled);
        }
        finally
        {
            sse.EndTurn();
        }
        return result;
    }

    private static async Task Settle(ValueTask<bool> step)
    {
        try
        {
            await step;
        }
        catch (Exception)
        {
            // The failure that brought us here is the one to tell of.
        }
    }

    // {"id":..,"object":..,"created":..,"model":..,"system_fingerprint":..,["usage":null,]"choices":
    internal static byte[] Head(string id, string objectName, string model, string fingerprint, bool includeUsage)
    {
        ArrayBufferWriter<byte> head = new(256);
        using (Utf8JsonWriter json = new(head, JsonOut.Options))
        {
            json.WriteStartObject();
            json.WriteString("id", id);
            json.WriteString("object", objectName);
            json.WriteNumber("created", DateTimeOffset.UtcNow.ToUnixTimeSeconds());
            json.WriteString("model", model);
            json.WriteString("system_fingerprint", fingerprint);
            if (includeUsage)
            {
                json.WriteNull("usage");
            }
        }
        head.Write(Encoding.UTF8.GetBytes(",\"choices\":"));
        return head.WrittenSpan.ToArray();
    }
}
