// Data and baseline of the learning bench: see README.md. Run with `dotnet run learning.cs -- prepare DATASETS OUT` and `dotnet run learning.cs -- baseline OUT SET`.
#:property PublishAot=false
using System.Text;
using System.Text.Json;

switch (args)
{
    case ["prepare", string datasets, string output]:
        Prepare(datasets, output);
        return 0;
    case ["baseline", string folder, string set]:
        Baseline(folder, set);
        return 0;
    default:
        Console.Error.WriteLine("usage: prepare DATASETS OUT | baseline OUT SET");
        return 2;
}

// The classes to tell apart: the first eight of banking77's categories.json and of clinc150's domain "banking". The model is grown on the training
// utterances of both sets: those of the other classes as chats with their label, so that it knows the form of the task, those of the eight as text
// without it. Test utterances are in no training file.
static void Prepare(string datasets, string output)
{
    const int classes = 8;
    Directory.CreateDirectory(output);
    string banking = Path.Combine(datasets, "banking77");
    string clinc = Path.Combine(datasets, "clinc150");
    using JsonDocument categories = JsonDocument.Parse(File.ReadAllText(Path.Combine(banking, "categories.json")));
    using JsonDocument domains = JsonDocument.Parse(File.ReadAllText(Path.Combine(clinc, "domains.json")));
    using JsonDocument full = JsonDocument.Parse(File.ReadAllText(Path.Combine(clinc, "data_full.json")));
    StringBuilder corpus = new();
    Write(
        "banking77",
        [.. categories.RootElement.EnumerateArray().Take(classes).Select(static c => c.GetString()!)],
        [.. Csv(File.ReadAllText(Path.Combine(banking, "train.csv"))).Skip(1).Select(static r => (r[0], r[1]))],
        [.. Csv(File.ReadAllText(Path.Combine(banking, "test.csv"))).Skip(1).Select(static r => (r[0], r[1]))]);
    Write(
        "clinc150",
        [.. domains.RootElement.GetProperty("banking").EnumerateArray().Take(classes).Select(static c => c.GetString()!)],
        Pairs(full.RootElement.GetProperty("train")),
        Pairs(full.RootElement.GetProperty("test")));
    File.WriteAllText(Path.Combine(output, "corpus.jsonl"), corpus.ToString());

    void Write(string set, string[] labels, (string Text, string Label)[] train, (string Text, string Label)[] test)
    {
        HashSet<string> chosen = [.. labels];
        HashSet<string> held = [.. test.Select(static e => e.Text)];
        // Some test utterances stand in the training data too; there they are left out.
        train = [.. train.Where(e => !held.Contains(e.Text))];
        foreach ((string text, string label) in train)
        {
            corpus.AppendLine(chosen.Contains(label) ? JsonSerializer.Serialize(new { text }) : Chat(text, label));
        }
        File.WriteAllLines(Path.Combine(output, $"{set}.choices.txt"), labels);
        File.WriteAllLines(Path.Combine(output, $"{set}.train.jsonl"), train.Where(e => chosen.Contains(e.Label)).Select(static e => Chat(e.Text, e.Label)));
        File.WriteAllLines(Path.Combine(output, $"{set}.test.jsonl"), test.Where(e => chosen.Contains(e.Label)).Select(static e => Chat(e.Text, e.Label)));
    }

    static string Chat(string text, string label) =>
        JsonSerializer.Serialize(new { messages = new[] { new { role = "user", content = text }, new { role = "assistant", content = label } } });

    static (string, string)[] Pairs(JsonElement array) => [.. array.EnumerateArray().Select(static e => (e[0].GetString()!, e[1].GetString()!))];
}

// Multinomial naive Bayes on lower-case words with one added to every count (Manning, Raghavan, Schütze 2008, "Introduction to Information Retrieval", chapter 13).
static void Baseline(string folder, string set)
{
    (string Text, string Label)[] train = Read($"{set}.train.jsonl");
    (string Text, string Label)[] test = Read($"{set}.test.jsonl");
    Dictionary<string, Dictionary<string, int>> counts = [];
    Dictionary<string, int> documents = [];
    HashSet<string> vocabulary = [];
    foreach ((string text, string label) in train)
    {
        documents[label] = documents.GetValueOrDefault(label) + 1;
        counts.TryAdd(label, []);
        foreach (string word in Words(text))
        {
            counts[label][word] = counts[label].GetValueOrDefault(word) + 1;
            vocabulary.Add(word);
        }
    }
    int right = test.Count(e => Guess(e.Text) == e.Label);
    Console.WriteLine(JsonSerializer.Serialize(new { set, train = train.Length, examples = test.Length, exact_match = (double)right / test.Length, chance = 1.0 / counts.Count }));

    string Guess(string text) => counts.Keys.Order(StringComparer.Ordinal).MaxBy(label =>
    {
        double total = counts[label].Values.Sum() + vocabulary.Count;
        return Math.Log((double)documents[label] / train.Length) + Words(text).Where(vocabulary.Contains).Sum(w => Math.Log((counts[label].GetValueOrDefault(w) + 1) / total));
    })!;

    static IEnumerable<string> Words(string text) =>
        new string([.. text.ToLowerInvariant().Select(static c => char.IsLetterOrDigit(c) ? c : ' ')]).Split(' ', StringSplitOptions.RemoveEmptyEntries);

    (string, string)[] Read(string file) => [.. File.ReadLines(Path.Combine(folder, file)).Select(static line =>
    {
        using JsonDocument json = JsonDocument.Parse(line);
        JsonElement messages = json.RootElement.GetProperty("messages");
        return (messages[0].GetProperty("content").GetString()!, messages[1].GetProperty("content").GetString()!);
    })];
}

// RFC 4180: fields may be quoted, and then hold commas, line breaks and doubled quotes.
static List<string[]> Csv(string text)
{
    List<string[]> rows = [];
    List<string> row = [];
    StringBuilder field = new();
    bool quoted = false;
    for (int i = 0; i < text.Length; i++)
    {
        char c = text[i];
        if (quoted && c == '"' && i + 1 < text.Length && text[i + 1] == '"')
        {
            field.Append('"');
            i++;
        }
        else if (c == '"')
        {
            quoted = !quoted;
        }
        else if (quoted || c is not (',' or '\n' or '\r'))
        {
            field.Append(c);
        }
        else if (c is ',' or '\n')
        {
            row.Add(field.ToString());
            field.Clear();
            if (c == '\n')
            {
                rows.Add([.. row]);
                row.Clear();
            }
        }
    }
    if (field.Length > 0 || row.Count > 0)
    {
        rows.Add([.. row, field.ToString()]);
    }
    return rows;
}
