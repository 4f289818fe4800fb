using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Traffic;
using ContinualNative.Storage;
using ContinualNative.Storage.Reading;
using Microsoft.Data.Sqlite;
using SQLitePCL;
using static ContinualNative.Tests.Storage.StoreFixture;

namespace ContinualNative.Tests.Storage;

public sealed class CurationStorageTests
{
    [Fact]
    public async Task Signal_is_every_chat_with_texts_and_a_label_or_an_outcome()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(9, i => i switch
        {
            4 => Request(i) with { Kind = RequestKind.Completion },
            5 or 6 => Request(i) with { Prompt = null, LocalAnswer = null, Embedding = default },
            8 => Request(i) with { LocalAnswer = null },
            _ => Request(i),
        });
        foreach (int labelled in (int[])[2, 4, 5, 7, 9])
        {
            await fixture.Store.RecordAsync(Label(labelled));
        }
        foreach (int reported in (int[])[6, 8, 9])
        {
            await fixture.Store.AddOutcomeAsync(Outcome(reported, OutcomeKind.Corrected, correction: "words"));
        }
        // A score alone leaves no verdict, and is an outcome all the same.
        await fixture.Store.AddOutcomeAsync(Outcome(3, OutcomeKind.Scored, score: 0.75));
        await fixture.Store.EraseAsync(null, null, Id(7));
        Assert.True(await fixture.Store.SetGoldenAsync(Id(2), true));
        SignalKey[] expected =
        [
            Key(2) with { Labelled = true, Golden = true },
            Key(3) with { Reported = true },
            Key(8) with { Reported = true },
            Key(9) with { Labelled = true, Reported = true },
        ];
        Assert.Equal(expected, fixture.Store.SignalKeys(0, long.MaxValue, 99));
        Assert.Equal(expected[1..3], fixture.Store.SignalKeys(2, 8, 99));
        Assert.Equal(expected[1..2], fixture.Store.SignalKeys(2, 8, 1));
        Assert.Empty(fixture.Store.SignalKeys(9, 99, 99));
    }

    [Fact]
    public async Task Expired_requests_have_no_signal_and_golden_ones_stay()
    {
        await using StoreFixture fixture = Open(o => o with { KeepFor = TimeSpan.FromDays(1) });
        await fixture.FillAsync(3);
        await fixture.Store.RecordAsync(Label(1));
        await fixture.Store.RecordAsync(Label(2));
        await fixture.Store.SetGoldenAsync(Id(2), true);
        fixture.Time.Advance(TimeSpan.FromDays(3));
        await fixture.Store.ExpireAsync();
        Assert.Equal([2], fixture.Store.SignalKeys(0, 99, 99).Select(k => k.Sequence));
        Assert.Empty(fixture.Store.OwnKeys(0, 99, 0, 99));
        Assert.Equal([Id(2)], fixture.Store.SignalRequests([Id(1), Id(2)]).Select(r => r.Key.RequestId));
    }

    [Fact]
    public async Task Own_answers_are_those_that_were_sent_and_that_nothing_speaks_against()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(13, i => i switch
        {
            2 => Request(i) with { Decision = Request(i).Decision with { PCorrect = 0.5 } },
            3 => Request(i) with { Decision = Request(i).Decision with { PCorrect = null } },
            4 => Request(i) with { Decision = Request(i).Decision with { Route = Route.Frontier } },
            5 => Request(i) with { Kind = RequestKind.Completion },
            6 => Request(i) with { LocalAnswer = null },
            _ => Request(i),
        });
        await fixture.Store.RecordAsync(Label(7));
        await fixture.Store.AddOutcomeAsync(Outcome(8, OutcomeKind.Accepted));
        await fixture.Store.AddOutcomeAsync(Outcome(9, OutcomeKind.Rejected));
        await fixture.Store.AddOutcomeAsync(Outcome(10, OutcomeKind.Corrected, correction: "words"));
        await fixture.Store.AddOutcomeAsync(Outcome(11, OutcomeKind.Scored, score: 0.25));
        await fixture.Store.AddOutcomeAsync(Outcome(11, OutcomeKind.Accepted));
        await fixture.Store.AddOutcomeAsync(Outcome(12, OutcomeKind.Scored, score: 0.5));
        Assert.Equal([1, 8, 12, 13], fixture.Store.OwnKeys(0, 99, 0.75, 99).Select(k => k.Sequence));
        Assert.Equal([1, 2], fixture.Store.OwnKeys(0, 99, 0.5, 2).Select(k => k.Sequence));
        Assert.Equal([8], fixture.Store.OwnKeys(1, 8, 0.75, 9).Select(k => k.Sequence));
        Assert.Equal(Key(8) with { Reported = true }, fixture.Store.OwnKeys(7, 8, 0.75, 9)[0]);
    }

    [Fact]
    public async Task Requests_come_with_texts_labels_and_outcomes_in_the_order_of_their_ids()
    {
        await using StoreFixture fixture = Open(o => o with { Cipher = new AesGcmTextCipher(new byte[32], 1) });
        await fixture.FillAsync(600);
        await fixture.Store.RecordAsync(Label(4, correct: false));
        await fixture.Store.RecordAsync(Label(4, teacher: "frontier-2"));
        await fixture.Store.AddOutcomeAsync(Outcome(4, OutcomeKind.Accepted));
        await fixture.Store.AddOutcomeAsync(Outcome(4, OutcomeKind.Corrected, correction: "words"));
        SignalRequest request = Assert.Single(fixture.Store.SignalRequests([Id(4)]));
        Assert.Equal(Key(4) with { Labelled = true, Reported = true }, request.Key);
        Assert.Equal((Request(4).Prompt, Request(4).LocalAnswer, "base", Route.Local), (request.Prompt, request.LocalAnswer, request.Adapter, request.Route));
        Assert.Equal((true, 0.02, true), (request.Audited, request.AuditProbability, request.Contradicted));
        Assert.Equal(Embedding(4), request.Embedding.ToArray());
        Assert.Equal(fixture.Store.Find(Id(4))!.Labels, request.Labels);
        Assert.Equal(["Teacher's answer to 4", "Teacher's answer to 4"], request.Labels.Select(l => l.Answer));
        Assert.Equal([null, "words"], request.Outcomes.Select(o => o.Correction));

        string[] ids = [.. Enumerable.Range(1, 600).Reverse().Select(Id)];
        await fixture.Store.EraseAsync(null, null, Id(300));
        Assert.Equal(ids.Where(id => id != Id(300)), fixture.Store.SignalRequests([.. ids, Id(999), "no id"]).Select(r => r.Key.RequestId));
        Assert.Empty(fixture.Store.SignalRequests([]));
    }

    [Fact]
    public async Task Live_outcomes_are_the_latest_reports_and_else_the_newest_verdicts()
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(12, i => i switch
        {
            2 => Request(i) with { Decision = Request(i).Decision with { Route = Route.Frontier } },
            3 => Request(i) with { Adapter = "tuned", Task = "triage", Kind = RequestKind.Completion },
            _ => Request(i),
        });
        await ReportAsync(2, OutcomeKind.Accepted);
        await ReportAsync(3, OutcomeKind.Accepted);
        await ReportAsync(4, OutcomeKind.Accepted);
        await ReportAsync(4, OutcomeKind.Corrected);
        await ReportAsync(5, OutcomeKind.Rejected);
        await ReportAsync(5, OutcomeKind.Scored, 0.5);
        await ReportAsync(6, OutcomeKind.Accepted, 0.25);
        await fixture.Store.RecordAsync(Label(7, correct: true));
        await fixture.Store.RecordAsync(Label(7, correct: false, teacher: "frontier-2"));
        await fixture.Store.RecordAsync(Label(8, correct: false));
        await ReportAsync(8, OutcomeKind.Accepted);
        await fixture.Store.RecordAsync(Label(9, correct: null));
        await fixture.Store.FlushAsync();
        Assert.Equal(
            [(3L, true), (4L, false), (5L, true), (6L, false), (7L, false), (8L, true)],
            fixture.Store.LiveOutcomes(0, 99).Select(o => (o.Sequence, o.Good)));
        Assert.Equal(new LiveOutcome(3, Id(3), "triage", "tuned", Request(3).At, Good: true, Audited: false, Reported: true), fixture.Store.LiveOutcomes(0, 99)[0]);
        Assert.True(fixture.Store.LiveOutcomes(3, 1).Single().Audited);
        // Late ones stand among those that were read before, and an erasure takes no verdict.
        await ReportAsync(1, OutcomeKind.Rejected);
        await fixture.Store.EraseAsync(null, null, Id(4));
        Assert.Equal([1, 3, 4, 5, 6], fixture.Store.LiveOutcomes(0, 5).Select(o => o.Sequence));
        Assert.Equal([7, 8], fixture.Store.LiveOutcomes(6, 5).Select(o => o.Sequence));

        async Task ReportAsync(int number, OutcomeKind kind, double? score = null) => await fixture.Store.AddOutcomeAsync(Outcome(number, kind, score: score));
    }

    [Fact]
    public async Task The_last_position_is_that_of_the_newest_request()
    {
        await using StoreFixture fixture = Open();
        Assert.Equal(0, fixture.Store.LastSequence());
        await fixture.FillAsync(7);
        Assert.Equal(7, fixture.Store.LastSequence());
        await fixture.ReopenAsync(o => o with { KeepBytes = 0 });
        await fixture.Store.ExpireAsync();
        Assert.Equal(7, fixture.Store.LastSequence());
    }

    /// <summary>SQLite counts what it does: as many steps with thirty times as many requests, when as few have signal.</summary>
    [Theory]
    [InlineData(CurationReader.SignalOf)]
    [InlineData(CurationReader.LiveOf)]
    public async Task Requests_without_signal_cost_a_reader_nothing(string sql)
    {
        await using StoreFixture fixture = Open();
        await fixture.FillAsync(100);
        for (int i = 10; i <= 60; i += 10)
        {
            await fixture.Store.RecordAsync(Label(i));
        }
        await fixture.Store.FlushAsync();
        (int rows, int steps) = Walk(fixture.Options.Path, sql);
        Assert.Equal(6, rows);
        await fixture.FillAsync(3000, i => Request(100 + i));
        Assert.Equal((rows, steps), Walk(fixture.Options.Path, sql));
    }

    private static (int Rows, int Steps) Walk(string path, string sql)
    {
        using SqliteConnection connection = new(new SqliteConnectionStringBuilder { DataSource = path, Pooling = false, Mode = SqliteOpenMode.ReadOnly }.ToString());
        connection.Open();
        Assert.Equal(raw.SQLITE_OK, raw.sqlite3_prepare_v2(connection.Handle, sql, out sqlite3_stmt statement));
        using (statement)
        {
            raw.sqlite3_bind_int64(statement, 1, 0);
            for (int i = 2; i <= raw.sqlite3_bind_parameter_count(statement); i++)
            {
                raw.sqlite3_bind_int64(statement, i, 1_000_000);
            }
            int rows = 0;
            while (raw.sqlite3_step(statement) == raw.SQLITE_ROW)
            {
                rows++;
            }
            return (rows, raw.sqlite3_stmt_status(statement, raw.SQLITE_STMTSTATUS_VM_STEP, 0));
        }
    }

    private static SignalKey Key(int number) => new(number, Id(number), Request(number).At, "support", "key-a", Labelled: false, Reported: false, Golden: false, 0.75, Audited: number % 2 == 0);
}
