using System.Diagnostics;
using System.Text.RegularExpressions;

namespace ContinualNative.Core.Redaction;

/// <summary>A user's pattern. Its matches of no length are passed over.</summary>
internal sealed class PatternRule : IRedactionRule
{
    private readonly Regex _regex;
    private readonly TimeSpan _timeout;

    /// <summary>Throws <see cref="PolicyOptionException"/> for a name or a pattern that cannot be used.</summary>
    public PatternRule(RedactionPattern pattern, TimeSpan timeout)
    {
        string key = $"redaction.patterns.{pattern.Name}";
        Kind = pattern.Name.ToUpperInvariant();
        if (!Placeholder.IsKind(Kind))
        {
            throw new PolicyOptionException(key, $"a name has at most {Placeholder.MaxKindLength} letters, digits and single underscores and begins with a letter");
        }
        _timeout = timeout;
        RegexOptions options = RegexOptions.CultureInvariant | (pattern.IgnoreCase ? RegexOptions.IgnoreCase : RegexOptions.None);
        try
        {
            _regex = Compile(pattern.Pattern, options, timeout);
        }
        catch (ArgumentException e)
        {
            throw new PolicyOptionException(key, $"this is not a regular expression of .NET: {e.Message.TrimEnd('.')}", e);
        }
        bool matchesNothing;
        try
        {
            Match empty = _regex.Match("");
            matchesNothing = empty.Success && pattern.Pattern.Length == 0;
        }
        catch (RegexMatchTimeoutException e)
        {
            throw new PolicyOptionException(key, "it does not even finish on an empty text; simplify it", e);
        }
        if (matchesNothing)
        {
            throw new PolicyOptionException(key, "the pattern is empty");
        }
    }

    public string Kind { get; }

    public void Find(ReadOnlySpan<char> text, ICollection<RedactionRange> found)
    {
        // The timeout of the expression is for one match. All matches of one text share it here: many cheap ones may be dear together.
        long begin = Stopwatch.GetTimestamp();
        try
        {
            foreach (ValueMatch match in _regex.EnumerateMatches(text))
            {
                if (match.Length > 0)
                {
                    found.Add(new RedactionRange(match.Index, match.Length));
                }
                if (Stopwatch.GetElapsedTime(begin) > _timeout)
                {
                    throw TooSlow(null);
                }
            }
        }
        catch (RegexMatchTimeoutException e)
        {
            throw TooSlow(e);
        }
    }

    // Without backtracking no text takes more than linear time for a match; what needs backtracking (look-around, back-references) gets the clock only.
    private static Regex Compile(string pattern, RegexOptions options, TimeSpan timeout)
    {
        try
        {
            return new Regex(pattern, options | RegexOptions.NonBacktracking, timeout);
        }
        catch (NotSupportedException)
        {
            return new Regex(pattern, options, timeout);
        }
    }

    private RedactionException TooSlow(Exception? inner) => new(Kind, $"the pattern took longer than {_timeout.TotalSeconds:0.###} s on one text", inner);
}
