using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using System.Text.Unicode;
using ContinualNative.Core;
using Microsoft.AspNetCore.Http.Features;

namespace ContinualNative.Host.Http;

/// <summary>A request's body as JSON, checked so that no later step meets a surprise in it.</summary>
internal static class RequestBody
{
    /// <summary>Deepest nesting accepted, in objects and arrays.</summary>
    public const int MaxDepth = 64;

    private static readonly JsonDocumentOptions Strict = new() { MaxDepth = MaxDepth, AllowDuplicateProperties = false };

    /// <summary>
    /// Reads the whole body and parses it. Throws <see cref="ApiException"/>: 415 unless the content type is JSON, 400 for an empty body or one that is
    /// not a JSON object in valid UTF-8. The caller disposes the document.
    /// </summary>
    public static async Task<JsonDocument> ReadObjectAsync(HttpContext http)
    {
        RequireJson(http.Request);
        RequireLength(http);
        PipeReader reader = http.Request.BodyReader;
        ReadResult read;
        // All of the body, at most MaxRequestBodySize (Kestrel throws beyond it): examining everything asks for more.
        while (!(read = await reader.ReadAsync(http.RequestAborted)).IsCompleted)
        {
            reader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
        // Decision: parsed from an array of its own, not a pooled one. The document points into it, and schemas and tools are read from the
        // document until the answer has been submitted; an array that outlives its request by mistake would leak one user's text to another.
        byte[] body = read.Buffer.ToArray();
        reader.AdvanceTo(read.Buffer.End);
        return Parse(body);
    }

    /// <summary>Parses a body; see <see cref="ReadObjectAsync"/>.</summary>
    public static JsonDocument Parse(ReadOnlyMemory<byte> body)
    {
        if (body.Span.StartsWith("\uFEFF"u8))
        {
            body = body[3..];
        }
        if (!Utf8.IsValid(body.Span))
        {
            throw ApiException.BadJson("The request's body is not valid UTF-8.");
        }
        if (body.Span.Trim(" \t\r\n"u8).IsEmpty)
        {
            throw ApiException.BadJson("The request's body is empty. Send a JSON object.");
        }
        JsonDocument document;
        try
        {
            CheckEscapes(body.Span);
            document = JsonDocument.Parse(body, Strict);
        }
        catch (JsonException e)
        {
            throw ApiException.BadJson($"The request's body is not valid JSON: {e.Message}");
        }
        if (document.RootElement.ValueKind != JsonValueKind.Object)
        {
            string got = JsonKind.Of(document.RootElement);
            document.Dispose();
            throw ApiException.BadJson($"The request's body must be a JSON object, but it is {got}.");
        }
        return document;
    }

    // Decision: only JSON. A browser lets any page send text/plain or form data across origins without asking, so a server on the loopback
    // address without keys would take orders from every page that its user visits; application/json makes the browser ask first.
    private static void RequireJson(HttpRequest request)
    {
        string? type = request.ContentType;
        ReadOnlySpan<char> media = type.AsSpan();
        int end = media.IndexOf(';');
        ReadOnlySpan<char> parameters = end < 0 ? [] : media[(end + 1)..];
        media = (end < 0 ? media : media[..end]).Trim();
        if (!media.Equals("application/json", StringComparison.OrdinalIgnoreCase) && !(media.StartsWith("application/", StringComparison.OrdinalIgnoreCase) && media.EndsWith("+json", StringComparison.OrdinalIgnoreCase)))
        {
            string got = type is null ? "none" : $"'{type}'";
            throw new ApiException(415, "invalid_request_error", "unsupported_media_type", $"The content type must be application/json, but it is {got}.");
        }
        if (parameters.Contains("charset", StringComparison.OrdinalIgnoreCase) && !parameters.Contains("utf-8", StringComparison.OrdinalIgnoreCase))
        {
            throw new ApiException(415, "invalid_request_error", "unsupported_media_type", "The body must be UTF-8.");
        }
        if (request.Headers.ContentEncoding.Count > 0)
        {
            throw new ApiException(415, "invalid_request_error", "unsupported_media_type", "A compressed body is not supported; send it without Content-Encoding.");
        }
    }

    // Kestrel refuses a long body too, but closes the connection at once, and a client that is still sending sees it break instead of the
    // answer. Without a limit it reads on for some seconds after the answer and drops what comes.
    private static void RequireLength(HttpContext http)
    {
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { MaxRequestBodySize: { } most } limit && http.Request.ContentLength > most)
        {
            if (!limit.IsReadOnly)
            {
                limit.MaxRequestBodySize = null;
            }
            throw ApiErrors.TooLarge();
        }
    }

    // JSON can spell half a surrogate pair ("\ud800"), which no UTF-8 text holds: found here once, so that every GetString later succeeds.
    private static void CheckEscapes(ReadOnlySpan<byte> body)
    {
        Utf8JsonReader reader = new(body, new JsonReaderOptions { MaxDepth = MaxDepth });
        while (reader.Read())
        {
            if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName && reader.ValueIsEscaped)
            {
                try
                {
                    reader.GetString();
                }
                catch (InvalidOperationException)
                {
                    throw ApiException.BadJson($"The request's body holds half a surrogate pair (byte {reader.TokenStartIndex}), which is no character.");
                }
            }
        }
    }
}
