namespace ContinualNative.Core.Redaction;

/// <summary>
/// Takes personal data and secrets out of texts before they are stored or sent, and puts them back into answers. Thread-safe; the work on one
/// request or conversation is a <see cref="RedactionSession"/>.
/// </summary>
/// <remarks>
/// Of overlapping finds the earliest wins, then the longest, then the rule that comes first: e-mail, keys, IBAN, cards, phones, addresses, the
/// user's patterns, plug-ins. What a loser covers beyond the winner is redacted as a value of its own, so nothing that any rule found remains.
/// Equal values (letter by letter) have one placeholder, numbered by first appearance.
/// </remarks>
public sealed class Redactor
{
    private readonly IRedactionRule[] _rules;
    private readonly HashSet<string> _kinds;

    /// <summary>Throws <see cref="PolicyOptionException"/> for a pattern that cannot be used, or for two rules of one kind.</summary>
    public Redactor(RedactionOptions options, IReadOnlyList<IRedactionRule> plugIns)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(plugIns);
        if (options.PatternTimeout <= TimeSpan.Zero || options.PatternTimeout > TimeSpan.FromMinutes(1))
        {
            throw new PolicyOptionException("redaction.pattern_timeout_seconds", "it must be more than 0 and at most 60");
        }
        Options = options;
        IRedactionRule[] builtIn = [new EmailRule(), new KeyRule(), new IbanRule(), new CardRule(), new PhoneRule(), new IpRule()];
        bool[] on = [options.Email, options.Key, options.Iban, options.Card, options.Phone, options.Ip];
        List<IRedactionRule> rules = [.. builtIn.Where((_, i) => on[i])];
        // Kinds that are switched off are known too: a stored text may hold placeholders from when they were on.
        _kinds = [.. builtIn.Select(static r => r.Kind)];
        foreach (RedactionPattern pattern in options.Patterns)
        {
            PatternRule rule = new(pattern, options.PatternTimeout);
            if (!_kinds.Add(rule.Kind))
            {
                throw new PolicyOptionException($"redaction.patterns.{pattern.Name}", $"there is another rule of the kind {rule.Kind}; choose another name");
            }
            rules.Add(rule);
        }
        foreach (IRedactionRule plugIn in plugIns)
        {
            if (!Placeholder.IsKind(plugIn.Kind))
            {
                throw new PolicyOptionException($"redaction plug-in {plugIn.GetType().Name}", "its kind must have at most 24 capital letters, digits and single underscores and begin with a letter");
            }
            if (!_kinds.Add(plugIn.Kind))
            {
                throw new PolicyOptionException($"redaction plug-in {plugIn.GetType().Name}", $"there is another rule of the kind {plugIn.Kind}");
            }
            rules.Add(plugIn);
        }
        _rules = [.. rules];
    }

    /// <summary>The options it was made with.</summary>
    public RedactionOptions Options { get; }

    /// <summary>All kinds that its placeholders may have.</summary>
    public IReadOnlyCollection<string> Kinds => _kinds;

    /// <summary>A session that knows no values yet.</summary>
    public RedactionSession NewSession() => new(this);

    /// <summary>
    /// A session for a conversation whose texts are known. What they hold that looks like a placeholder was written by somebody else, and is never
    /// given to a value: so <see cref="RedactionSession.Restore(string)"/> leaves it alone, wherever in the conversation it stands.
    /// </summary>
    public RedactionSession NewSession(IEnumerable<string?> texts)
    {
        ArgumentNullException.ThrowIfNull(texts);
        RedactionSession session = new(this);
        foreach (string? text in texts)
        {
            session.Reserve(text);
        }
        return session;
    }

    /// <summary>Everything that the rules find, sorted and without overlaps. Throws <see cref="RedactionException"/>.</summary>
    internal List<Find> FindAll(string text, string before)
    {
        List<Find> finds = [];
        List<RedactionRange> found = [];
        for (int order = 0; order < _rules.Length; order++)
        {
            IRedactionRule rule = _rules[order];
            found.Clear();
            try
            {
                if (rule is PhoneRule)
                {
                    PhoneRule.Find(text, before, found);
                }
                else
                {
                    rule.Find(text, found);
                }
            }
            catch (Exception e) when (e is not RedactionException)
            {
                throw new RedactionException(rule.Kind, $"it threw {e.GetType().Name}", e);
            }
            foreach (RedactionRange range in found)
            {
                if (range.Length <= 0 || range.Start < 0 || range.Start > text.Length - range.Length)
                {
                    throw new RedactionException(rule.Kind, $"it reported the range {range.Start}+{range.Length} of a text of {text.Length}");
                }
                (int start, int end) = Widened(text, range.Start, range.Start + range.Length);
                finds.Add(new Find(start, end, order, rule.Kind));
            }
        }
        finds.Sort(static (a, b) => a.Start != b.Start ? a.Start.CompareTo(b.Start) : a.End != b.End ? b.End.CompareTo(a.End) : a.Order.CompareTo(b.Order));
        int kept = 0;
        int covered = 0;
        for (int i = 0; i < finds.Count; i++)
        {
            Find find = finds[i];
            if (find.End > covered)
            {
                finds[kept++] = find with { Start = Math.Max(find.Start, covered) };
                covered = find.End;
            }
        }
        finds.RemoveRange(kept, finds.Count - kept);
        return finds;
    }

    // No half of a surrogate pair is left behind, and no half of an escape of JSON: in a\nbob@x.org (written out, as inside of a
    // larger text), the n belongs to the backslash.
    private static (int Start, int End) Widened(string text, int start, int end)
    {
        if (start > 0 && char.IsLowSurrogate(text[start]) && char.IsHighSurrogate(text[start - 1]))
        {
            start--;
        }
        if (end < text.Length && char.IsLowSurrogate(text[end]) && char.IsHighSurrogate(text[end - 1]))
        {
            end++;
        }
        int escape = start < text.Length ? DigitRun.EscapeAt(text, start) : 0;
        return (escape < end - start ? start + escape : start, end);
    }

    /// <summary>A part of a text, what kind of thing it is, and the place of the rule that says so.</summary>
    internal readonly record struct Find(int Start, int End, int Order, string Kind);
}
