using System.Text.Json;
using ContinualNative.Host.Http;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;
using ContinualNative.Storage;

namespace ContinualNative.Host.Reporting;

/// <summary>Whose data are to go, and what an erasure reports: the same for <c>continual store erase</c> and <c>POST /admin/erase</c>.</summary>
internal sealed record Erasure
{
    private readonly string? _user;
    private readonly string? _key;
    private readonly string? _request;

    private Erasure(string? user, string? key, string? request)
    {
        _user = user;
        _key = key;
        _request = request;
    }

    /// <summary>In words.</summary>
    public string Name => _user is not null ? $"user '{_user}'" : _key is not null ? $"key '{_key}'" : $"request '{_request}'";

    /// <summary>The request to erase, when it is one.</summary>
    public string? RequestId => _request;

    /// <summary>An erasure of one of the three; null when not exactly one is given. Throws <see cref="SettingException"/> for a request's id that is none.</summary>
    public static Erasure? Of(string? user, string? key, string? request)
    {
        if ((string.IsNullOrEmpty(user) ? 0 : 1) + (string.IsNullOrEmpty(key) ? 0 : 1) + (string.IsNullOrEmpty(request) ? 0 : 1) != 1)
        {
            return null;
        }
        if (!string.IsNullOrEmpty(request) && !FeedbackFields.IsRequestId(request))
        {
            throw new SettingException("request", $"'{JsonIn.Short(request)}' is no request's id; it has 24 hexadecimal digits, as in the header x-continual-request-id");
        }
        return new Erasure(Given(user), Given(key), Given(request)?.ToLowerInvariant());

        static string? Given(string? text) => string.IsNullOrEmpty(text) ? null : text;
    }

    /// <summary>Erases. Throws <see cref="StoreException"/>.</summary>
    public Task<ErasureResult> RunAsync(TrafficStore store, CancellationToken cancellationToken) => store.EraseAsync(_user, _key, _request, cancellationToken);

    /// <summary>What an erasure leaves to be done.</summary>
    public static IReadOnlyList<string> Advice(ErasureResult result)
    {
        List<string> advice = [];
        if (result.Adapters.Count > 0)
        {
            advice.Add($"These adapters learned from some of it and still carry what they learned: {string.Join(", ", result.Adapters)}. Train one without it, promote that, and delete these (DELETE /admin/adapters/ID, and their files).");
        }
        if (result.Requests > 0)
        {
            advice.Add("Backups that were made before still hold it, and frontier endpoints may have kept what was sent up.");
        }
        return advice;
    }

    /// <summary>Writes the members of its object.</summary>
    public static void Write(Utf8JsonWriter json, ErasureResult result)
    {
        json.WriteString("object", "erasure");
        json.WriteNumber("requests", result.Requests);
        json.WriteStartArray("adapters");
        foreach (string adapter in result.Adapters)
        {
            json.WriteStringValue(adapter);
        }
        json.WriteEndArray();
        json.WriteStartArray("advice");
        foreach (string advice in Advice(result))
        {
            json.WriteStringValue(advice);
        }
        json.WriteEndArray();
    }
}
