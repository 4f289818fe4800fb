using ContinualNative.Core.Economics;
using ContinualNative.Core.Routing;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage.Codecs;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Reading;

/// <summary>The audited answers of a period, for reports.</summary>
internal static class AuditReader
{
    // The order is that of arrival, and a clock may have been put back for a while: this much older than the period, nothing of it can follow.
    private const int DaysOfGrace = 2;

    // The first label is the answer that the audit asked for; later ones are of other versions and have other prices.
    public const string AuditOf = """
        SELECT r.at, r.route, r.outcome, r.prompt_tokens, r.completion_tokens, (SELECT cost FROM labels WHERE request = r.seq ORDER BY n LIMIT 1)
        FROM requests r WHERE r.seq = ?1
        """;

    public static IReadOnlyList<AuditedAnswer> Read(Session session, NameCache names, DateOnly from, DateOnly to, string? task, int most)
    {
        long? taskId = task is null ? null : NameCache.TaskId(session, task);
        if (task is not null && taskId is null)
        {
            return [];
        }
        List<AuditedAnswer> audits = [];
        // Samples lie close together: only what was audited is looked up among the requests.
        Statement statement = taskId is { } id
            ? session.Prepared("SELECT seq, task, data FROM samples WHERE task = ?1 ORDER BY seq DESC").Bind(1, id)
            : session.Prepared("SELECT seq, task, data FROM samples ORDER BY seq DESC");
        using Statement.Rows rows = statement.Open();
        while (audits.Count < most && rows.Next())
        {
            LabelledSample sample = SampleCodec.Read(rows.Blob(2), rows.Int(0), task ?? names.Task(session, rows.Int(1)), "");
            if (!sample.Audited || !(sample.AuditProbability is > 0 and <= 1))
            {
                continue;
            }
            using Statement.Rows request = session.Prepared(AuditOf).Bind(1, sample.Sequence).Open();
            if (!request.Next())
            {
                continue;
            }
            DateOnly day = DateOnly.FromDateTime(DateTimeOffset.FromUnixTimeMilliseconds(request.Int(0)).UtcDateTime);
            if (day.DayNumber < from.DayNumber - DaysOfGrace)
            {
                break;
            }
            if (day < from || day > to)
            {
                continue;
            }
            audits.Add(new AuditedAnswer
            {
                Day = day,
                Task = sample.Task,
                Correct = sample.Correct,
                Sent = (Route)request.Int(1),
                AuditProbability = sample.AuditProbability,
                Acceptance = (OutcomeKind?)request.IntOrNull(2) switch
                {
                    OutcomeKind.Accepted => 1,
                    OutcomeKind.Rejected or OutcomeKind.Corrected => 0,
                    _ => null,
                },
                PromptTokens = (int)request.Int(3),
                CompletionTokens = (int)request.Int(4),
                FrontierCost = new Money(request.IntOrNull(5) ?? 0),
            });
        }
        return audits;
    }
}
