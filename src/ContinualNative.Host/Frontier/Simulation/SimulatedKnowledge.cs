using System.Text;
using System.Text.Json;
using ContinualNative.Core.Evaluation;

namespace ContinualNative.Host.Frontier.Simulation;

/// <summary>What the simulated frontier may know: answers by the user's last message, and what wrong answers look like. Thread-safe: the world may change while it answers.</summary>
internal sealed class SimulatedKnowledge
{
    /// <summary>What comes before the only answers allowed, separated by <c>|</c>, in a line of a message.</summary>
    public const string ChoicesMark = "Answer with exactly one of:";

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    private readonly List<string> _answers = [];

    /// <summary>Prompts known.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _entries.Count;
            }
        }
    }

    /// <summary>
    /// Reads JSONL: lines <c>{"prompt","answer","wrong":[…]}</c>, or examples as <see cref="ExampleReader"/> reads them, whose target is the answer to the
    /// last message of the user before it. Throws <see cref="ExampleFormatException"/>.
    /// </summary>
    public static SimulatedKnowledge ReadFile(string path)
    {
        SimulatedKnowledge knowledge = new();
        try
        {
            if (IsPlain(path))
            {
                knowledge.ReadPlain(path);
                return knowledge;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ExampleFormatException(path, 0, e is FileNotFoundException or DirectoryNotFoundException ? "there is no such file; check the path" : $"it can't be read: {e.Message.TrimEnd('.')}", e);
        }
        foreach (Example example in ExampleReader.ReadFile(path))
        {
            string prompt = example.Messages is { } chat ? chat.LastOrDefault(static m => m.Role == "user")?.Content ?? "" : example.Prompt;
            knowledge.Add(prompt, example.Target, example.Rejected is { } worse ? [worse] : []);
        }
        return knowledge;
    }

    /// <summary>Adds an answer; a later one to the same prompt takes its place.</summary>
    public void Add(string prompt, string answer, IReadOnlyList<string> wrong)
    {
        string key = Normalize(prompt);
        lock (_gate)
        {
            _entries[key] = new Entry(answer, wrong);
            _answers.Add(answer);
        }
    }

    /// <summary>The right answer to a prompt; null when it is not known.</summary>
    public string? RightAnswer(string prompt)
    {
        string key = Normalize(prompt);
        lock (_gate)
        {
            return _entries.TryGetValue(key, out Entry? entry) ? entry.Answer : null;
        }
    }

    /// <summary>A plausible wrong answer to a known prompt: one of its own, else one of <paramref name="choices"/>, else another prompt's.</summary>
    /// <param name="prompt">A prompt that is known.</param>
    /// <param name="choices">The only answers allowed, or empty.</param>
    /// <param name="number">Chooses among them.</param>
    public string WrongAnswer(string prompt, IReadOnlyList<string> choices, ulong number)
    {
        string key = Normalize(prompt);
        lock (_gate)
        {
            return WrongAnswer(_entries[key], choices, number);
        }
    }

    private string WrongAnswer(Entry entry, IReadOnlyList<string> choices, ulong number)
    {
        IReadOnlyList<string> own = entry.Wrong.Count == 0 ? choices : entry.Wrong;
        List<string> others = [.. own.Where(a => Normalize(a) != Normalize(entry.Answer))];
        if (others.Count > 0)
        {
            return others[(int)(number % (ulong)others.Count)];
        }
        // Another prompt's answer: from a place that the number chooses, the first that differs.
        int start = (int)(number % (ulong)_answers.Count);
        for (int i = 0; i < _answers.Count; i++)
        {
            string other = _answers[(start + i) % _answers.Count];
            if (Normalize(other) != Normalize(entry.Answer))
            {
                return other;
            }
        }
        return "I am not sure.";
    }

    /// <summary>Case, white space, punctuation and a line of choices make no difference between prompts.</summary>
    public static string Normalize(string text)
    {
        if (text.Contains(ChoicesMark, StringComparison.OrdinalIgnoreCase))
        {
            text = string.Join('\n', text.Split('\n').Where(static l => !l.Contains(ChoicesMark, StringComparison.OrdinalIgnoreCase)));
        }
        StringBuilder plain = new(text.Length);
        bool space = false;
        foreach (char c in text.Normalize(NormalizationForm.FormKC))
        {
            if (char.IsLetterOrDigit(c) || char.IsSurrogate(c))
            {
                if (space && plain.Length > 0)
                {
                    plain.Append(' ');
                }
                space = false;
                plain.Append(char.ToLowerInvariant(c));
            }
            else if (c != '\'')
            {
                space = true;
            }
        }
        return plain.ToString();
    }

    private static bool IsPlain(string path)
    {
        string? first = File.ReadLines(path).FirstOrDefault(static l => !string.IsNullOrWhiteSpace(l));
        try
        {
            using JsonDocument json = JsonDocument.Parse(first ?? "null");
            return json.RootElement.ValueKind == JsonValueKind.Object && json.RootElement.TryGetProperty("answer", out _);
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private void ReadPlain(string path)
    {
        int number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            if (string.IsNullOrWhiteSpace(line))
            {
                continue;
            }
            try
            {
                using JsonDocument json = JsonDocument.Parse(line);
                Add(Text(json.RootElement, "prompt"), Text(json.RootElement, "answer"), Wrong(json.RootElement));
            }
            catch (JsonException)
            {
                throw new ExampleFormatException(path, number, "it is not valid JSON");
            }

            string Text(JsonElement item, string field) =>
                item.ValueKind == JsonValueKind.Object && item.TryGetProperty(field, out JsonElement value) && value.ValueKind == JsonValueKind.String && value.GetString() is { Length: > 0 } text
                    ? text
                    : throw new ExampleFormatException(path, number, $"the field '{field}' must be a string that is not empty");

            List<string> Wrong(JsonElement item)
            {
                if (!item.TryGetProperty("wrong", out JsonElement list) || list.ValueKind == JsonValueKind.Null)
                {
                    return [];
                }
                return list.ValueKind == JsonValueKind.Array && list.EnumerateArray().All(static w => w.ValueKind == JsonValueKind.String)
                    ? [.. list.EnumerateArray().Select(static w => w.GetString()!)]
                    : throw new ExampleFormatException(path, number, "the field 'wrong' must be a list of strings");
            }
        }
    }

    private sealed record Entry(string Answer, IReadOnlyList<string> Wrong);
}
