using System.Reflection;
using ContinualNative.Storage.Reading;
using ContinualNative.Storage.Sqlite;
using static ContinualNative.Tests.Storage.StoreFixture;

namespace ContinualNative.Tests.Storage;

/// <summary>What the hot queries do must not grow with the file: each finds its rows by an index, in order, without sorting.</summary>
public sealed class QueryPlanTests
{
    public static TheoryData<string, string> HotQueries
    {
        get
        {
            TheoryData<string, string> queries = [];
            foreach (Type type in (Type[])[typeof(RequestReader), typeof(SignalReader), typeof(ReportReader), typeof(CycleReader), typeof(CurationReader)])
            {
                foreach (FieldInfo constant in type.GetFields(BindingFlags.Public | BindingFlags.Static).Where(f => f.IsLiteral && f.FieldType == typeof(string)))
                {
                    queries.Add(type.Name + "." + constant.Name, (string)constant.GetRawConstantValue()!);
                }
            }
            queries.Add("request by id", "SELECT seq, state, outcome, at, task, adapter, route, reason FROM requests WHERE id = ?1");
            queries.Add("tombstone", "SELECT day FROM tombstones WHERE id = ?1");
            queries.Add("outcomes of a request", "SELECT kind, digest FROM outcomes WHERE request = ?1");
            queries.Add("reports of a key and hour", "SELECT reports FROM feedback_hours WHERE key = ?1 AND hour = ?2");
            queries.Add("verdict of a request", "SELECT correct FROM labels WHERE request = ?1 AND correct IS NOT NULL ORDER BY teacher DESC, n DESC LIMIT 1");
            queries.Add("requests of a user", "SELECT seq FROM requests WHERE user = ?1 ORDER BY seq LIMIT ?2");
            queries.Add("requests of a key", "SELECT seq FROM requests WHERE key = ?1 ORDER BY seq LIMIT ?2");
            return queries;
        }
    }

    [Theory]
    [MemberData(nameof(HotQueries))]
    public async Task A_hot_query_searches_and_never_scans(string name, string sql)
    {
        await using StoreFixture fixture = Open();
        using Session session = Session.Open(fixture.Options.Path, TimeSpan.FromSeconds(1), readOnly: true, cacheKibibytes: 1024);
        List<string> steps = [];
        using Statement plan = new(session.Handle, "EXPLAIN QUERY PLAN " + sql);
        using (Statement.Rows rows = plan.Open())
        {
            while (rows.Next())
            {
                steps.Add(rows.Text(3));
            }
        }
        Assert.NotEmpty(steps);
        // Some are walked in order and stop at their limit or are small: the dense table of samples, the list of tasks, cycles, changes of champion.
        string[] walked = name switch
        {
            "SignalReader.SamplesOfAll" => ["SCAN samples"],
            "ReportReader.NewestCalibrations" => ["SCAN t"],
            "CycleReader.NewestCycles" => ["SCAN c"],
            "CycleReader.NewestPromotions" => ["SCAN p"],
            // Its steps are searches too, and are listed after it.
            "CurationReader.SignalOf" or "CurationReader.OwnOf" => ["CORRELATED SCALAR SUBQUERY 1"],
            "SignalReader.Known" => ["CORRELATED SCALAR SUBQUERY 1", "CORRELATED SCALAR SUBQUERY 2"],
            "SignalReader.Judged" => [.. Enumerable.Range(1, 8).Select(static i => $"CORRELATED SCALAR SUBQUERY {i}")],
            _ => [],
        };
        Assert.All(steps, step => Assert.True(step.StartsWith("SEARCH ", StringComparison.Ordinal) || walked.Contains(step) || IsSmallSort(name, step), $"{name}: {step}"));
    }

    [Theory]
    [InlineData(SignalReader.SamplesOfTask, "samples_task")]
    [InlineData(SignalReader.SamplesOfAdapter, "samples_adapter")]
    [InlineData(SignalReader.SamplesOfBoth, "samples_task_adapter")]
    [InlineData(SignalReader.LabelledOfTask, "requests_labelled")]
    [InlineData(SignalReader.GoldenOfTask, "requests_golden")]
    public async Task Rows_lie_side_by_side_in_a_covering_index(string sql, string index)
    {
        await using StoreFixture fixture = Open();
        using Session session = Session.Open(fixture.Options.Path, TimeSpan.FromSeconds(1), readOnly: true, cacheKibibytes: 1024);
        using Statement plan = new(session.Handle, "EXPLAIN QUERY PLAN " + sql);
        using Statement.Rows rows = plan.Open();
        Assert.True(rows.Next());
        Assert.Contains($"USING COVERING INDEX {index} ", rows.Text(3));
    }

    [Theory]
    [InlineData(CurationReader.SignalOf, "requests_signal (state=? AND rowid>? AND rowid<?)")]
    [InlineData(CurationReader.OwnOf, "requests_open (stage=? AND rowid>? AND rowid<?)")]
    [InlineData(CurationReader.LiveOf, "requests_live (route=? AND rowid>?)")]
    public async Task Curation_walks_only_the_requests_of_a_partial_index_in_their_order(string sql, string index)
    {
        await using StoreFixture fixture = Open();
        using Session session = Session.Open(fixture.Options.Path, TimeSpan.FromSeconds(1), readOnly: true, cacheKibibytes: 1024);
        using Statement plan = new(session.Handle, "EXPLAIN QUERY PLAN " + sql);
        using Statement.Rows rows = plan.Open();
        Assert.True(rows.Next());
        Assert.Contains($"INDEX {index}", rows.Text(3));
    }

    // The labels of one request and the evaluations of one adapter are a handful.
    private static bool IsSmallSort(string name, string step) =>
        name is "verdict of a request" or "CurationReader.LatestVerdict" or "CycleReader.EvaluationsOfAdapter" && step.StartsWith("USE TEMP B-TREE FOR", StringComparison.Ordinal);
}
