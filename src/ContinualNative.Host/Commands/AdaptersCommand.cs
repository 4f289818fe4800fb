using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Diagnosis;
using ContinualNative.Host.Serving;
using ContinualNative.Storage;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual adapters list|show|import|export|promote|rollback</c>.</summary>
internal static class AdaptersCommand
{

    public static Command Create() => new("adapters", "List, show, bring in, take out, promote and roll back adapters.")
    {
        List(), Show(), AdapterFilesCommand.Import(), AdapterFilesCommand.Export(), PromoteCommand.Promote(), PromoteCommand.RollBack(),
    };

    /// <summary>An adapter of the store. Throws <see cref="SettingException"/> for an unknown one.</summary>
    public static AdapterRecord Find(TrafficStore store, string id) =>
        store.Adapter(id) ?? throw new SettingException("ID", $"there is no adapter '{CommandRun.Printable(id)}'; 'continual adapters list' tells which there are", "ID");

    private static Command List() => StoreAccess.On(new Command("list", "The adapters that the store knows, newest first, and which one answers."), "adapters list", [], static (call, _) =>
    {
        IReadOnlyList<AdapterRecord> adapters = call.Store.Adapters();
        string champion = call.Store.LastPromotion()?.Adapter ?? ModelAddress.Base;
        if (call.Json)
        {
            CommandRun.WriteJson(json =>
            {
                json.WriteString("champion", champion);
                json.WriteStartArray("adapters");
                foreach (AdapterRecord adapter in adapters)
                {
                    CycleText.Write(json, adapter);
                }
                json.WriteEndArray();
            });
            return Task.FromResult(ExitCodes.Ok);
        }
        Console.Out.WriteLine($"champion: {champion}{(champion == ModelAddress.Base ? " (the bare model, or what --adapter names)" : "")}");
        int width = adapters.Select(static a => a.Id.Length).DefaultIfEmpty(0).Max();
        foreach (AdapterRecord adapter in adapters)
        {
            Console.Out.WriteLine(CommandRun.Printable(Line(adapter, width)));
        }
        return Task.FromResult(ExitCodes.Ok);
    });

    private static string Line(AdapterRecord adapter, int width)
    {
        string origin = adapter.Cycle is { } cycle ? string.Create(CultureInfo.InvariantCulture, $"cycle {cycle}") : CycleText.Name(adapter.Origin);
        string file = adapter.File is null ? "no file" : ByteText.Of(adapter.Bytes);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{adapter.Id.PadRight(width)}  {adapter.At:yyyy-MM-dd HH:mm}  {CycleText.Name(adapter.Status),-11}  {origin,-9}  rank {adapter.Rank,-3}  {file,-10}  from {adapter.Parent ?? ModelAddress.Base}{(adapter.Note.Length > 0 ? $"  {adapter.Note}" : "")}");
    }

    private static Command Show()
    {
        Argument<string> id = new("ID") { Description = "The adapter." };
        return StoreAccess.On(new Command("show", "One adapter: where it comes from, what the gate found with the slices and examples, and when it was champion.") { id }, "adapters show", [], (call, _) =>
        {
            AdapterRecord adapter = Find(call.Store, call.Parsed.GetValue(id)!);
            AdapterStory story = AdapterStory.Read(call.Store, adapter);
            if (call.Json)
            {
                CommandRun.WriteJson(json => Write(json, story));
            }
            else
            {
                Print(story);
            }
            return Task.FromResult(ExitCodes.Ok);
        });
    }

    private static void Write(Utf8JsonWriter json, AdapterStory story)
    {
        json.WritePropertyName("adapter");
        CycleText.Write(json, story.Adapter);
        json.WriteStartArray("parents");
        foreach (string parent in story.Parents)
        {
            json.WriteStringValue(parent);
        }
        json.WriteEndArray();
        json.WritePropertyName("cycle");
        if (story.Cycle is { } cycle)
        {
            CycleText.Write(json, cycle, null, detail: true);
        }
        else
        {
            json.WriteNullValue();
        }
        if (story.Requests is { } requests)
        {
            json.WriteNumber("requests", requests);
        }
        else
        {
            json.WriteNull("requests");
        }
        CycleText.Write(json, "evaluations", story.Evaluations);
        CycleText.Write(json, "promotions", story.Promotions);
    }

    private static void Print(AdapterStory story)
    {
        AdapterRecord adapter = story.Adapter;
        Console.Out.WriteLine(CommandRun.Printable(Line(adapter, 0)));
        Console.Out.WriteLine($"  made of: {string.Join(" <- ", (string[])[adapter.Id, .. story.Parents, ModelAddress.Base])}");
        if (adapter.Model.Length > 0)
        {
            Console.Out.WriteLine($"  model {adapter.Model}, sha256 {adapter.Hash}{(adapter.File is null ? "; the file was removed" : $", file {adapter.File}")}");
        }
        if (story.Requests is { } requests)
        {
            Console.Out.WriteLine($"  learned from {requests} requests");
        }
        if (story.Cycle is { } cycle)
        {
            Console.Out.WriteLine(CommandRun.Printable($"  cycle {cycle.Id}: {CycleText.Name(cycle.State)}. {cycle.Outcome}"));
            foreach (string step in CycleScreen.Steps(cycle.Detail))
            {
                Console.Out.WriteLine($"  {CommandRun.Printable(step)}");
            }
        }
        foreach (PromotionRecord promotion in story.Promotions)
        {
            Console.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"  {promotion.At:yyyy-MM-dd HH:mm:ss}: '{promotion.Adapter}' took the place of '{promotion.Previous}' ({CycleText.Name(promotion.Reason)})"));
        }
        foreach (StoredEvaluation evaluation in story.Evaluations)
        {
            CycleScreen.Print(evaluation, Console.Out);
        }
    }

    /// <summary>What the store tells of an adapter.</summary>
    /// <param name="Adapter">Its record.</param>
    /// <param name="Parents">The adapters that it was made from, nearest first.</param>
    /// <param name="Cycle">The cycle that trained it, or null.</param>
    /// <param name="Requests">Requests that it was trained on, or null where that is not known.</param>
    /// <param name="Evaluations">Oldest first.</param>
    /// <param name="Promotions">Those that it came or went by, newest first.</param>
    private sealed record AdapterStory(
        AdapterRecord Adapter, IReadOnlyList<string> Parents, CycleRecord? Cycle, int? Requests, IReadOnlyList<StoredEvaluation> Evaluations, IReadOnlyList<PromotionRecord> Promotions)
    {
        public static AdapterStory Read(TrafficStore store, AdapterRecord adapter)
        {
            List<string> parents = [];
            for (string? parent = adapter.Parent; parent is not null && parent != adapter.Id && !parents.Contains(parent); parent = store.Adapter(parent)?.Parent)
            {
                parents.Add(parent);
            }
            IReadOnlyList<CuratedExample>? examples = adapter.Cycle is { } trained ? store.Dataset(trained)?.Examples : null;
            return new AdapterStory(
                adapter,
                parents,
                adapter.Cycle is { } cycle ? store.Cycle(cycle) : null,
                examples?.Select(static e => e.RequestId).Distinct().Count(),
                store.Evaluations(adapter.Id),
                Promoter.Of(store, adapter.Id));
        }
    }
}
