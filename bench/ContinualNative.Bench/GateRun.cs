using System.Globalization;
using System.Text;

namespace ContinualNative.Bench;

/// <summary>
/// The statistics of the update cycle on simulated data: false promotions and power of the gate, false alarms and delays of the rollback, of the canary and of the drift detectors.
/// <c>gate [--runs N] [--seed S]</c> prints Markdown. Nothing here takes a model: what is measured is arithmetic.
/// </summary>
internal static class GateRun
{
    public static Task<int> RunAsync(string[] args)
    {
        int runs = 1000, seed = 1;
        for (int i = 0; i < args.Length; i += 2)
        {
            if (i + 1 == args.Length || !int.TryParse(args[i + 1], CultureInfo.InvariantCulture, out int number) || number < 1 || args[i] is not ("--runs" or "--seed"))
            {
                Console.Error.WriteLine("usage: gate [--runs N] [--seed S]");
                return Task.FromResult(2);
            }
            (runs, seed) = args[i] == "--runs" ? (number, seed) : (runs, number);
        }
        foreach (GateTable table in GateRunCandidates.Tables(runs, seed).Concat(GateRunRollout.Tables(runs, seed)).Concat(GateRunDrift.Tables(runs, seed)))
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
