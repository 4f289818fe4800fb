// Data and tables of the bench of ten domains: see README.md. Run with `dotnet run domains.cs -- prepare DATASETS OUT ORDER` and `-- table OUT`.
#:property PublishAot=false
using System.Globalization;
using System.Text.Json;

const double ReplayRatio = 1.5;
const int ReplayLeastPerIntent = 2;

switch (args)
{
    case ["prepare", string datasets, string output, string order]:
        Prepare(datasets, output, int.Parse(order, CultureInfo.InvariantCulture));
        return 0;
    case ["table", string folder]:
        Table(folder);
        return 0;
    default:
        Console.Error.WriteLine("usage: prepare DATASETS OUT ORDER | table OUT");
        return 2;
}

// Order 0 is the data set's own, any other a seed to shuffle the domains by. Everything that an arm trains on is written here, so that the arms differ in nothing but it.
static void Prepare(string datasets, string output, int order)
{
    string clinc = Path.Combine(datasets, "clinc150");
    using JsonDocument domainsJson = JsonDocument.Parse(File.ReadAllText(Path.Combine(clinc, "domains.json")));
    using JsonDocument full = JsonDocument.Parse(File.ReadAllText(Path.Combine(clinc, "data_full.json")));
    (string Name, string[] Intents)[] domains = [.. domainsJson.RootElement.EnumerateObject().Select(static d => (d.Name, d.Value.EnumerateArray().Select(static i => i.GetString()!).ToArray()))];
    Random random = new(order);
    if (order != 0)
    {
        random.Shuffle(domains);
    }
    (string Text, string Intent)[] train = Pairs(full.RootElement.GetProperty("train"));
    (string Text, string Intent)[] validation = Pairs(full.RootElement.GetProperty("val"));
    (string Text, string Intent)[] test = Pairs(full.RootElement.GetProperty("test"));
    HashSet<string> held = [.. test.Select(static e => e.Text)];
    train = [.. train.Where(e => !held.Contains(e.Text))];

    Directory.CreateDirectory(output);
    string orderFolder = Path.Combine(output, $"order-{order}");
    Directory.CreateDirectory(orderFolder);
    // The model is grown on another set's labelled chats, so that it knows the form, and on the words of this one without any label.
    List<string> corpus = [.. train.Concat(validation.Where(e => !held.Contains(e.Text))).Select(static e => JsonSerializer.Serialize(new { text = e.Text }))];
    foreach (string line in Csv(File.ReadAllText(Path.Combine(datasets, "banking77", "train.csv"))))
    {
        corpus.Add(line);
    }
    File.WriteAllLines(Path.Combine(output, "corpus.jsonl"), corpus);
    File.WriteAllLines(Path.Combine(output, "choices.txt"), domains.SelectMany(static d => d.Intents).Order(StringComparer.Ordinal));
    File.WriteAllLines(Path.Combine(orderFolder, "domains.txt"), domains.Select(static d => d.Name));
    // Ten test utterances of each intent.
    (string Text, string Intent)[] asked = [.. test.GroupBy(static e => e.Intent, StringComparer.Ordinal).SelectMany(static g => g.Take(10))];
    List<(string Text, string Intent)> seen = [];
    for (int k = 0; k < domains.Length; k++)
    {
        HashSet<string> intents = [.. domains[k].Intents];
        (string Text, string Intent)[] own = [.. train.Where(e => intents.Contains(e.Intent))];
        File.WriteAllLines(Path.Combine(orderFolder, $"{k}.test.jsonl"), asked.Where(e => intents.Contains(e.Intent)).Select(static e => Chat(e.Text, e.Intent)));
        File.WriteAllLines(Path.Combine(orderFolder, $"{k}.naive.jsonl"), own.Select(static e => Chat(e.Text, e.Intent)));
        // A reservoir of the same size for each intent that came before: together so many times the new examples.
        List<(string Text, string Intent)> mixed = [.. own];
        if (seen.Count > 0)
        {
            string[] known = [.. seen.Select(static e => e.Intent).Distinct(StringComparer.Ordinal)];
            int each = Math.Max(ReplayLeastPerIntent, (int)Math.Round(ReplayRatio * own.Length / known.Length));
            foreach (IGrouping<string, (string Text, string Intent)> of in seen.GroupBy(static e => e.Intent, StringComparer.Ordinal))
            {
                (string, string)[] all = [.. of];
                random.Shuffle(all);
                mixed.AddRange(all.Take(each));
            }
        }
        File.WriteAllLines(Path.Combine(orderFolder, $"{k}.ours.jsonl"), mixed.Select(static e => Chat(e.Text, e.Intent)));
        seen.AddRange(own);
    }
    File.WriteAllLines(Path.Combine(orderFolder, "joint.jsonl"), seen.Select(static e => Chat(e.Text, e.Intent)));
    File.WriteAllLines(Path.Combine(orderFolder, "test.jsonl"), Enumerable.Range(0, domains.Length).SelectMany(k => File.ReadLines(Path.Combine(orderFolder, $"{k}.test.jsonl"))));
}

