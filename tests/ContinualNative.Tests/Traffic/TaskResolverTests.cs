using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Core.Teaching;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Tests.Traffic;

public sealed class TaskResolverTests
{
    private static readonly TaskDefinition[] Configured =
    [
        new() { Name = "intents", Metadata = "clinc", Keys = ["aaaabbbb"], Measure = AgreementMeasure.Exact },
        new() { Name = "support", SystemPrompt = "You help customers.", SystemPromptIsPrefix = true },
        new() { Name = "exact", SystemPrompt = " You help customers. Today. " },
        new() { Name = "summaries", SystemPrompt = "Summarize." },
    ];

    [Fact]
    public void What_a_request_says_comes_before_its_key_and_that_before_its_prompt()
    {
        TaskResolver resolver = new(Configured, new TaskResolverOptions());
        Assert.Equal("intents", resolver.Resolve("x", "clinc", "Summarize.").Name);
        Assert.Equal("intents", resolver.Resolve("x", "intents", "Summarize.").Name);
        Assert.Equal("mine", resolver.Resolve("aaaabbbb", "mine", "Summarize.").Name);
        Assert.Equal("intents", resolver.Resolve("aaaabbbb", null, "Summarize.").Name);
        Assert.Equal("summaries", resolver.Resolve("x", null, "\nSummarize. ").Name);
        Assert.StartsWith("sys-", resolver.Resolve(null, null, "Summarize. Now.").Name, StringComparison.Ordinal);
        // The first that fits.
        Assert.Equal("support", resolver.Resolve(null, null, "You help customers. Today.").Name);
        Assert.Equal("default", resolver.Resolve("x", null, null).Name);
        Assert.Equal("default", resolver.Resolve("x", null, " \n").Name);
        Assert.Equal(AgreementMeasure.Exact, resolver.Resolve("aaaabbbb", null, null).Measure);
        Assert.Equal(["intents", "support", "exact", "summaries", "mine", resolver.Resolve(null, null, "Summarize. Now.").Name, "default", "other"], resolver.Known.Select(static t => t.Name));
    }

    [Theory]
    [InlineData("Today is 2026-11-26. Be kind.", "Today is 2027-01-01. Be kind.")]
    [InlineData("Today is Thursday, 26 November 2026, 10:30 am.", "Today is Friday, 3 May 2027, 9:05 pm.")]
    [InlineData("Now: 2026-11-26T10:30:00Z (UTC)", "Now: 2026-11-27T23:59:59.123Z (UTC)")]
    [InlineData("Session 5f3a-77bc for user 8812, mail bob@example.org", "Session 91ff-0a1b for user 12, mail amy@example.com")]
    [InlineData("You  are\nkind", "you are kind")]
    [InlineData("The user is [EMAIL_1].", "The user is [EMAIL_2].")]
    public void What_changes_from_day_to_day_makes_no_other_task(string a, string b)
    {
        TaskResolver resolver = new([], new TaskResolverOptions());
        Assert.Matches("^sys-[0-9a-f]{8}$", resolver.Resolve(null, null, a).Name);
        Assert.Equal(resolver.Resolve(null, null, a), resolver.Resolve(null, null, b));
    }

    [Theory]
    [InlineData("Translate to German.", "Translate to French.")]
    [InlineData("Be kind.", "Be kind!")]
    [InlineData("a b", "ab")]
    [InlineData("1", "a")]
    [InlineData("דבר", "דבר אל")]
    public void What_is_asked_for_makes_another_task(string a, string b)
    {
        TaskResolver resolver = new([], new TaskResolverOptions());
        Assert.NotEqual(resolver.Resolve(null, null, a).Name, resolver.Resolve(null, null, b).Name);
    }

