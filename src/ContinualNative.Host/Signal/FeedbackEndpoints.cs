using System.Text.Json;
using ContinualNative.Core.Access;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Access;
using ContinualNative.Host.Admin;
using ContinualNative.Host.Http;
using ContinualNative.Storage;

namespace ContinualNative.Host.Signal;

/// <summary><c>POST /v1/feedback</c>: what became of an answer. It is answered once the report is on disk.</summary>
internal static class FeedbackEndpoints
{
    public static void MapFeedback(this IEndpointRouteBuilder routes) => routes.MapPost("/v1/feedback", HandleAsync);

    private static async Task HandleAsync(HttpContext http)
    {
        SignalHub signal = http.RequestServices.GetRequiredService<SignalHub>();
        using JsonDocument body = await RequestBody.ReadObjectAsync(http);
        FeedbackFields fields = FeedbackFields.Parse(body.RootElement);
        if (signal.Store is not { } store)
        {
            throw ApiException.Invalid("not_recorded", "This server stores no requests (--record off), so there is nothing to report on.");
        }
        await StoreEndpoints.RecordedAsync(signal, fields.RequestId, http.RequestAborted);
        ApiKeyRecord? key = KeyGate.KeyOf(http);
        if (key is { Admin: false } && !await IsOwnAsync(store, fields.RequestId, key.Id, http.RequestAborted))
        {
            throw Unknown(fields.RequestId);
        }
        Outcome outcome = new()
        {
            RequestId = fields.RequestId,
            Kind = fields.Kind,
            Correction = signal.KeepsTexts ? signal.RedactLater(fields.RequestId, fields.Correction) : null,
            Score = fields.Score,
            Source = fields.Source,
            At = signal.Time.GetUtcNow(),
            KeyId = key?.Id,
        };
        OutcomeVerdict verdict;
        try
        {
            verdict = await store.AddOutcomeAsync(outcome, http.RequestAborted);
        }
        catch (StoreException e)
        {
            signal.Metrics.Feedback("failed");
            throw ApiException.Unavailable("store_unavailable", $"The report could not be stored, nothing was kept of it: {e.Message} Send it again later.");
        }
        signal.Metrics.Feedback(NameOf(verdict));
        switch (verdict)
        {
            case OutcomeVerdict.UnknownRequest:
                throw Unknown(fields.RequestId);
            case OutcomeVerdict.ErasedRequest:
                throw new ApiException(410, "invalid_request_error", "request_erased", $"The data of request '{fields.RequestId}' were erased or have expired.", "request_id");
            case OutcomeVerdict.Capped:
                throw ApiException.TooMany("This key has reported more outcomes than it may in an hour, or on this request; further ones are not kept, and the key is flagged.", 3600);
            default:
                if (verdict != OutcomeVerdict.Duplicate)
                {
                    signal.OutcomeStored(outcome);
                }
                await JsonOut.WriteAsync(http, (fields.RequestId, verdict), static (json, r) =>
                {
                    json.WriteStartObject();
                    json.WriteString("object", "feedback");
                    json.WriteString("request_id", r.RequestId);
                    json.WriteString("status", NameOf(r.verdict));
                    json.WriteEndObject();
                });
                break;
        }
    }

    /// <summary>A verdict's name in answers and metrics.</summary>
    public static string NameOf(OutcomeVerdict verdict) => verdict switch
    {
        OutcomeVerdict.Stored => "stored",
        OutcomeVerdict.Duplicate => "duplicate",
        OutcomeVerdict.Contradicts => "contradicts",
        OutcomeVerdict.UnknownRequest => "unknown_request",
        OutcomeVerdict.ErasedRequest => "erased_request",
        OutcomeVerdict.Capped => "capped",
        _ => throw new ArgumentOutOfRangeException(nameof(verdict), verdict, null),
    };

    // Decision: a key learns nothing of other keys' requests, not even that they exist.
    private static async Task<bool> IsOwnAsync(TrafficStore store, string requestId, string keyId, CancellationToken cancellationToken)
    {
        StoredRequest? request = store.Find(requestId);
        if (request is null)
        {
            await store.FlushAsync(cancellationToken);
            request = store.Find(requestId);
        }
        return request is not null && (request.Erased || request.Request.KeyId == keyId);
    }

    private static ApiException Unknown(string id) =>
        new(404, "invalid_request_error", "request_not_found", $"There is no request '{JsonIn.Short(id)}'. Its id is in the header x-continual-request-id of its answer.", "request_id");
}
