using ContinualNative.Core.Economics;
using ContinualNative.Storage.Codecs;

namespace ContinualNative.Storage.Writing;

/// <summary>Adds costs to their day and, where they belong to a request that is there, to that request.</summary>
internal static class LedgerWriter
{
    public static void Insert(WriterSession session, LedgerEntry entry)
    {
        long? request = entry.RequestId is { } id ? session.Prepared("SELECT seq FROM requests WHERE id = ?1").Bind(1, RequestId.ToBytes(id)).Number() : null;
        Insert(session, entry, request);
    }

    public static void Insert(WriterSession session, LedgerEntry entry, long? request)
    {
        long at = entry.At.ToUnixTimeMilliseconds();
        long endpoint = session.Name(entry.Endpoint);
        long task = session.Task(entry.Task);
        LedgerTally tally = session.Ledger(at, entry.Kind, endpoint, task);
        tally.Amount += entry.Amount;
        tally.Calls++;
        tally.PromptTokens += entry.PromptTokens;
        tally.CachedTokens += entry.CachedTokens;
        tally.CompletionTokens += entry.CompletionTokens;
        tally.Seconds += entry.Seconds;
        if (request is not { } sequence)
        {
            return;
        }
        session.Prepared("""
            INSERT INTO ledger SELECT ?1, coalesce(max(entry), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 FROM ledger WHERE request = ?1
            """)
            .Bind(1, sequence).Bind(2, at).Bind(3, (long)entry.Kind).Bind(4, entry.Amount.Nanos).Bind(5, endpoint).Bind(6, task)
            .Bind(7, entry.PromptTokens).Bind(8, entry.CachedTokens).Bind(9, entry.CompletionTokens).Bind(10, entry.Seconds)
            .Run();
    }
}
