using System.Text;

namespace ContinualNative.Core.Redaction;

/// <summary>
/// The values that were taken out of one request or conversation, and their placeholders. Equal calls in equal order give equal placeholders, so
/// redact a conversation from its first message to its last, then the local answer, then the teacher's. Thread-safe. It holds the values: drop
/// it with the request.
/// </summary>
/// <remarks>
/// A text that holds something that looks like a placeholder keeps it, and that name is not given to a value from then on. A name that this
/// session has already given away means the value, as in an answer that repeats it; to keep apart what users write in later messages, name all
/// texts to <see cref="Redactor.NewSession(IEnumerable{string?})"/>. So redacting twice changes nothing, and stored texts can be sent up again.
/// </remarks>
public sealed class RedactionSession
{
    // Each pass finds what the placeholders of the one before laid bare: after "a@b.org+49301234567" the number stands by itself. Two are
    // usual; so many takes a text that is made for it, and every one costs the whole text again.
    private const int MaxPasses = 8;

    private readonly Lock _gate = new();
    private readonly Redactor _redactor;
    private readonly Dictionary<(string Kind, string Value, bool Bare), string> _names = [];
    private readonly Dictionary<string, (string Value, bool Bare)> _values = new(StringComparer.Ordinal);
    private readonly HashSet<string> _taken = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _next = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _counts = new(StringComparer.Ordinal);
    private bool _bare;

    internal RedactionSession(Redactor redactor)
    {
        _redactor = redactor;
    }

