using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Core.Curation;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual cycle preview</c>: what the next update cycle would train on and be measured by, from the store alone.</summary>
internal static class PreviewCommand
{
    private const int MostExamples = 100_000;

    public static Command Create()
    {
        Option<int> examples = new("--examples") { Description = "Show so many of the examples, with their texts.", HelpName = "N" };
        Command command = new("preview", "What an update cycle that began now would train on and be measured by, and what it would leave out and why. Answers are compared letter by letter here; a server compares them as their task says.") { examples };
        return StoreAccess.On(command, "cycle preview", ["policy", "holdout"], (call, cancel) => Task.Run(() => Run(call, call.Parsed.GetValue(examples)), cancel));
    }

    private static int Run(StoreCall call, int most)
    {
        if (most is < 0 or > MostExamples)
        {
            throw new SettingException("examples", $"{most} does not lie between 0 and {MostExamples}");
        }
        (CurationOptions options, int least) = OptionsOf(call.Options);
        long upTo = call.Store.LastSequence();
        CuratedSet set = CurateStage.Curate(call.Store, options, null, long.MaxValue, upTo, DateTimeOffset.UtcNow);
        bool enough = set.Report.Fresh >= least;
        (CuratedExample Example, ExampleTexts Texts)[] shown = Spread(set.Train, most);
        if (call.Json)
        {
            CommandRun.WriteJson(json =>
            {
                json.WritePropertyName("report");
                json.WriteRawValue(set.Report.ToJson());
                json.WriteNumber("minimum_examples", least);
                json.WriteBoolean("enough", enough);
                json.WriteString("hash", set.Hash);
                json.WriteString("evaluation_hash", set.EvaluationHash);
                json.WriteStartArray("examples");
                foreach ((CuratedExample example, ExampleTexts texts) in shown)
                {
                    Write(json, example, texts);
                }
                json.WriteEndArray();
            });
            return ExitCodes.Ok;
        }
        foreach (string line in set.Report.Lines())
        {
            Console.Out.WriteLine(CommandRun.Printable(line));
        }
        if (!enough)
        {
            Console.Out.WriteLine($"A cycle would end at once: it wants {least} fresh examples, and there are {set.Report.Fresh}.");
        }
        foreach ((CuratedExample example, ExampleTexts texts) in shown)
        {
            Print(example, texts);
        }
        return ExitCodes.Ok;
    }

    private static (CurationOptions Curation, int Least) OptionsOf(ServeOptions serve)
    {
        PolicyFile policy = serve.Policy is { } file ? PolicyFile.Read(file) : PolicyFile.Empty;
        if (!(serve.Holdout is >= 0 and <= 1))
        {
            throw new SettingException("holdout", "it must be from 0 to 1");
        }
        try
        {
            CurationOptions curation = policy.Curation with { HoldoutShare = serve.Holdout };
            curation.Validate();
            policy.Cycles.Validate();
            return (curation, policy.Cycles.MinimumExamples);
        }
        catch (PolicyOptionException e)
        {
            throw new SettingException(e.Key, e.Message.TrimEnd('.'), serve.Policy);
        }
    }

    // From all over the set and not its oldest end only.
    private static (CuratedExample Example, ExampleTexts Texts)[] Spread(IReadOnlyList<(CuratedExample Example, ExampleTexts Texts)> train, int most)
    {
        int count = Math.Min(most, train.Count);
        return [.. Enumerable.Range(0, count).Select(i => train[(int)((long)i * train.Count / count)])];
    }

    private static void Print(CuratedExample example, ExampleTexts texts)
    {
        Console.Out.WriteLine();
        Console.Out.WriteLine(CommandRun.Printable(string.Create(
            CultureInfo.InvariantCulture,
            $"{example.RequestId}  {example.Slice}, {CycleText.Name(example.Source)}{(example.Replay ? ", replay" : "")}, weight {example.Weight:0.###}")));
        Console.Out.WriteLine($"  prompt:   {CommandRun.Printable(texts.Prompt)}");
        Console.Out.WriteLine($"  answer:   {CommandRun.Printable(texts.Answer)}");
        if (texts.Rejected is { } rejected)
        {
            Console.Out.WriteLine($"  rejected: {CommandRun.Printable(rejected)}");
        }
    }

    private static void Write(Utf8JsonWriter json, CuratedExample example, ExampleTexts texts)
    {
        json.WriteStartObject();
        json.WriteString("request_id", example.RequestId);
        json.WriteString("task", example.Task);
        json.WriteString("slice", example.Slice);
        json.WriteString("source", CycleText.Name(example.Source));
        json.WriteBoolean("replay", example.Replay);
        json.WriteNumber("weight", example.Weight);
        json.WriteString("prompt", texts.Prompt);
        json.WriteString("answer", texts.Answer);
        json.WriteString("rejected", texts.Rejected);
        json.WriteEndObject();
    }
}
