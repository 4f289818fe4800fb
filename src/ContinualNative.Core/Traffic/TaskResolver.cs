using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;

namespace ContinualNative.Core.Traffic;

/// <summary>
/// Tells the task of a request: what it says itself in <c>metadata.task</c>, else the task of its key, else that of its system prompt, else one
/// made of its system prompt. Thread-safe.
/// </summary>
public sealed class TaskResolver
{
    /// <summary>The task of requests without a system prompt.</summary>
    public const string Default = "default";

    /// <summary>The task of requests whose own would be one too many.</summary>
    public const string Other = "other";

    // Decision: only the beginning of a system prompt makes its task. Instructions stand there; what is retrieved for each request follows,
    // and would make every request a task of its own.
    private const int MaxRead = 8192;
    private const int MaxHashed = 1024;

    private static readonly HashSet<string> Calendar = new(StringComparer.OrdinalIgnoreCase)
    {
        "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
        "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
        "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "mon", "tue", "tues", "wed", "thu", "thur", "thurs", "fri", "sat", "sun",
        "am", "pm", "utc", "gmt", "th", "st", "nd", "rd",
        "januar", "februar", "märz", "mai", "juni", "juli", "oktober", "dezember",
        "montag", "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonnabend", "sonntag",
    };

    private readonly TaskDefinition[] _configured;
    private readonly TaskResolverOptions _options;
    private readonly ConcurrentDictionary<string, TaskDefinition> _byMetadata = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TaskDefinition> _byKey = new(StringComparer.Ordinal);
    private readonly Lock _gate = new();
    private readonly List<TaskDefinition> _found = [];
    private readonly TaskDefinition _default;
    private readonly TaskDefinition _other;

    /// <summary>Throws <see cref="PolicyOptionException"/> when two tasks claim one name, key or metadata.</summary>
    public TaskResolver(IReadOnlyList<TaskDefinition> tasks, TaskResolverOptions options)
    {
        ArgumentNullException.ThrowIfNull(tasks);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _options = options;
        _configured = [.. tasks];
        HashSet<string> names = new(StringComparer.Ordinal);
        for (int i = 0; i < _configured.Length; i++)
        {
            TaskDefinition task = _configured[i];
            if (!TaskDefinition.IsName(task.Name) || !names.Add(task.Name))
            {
                throw new PolicyOptionException($"tasks[{i}].name", "it must be 1 to 64 letters, digits and - _ . /, and no other task's");
            }
            if (!_byMetadata.TryAdd(task.Metadata ?? task.Name, task))
            {
                throw new PolicyOptionException($"tasks[{i}].metadata", $"another task has '{task.Metadata ?? task.Name}' already");
            }
            foreach (string key in task.Keys)
            {
                if (!_byKey.TryAdd(key, task))
                {
                    throw new PolicyOptionException($"tasks[{i}].keys", $"the key '{key}' is another task's already");
                }
            }
        }
        // A configured name also finds its task where its metadata is another word, so that two definitions never share a name.
        foreach (TaskDefinition task in _configured)
        {
            _byMetadata.TryAdd(task.Name, task);
        }
        _default = Reserved(Default);
        _other = Reserved(Other);
    }

    /// <summary>All tasks there are: the configured ones in their order, then those that requests brought, in the order of their first, and <c>default</c> and <c>other</c>.</summary>
    public IReadOnlyList<TaskDefinition> Known
    {
        get
        {
            lock (_gate)
            {
                return [.. _configured, .. _found, .. new[] { _default, _other }.Where(task => !_configured.Contains(task))];
            }
        }
    }

    /// <summary>The task of a name that <see cref="Resolve"/> gave, also one of an earlier run; null for a name that cannot be one.</summary>
    public TaskDefinition? Find(string? name)
    {
        if (!TaskDefinition.IsName(name))
        {
            return null;
        }
        TaskDefinition? configured = _configured.FirstOrDefault(task => task.Name == name);
        return configured ?? (name == Default ? _default : name == Other ? _other : New(name!));
    }

