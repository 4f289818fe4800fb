using System.Globalization;
using System.Text;

namespace ContinualNative.Bench;

/// <summary>
/// The statistics of the update cycle on simulated data: false promotions and power of the gate, false alarms and delays of the rollback, of the canary and of the drift detectors.
/// <c>gate [--runs N] [--seed S] [--part NAME]</c> prints Markdown. Nothing here takes a model: what is measured is arithmetic.
/// </summary>
internal static class GateRun
{
    private static readonly Dictionary<string, Func<int, int, IEnumerable<GateTable>>> Parts = new(StringComparer.Ordinal)
    {
        ["candidates"] = GateRunCandidates.Tables,
        ["pairs"] = GateRunRollout.PairTables,
        ["rates"] = GateRunRollout.RateTables,
        ["confidences"] = GateRunDrift.ConfidenceTables,
        ["embeddings"] = GateRunDrift.EmbeddingTables,
    };

    public static Task<int> RunAsync(string[] args)
    {
        int runs = 1000, seed = 1;
        string[] parts = [.. Parts.Keys];
        for (int i = 0; i < args.Length; i += 2)
        {
            string value = i + 1 < args.Length ? args[i + 1] : "";
            bool isNumber = int.TryParse(value, CultureInfo.InvariantCulture, out int number) && number >= 1;
            switch (args[i])
            {
                case "--runs" when isNumber:
                    runs = number;
                    break;
                case "--seed" when isNumber:
                    seed = number;
                    break;
                case "--part" when Parts.ContainsKey(value):
                    parts = [value];
                    break;
                default:
                    Console.Error.WriteLine($"usage: gate [--runs N] [--seed S] [--part {string.Join('|', Parts.Keys)}]");
                    return Task.FromResult(2);
            }
        }
        foreach (GateTable table in parts.SelectMany(part => Parts[part](runs, seed)))
        {
            Console.Out.WriteLine(table.ToMarkdown());
        }
        return Task.FromResult(0);
    }
}

/// <summary>A table with a caption.</summary>
internal sealed class GateTable(string caption, params string[] columns)
{
    private readonly List<string[]> _rows = [];

    public void Add(params string[] cells) => _rows.Add(cells);

    public string ToMarkdown()
    {
        StringBuilder text = new();
        text.Append(caption).Append("\n\n| ").AppendJoin(" | ", columns).Append(" |\n|").Append(string.Concat(Enumerable.Repeat("---|", columns.Length))).Append('\n');
        foreach (string[] row in _rows)
        {
            text.Append("| ").AppendJoin(" | ", row).Append(" |\n");
        }
        return text.ToString();
    }
}