    [Fact]
    public void A_prompts_task_is_the_same_on_every_machine_and_goes_by_its_beginning()
    {
        TaskResolver resolver = new([], new TaskResolverOptions());
        // SHA-256 of "be kind."
        Assert.Equal("sys-906d8c88", resolver.Resolve(null, null, "Be kind.").Name);
        string instructions = string.Concat(Enumerable.Repeat("Answer from the documents below. ", 40));
        Assert.Equal(resolver.Resolve(null, null, instructions + "First document"), resolver.Resolve(null, null, instructions + "Another"));
        foreach (string hostile in new[] { "\ud800", new string('@', 1_000_000), new string('1', 1_000_000), string.Concat(Enumerable.Repeat("a-", 500_000)), string.Concat(Enumerable.Repeat("1 . ", 250_000)), "\u202E\u05D0" })
        {
            Assert.Matches("^sys-[0-9a-f]{8}$", resolver.Resolve(null, null, hostile).Name);
        }
    }

    [Fact]
    public void Requests_bring_so_many_tasks_and_no_more()
    {
        TaskResolver resolver = new(Configured, new TaskResolverOptions { MaxTasks = 3, PassMark = 0.5, Measure = AgreementMeasure.TokenF1 });
        Assert.Equal(["a", "b", "c", "other", "other", "a"], new[] { "a", "b", "c", "d", "e", "a" }.Select(name => resolver.Resolve(null, name, null).Name));
        Assert.Equal("other", resolver.Resolve(null, null, "some prompt").Name);
        Assert.Equal("intents", resolver.Resolve(null, "clinc", null).Name);
        Assert.Equal("default", resolver.Resolve(null, null, null).Name);
        Assert.Equal((0.5, AgreementMeasure.TokenF1), (resolver.Resolve(null, "d", null).PassMark, resolver.Resolve(null, "a", null).Measure));
        Assert.Equal(Configured.Length + 3 + 2, resolver.Known.Count);
        Assert.Equal("from-before", resolver.Find("from-before")!.Name);
        Assert.Same(Configured[0], resolver.Find("intents"));
        Assert.Null(resolver.Find("no name"));
        Assert.Equal(Configured.Length + 3 + 2, resolver.Known.Count);
    }

    [Fact]
    public void Many_threads_agree_on_the_tasks()
    {
        TaskResolver resolver = new([], new TaskResolverOptions { MaxTasks = 50 });
        Parallel.For(0, 2000, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i => resolver.Resolve(null, $"t{i % 100}", null));
        Assert.Equal(52, resolver.Known.Count);
        Assert.Equal(52, resolver.Known.Select(static t => t.Name).Distinct().Count());
    }

    [Theory]
    [InlineData("a", true)]
    [InlineData("A-z_0.9/x", true)]
    [InlineData("", false)]
    [InlineData(null, false)]
    [InlineData("a b", false)]
    [InlineData("ä", false)]
    [InlineData("a\n", false)]
    public void Names_are_of_few_characters(string? name, bool expected)
    {
        Assert.Equal(expected, TaskDefinition.IsName(name));
        TaskResolver resolver = new([], new TaskResolverOptions());
        if (!expected && name is not null)
        {
            Assert.Throws<ArgumentException>(() => resolver.Resolve(null, name, null));
        }
        Assert.Equal((true, false), (TaskDefinition.IsName(new string('a', 64)), TaskDefinition.IsName(new string('a', 65))));
    }

