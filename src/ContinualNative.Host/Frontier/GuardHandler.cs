using System.Net;

namespace ContinualNative.Host.Frontier;

/// <summary>
/// Next to the socket: sees that an answer is no redirect, has begun, and does not outgrow its bound. An answer counts as begun with the first byte
/// of its body, here inside the retries, the circuit breaker and the time limit of an attempt, so that an endpoint which sends headers and
/// then nothing is found out by all of them.
/// </summary>
internal sealed class GuardHandler(HttpMessageHandler inner, bool sendsKey, long maxBytes, TimeProvider time) : DelegatingHandler(inner)
{
    private const int PeekBytes = 4096;

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        CallState? call = CallState.Current;
        if (!sendsKey)
        {
            request.Headers.Authorization = null;
        }
        long started = time.GetTimestamp();
        if (call is not null)
        {
            call.Attempts++;
            call.Working = true;
        }
        HttpResponseMessage? response = null;
        try
        {
            response = await base.SendAsync(request, cancellationToken);
            if ((int)response.StatusCode is >= 300 and < 400)
            {
                throw new BadAnswerException(FrontierErrorKind.Rejected, $"it redirects ({(int)response.StatusCode}), and a request with a key is not sent on; put the final address into 'url'");
            }
            if (response.Content.Headers.ContentLength > maxBytes)
            {
                throw TooLarge(maxBytes);
            }
            await BoundAsync(response, cancellationToken);
            if (response.IsSuccessStatusCode)
            {
                call?.FirstByte?.Invoke(time.GetElapsedTime(started));
            }
            else if (call is not null)
            {
                call.Working = false;
            }
            return response;
        }
        catch (Exception e)
        {
            response?.Dispose();
            if (call is not null && e is not OperationCanceledException)
            {
                call.Working = false;
            }
            // The socket's handler tells of a connection that takes too long as a cancellation, which retries and breaker would pass over.
            if (e is OperationCanceledException && !cancellationToken.IsCancellationRequested)
            {
                throw new HttpRequestException(HttpRequestError.ConnectionError, "No connection in the time allowed.");
            }
            if (e is IOException)
            {
                throw new HttpRequestException(HttpRequestError.ResponseEnded, "The answer broke off at its beginning.");
            }
            throw;
        }
    }

    public static BadAnswerException TooLarge(long maxBytes) => new(FrontierErrorKind.Nonsense, $"its answer is larger than {maxBytes} bytes and was not read to its end");

    private async Task BoundAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        HttpContent content = response.Content;
        Stream body = await content.ReadAsStreamAsync(cancellationToken);
        byte[] first = [];
        if (response.IsSuccessStatusCode && response.StatusCode != HttpStatusCode.NoContent)
        {
            first = new byte[PeekBytes];
            int read = await body.ReadAsync(first, cancellationToken);
            Array.Resize(ref first, read);
        }
        StreamContent bounded = new(new BoundedStream(body, first, maxBytes));
        foreach ((string name, IEnumerable<string> values) in content.Headers)
        {
            bounded.Headers.TryAddWithoutValidation(name, values);
        }
        response.Content = bounded;
    }

    /// <summary>An answer's body: what was read of it already, then the rest, up to a bound.</summary>
    private sealed class BoundedStream(Stream inner, byte[] first, long maxBytes) : Stream
    {
        private int _taken;
        private long _total;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override int Read(Span<byte> buffer) => _taken < first.Length ? TakeFirst(buffer) : Count(inner.Read(buffer));

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            _taken < first.Length ? TakeFirst(buffer.Span) : Count(await inner.ReadAsync(buffer, cancellationToken));

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                inner.Dispose();
            }
            base.Dispose(disposing);
        }

        private int TakeFirst(Span<byte> buffer)
        {
            int count = Math.Min(buffer.Length, first.Length - _taken);
            first.AsSpan(_taken, count).CopyTo(buffer);
            _taken += count;
            return Count(count);
        }

        private int Count(int read)
        {
            _total += read;
            return _total <= maxBytes ? read : throw TooLarge(maxBytes);
        }
    }
}

/// <summary>An answer that the handlers do not let through. Not one of HTTP's exceptions, so that nothing tries again.</summary>
internal sealed class BadAnswerException(FrontierErrorKind kind, string reason) : Exception(reason)
{
    public FrontierErrorKind Kind { get; } = kind;
}
