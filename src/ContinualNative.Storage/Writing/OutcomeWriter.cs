using System.Globalization;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage.Codecs;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Writing;

/// <summary>Judges and inserts outcomes.</summary>
internal static class OutcomeWriter
{
    private const long MillisecondsPerHour = 3_600_000;

    // Reports without a key share one cap.
    private const string NoKey = "";

    public static OutcomeVerdict Insert(WriterSession session, Outcome outcome)
    {
        byte[] id = RequestId.ToBytes(outcome.RequestId);
        if (Find(session, id) is not { } request)
        {
            bool removed = session.Prepared("SELECT day FROM tombstones WHERE id = ?1").Bind(1, id).Number() is not null;
            return removed ? OutcomeVerdict.ErasedRequest : OutcomeVerdict.UnknownRequest;
        }
        if (request.State != 0)
        {
            return OutcomeVerdict.ErasedRequest;
        }
        byte[] digest = session.Digest(Canonical(outcome));
        int stored = 0;
        bool contradicts = false;
        using (Statement.Rows rows = session.Prepared("SELECT kind, digest FROM outcomes WHERE request = ?1").Bind(1, request.Sequence).Open())
        {
            while (rows.Next())
            {
                if (rows.Blob(1).SequenceEqual(digest))
                {
                    return OutcomeVerdict.Duplicate;
                }
                stored++;
                contradicts |= Contradict((OutcomeKind)rows.Int(0), outcome.Kind);
            }
        }
        long key = session.Key(outcome.KeyId ?? NoKey);
        long at = outcome.At.ToUnixTimeMilliseconds();
        long hour = Math.DivRem(at, MillisecondsPerHour).Quotient;
        long reports = session.Prepared("SELECT reports FROM feedback_hours WHERE key = ?1 AND hour = ?2").Bind(1, key).Bind(2, hour).Number() ?? 0;
        if (stored >= session.Options.OutcomesPerRequest || reports >= session.Options.OutcomesPerKeyAndHour)
        {
            session.Prepared("UPDATE keys SET flagged = coalesce(flagged, ?2), refused = refused + 1 WHERE id = ?1").Bind(1, key).Bind(2, at).Run();
            return OutcomeVerdict.Capped;
        }
        session.Prepared("INSERT INTO feedback_hours VALUES (?1, ?2, 1) ON CONFLICT DO UPDATE SET reports = reports + 1").Bind(1, key).Bind(2, hour).Run();
        session.Prepared("INSERT INTO outcomes (request, at, kind, score, source, key, correction, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")
            .Bind(1, request.Sequence).Bind(2, at).Bind(3, (long)outcome.Kind).Bind(4, outcome.Score).Bind(5, outcome.Source)
            .Bind(6, outcome.KeyId is null ? null : key).Bind(7, session.Texts.Encode(outcome.Correction, id, TextColumn.Correction)).Bind(8, digest)
            .Run();
        Count(session, request, outcome, contradicts);
        session.CountOutcome();
        return contradicts ? OutcomeVerdict.Contradicts : OutcomeVerdict.Stored;
    }

    private static void Count(WriterSession session, in Judged request, Outcome outcome, bool contradicts)
    {
        // A score alone leaves the verdict that is there.
        OutcomeKind? now = outcome.Kind == OutcomeKind.Scored ? request.Outcome : outcome.Kind;
        bool failed = outcome.Kind switch
        {
            OutcomeKind.Rejected => true,
            OutcomeKind.Corrected => string.IsNullOrWhiteSpace(outcome.Correction),
            _ => outcome.Score < 0.5,
        };
        session.Prepared("UPDATE requests SET reported = 1, outcome = ?2, failed = ?3, contradicted = max(contradicted, ?4) WHERE seq = ?1")
            .Bind(1, request.Sequence).Bind(2, (long?)now).Bind(3, failed).Bind(4, contradicts)
            .Run();
        if (now == request.Outcome)
        {
            return;
        }
        TrafficTally tally = session.Traffic(request.At, request.Task, request.Adapter, request.Route, request.Reason);
        if (request.Outcome is { } before)
        {
            tally.Count(before, -1);
        }
        tally.Count(now!.Value, 1);
        if (now == OutcomeKind.Corrected || request.Outcome == OutcomeKind.Corrected)
        {
            SampleWriter.Refresh(session, request.Sequence);
        }
    }

    private static Judged? Find(WriterSession session, byte[] id)
    {
        using Statement.Rows rows = session.Prepared("SELECT seq, state, outcome, at, task, adapter, route, reason FROM requests WHERE id = ?1").Bind(1, id).Open();
        return rows.Next()
            ? new Judged(rows.Int(0), rows.Int(1), (OutcomeKind?)rows.IntOrNull(2), rows.Int(3), rows.Int(4), rows.Int(5), (Route)rows.Int(6), (RouteReason)rows.Int(7))
            : null;
    }

    private static bool Contradict(OutcomeKind a, OutcomeKind b) => (a == OutcomeKind.Accepted && IsBad(b)) || (b == OutcomeKind.Accepted && IsBad(a));

    private static bool IsBad(OutcomeKind kind) => kind is OutcomeKind.Rejected or OutcomeKind.Corrected;

    // What makes two reports the same; lengths keep the parts apart.
    private static string Canonical(Outcome outcome) => string.Create(
        CultureInfo.InvariantCulture,
        $"{(int)outcome.Kind}|{outcome.Score:R}|{outcome.KeyId?.Length ?? -1}:{outcome.KeyId}|{outcome.Source.Length}:{outcome.Source}|{outcome.Correction?.Length ?? -1}:{outcome.Correction}");

    private readonly record struct Judged(long Sequence, long State, OutcomeKind? Outcome, long At, long Task, long Adapter, Route Route, RouteReason Reason);
}