    /// <summary>The task of a request. Throws <see cref="ArgumentException"/> when <paramref name="metadataTask"/> is not a name (see <see cref="TaskDefinition.IsName"/>).</summary>
    /// <param name="keyId">Id of its API key, or null.</param>
    /// <param name="metadataTask">Its <c>metadata.task</c>, or null.</param>
    /// <param name="systemPrompt">Its system prompt, or null. Give it as the client sent it, or always redacted: the two are not one task.</param>
    public TaskDefinition Resolve(string? keyId, string? metadataTask, string? systemPrompt)
    {
        if (metadataTask is not null)
        {
            return TaskDefinition.IsName(metadataTask)
                ? Named(metadataTask)
                : throw new ArgumentException("A task's name has 1 to 64 letters, digits and - _ . /.", nameof(metadataTask));
        }
        if (keyId is not null && _byKey.TryGetValue(keyId, out TaskDefinition? ofKey))
        {
            return ofKey;
        }
        ReadOnlySpan<char> prompt = systemPrompt.AsSpan().Trim();
        if (prompt.IsEmpty)
        {
            return _default;
        }
        foreach (TaskDefinition task in _configured)
        {
            if (task.SystemPrompt is { } expected && (task.SystemPromptIsPrefix ? prompt.StartsWith(expected.AsSpan().Trim(), StringComparison.Ordinal) : prompt.SequenceEqual(expected.AsSpan().Trim())))
            {
                return task;
            }
        }
        return Named(NameOf(prompt));
    }

    /// <summary>
    /// <c>sys-</c> and eight hexadecimal digits: the beginning of SHA-256 over the first 1,024 characters of the prompt in lower case, where words
    /// with digits and words of the calendar are one mark and white space and marks do not repeat.
    /// </summary>
    internal static string NameOf(ReadOnlySpan<char> prompt)
    {
        StringBuilder text = new(MaxHashed);
        prompt = prompt[..Math.Min(prompt.Length, MaxRead)];
        for (int i = 0; i < prompt.Length && text.Length < MaxHashed;)
        {
            int start = i;
            bool digits = false;
            // One word: letters and digits, and what joins them in dates, times, numbers, addresses and ids.
            while (i < prompt.Length && (char.IsLetterOrDigit(prompt[i]) || (i > start && prompt[i] is '-' or '_' or ':' or '.' or ',' or '/' or '+' or '@' && i + 1 < prompt.Length && char.IsLetterOrDigit(prompt[i + 1]))))
            {
                digits |= char.IsDigit(prompt[i]);
                i++;
            }
            if (i > start)
            {
                ReadOnlySpan<char> word = prompt[start..i];
                if (digits || word.Contains('@') || Calendar.GetAlternateLookup<ReadOnlySpan<char>>().Contains(word))
                {
                    Mark(text);
                }
                else
                {
                    foreach (char c in word)
                    {
                        text.Append(char.ToLowerInvariant(c));
                    }
                }
                continue;
            }
            char sign = prompt[i++];
            if (!char.IsWhiteSpace(sign))
            {
                text.Append(sign);
            }
            else if (text.Length > 0 && text[^1] != ' ')
            {
                text.Append(' ');
            }
        }
        text.Length = Math.Min(text.Length, MaxHashed);
        // Half a surrogate pair has no UTF-8; the replacement character that stands for it will do.
        byte[] hash = SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString().TrimEnd()));
        return "sys-" + Convert.ToHexStringLower(hash.AsSpan(0, 4));
    }

    // "26 November 2026, 10:30" has as many marks as "3 May 2027": one.
    private static void Mark(StringBuilder text)
    {
        int end = text.Length;
        while (end > 0 && text[end - 1] is ' ' or ',' or '.' or '-' or '/' or ':' or '(' or ')')
        {
            end--;
        }
        if (end > 0 && text[end - 1] == '\u0001')
        {
            text.Length = end;
            return;
        }
        text.Append('\u0001');
    }

    private TaskDefinition Reserved(string name) => _byMetadata.GetOrAdd(name, New);

    private TaskDefinition New(string name) => new() { Name = name, Measure = _options.Measure, PassMark = _options.PassMark };

    private TaskDefinition Named(string name)
    {
        if (_byMetadata.TryGetValue(name, out TaskDefinition? known))
        {
            return known;
        }
        lock (_gate)
        {
            if (_byMetadata.TryGetValue(name, out known))
            {
                return known;
            }
            if (_found.Count >= _options.MaxTasks)
            {
                return _other;
            }
            TaskDefinition task = New(name);
            _found.Add(task);
            _byMetadata[name] = task;
            return task;
        }
    }
}
