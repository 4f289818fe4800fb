using System.Security.Cryptography;
using System.Text;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage.Codecs;
using ContinualNative.Storage.Schema;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Writing;

/// <summary>
/// The writer's connection, what it remembers of the file, and the totals of the transaction that is open. Used by the writer's thread only.
/// </summary>
internal sealed class WriterSession : IDisposable
{
    // Users and names beyond this many are looked up in the file again; the cache is emptied rather than aged, for it fills again within a batch or two.
    private const int MostRemembered = 50_000;
    private const int UserHashBytes = 16;
    private const uint MostPagesOfSqlite = 0xFFFFFFFE;

    private readonly Session _session;
    private readonly byte[] _userSecret;
    private readonly Dictionary<string, long> _names = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _tasks = new(StringComparer.Ordinal);
    private readonly HashSet<long> _requestedTasks = [];
    private readonly Dictionary<string, long> _keys = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _users = new(StringComparer.Ordinal);
    private readonly Dictionary<(long Day, long Task, long Adapter, long Route, long Reason), TrafficTally> _traffic = [];
    private readonly Dictionary<(long Day, long Kind, long Endpoint, long Task), LedgerTally> _ledger = [];
    private int _pages;
    private long _version = -1;
    private long _sequence;
    private long _requests;
    private long _outcomes;
    private long _labels;

    /// <summary>Opens a connection.</summary>
    public WriterSession(StoreOptions options, TextCodec texts, TimeProvider time)
    {
        Options = options;
        Texts = texts;
        Time = time;
        _session = DatabaseFile.OpenWriter(options.Path, options.BusyTimeout);
        try
        {
            Statement secret = _session.Prepared("SELECT value FROM meta WHERE name = 'user_secret'");
            using Statement.Rows rows = secret.Open();
            _userSecret = rows.Next() ? rows.Blob(0).ToArray() : throw new StoreException(StoreError.Damaged, $"The traffic store '{options.Path}' lacks its secret. Restore it from a backup.");
        }
        catch
        {
            _session.Dispose();
            throw;
        }
    }

    public StoreOptions Options { get; }

    public TextCodec Texts { get; }

    public TimeProvider Time { get; }

    public Session Session => _session;

    /// <summary>Requests, outcomes and labels that the open transaction adds.</summary>
    public (long Requests, long Outcomes, long Labels) Added => (_requests, _outcomes, _labels);

    /// <summary>Records of the open transaction that had no place: of unknown or erased requests, or stored already.</summary>
    public long Ignored { get; private set; }

    public Statement Prepared(string sql) => _session.Prepared(sql);

    /// <summary>Limits the file to some pages, or to as many as it has if those are more; 0 leaves SQLite's own limit.</summary>
    public void Limit(int pages)
    {
        if (pages != _pages)
        {
            _session.Execute($"PRAGMA max_page_count = {(pages == 0 ? MostPagesOfSqlite : pages)}");
            _pages = pages;
        }
    }

    public void Begin()
    {
        _session.Execute("BEGIN IMMEDIATE");
        ForgetTotals();
        // Another process may have added names or erased users since.
        long version = Prepared("PRAGMA data_version").Number() ?? 0;
        if (version != _version)
        {
            ForgetNames();
            _version = version;
        }
        _sequence = Prepared("SELECT max(coalesce((SELECT max(seq) FROM requests), 0), (SELECT value FROM meta WHERE name = 'removed_to'))").Number() ?? 0;
    }

    public void Commit()
    {
        WriteTotals();
        _session.Execute("COMMIT");
        Trim();
    }

    public void RollBack()
    {
        // Ids that were given out in the transaction are gone with it.
        ForgetNames();
        ForgetTotals();
        _session.RollBack();
    }

    /// <summary>The next place in the order of arrival.</summary>
    public long NextSequence() => ++_sequence;

    public void CountRequest() => _requests++;

    public void CountOutcome() => _outcomes++;

    public void CountLabel() => _labels++;

    public void CountIgnored() => Ignored++;