    [Fact]
    public void Tasks_are_read_from_JSON()
    {
        IReadOnlyList<TaskDefinition> tasks = Parse("""
            [{"name": "intents", "measure": "exact", "keys": ["a", "b"], "target_risk": 0.05, "maxEscalation": 0.1, "metadata": "clinc", "judge_prompt": null},
             {"name": "open", "measure": "judge", "judge-prompt": "{answer} or {reference}?", "pass_mark": 0.7, "system_prompt_prefix": "You"}, {"name": "plain"}]
            """);
        Assert.Equal(("intents", AgreementMeasure.Exact, 0.05, 0.1, "clinc"), (tasks[0].Name, tasks[0].Measure, tasks[0].TargetRisk, tasks[0].MaxEscalation, tasks[0].Metadata));
        Assert.Equal(["a", "b"], tasks[0].Keys);
        Assert.Equal((AgreementMeasure.Judge, "{answer} or {reference}?", 0.7, "You", true), (tasks[1].Measure, tasks[1].JudgePrompt, tasks[1].PassMark, tasks[1].SystemPrompt, tasks[1].SystemPromptIsPrefix));
        Assert.Equal((true, false, false), (tasks[1].Passes(0.7), tasks[1].Passes(0.69), tasks[2].Passes(0.99)));
        Assert.True(tasks[2].Passes(1));
    }

    [Theory]
    [InlineData("""{}""", "tasks")]
    [InlineData("""[1]""", "tasks[0]")]
    [InlineData("""[{"name": "a"}, {"measure": "exact"}]""", "tasks[1].name")]
    [InlineData("""[{"name": "a"}, {"name": "a"}]""", "tasks[1].name")]
    [InlineData("""[{"name": "a b"}]""", "tasks[0].name")]
    [InlineData("""[{"name": "a", "mesure": "exact"}]""", "tasks[0].mesure")]
    [InlineData("""[{"name": "a", "measure": "best"}]""", "tasks[0].measure")]
    [InlineData("""[{"name": "a", "pass_mark": 1.1}]""", "tasks[0].pass_mark")]
    [InlineData("""[{"name": "a", "targetRisk": "x"}]""", "tasks[0].targetRisk")]
    [InlineData("""[{"name": "a", "keys": "x"}]""", "tasks[0].keys")]
    [InlineData("""[{"name": "a", "keys": [1]}]""", "tasks[0].keys[0]")]
    [InlineData("""[{"name": "a", "measure": "judge", "judge_prompt": "x"}]""", "tasks[0].judge_prompt")]
    [InlineData("""[{"name": "a", "judge_prompt": "{answer}{reference}"}]""", "tasks[0].judge_prompt")]
    [InlineData("""[{"name": "a", "system_prompt": "x", "system_prompt_prefix": "y"}]""", "tasks[0].system_prompt_prefix")]
    [InlineData("""[{"name": "a", "system_prompt": "\ud800"}]""", "tasks[0].system_prompt")]
    public void Every_fault_names_its_key(string json, string key)
    {
        PolicyOptionException e = Assert.Throws<PolicyOptionException>(() => Parse(json));
        Assert.Equal(key, e.Key);
        Assert.StartsWith($"'{key}': ", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Two_tasks_cannot_claim_the_same_requests()
    {
        AssertRefused("tasks[1].metadata", new() { Name = "a" }, new() { Name = "b", Metadata = "a" });
        AssertRefused("tasks[1].keys", new() { Name = "a", Keys = ["k"] }, new() { Name = "b", Keys = ["k"] });
        AssertRefused("tasks[1].name", new() { Name = "a" }, new() { Name = "a", Metadata = "b" });
        Assert.Equal("max_tasks", Assert.Throws<PolicyOptionException>(() => new TaskResolver([], new TaskResolverOptions { MaxTasks = -1 })).Key);
        TaskResolver own = new([new TaskDefinition { Name = "default", Measure = AgreementMeasure.Json }], new TaskResolverOptions());
        Assert.Equal(AgreementMeasure.Json, own.Resolve(null, null, null).Measure);
        Assert.Equal(["default", "other"], own.Known.Select(static t => t.Name));

        static void AssertRefused(string key, params TaskDefinition[] tasks) =>
            Assert.Equal(key, Assert.Throws<PolicyOptionException>(() => new TaskResolver(tasks, new TaskResolverOptions())).Key);
    }

    private static IReadOnlyList<TaskDefinition> Parse(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return TaskDefinition.Parse(document.RootElement);
    }
}
