using System.IO.Pipelines;
using System.Text.Json;
using ContinualNative.Host.Http;

namespace ContinualNative.Host.OpenAi;

/// <summary>
/// Server-sent events straight into the response's pipe. One event costs no allocation: what all events of a stream share is written once and
/// copied, and one JSON writer serves for their texts. Several answers may write by turns (<see cref="TakeTurnAsync"/>).
/// </summary>
internal sealed class SseWriter : IDisposable
{
    private readonly HttpContext _http;
    private readonly PipeWriter _pipe;
    private readonly Utf8JsonWriter _json;
    private readonly SemaphoreSlim _turn = new(1, 1);
    private byte[] _head = [];
    private bool _dirty;

    public SseWriter(HttpContext http)
    {
        _http = http;
        _pipe = http.Response.BodyWriter;
        _json = new Utf8JsonWriter(_pipe, JsonOut.Options);
    }

    /// <summary>Sends the headers. From here on errors go into the stream.</summary>
    /// <param name="head">What every event begins with, up to and including <c>"choices":</c>, without <c>data: </c>.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public async Task StartAsync(byte[] head, CancellationToken cancellationToken)
    {
        _head = head;
        _http.Response.StatusCode = 200;
        _http.Response.ContentType = "text/event-stream; charset=utf-8";
        _http.Response.Headers.CacheControl = "no-cache";
        _http.Response.Headers["x-accel-buffering"] = "no";
        _http.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpResponseBodyFeature>()?.DisableBuffering();
        await _http.Response.StartAsync(cancellationToken);
    }

    public Task TakeTurnAsync(CancellationToken cancellationToken) => _turn.WaitAsync(cancellationToken);

    public void EndTurn() => _turn.Release();

    /// <summary>Begins an event with the shared head.</summary>
    public void BeginEvent()
    {
        Raw("data: "u8);
        Raw(_head);
    }

    /// <summary>Bytes as they are.</summary>
    public void Raw(ReadOnlySpan<byte> utf8)
    {
        utf8.CopyTo(_pipe.GetSpan(utf8.Length));
        _pipe.Advance(utf8.Length);
        _dirty = true;
    }

    /// <summary>A JSON string, quoted and escaped.</summary>
    public void Text(string text)
    {
        _json.Reset(_pipe);
        _json.WriteStringValue(text);
        _json.Flush();
    }

    public void Number(long value)
    {
        Span<byte> digits = stackalloc byte[20];
        value.TryFormat(digits, out int length);
        Raw(digits[..length]);
    }

    /// <summary>Any JSON value.</summary>
    public void Json<T>(T state, Action<Utf8JsonWriter, T> write)
    {
        _json.Reset(_pipe);
        write(_json, state);
        _json.Flush();
    }

    /// <summary>Ends an event.</summary>
    public void EndEvent() => Raw("\n\n"u8);

    /// <summary>Sends what has been written; throws <see cref="OperationCanceledException"/> when the client is gone.</summary>
    public async ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        if (!_dirty)
        {
            return;
        }
        _dirty = false;
        FlushResult flushed = await _pipe.FlushAsync(cancellationToken);
        if (flushed.IsCompleted || flushed.IsCanceled)
        {
            throw new OperationCanceledException("The client has gone.");
        }
    }

    /// <summary>Ends the stream as OpenAI does.</summary>
    public async Task DoneAsync(CancellationToken cancellationToken)
    {
        Raw("data: [DONE]\n\n"u8);
        await FlushAsync(cancellationToken);
    }

    /// <summary>Tells of a failure within the stream, which then ends without <c>[DONE]</c>.</summary>
    public async Task FailAsync(ApiException error, CancellationToken cancellationToken)
    {
        Raw("data: "u8);
        Json(error, static (json, e) => ApiErrors.Write(json, e));
        EndEvent();
        await FlushAsync(cancellationToken);
    }

    public void Dispose()
    {
        _json.Dispose();
        _turn.Dispose();
    }
}