    /// <summary>Adds to a day's traffic.</summary>
    public TrafficTally Traffic(long at, long task, long adapter, Route route, RouteReason reason)
    {
        (long, long, long, long, long) key = (DayOf(at), task, adapter, (long)route, (long)reason);
        if (!_traffic.TryGetValue(key, out TrafficTally? tally))
        {
            tally = new TrafficTally();
            _traffic.Add(key, tally);
        }
        return tally;
    }

    /// <summary>Adds to a day's costs.</summary>
    public LedgerTally Ledger(long at, LedgerKind kind, long endpoint, long task)
    {
        (long, long, long, long) key = (DayOf(at), (long)kind, endpoint, task);
        if (!_ledger.TryGetValue(key, out LedgerTally? tally))
        {
            tally = new LedgerTally();
            _ledger.Add(key, tally);
        }
        return tally;
    }

    /// <summary>The number of a name of few: models, adapters, endpoints, teachers, measures, finish reasons.</summary>
    public long Name(string name) => Intern(_names, name, "SELECT id FROM names WHERE name = ?1", "INSERT INTO names (name) VALUES (?1) RETURNING id");

    public long Task(string task) => Intern(_tasks, task, "SELECT id FROM tasks WHERE name = ?1", "INSERT INTO tasks (name) VALUES (?1) RETURNING id");

    /// <summary>The number of a task that requests are stored for.</summary>
    public long RequestedTask(string task)
    {
        long id = Task(task);
        if (_requestedTasks.Add(id))
        {
            Prepared("UPDATE tasks SET requested = 1 WHERE id = ?1 AND requested = 0").Bind(1, id).Run();
        }
        return id;
    }

    public long Key(string key) => Intern(_keys, key, "SELECT id FROM keys WHERE name = ?1", "INSERT INTO keys (name) VALUES (?1) RETURNING id");

    /// <summary>The number of a key that is known, or null.</summary>
    public long? FindKey(string key) => Prepared("SELECT id FROM keys WHERE name = ?1").Bind(1, key).Number();

    /// <summary>The number of a user; the file learns a keyed hash only.</summary>
    public long User(string user)
    {
        if (_users.TryGetValue(user, out long known))
        {
            return known;
        }
        Span<byte> hash = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HashUser(user, hash);
        long id = Prepared("SELECT id FROM users WHERE hash = ?1").Bind(1, hash[..UserHashBytes]).Number()
            ?? Prepared("INSERT INTO users (hash) VALUES (?1) RETURNING id").Bind(1, hash[..UserHashBytes]).Number()!.Value;
        _users.Add(user, id);
        return id;
    }

    /// <summary>The number of a user who is known, or null.</summary>
    public long? FindUser(string user)
    {
        Span<byte> hash = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HashUser(user, hash);
        return Prepared("SELECT id FROM users WHERE hash = ?1").Bind(1, hash[..UserHashBytes]).Number();
    }

    /// <summary>A keyed digest of some text: 16 bytes.</summary>
    public byte[] Digest(string text) => HMACSHA256.HashData(_userSecret, Encoding.UTF8.GetBytes("digest\n" + text))[..16];

    /// <summary>Forgets what erasure removes.</summary>
    public void ForgetPeople()
    {
        _users.Clear();
        _keys.Clear();
    }

    /// <summary>Copies the log into the file and cuts it to nothing; false when a reader kept it from that for longer than <see cref="StoreOptions.BusyTimeout"/>.</summary>
    public bool EmptyLog() => Prepared("PRAGMA wal_checkpoint(TRUNCATE)").Number() == 0;

    public static long DayOf(long at) => DateOnly.FromDateTime(DateTimeOffset.FromUnixTimeMilliseconds(at).UtcDateTime).DayNumber;

    public void Dispose() => _session.Dispose();

    private void HashUser(string user, Span<byte> hash) => HMACSHA256.HashData(_userSecret, Encoding.UTF8.GetBytes("user\n" + user), hash);

    private long Intern(Dictionary<string, long> known, string name, string find, string insert)
    {
        if (known.TryGetValue(name, out long id))
        {
            return id;
        }
        id = Prepared(find).Bind(1, name).Number() ?? Prepared(insert).Bind(1, name).Number()!.Value;
        known.Add(name, id);
        return id;
    }

