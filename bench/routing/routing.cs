// Data of the routing bench: see README.md. Run with `dotnet run routing.cs -- DATASETS OUT`.
#:property PublishAot=false
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

if (args is not [string datasets, string output])
{
    Console.Error.WriteLine("usage: DATASETS OUT");
    return 2;
}
// Of each of the 75 intents of the first five domains, this many training utterances train the adapter; the others join the streams.
const int trained = 60;
// Of each of the 45 intents of the drift's three domains, this many training utterances stand in the corpus as text without a label.
const int read = 40;
Directory.CreateDirectory(output);
string clinc = Path.Combine(datasets, "clinc150");
using JsonDocument full = JsonDocument.Parse(File.ReadAllText(Path.Combine(clinc, "data_full.json")));
using JsonDocument domains = JsonDocument.Parse(File.ReadAllText(Path.Combine(clinc, "domains.json")));
string[][] intents = [.. domains.RootElement.EnumerateObject().Select(static d => d.Value.EnumerateArray().Select(static i => i.GetString()!).ToArray())];
HashSet<string> known = [.. intents[..5].SelectMany(static d => d)];
HashSet<string> unknown = [.. intents[5..8].SelectMany(static d => d)];

List<(string Text, string Label)> taught = [];
List<(string Text, string Label)> exchangeable = [];
List<(string Text, string Label)> drift = [];
StringBuilder corpus = new();
Dictionary<string, int> seen = [];
foreach ((string text, string label) in Pairs("train"))
{
    int n = seen[label] = seen.GetValueOrDefault(label) + 1;
    if (known.Contains(label))
    {
        (n <= trained ? taught : exchangeable).Add((text, label));
    }
    else if (!unknown.Contains(label))
    {
        corpus.AppendLine(Chat(text, label));
    }
    else if (n <= read)
    {
        corpus.AppendLine(JsonSerializer.Serialize(new { text }));
    }
    else
    {
        drift.Add((text, label));
    }
}
foreach ((string text, string label) in Pairs("val").Concat(Pairs("test")))
{
    if (known.Contains(label))
    {
        exchangeable.Add((text, label));
    }
    else if (unknown.Contains(label))
    {
        drift.Add((text, label));
    }
}
foreach ((string text, string label) in BankingTrain())
{
    corpus.AppendLine(Chat(text, label));
}
foreach ((string text, _) in taught)
{
    corpus.AppendLine(JsonSerializer.Serialize(new { text }));
}
// A few utterances stand in several splits; none is both learned from and asked.
HashSet<string> learned = [.. taught.Select(static e => e.Text)];
foreach (string line in corpus.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries))
{
    using JsonDocument json = JsonDocument.Parse(line);
    learned.Add(json.RootElement.TryGetProperty("text", out JsonElement text) ? text.GetString()! : json.RootElement.GetProperty("messages")[0].GetProperty("content").GetString()!);
}
File.WriteAllText(Path.Combine(output, "corpus.jsonl"), corpus.ToString());
File.WriteAllLines(Path.Combine(output, "choices.txt"), intents.SelectMany(static d => d));
File.WriteAllLines(Path.Combine(output, "train.jsonl"), taught.Select(static e => Chat(e.Text, e.Label)));
Stream("exchangeable", exchangeable);
Stream("drift", drift);
return 0;

void Stream(string name, List<(string Text, string Label)> examples)
{
    (string Text, string Label)[] fresh = [.. examples.Where(e => !learned.Contains(e.Text)).DistinctBy(static e => e.Text)];
    File.WriteAllLines(Path.Combine(output, $"{name}.jsonl"), fresh.Select(static e => Chat(e.Text, e.Label)));
    Console.WriteLine($"{name}: {fresh.Length} utterances that are in no training file");
}

static string Chat(string text, string label) =>
    JsonSerializer.Serialize(new { messages = new[] { new { role = "user", content = text }, new { role = "assistant", content = label } } });

IEnumerable<(string, string)> Pairs(string split) => full.RootElement.GetProperty(split).EnumerateArray().Select(static e => (e[0].GetString()!, e[1].GetString()!));

// RFC 4180: a field may be quoted, and then hold commas, line breaks and doubled quotes. The second field, the label, never is.
IEnumerable<(string, string)> BankingTrain() =>
    Regex.Matches(File.ReadAllText(Path.Combine(datasets, "banking77", "train.csv")), "^(?:\"((?:[^\"]|\"\")*)\"|([^,\"\n]*)),([^,\"\r\n]+)\r?$", RegexOptions.Multiline)
        .Skip(1)
        .Select(static row => (
            string.Join(' ', (row.Groups[1].Value.Replace("\"\"", "\"", StringComparison.Ordinal) + row.Groups[2].Value).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)),
            row.Groups[3].Value));