    /// <summary>How many different values were taken out.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _values.Count;
            }
        }
    }

    /// <summary>How many different values of each kind were taken out; kinds without any are not in it.</summary>
    public IReadOnlyDictionary<string, int> Counts
    {
        get
        {
            lock (_gate)
            {
                return new Dictionary<string, int>(_counts, StringComparer.Ordinal);
            }
        }
    }

    /// <summary><see cref="Redact(string)"/> where <see cref="RedactionOptions.ForStorage"/> is on; otherwise the text.</summary>
    public string ForStorage(string text) => _redactor.Options.ForStorage ? Redact(text) : text;

    /// <summary><see cref="Redact(string)"/> where <see cref="RedactionOptions.ForFrontier"/> is on; otherwise the text.</summary>
    public string ForFrontier(string text) => _redactor.Options.ForFrontier ? Redact(text) : text;

    /// <summary>
    /// The text with placeholders. A text that is a JSON object or array as a whole stays valid JSON: strings and names of properties are redacted
    /// each, and a number that is found becomes a string. Throws <see cref="RedactionException"/>, and then nothing of the text may be used.
    /// </summary>
    public string Redact(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        lock (_gate)
        {
            Reserve(text);
            return JsonText.Rewrite(text, "", RedactText, RedactNumber) ?? RedactText(text, "");
        }
    }

    /// <summary>
    /// The text with the values back in the places of their placeholders; others stay. A JSON object or array stays valid JSON, and numbers are numbers again.
    /// </summary>
    public string Restore(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        lock (_gate)
        {
            if (_values.Count == 0)
            {
                return text;
            }
            return JsonText.Rewrite(text, "", (part, _) => RestoreText(part), null, BareNumber) ?? RestoreText(text);
        }
    }

    /// <summary>A restorer for an answer that comes in pieces.</summary>
    /// <param name="json">Whether the whole is JSON text, as arguments of tool calls are: values are then escaped as its strings need it.</param>
    public RestoringStream NewRestorer(bool json = false) => new(this, json);

    /// <summary>Gives no value a name that the text already holds.</summary>
    internal void Reserve(string? text)
    {
        lock (_gate)
        {
            foreach ((_, _, string name) in Written(text ?? ""))
            {
                if (!_values.ContainsKey(name))
                {
                    _taken.Add(name);
                }
            }
        }
    }

    /// <summary>Restores as much of <paramref name="text"/> as is certain into <paramref name="target"/>; returns how many characters that was.</summary>
    internal int Restore(ReadOnlySpan<char> text, StringBuilder target, bool final, bool json)
    {
        lock (_gate)
        {
            return RestoreInto(text, target, final, json);
        }
    }

    private string RedactText(string text, string before)
    {
        Reserve(text);
        List<Part> parts = [new Part(text, null)];
        int passes = 0;
        while (Split(parts, before))
        {
            if (++passes == MaxPasses)
            {
                throw new RedactionException(parts.Last(static part => part.Kind is not null).Kind!, "it still finds something next to its own placeholders after eight passes");
            }
        }
        if (parts.Count == 1 && parts[0].Kind is null)
        {
            return text;
        }
        StringBuilder result = new(text.Length);
        foreach (Part part in parts)
        {
            result.Append(part.Kind is null ? part.Text : $"[{NameOf(part.Kind, part.Text, bare: false)}]");
        }
        return result.ToString();
    }

    // Takes what is found out of the parts that are text still; false when nothing is.
    private bool Split(List<Part> parts, string before)
    {
        string text = parts[0].Text;
        if (parts.Count > 1 || parts[0].Kind is not null)
        {
            // Numbers come last, in order of appearance: until then all placeholders of a kind are alike.
            StringBuilder whole = new();
            foreach (Part part in parts)
            {
                whole.Append(part.Kind is null ? part.Text : Placeholder.Format(part.Kind, 1));
            }
            text = whole.ToString();
        }
        List<Redactor.Find> finds = _redactor.FindAll(text, before);
        if (finds.Count == 0)
        {
            return false;
        }
        // Those that stood in the text already, and those of earlier passes, which read as placeholders too.
        List<(int Start, int End)> written = [.. Written(text).Select(static w => (w.Start, w.End))];
        List<Redactor.Find> pieces = Outside(text, finds, written);
        if (pieces.Count == 0)
        {
            return false;
        }
        List<Part> split = [];
        int piece = 0;
        int at = 0;
        foreach (Part part in parts)
        {
            int end = at + (part.Kind is null ? part.Text.Length : Placeholder.Format(part.Kind, 1).Length);
            if (part.Kind is not null)
            {
                split.Add(part);
                at = end;
                continue;
            }
            while (piece < pieces.Count && pieces[piece].Start < end)
            {
                Redactor.Find find = pieces[piece++];
                if (find.Start > at)
                {
                    split.Add(new Part(text[at..find.Start], null));
                }
                split.Add(new Part(text[find.Start..find.End], find.Kind));
                at = find.End;
            }
            if (at < end)
            {
                split.Add(new Part(text[at..end], null));
            }
            at = end;
        }
        parts.Clear();
        parts.AddRange(split);
        return true;
    }

    // What of the finds lies outside of placeholders. Spaces and signs between two placeholders are nobody's secret.
    private static List<Redactor.Find> Outside(string text, List<Redactor.Find> finds, List<(int Start, int End)> placeholders)
    {
        List<Redactor.Find> pieces = [];
        int next = 0;
        foreach (Redactor.Find find in finds)
        {
            while (next < placeholders.Count && placeholders[next].End <= find.Start)
            {
                next++;
            }
            int at = find.Start;
            bool cut = false;
            for (int i = next; i < placeholders.Count && placeholders[i].Start < find.End; i++)
            {
                cut = true;
                Add(at, placeholders[i].Start);
                at = Math.Max(at, placeholders[i].End);
            }
            Add(at, find.End);

            void Add(int start, int end)
            {
                if (start < end && (!cut || HasWord(text.AsSpan(start, end - start))))
                {
                    pieces.Add(find with { Start = start, End = end });
                }
            }
        }
        return pieces;
    }

    private static bool HasWord(ReadOnlySpan<char> text)
    {
        foreach (char c in text)
        {
            if (char.IsLetterOrDigit(c) || char.IsSurrogate(c))
            {
                return true;
            }
        }
        return false;
    }

    private string? RedactNumber(string number, string before)
    {
        List<Redactor.Find> finds = _redactor.FindAll(number, before);
        if (finds.Count == 0)
        {
            return null;
        }
        _bare = true;
        return $"\"[{NameOf(finds[0].Kind, number, bare: true)}]\"";
    }

    private string NameOf(string kind, string value, bool bare)
    {
        if (_names.TryGetValue((kind, value, bare), out string? name))
        {
            return name;
        }
        int number = _next.GetValueOrDefault(kind);
        do
        {
            number++;
            name = $"{kind}_{number}";
        }
        while (_taken.Contains(name));
        _next[kind] = number;
        _names.Add((kind, value, bare), name);
        _values.Add(name, (value, bare));
        _counts[kind] = _counts.GetValueOrDefault(kind) + 1;
        return name;
    }

    private IEnumerable<(int Start, int End, string Name)> Written(string text)
    {
        for (int at = text.IndexOf('['); at >= 0; at = text.IndexOf('[', at))
        {
            if (Placeholder.Read(text, at, _redactor.Kinds, out int length, out string name) == Placeholder.Reading.Found)
            {
                yield return (at, at + length, name);
                at += length;
            }
            else
            {
                at++;
            }
            if (at >= text.Length)
            {
                yield break;
            }
        }
    }

    private string RestoreText(string text)
    {
        if (!text.Contains('['))
        {
            return text;
        }
        StringBuilder result = new(text.Length);
        RestoreInto(text, result, final: true, json: false);
        return result.ToString();
    }

    private string? BareNumber(string text) =>
        _bare && text.StartsWith('[') && Placeholder.Read(text, 0, _counts.Keys, out int length, out string name) == Placeholder.Reading.Found &&
        length == text.Length && _values.TryGetValue(name, out (string Value, bool Bare) entry) && entry.Bare
            ? entry.Value
            : null;

    private int RestoreInto(ReadOnlySpan<char> text, StringBuilder target, bool final, bool json)
    {
        int i = 0;
        while (i < text.Length)
        {
            // Only a number of JSON has its quotes taken away with its placeholder.
            int next = _bare ? text[i..].IndexOfAny('[', '"') : text[i..].IndexOf('[');
            if (next < 0 || _values.Count == 0)
            {
                target.Append(text[i..]);
                return text.Length;
            }
            target.Append(text.Slice(i, next));
            i += next;
            int bracket = text[i] == '"' ? i + 1 : i;
            if (bracket == text.Length)
            {
                if (!final)
                {
                    return i;
                }
                target.Append('"');
                return text.Length;
            }
            if (text[bracket] != '[')
            {
                target.Append('"');
                i++;
                continue;
            }
            Placeholder.Reading reading = Placeholder.Read(text, bracket, _counts.Keys, out int length, out string name);
            if (reading == Placeholder.Reading.Unfinished && !final)
            {
                return i;
            }
            if (reading != Placeholder.Reading.Found || !_values.TryGetValue(name, out (string Value, bool Bare) entry))
            {
                target.Append(text[i..(bracket + 1)]);
                i = bracket + 1;
                continue;
            }
            int end = bracket + length;
            if (bracket > i && entry.Bare && end == text.Length && !final)
            {
                return i;
            }
            bool unquote = bracket > i && entry.Bare && end < text.Length && text[end] == '"';
            if (bracket > i && !unquote)
            {
                target.Append('"');
            }
            if (json)
            {
                JsonText.AppendEscaped(target, entry.Value);
            }
            else
            {
                target.Append(entry.Value);
            }
            i = unquote ? end + 1 : end;
        }
        return text.Length;
    }

    /// <summary>A piece of a text: as it is, or, with a kind, a value to take out.</summary>
    private readonly record struct Part(string Text, string? Kind);
}
