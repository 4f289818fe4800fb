using System.Globalization;
using System.Text;

namespace ContinualNative.Engine.Constraints;

/// <summary>An immutable set of Unicode scalar values (surrogates are never in it), kept as sorted, disjoint, inclusive ranges.</summary>
internal sealed class CodePointSet
{
    public const int Max = 0x10FFFF;

    private readonly (int Low, int High)[] _ranges;

    private CodePointSet((int Low, int High)[] ranges) => _ranges = ranges;

    /// <summary>Every scalar value.</summary>
    public static CodePointSet All { get; } = Of((0, Max));

    /// <summary>What may stand in a JSON string as itself: no quote, no backslash, no control character.</summary>
    public static CodePointSet JsonRaw { get; } = Of((0x20, '!'), ('#', '['), (']', Max));

    public IReadOnlyList<(int Low, int High)> Ranges => _ranges;

    public bool IsEmpty => _ranges.Length == 0;

    /// <summary>The only member, or −1 where there are none or several.</summary>
    public int Single => _ranges.Length == 1 && _ranges[0].Low == _ranges[0].High ? _ranges[0].Low : -1;

    public static CodePointSet Of(params IEnumerable<(int Low, int High)> ranges)
    {
        var clean = new List<(int Low, int High)>();
        foreach ((int low, int high) in ranges)
        {
            // UTF-8 has no surrogates: a range that spans them is two.
            Add(clean, low, Math.Min(high, 0xD7FF));
            Add(clean, Math.Max(low, 0xE000), Math.Min(high, Max));
        }

        clean.Sort();
        var merged = new List<(int Low, int High)>();
        foreach ((int low, int high) in clean)
        {
            if (merged.Count > 0 && low <= merged[^1].High + 1)
            {
                merged[^1] = (merged[^1].Low, Math.Max(high, merged[^1].High));
            }
            else
            {
                merged.Add((low, high));
            }
        }

        return new CodePointSet([.. merged]);

        static void Add(List<(int, int)> list, int low, int high)
        {
            if (low <= high)
            {
                list.Add((low, high));
            }
        }
    }

    public bool Contains(int codePoint) => Array.Exists(_ranges, range => range.Low <= codePoint && codePoint <= range.High);

    public CodePointSet Union(CodePointSet other) => Of([.. _ranges, .. other._ranges]);

    public CodePointSet Complement()
    {
        var gaps = new List<(int Low, int High)>();
        int next = 0;
        foreach ((int low, int high) in _ranges)
        {
            gaps.Add((next, low - 1));
            next = high + 1;
        }

        gaps.Add((next, Max));
        return Of(gaps);
    }

    public CodePointSet Intersect(CodePointSet other) => Complement().Union(other.Complement()).Complement();

    public CodePointSet Except(CodePointSet other) => Intersect(other.Complement());

    /// <summary>
    /// The set as a GBNF character class. Decision: always a positive class. llama.cpp refuses every partial UTF-8 sequence that
    /// could still become an excluded character of a negated class, so negation would forbid legal multi-token characters.
    /// </summary>
    public string ToGbnf()
    {
        var text = new StringBuilder("[");
        foreach ((int low, int high) in _ranges)
        {
            AppendClassMember(text, low);
            if (high > low)
            {
                if (high > low + 1)
                {
                    text.Append('-');
                }

                AppendClassMember(text, high);
            }
        }

        return text.Append(']').ToString();
    }

    private static void AppendClassMember(StringBuilder text, int codePoint)
    {
        switch (codePoint)
        {
            case '\\' or '[' or ']' or '-':
                text.Append('\\').Append((char)codePoint);
                break;
            case '^' or < 0x20 or 0x7F:
                text.Append("\\x").Append(codePoint.ToString("X2", CultureInfo.InvariantCulture));
                break;
            case < 0x7F:
                text.Append((char)codePoint);
                break;
            case <= 0xFFFF:
                text.Append("\\u").Append(codePoint.ToString("X4", CultureInfo.InvariantCulture));
                break;
            default:
                text.Append("\\U").Append(codePoint.ToString("X8", CultureInfo.InvariantCulture));
                break;
        }
    }
}
