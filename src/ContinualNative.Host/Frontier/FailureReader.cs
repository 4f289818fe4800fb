using System.ClientModel;
using System.Net.Sockets;
using System.Text.Json;
using Polly.CircuitBreaker;
using Polly.Timeout;

namespace ContinualNative.Host.Frontier;

/// <summary>Reads out of an exception of HTTP, the pipeline or the OpenAI package what happened, in words of our own.</summary>
internal static class FailureReader
{
    private const int MaxCode = 48;

    /// <summary>What happened, why in words, and whether another endpoint may do better: not with a request that is itself bad, nor after an answer, however poor.</summary>
    public static (FrontierErrorKind Kind, string Reason, bool MayFallOver) Read(Exception failure, FrontierEndpointOptions endpoint)
    {
        for (Exception? e = failure; e is not null; e = e.InnerException)
        {
            switch (e)
            {
                case BadAnswerException bad:
                    return (bad.Kind, bad.Message, bad.Kind != FrontierErrorKind.Nonsense);
                case BrokenCircuitException:
                    return (FrontierErrorKind.Unavailable, "it failed too often and is left alone for a while; it is tried again by itself", true);
                case TimeoutRejectedException:
                    return (FrontierErrorKind.TimedOut, "no byte of an answer came in the time allowed ('first_byte_timeout', 'timeout')", true);
                case ClientResultException { Status: > 0 } result:
                    return Status(result, endpoint);
                case HttpRequestException http:
                    return (FrontierErrorKind.Unavailable, Connection(http.HttpRequestError), true);
                case IOException or SocketException:
                    return (FrontierErrorKind.Unavailable, "the connection broke off", true);
            }
        }
        // Everything else is the package's trouble with what came: not JSON, not of OpenAI's shape, a word it does not know.
        return (FrontierErrorKind.Nonsense, "what it sent is no answer in OpenAI's format; check that 'url' is the base of an OpenAI-compatible API", false);
    }

    private static string Connection(HttpRequestError error) => error switch
    {
        HttpRequestError.NameResolutionError => "its host's name is not known; check 'url', and this machine's name service",
        HttpRequestError.SecureConnectionError => "a secure connection failed; check that 'url' speaks TLS and that its certificate is valid for that host",
        HttpRequestError.ConnectionError => "it cannot be reached; check 'url', and that this machine may connect to it",
        HttpRequestError.ResponseEnded => "the connection ended before an answer began",
        HttpRequestError.ProxyTunnelError => "the proxy refuses the way to it; check this machine's proxy settings",
        _ => "talking to it failed",
    };

    private static (FrontierErrorKind, string, bool) Status(ClientResultException result, FrontierEndpointOptions endpoint)
    {
        string status = Code(result) is { } code ? $"{result.Status}, {code}" : $"{result.Status}";
        return result.Status switch
        {
            401 or 403 => (FrontierErrorKind.Rejected, endpoint.KeyEnv is { } variable
                ? $"it refuses the key ({status}); check the environment variable '{variable}'"
                : $"it asks for a key ({status}); name the environment variable that holds it in 'key_env'", true),
            402 => (FrontierErrorKind.Rejected, $"it asks for payment ({status}); see to the account", true),
            404 or 405 => (FrontierErrorKind.Rejected, $"it knows no model '{endpoint.Model}' at that address ({status}); check 'url' and 'model'", true),
            408 or 504 => (FrontierErrorKind.TimedOut, $"it says that the request took too long ({status})", true),
            413 => (FrontierErrorKind.Rejected, $"the request is too large for it ({status})", true),
            429 => (FrontierErrorKind.RateLimited, $"it takes no more requests at the moment ({status}); lower 'max_concurrent', or ask for a higher limit", true),
            >= 500 => (FrontierErrorKind.Unavailable, $"it failed by itself ({status}); it is tried again with the next request", true),
            _ => (FrontierErrorKind.Rejected, $"it refuses the request ({status}); the model may not support one of its fields", false),
        };
    }

    // OpenAI's error code, where it is plainly one: letters and '_' only, so that neither key nor prompt can be in it.
    private static string? Code(ClientResultException result)
    {
        try
        {
            if (result.GetRawResponse()?.Content is not { } body)
            {
                return null;
            }
            using JsonDocument json = JsonDocument.Parse(body);
            if (json.RootElement.ValueKind != JsonValueKind.Object || !json.RootElement.TryGetProperty("error", out JsonElement error) || error.ValueKind != JsonValueKind.Object)
            {
                return null;
            }
            foreach (string field in (ReadOnlySpan<string>)["code", "type"])
            {
                if (error.TryGetProperty(field, out JsonElement value) && value.ValueKind == JsonValueKind.String && value.GetString() is { Length: > 0 and <= MaxCode } word && word.All(static c => char.IsAsciiLetterLower(c) || c == '_'))
                {
                    return word;
                }
            }
            return null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }
}