    private void WriteTotals()
    {
        foreach (((long day, long task, long adapter, long route, long reason), TrafficTally t) in _traffic)
        {
            Prepared("""
                INSERT INTO traffic_days VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
                ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, prompt_tokens = prompt_tokens + excluded.prompt_tokens,
                    cached_tokens = cached_tokens + excluded.cached_tokens, completion_tokens = completion_tokens + excluded.completion_tokens,
                    local_time = local_time + excluded.local_time, accepted = accepted + excluded.accepted,
                    rejected = rejected + excluded.rejected, corrected = corrected + excluded.corrected
                """)
                .Bind(1, day).Bind(2, task).Bind(3, adapter).Bind(4, route).Bind(5, reason)
                .Bind(6, t.Requests).Bind(7, t.PromptTokens).Bind(8, t.CachedTokens).Bind(9, t.CompletionTokens).Bind(10, t.LocalTime)
                .Bind(11, t.Accepted).Bind(12, t.Rejected).Bind(13, t.Corrected)
                .Run();
        }
        foreach (((long day, long kind, long endpoint, long task), LedgerTally t) in _ledger)
        {
            Prepared("""
                INSERT INTO ledger_days VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                ON CONFLICT DO UPDATE SET amount = amount + excluded.amount, calls = calls + excluded.calls, prompt_tokens = prompt_tokens + excluded.prompt_tokens,
                    cached_tokens = cached_tokens + excluded.cached_tokens, completion_tokens = completion_tokens + excluded.completion_tokens, seconds = seconds + excluded.seconds
                """)
                .Bind(1, day).Bind(2, kind).Bind(3, endpoint).Bind(4, task)
                .Bind(5, t.Amount.Nanos).Bind(6, t.Calls).Bind(7, t.PromptTokens).Bind(8, t.CachedTokens).Bind(9, t.CompletionTokens).Bind(10, t.Seconds)
                .Run();
        }
        AddTo("requests", _requests);
        AddTo("outcomes", _outcomes);
        AddTo("labels", _labels);
    }

    private void AddTo(string counter, long added)
    {
        if (added != 0)
        {
            Prepared("UPDATE meta SET value = value + ?2 WHERE name = ?1").Bind(1, counter).Bind(2, added).Run();
        }
    }

    private void ForgetTotals()
    {
        _traffic.Clear();
        _ledger.Clear();
        (_requests, _outcomes, _labels, Ignored) = (0, 0, 0, 0);
    }

    private void ForgetNames()
    {
        _names.Clear();
        _tasks.Clear();
        _requestedTasks.Clear();
        _keys.Clear();
        _users.Clear();
    }

    private void Trim()
    {
        foreach (Dictionary<string, long> known in (ReadOnlySpan<Dictionary<string, long>>)[_names, _tasks, _keys, _users])
        {
            if (known.Count > MostRemembered)
            {
                known.Clear();
            }
        }
        if (_requestedTasks.Count > MostRemembered)
        {
            _requestedTasks.Clear();
        }
    }
}

/// <summary>What one transaction adds to a line of <see cref="TrafficTotals"/>. <see cref="LocalTime"/> is in microseconds.</summary>
internal sealed class TrafficTally
{
    public long Requests { get; set; }

    public long PromptTokens { get; set; }

    public long CachedTokens { get; set; }

    public long CompletionTokens { get; set; }

    public long LocalTime { get; set; }

    public long Accepted { get; set; }

    public long Rejected { get; set; }

    public long Corrected { get; set; }

    /// <summary>Counts a verdict up or down.</summary>
    public void Count(OutcomeKind kind, int by)
    {
        switch (kind)
        {
            case OutcomeKind.Accepted:
                Accepted += by;
                break;
            case OutcomeKind.Rejected:
                Rejected += by;
                break;
            case OutcomeKind.Corrected:
                Corrected += by;
                break;
            case OutcomeKind.Scored:
            default:
                break;
        }
    }
}

/// <summary>What one transaction adds to a line of <see cref="LedgerTotals"/>.</summary>
internal sealed class LedgerTally
{
    public Money Amount { get; set; }

    public long Calls { get; set; }

    public long PromptTokens { get; set; }

    public long CachedTokens { get; set; }

    public long CompletionTokens { get; set; }

    public double Seconds { get; set; }
}