// Of each order: accuracy of every arm on every domain after each stage, and what the field makes of that matrix (Lopez-Paz and Ranzato 2017, arXiv 1706.08840, section 2;
// forgetting: Chaudhry, Dokania, Ajanthan, Torr 2018, arXiv 1801.10112, equation 3).
static void Table(string folder)
{
    Console.WriteLine("| order | arm | all ten at the end | mean over stages, domains seen | backward transfer | forgetting | after each stage, domains seen so far |");
    Console.WriteLine("|---|---|---|---|---|---|---|");
    foreach (string order in Directory.GetDirectories(folder, "order-*").Order(StringComparer.Ordinal))
    {
        string name = Path.GetFileName(order)["order-".Length..];
        foreach (string arm in (string[])["ours", "noreplay", "noanchor", "naive", "joint"])
        {
            double[][] right = [.. Enumerable.Range(0, 10).Select(stage => Path.Combine(order, $"{arm}.{stage}.predictions.jsonl")).TakeWhile(File.Exists).Select(file => Accuracies(order, file))];
            if (arm == "joint" && File.Exists(Path.Combine(order, "joint.predictions.jsonl")))
            {
                double[] joint = Accuracies(order, Path.Combine(order, "joint.predictions.jsonl"));
                Console.WriteLine($"| {name} | joint | {Percent(joint.Average())} | | | | |");
            }
            else if (right.Length == 10)
            {
                double final = right[9].Average();
                double[] seen = [.. right.Select(static (r, k) => r.Take(k + 1).Average())];
                double backward = Enumerable.Range(0, 9).Average(i => right[9][i] - right[i][i]);
                double forgetting = Enumerable.Range(0, 9).Average(i => Enumerable.Range(i, 9 - i).Max(k => right[k][i]) - right[9][i]);
                Console.WriteLine($"| {name} | {arm} | {Percent(final)} | {Percent(seen.Average())} | {Percent(backward)} | {Percent(forgetting)} | {string.Join(", ", seen.Select(Percent))} |");
            }
        }
    }

    static string Percent(double x) => (100 * x).ToString("0.0", CultureInfo.InvariantCulture);

    // The predictions stand in the order of the questions: those of the first domain first.
    static double[] Accuracies(string order, string file)
    {
        bool[] right = [.. File.ReadLines(file).Select(static line =>
        {
            using JsonDocument json = JsonDocument.Parse(line);
            return json.RootElement.GetProperty("exact").GetBoolean();
        })];
        int from = 0;
        double[] accuracies = new double[10];
        for (int k = 0; k < 10; k++)
        {
            int count = File.ReadLines(Path.Combine(order, $"{k}.test.jsonl")).Count();
            accuracies[k] = right.AsSpan(from, count).Count(true) / (double)count;
            from += count;
        }
        return from == right.Length ? accuracies : throw new InvalidDataException($"{file} has {right.Length} answers to {from} questions.");
    }
}

static string Chat(string text, string label) =>
    JsonSerializer.Serialize(new { messages = new[] { new { role = "user", content = text }, new { role = "assistant", content = label } } });

static (string Text, string Intent)[] Pairs(JsonElement array) => [.. array.EnumerateArray().Select(static e => (e[0].GetString()!, e[1].GetString()!))];

// banking77's lines of two fields, of which the first may be quoted; a text may hold line breaks.
static IEnumerable<string> Csv(string text)
{
    List<string> fields = [];
    System.Text.StringBuilder field = new();
    bool quoted = false, header = true;
    foreach (char c in text.ReplaceLineEndings("\n") + "\n")
    {
        if (c == '"')
        {
            quoted = !quoted;
        }
        else if (!quoted && c is (',' or '\n'))
        {
            fields.Add(field.ToString());
            field.Clear();
            if (c == '\n')
            {
                if (fields.Count == 2 && !header)
                {
                    yield return Chat(fields[0], fields[1]);
                }
                (fields, header) = ([], false);
            }
        }
        else
        {
            field.Append(c);
        }
    }
}
