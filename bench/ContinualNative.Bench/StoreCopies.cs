using System.Diagnostics;
using System.Globalization;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Bench;

/// <summary>
/// Makes a large store of a small one: copies of all its requests with what belongs to them, under new random ids and later times. The rows, the indexes and
/// their order are those of a store that grew; only the texts recur. Not how a store is written: nothing is safe on disk while this runs.
/// </summary>
internal static class StoreCopies
{
    // Requests in one transaction.
    private const long Part = 100_000;

    private const long MillisecondsPerDay = 86_400_000;
    private const long MillisecondsPerHour = 3_600_000;

    /// <summary>Adds copies until there are <paramref name="rows"/> requests; gives how many were added.</summary>
    public static long Fill(string path, long rows)
    {
        using Session session = Session.Open(path, TimeSpan.FromSeconds(5), readOnly: false, cacheKibibytes: 1024 * 1024);
        session.Execute("PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 100000;");
        long seed = session.Number("SELECT max(seq) FROM requests");
        long days = session.Number($"SELECT 1 + (max(at) - min(at)) / {MillisecondsPerDay} FROM requests");
        long had = seed;
        Stopwatch watch = Stopwatch.StartNew();
        for (long copy = 1, have = seed; have < rows; copy++)
        {
            for (long from = 0; from < seed && have < rows; from += Part)
            {
                long to = Math.Min(Math.Min(from + Part, seed), from + rows - have);
                CopyPart(session, from, to, by: copy * seed, days: copy * days);
                have += to - from;
                double rate = (have - had) / watch.Elapsed.TotalSeconds;
                Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{have:N0} of {rows:N0} requests by copying, {rate:N0} a second, {TimeSpan.FromSeconds((rows - have) / rate):h\\:mm\\:ss} left"));
            }
            CopyDays(session, copy * days, days);
        }
        session.Execute("PRAGMA wal_checkpoint(TRUNCATE);");
        return session.Number("SELECT max(seq) FROM requests") - had;
    }

    private static void CopyPart(Session session, long from, long to, long by, long days)
    {
        long later = days * MillisecondsPerDay;
        string those = string.Create(CultureInfo.InvariantCulture, $"> {from} AND {{0}} <= {to}");
        string Where(string column) => column + " " + string.Format(CultureInfo.InvariantCulture, those, column);
        session.Execute(string.Create(CultureInfo.InvariantCulture, $"""
            BEGIN IMMEDIATE;
            INSERT INTO requests SELECT seq + {by}, randomblob(12), at + {later}, kind, streamed, task, model, adapter, key, user, route, reason, p_correct, threshold, calibration,
                audited, audit_probability, features, finish, prompt_tokens, cached_tokens, completion_tokens, local_time, total_time, state, stage, labelled, outcome, failed,
                contradicted, golden, learned, reported FROM requests WHERE {Where("seq")} ORDER BY seq;
            INSERT INTO texts SELECT seq + {by}, prompt, local_answer, embedding FROM texts WHERE {Where("seq")} ORDER BY seq;
            INSERT INTO outcomes (request, at, kind, score, source, key, correction, digest)
                SELECT request + {by}, at + {later}, kind, score, source, key, correction, digest FROM outcomes WHERE {Where("request")} ORDER BY request;
            INSERT INTO labels (request, at, teacher, reason, agreement, correct, measure, prompt_tokens, cached_tokens, completion_tokens, cost, latency, training_allowed, answer, log_probs)
                SELECT request + {by}, at + {later}, teacher, reason, agreement, correct, measure, prompt_tokens, cached_tokens, completion_tokens, cost, latency, training_allowed,
                    answer, log_probs FROM labels WHERE {Where("request")} ORDER BY request;
            INSERT INTO samples SELECT seq + {by}, task, adapter, data FROM samples WHERE {Where("seq")} ORDER BY seq;
            INSERT INTO ledger SELECT request + {by}, entry, at + {later}, kind, amount, endpoint, task, prompt_tokens, cached_tokens, completion_tokens, seconds
                FROM ledger WHERE {Where("request")} ORDER BY request;
            UPDATE meta SET value = value + {to - from} WHERE name = 'requests';
            COMMIT;
            """));
    }

    private static void CopyDays(Session session, long days, long length)
    {
        session.Execute(string.Create(CultureInfo.InvariantCulture, $"""
            BEGIN IMMEDIATE;
            INSERT OR IGNORE INTO traffic_days SELECT day + {days}, task, adapter, route, reason, requests, prompt_tokens, cached_tokens, completion_tokens, local_time, accepted, rejected,
                corrected FROM traffic_days WHERE day < (SELECT min(day) FROM traffic_days) + {length};
            INSERT OR IGNORE INTO ledger_days SELECT day + {days}, kind, endpoint, task, amount, calls, prompt_tokens, cached_tokens, completion_tokens, seconds
                FROM ledger_days WHERE day < (SELECT min(day) FROM ledger_days) + {length};
            INSERT OR IGNORE INTO feedback_hours SELECT key, hour + {days * (MillisecondsPerDay / MillisecondsPerHour)}, reports FROM feedback_hours
                WHERE hour < (SELECT min(hour) FROM feedback_hours) + {length * (MillisecondsPerDay / MillisecondsPerHour)};
            COMMIT;
            """));
    }
}
