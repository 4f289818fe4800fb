using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace ContinualNative.Host.Http;

/// <summary>Writing JSON answers without reflection.</summary>
internal static class JsonOut
{
    /// <summary>
    /// Decision: text goes out as plain UTF-8. The default encoder writes every character beyond ASCII as <c>\uXXXX</c>, which triples the size
    /// of most of the world's languages; it guards JSON inside HTML, and these answers are never that (their content type says so, with nosniff).
    /// </summary>
    public static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>Answers with the JSON that <paramref name="write"/> writes.</summary>
    public static async Task WriteAsync<T>(HttpContext http, T state, Action<Utf8JsonWriter, T> write, int status = 200)
    {
        ArrayBufferWriter<byte> body = new(1024);
        using (Utf8JsonWriter json = new(body, Options))
        {
            write(json, state);
        }
        http.Response.StatusCode = status;
        http.Response.ContentType = "application/json";
        http.Response.ContentLength = body.WrittenCount;
        await http.Response.Body.WriteAsync(body.WrittenMemory, http.RequestAborted);
    }
}
