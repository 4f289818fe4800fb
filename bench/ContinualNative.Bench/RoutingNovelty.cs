using ContinualNative.Core.Routing;

namespace ContinualNative.Bench;

/// <summary>The distance of every utterance to those that the adapter learned from.</summary>
internal static class RoutingNovelty
{
    /// <summary>One distance for each text that was asked.</summary>
    public static Dictionary<string, float> Of(IReadOnlyList<RoutingRow> rows)
    {
        NoveltyIndex index = new();
        foreach (RoutingRow row in rows.Where(static r => r.Set == RoutingRow.Learned))
        {
            index.Add(PromptEmbedder.Embed(row.Text));
        }
        RoutingRow[] asked = [.. rows.Where(static r => r.Set != RoutingRow.Learned)];
        float[] distances = new float[asked.Length];
        RoutingProgress progress = new("embedding", "utterances", asked.Length);
        Parallel.For(0, asked.Length, i =>
        {
            distances[i] = index.Distance(PromptEmbedder.Embed(asked[i].Text));
            progress.Add();
        });
        Dictionary<string, float> all = new(asked.Length, StringComparer.Ordinal);
        for (int i = 0; i < asked.Length; i++)
        {
            all[asked[i].Text] = distances[i];
        }
        return all;
    }
}
