namespace ContinualNative.Storage.Schema;

/// <summary>All steps of the schema, oldest first. Append only: a step that was released is never changed.</summary>
/// <remarks>
/// Times are milliseconds since 1970 (UTC), days are <see cref="DateOnly.DayNumber"/>, durations microseconds, money billionths of a dollar, enums their numbers.
/// Order is always that of <c>seq</c>, which the writer gives out in the order of arrival, and never that of a time: clocks jump.
/// Foreign keys are declared, so that <c>PRAGMA foreign_key_check</c> can test them, but not enforced on every insert: one writer knows what it does.
/// </remarks>
internal static class Migrations
{
    public static readonly IReadOnlyList<Migration> All = [new(1, First), new(2, Cycles)];

    // Decision: a request is spread over three tables. `requests` is narrow, because routing, feedback and reports never look at texts; `texts` is what
    // expiry and erasure empty; `samples` holds, densely and once in the order of each index, what calibrations are fitted to. Picking some thousand labelled
    // rows out of ten million requests would touch a page for each; here they lie side by side.
    //
    // Totals are kept per day as requests come in: a report over ten million requests reads some hundred rows, and expiry does not change the past.
    //
    // requests.state: 0 whole, 1 erased, 2 texts expired.
    // requests.stage: 1 has a local answer and texts and wants a label; 2 labelled, with texts; 0 neither. The partial indexes hold only those.
    private const string First = """
        CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
        CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
        CREATE TABLE tasks (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, requested INTEGER NOT NULL DEFAULT 0, calibration INTEGER) STRICT;
        CREATE TABLE keys (id INTEGER PRIMARY KEY, name TEXT UNIQUE, flagged INTEGER, refused INTEGER NOT NULL DEFAULT 0) STRICT;
        CREATE TABLE users (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE) STRICT;

        CREATE TABLE teachers (
            id INTEGER PRIMARY KEY,
            endpoint INTEGER NOT NULL REFERENCES names,
            teacher INTEGER NOT NULL REFERENCES names,
            first_seen INTEGER NOT NULL,
            UNIQUE (endpoint, teacher)
        ) STRICT;

        CREATE TABLE requests (
            seq INTEGER PRIMARY KEY,
            id BLOB NOT NULL,
            at INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            streamed INTEGER NOT NULL,
            task INTEGER NOT NULL REFERENCES tasks,
            model INTEGER NOT NULL REFERENCES names,
            adapter INTEGER NOT NULL REFERENCES names,
            key INTEGER REFERENCES keys,
            user INTEGER REFERENCES users,
            route INTEGER NOT NULL,
            reason INTEGER NOT NULL,
            p_correct REAL,
            threshold REAL,
            calibration INTEGER NOT NULL,
            audited INTEGER NOT NULL,
            audit_probability REAL NOT NULL,
            features BLOB,
            finish INTEGER NOT NULL REFERENCES names,
            prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL,
            local_time INTEGER NOT NULL,
            total_time INTEGER NOT NULL,
            state INTEGER NOT NULL DEFAULT 0,
            stage INTEGER NOT NULL DEFAULT 0,
            labelled INTEGER NOT NULL DEFAULT 0,
            outcome INTEGER,
            failed INTEGER NOT NULL DEFAULT 0,
            contradicted INTEGER NOT NULL DEFAULT 0,
            golden INTEGER NOT NULL DEFAULT 0,
            learned INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        CREATE UNIQUE INDEX requests_id ON requests (id);
        CREATE INDEX requests_key ON requests (key) WHERE key IS NOT NULL;
        CREATE INDEX requests_user ON requests (user) WHERE user IS NOT NULL;
        CREATE INDEX requests_open ON requests (stage) WHERE stage = 1;
        CREATE INDEX requests_labelled ON requests (task, seq, id) WHERE stage = 2;
        CREATE INDEX requests_learned ON requests (learned, seq, id) WHERE learned = 1;
        CREATE INDEX requests_golden ON requests (task, seq, id) WHERE golden = 1;

        CREATE TABLE texts (
            seq INTEGER PRIMARY KEY REFERENCES requests,
            prompt BLOB,
            local_answer BLOB,
            embedding BLOB
        ) STRICT;

        CREATE TABLE outcomes (
            n INTEGER PRIMARY KEY,
            request INTEGER NOT NULL REFERENCES requests,
            at INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            score REAL,
            source TEXT NOT NULL,
            key INTEGER REFERENCES keys,
            correction BLOB,
            digest BLOB
        ) STRICT;
        CREATE INDEX outcomes_request ON outcomes (request);
        CREATE INDEX outcomes_key ON outcomes (key) WHERE key IS NOT NULL;

        CREATE TABLE labels (
            n INTEGER PRIMARY KEY,
            request INTEGER NOT NULL REFERENCES requests,
            at INTEGER NOT NULL,
            teacher INTEGER NOT NULL REFERENCES teachers,
            reason INTEGER NOT NULL,
            agreement REAL,
            correct INTEGER,
            measure INTEGER NOT NULL REFERENCES names,
            prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL,
            cost INTEGER NOT NULL,
            latency INTEGER NOT NULL,
            training_allowed INTEGER NOT NULL,
            answer BLOB,
            log_probs BLOB
        ) STRICT;
        CREATE INDEX labels_request ON labels (request);

        CREATE TABLE samples (
            seq INTEGER PRIMARY KEY REFERENCES requests,
            task INTEGER NOT NULL REFERENCES tasks,
            adapter INTEGER NOT NULL REFERENCES names,
            data BLOB NOT NULL
        ) STRICT;
        CREATE INDEX samples_task ON samples (task, seq, adapter, data);
        CREATE INDEX samples_task_adapter ON samples (task, adapter, seq, data);
        CREATE INDEX samples_adapter ON samples (adapter, seq, task, data);

        CREATE TABLE ledger (
            request INTEGER NOT NULL REFERENCES requests,
            entry INTEGER NOT NULL,
            at INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            amount INTEGER NOT NULL,
            endpoint INTEGER NOT NULL REFERENCES names,
            task INTEGER NOT NULL REFERENCES tasks,
            prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL,
            seconds REAL NOT NULL,
            PRIMARY KEY (request, entry)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE traffic_days (
            day INTEGER NOT NULL,
            task INTEGER NOT NULL REFERENCES tasks,
            adapter INTEGER NOT NULL REFERENCES names,
            route INTEGER NOT NULL,
            reason INTEGER NOT NULL,
            requests INTEGER NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL,
            local_time INTEGER NOT NULL,
            accepted INTEGER NOT NULL,
            rejected INTEGER NOT NULL,
            corrected INTEGER NOT NULL,
            PRIMARY KEY (day, task, adapter, route, reason)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE ledger_days (
            day INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            endpoint INTEGER NOT NULL REFERENCES names,
            task INTEGER NOT NULL REFERENCES tasks,
            amount INTEGER NOT NULL,
            calls INTEGER NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL,
            seconds REAL NOT NULL,
            PRIMARY KEY (day, kind, endpoint, task)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE calibrations (
            id INTEGER PRIMARY KEY,
            task INTEGER NOT NULL REFERENCES tasks,
            adapter INTEGER NOT NULL REFERENCES names,
            at INTEGER NOT NULL,
            calibration TEXT NOT NULL
        ) STRICT;

        CREATE TABLE adapters (
            adapter INTEGER PRIMARY KEY REFERENCES names,
            parent INTEGER REFERENCES names,
            at INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE lineage (
            request INTEGER NOT NULL REFERENCES requests,
            adapter INTEGER NOT NULL REFERENCES adapters,
            PRIMARY KEY (request, adapter)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE feedback_hours (
            key INTEGER NOT NULL,
            hour INTEGER NOT NULL,
            reports INTEGER NOT NULL,
            PRIMARY KEY (key, hour)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE tombstones (id BLOB PRIMARY KEY, day INTEGER NOT NULL) STRICT, WITHOUT ROWID;

        INSERT INTO meta VALUES ('user_secret', randomblob(32)), ('requests', 0), ('outcomes', 0), ('labels', 0), ('removed_to', 0), ('expired_to', 0);
        """;

