using System.Text.Json;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Tests.Curation;

/// <summary>Stored requests to curate.</summary>
internal static class Signal
{
    public const double Share = 0.2;

    /// <summary>A Monday.</summary>
    public static readonly DateTimeOffset Start = new(2026, 9, 7, 0, 0, 0, TimeSpan.Zero);

    public static string Prompt(string question, string system = "You help.") =>
        JsonSerializer.Serialize(new { messages = new[] { new { role = "system", content = system }, new { role = "user", content = question } } });

    /// <summary>The id of the <paramref name="number"/>th request that is held out, or is not.</summary>
    public static string Id(int number, bool heldOut = false)
    {
        for (int i = 0; ; i++)
        {
            string id = $"{number:x8}{i:x16}";
            if (Holdout.IsHoldout(id, Share) == heldOut)
            {
                return id;
            }
        }
    }

    /// <summary>The same request, in the audit sample.</summary>
    public static SignalRequest Audit(SignalRequest request) => request with { Key = request.Key with { Audited = true } };

    /// <summary>The request at a position, an hour after the one before, without labels or outcomes.</summary>
    public static SignalRequest Request(int sequence, string question, string? local = null, bool heldOut = false, string? key = "a", Route route = Route.Local, bool golden = false, string task = "help") => new()
    {
        Key = new SignalKey(sequence, Id(sequence, heldOut), Start.AddHours(sequence), task, key, false, false, golden, null),
        Prompt = Prompt(question),
        LocalAnswer = local,
        Adapter = "base",
        Route = route,
    };

    public static SignalRequest Labelled(this SignalRequest request, string answer, bool? correct = null, bool allowed = true, LabelReason reason = LabelReason.Novel, double hours = 0.1) => request with
    {
        Key = request.Key with { Labelled = true },
        Labels =
        [
            .. request.Labels,
            new TeacherLabel
            {
                RequestId = request.Key.RequestId,
                At = request.Key.At.AddHours(hours),
                Endpoint = "frontier",
                Teacher = "frontier-1",
                Reason = reason,
                Answer = answer,
                Correct = correct,
                TrainingAllowed = allowed,
            },
        ],
    };

    public static SignalRequest Reported(this SignalRequest request, OutcomeKind kind, string? correction = null, string? key = "a", double hours = 0.2, double? score = null) => request with
    {
        Key = request.Key with { Reported = true },
        Outcomes =
        [
            .. request.Outcomes,
            new Outcome { RequestId = request.Key.RequestId, Kind = kind, Correction = correction, At = request.Key.At.AddHours(hours), KeyId = key, Score = score },
        ],
    };

    public static SignalRequest Sure(this SignalRequest request, double pCorrect) => request with { Key = request.Key with { PCorrect = pCorrect } };

    public static CurationOptions Options => new() { HoldoutShare = Share };

    /// <summary>Plans and curates with everything up to the last request.</summary>
    public static CuratedSet Curate(IReadOnlyList<SignalRequest> requests, long previous = 0, CurationOptions? options = null)
    {
        options ??= Options;
        long cut = requests.Max(static r => r.Key.Sequence);
        SignalPlan plan = SignalPlan.Make(requests.Select(static r => r.Key), previous, cut, options);
        return new Curator(options).Curate(plan, requests, requests.Max(static r => r.Key.At).AddDays(1));
    }

    public static string[] Ids(this CuratedSet set) => [.. set.Train.Select(static t => t.Example.RequestId)];
}
