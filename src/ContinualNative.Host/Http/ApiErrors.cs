using System.Buffers;
using System.Text.Json;
using ContinualNative.Engine;
using ContinualNative.Storage;

namespace ContinualNative.Host.Http;

/// <summary>Failures as OpenAI's error object, and which failure has which status.</summary>
internal static class ApiErrors
{
    /// <summary>What the client is told of a failure.</summary>
    public static ApiException From(Exception failure) => failure switch
    {
        ApiException e => e,
        EngineException e => e.Error switch
        {
            EngineError.InvalidRequest => ApiException.Invalid("invalid_value", e.Message, e.Param),
            EngineError.ContextLengthExceeded => ApiException.Invalid("context_length_exceeded", e.Message, e.Param),
            EngineError.NotFound => new ApiException(404, "invalid_request_error", "model_not_found", e.Message, e.Param ?? "model"),
            EngineError.Conflict => new ApiException(409, "invalid_request_error", "conflict", e.Message, e.Param),
            EngineError.Overloaded => ApiException.TooMany(e.Message),
            EngineError.ShuttingDown => ApiException.Unavailable("shutting_down", "The server is shutting down. Try again in a moment."),
            EngineError.Timeout => ApiException.TimedOut(),
            EngineError.BadFile => ApiException.Invalid("bad_file", e.Message, e.Param),
            _ => ApiException.Internal(),
        },
        StoreException { Error: StoreError.Conflict } e => new ApiException(409, "invalid_request_error", "conflict", e.Message, null),
        StoreException e => ApiException.Unavailable("store_unavailable", e.Message),
        BadHttpRequestException { StatusCode: 413 } => TooLarge(),
        BadHttpRequestException { StatusCode: 408 } => new ApiException(408, "invalid_request_error", "request_timeout", "The request's body came too slowly."),
        BadHttpRequestException e => new ApiException(e.StatusCode, "invalid_request_error", "bad_request", "The request is not valid HTTP."),
        _ => ApiException.Internal(),
    };

    public static ApiException TooLarge() => new(413, "invalid_request_error", "request_too_large", "The request's body is larger than the server accepts (--max-body).");

    /// <summary>What a bare status of the routing means, or null when it needs no body.</summary>
    public static ApiException? FromStatus(HttpContext http) => http.Response.StatusCode switch
    {
        404 => ApiException.NotFound($"There is no {http.Request.Method} {http.Request.Path}."),
        405 => new ApiException(405, "invalid_request_error", "method_not_allowed", $"{http.Request.Path} does not answer {http.Request.Method}; the Allow header says what it does."),
        _ => null,
    };

    /// <summary>Answers with the error; the response must not have started.</summary>
    public static async Task WriteAsync(HttpContext http, ApiException error)
    {
        http.Response.StatusCode = error.Status;
        http.Response.ContentType = "application/json";
        if (error.RetryAfterSeconds is { } seconds)
        {
            http.Response.Headers.RetryAfter = seconds.ToString();
        }
        if (error.Status == 401)
        {
            http.Response.Headers.WWWAuthenticate = "Bearer";
        }
        ArrayBufferWriter<byte> body = new(256);
        using (Utf8JsonWriter json = new(body, JsonOut.Options))
        {
            Write(json, error);
        }
        http.Response.ContentLength = body.WrittenCount;
        if (!HttpMethods.IsHead(http.Request.Method))
        {
            await http.Response.Body.WriteAsync(body.WrittenMemory, http.RequestAborted);
        }
    }

    /// <summary>The object <c>{"error":{...}}</c>.</summary>
    public static void Write(Utf8JsonWriter json, ApiException error)
    {
        json.WriteStartObject();
        json.WriteStartObject("error");
        json.WriteString("message", error.Message);
        json.WriteString("type", error.Type);
        json.WriteString("param", error.Param);
        json.WriteString("code", error.Code);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