    // Cycles, adapters as files, promotions, and what cycles leave.
    //
    // requests.reported: whether any outcome was reported; `outcome` is NULL where only a score was. The partial indexes hold what curation and the tests on
    // live outcomes walk: few rows among many requests. Golden requests are labelled, so they are there too.
    //
    // cycles.active: 1 while it runs, else NULL. Unique, so that two processes cannot run one each.
    //
    // adapters.n: the order in which adapters became known. Those of version 1 take that of their names.
    //
    // datasets.examples names requests without referring to them: it stays whole when some of them are removed.
    //
    // requests.learned is no longer written: `lineage` says which adapters learned from a request. To drop the column would rewrite the table.
    private const string Cycles = """
        CREATE TABLE cycles (
            id INTEGER PRIMARY KEY,
            state INTEGER NOT NULL,
            "trigger" INTEGER NOT NULL,
            cause TEXT NOT NULL,
            champion INTEGER NOT NULL REFERENCES names,
            candidate INTEGER NOT NULL REFERENCES names,
            started INTEGER NOT NULL,
            changed INTEGER NOT NULL,
            sequence INTEGER NOT NULL DEFAULT 0,
            detail TEXT NOT NULL DEFAULT '{}',
            outcome TEXT NOT NULL DEFAULT '',
            active INTEGER GENERATED ALWAYS AS (CASE WHEN state < 10 THEN 1 END) VIRTUAL
        ) STRICT;
        CREATE UNIQUE INDEX cycles_active ON cycles (active);

        ALTER TABLE adapters ADD COLUMN n INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE adapters ADD COLUMN origin INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE adapters ADD COLUMN status INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE adapters ADD COLUMN model TEXT NOT NULL DEFAULT '';
        ALTER TABLE adapters ADD COLUMN file TEXT;
        ALTER TABLE adapters ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE adapters ADD COLUMN hash TEXT NOT NULL DEFAULT '';
        ALTER TABLE adapters ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE adapters ADD COLUMN cycle INTEGER REFERENCES cycles;
        ALTER TABLE adapters ADD COLUMN note TEXT NOT NULL DEFAULT '';
        UPDATE adapters SET n = adapter;

        CREATE TABLE promotions (
            n INTEGER PRIMARY KEY,
            at INTEGER NOT NULL,
            adapter INTEGER NOT NULL REFERENCES names,
            previous INTEGER NOT NULL REFERENCES names,
            reason INTEGER NOT NULL,
            cycle INTEGER REFERENCES cycles,
            evidence TEXT NOT NULL
        ) STRICT;

        CREATE TABLE datasets (
            cycle INTEGER PRIMARY KEY REFERENCES cycles,
            hash TEXT NOT NULL,
            manifest TEXT NOT NULL,
            examples BLOB
        ) STRICT;

        CREATE TABLE evaluations (
            n INTEGER PRIMARY KEY,
            cycle INTEGER REFERENCES cycles,
            adapter INTEGER NOT NULL REFERENCES names,
            kind TEXT NOT NULL,
            at INTEGER NOT NULL,
            evaluation TEXT NOT NULL
        ) STRICT;
        CREATE UNIQUE INDEX evaluations_adapter ON evaluations (adapter, coalesce(cycle, 0), kind);

        ALTER TABLE requests ADD COLUMN reported INTEGER NOT NULL DEFAULT 0;
        UPDATE requests SET reported = 1 WHERE seq IN (SELECT request FROM outcomes);
        CREATE INDEX requests_signal ON requests (state) WHERE state = 0 AND (labelled = 1 OR reported = 1);
        CREATE INDEX requests_live ON requests (route) WHERE route = 0 AND (labelled = 1 OR reported = 1);
        DROP INDEX requests_learned;
        """;
}
