using System.Globalization;
using System.Text;

namespace ContinualNative.Engine.Constraints;

/// <summary>
/// The regular part of ECMAScript's regular expressions as GBNF for the content of a JSON string: each character is written in
/// JSON's spelling, and without anchors the pattern may stand anywhere in the string.
/// </summary>
internal sealed class RegexGrammar
{
    private const int MaxDepth = 40;
    private const int MaxNodes = 4000;
    private const int MaxRepetitions = 10_000;

    private static readonly CodePointSet DigitSet = CodePointSet.Of(('0', '9'));
    private static readonly CodePointSet WordSet = CodePointSet.Of(('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z'));
    private static readonly CodePointSet LineEnds = CodePointSet.Of(('\n', '\n'), ('\r', '\r'), (0x2028, 0x2029));

    // ECMA-262, WhiteSpace and LineTerminator.
    private static readonly CodePointSet SpaceSet = CodePointSet.Of(
        (0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF));

    private readonly string _pattern;
    private readonly Func<string, EngineException> _refuse;
    private int _at;
    private int _nodes;

    private RegexGrammar(string pattern, Func<string, EngineException> refuse)
    {
        _pattern = pattern;
        _refuse = refuse;
    }

    /// <summary>The expression for a whole JSON string's content (without its quotes).</summary>
    /// <param name="builder">Takes the rules.</param>
    /// <param name="pattern">The regular expression.</param>
    /// <param name="anyCharacter">A rule for one character of a JSON string.</param>
    /// <param name="refuse">Makes the exception from what is wrong.</param>
    public static string Convert(GrammarBuilder builder, string pattern, string anyCharacter, Func<string, EngineException> refuse)
    {
        if (pattern.Length > 4096)
        {
            throw refuse("is longer than 4096 characters");
        }

        var parser = new RegexGrammar(pattern, refuse);
        Node tree = parser.ParseAlternatives(0);
        if (parser._at < pattern.Length)
        {
            throw refuse($"has a ')' without '(' at character {parser._at + 1}");
        }

        var emitter = new Emitter(builder, anyCharacter, parser);
        return emitter.Emit(parser.Anchor(tree));
    }

    // Anchors mean something only at the two ends of a whole alternative; elsewhere nothing (or little) could match.
    private Node Anchor(Node node)
    {
        if (node is Alternatives alternatives)
        {
            return new Alternatives([.. alternatives.Items.Select(Anchor)]);
        }

        List<Node> items = node is Sequence sequence ? [.. sequence.Items] : [node];
        if (items is [Alternatives or Sequence])
        {
            return Anchor(items[0]);
        }

        bool start = items.Count > 0 && items[0] is Edge { IsEnd: false };
        if (start)
        {
            items.RemoveAt(0);
        }

        bool end = items.Count > 0 && items[^1] is Edge { IsEnd: true };
        if (end)
        {
            items.RemoveAt(items.Count - 1);
        }

        if (items.Any(HasEdge))
        {
            throw _refuse("has an anchor that is not at the beginning ('^') or end ('$') of a whole alternative");
        }

        if (!start)
        {
            items.Insert(0, Anything.Instance);
        }

        if (!end && (start || items.Count > 1))
        {
            items.Add(Anything.Instance);
        }

        return new Sequence(items);
    }

    private static bool HasEdge(Node node) => node switch
    {
        Edge => true,
        Alternatives a => a.Items.Any(HasEdge),
        Sequence s => s.Items.Any(HasEdge),
        Repetition r => HasEdge(r.Item),
        _ => false,
    };

    private Node ParseAlternatives(int depth)
    {
        if (depth > MaxDepth)
        {
            throw _refuse($"nests groups deeper than {MaxDepth}");
        }

        var items = new List<Node> { ParseSequence(depth) };
        while (_at < _pattern.Length && _pattern[_at] == '|')
        {
            _at++;
            items.Add(ParseSequence(depth));
        }

        return items.Count == 1 ? items[0] : new Alternatives(items);
    }

    private Sequence ParseSequence(int depth)
    {
        var items = new List<Node>();
        while (_at < _pattern.Length && _pattern[_at] is not ('|' or ')'))
        {
            Count();
            Node item = ParseAtom(depth);
            while (_at < _pattern.Length && _pattern[_at] is '*' or '+' or '?' or '{')
            {
                if (item is Edge)
                {
                    throw _refuse($"repeats an anchor at character {_at + 1}");
                }

                if (item is Repetition { Bare: true })
                {
                    throw _refuse($"has nothing to repeat at character {_at + 1}");
                }

                item = ParseQuantifier(item);
            }

            items.Add(item is Repetition done ? done with { Bare = false } : item);
        }

        return new Sequence(items);
    }

    private Repetition ParseQuantifier(Node item)
    {
        int min = 0;
        int? max = null;
        switch (_pattern[_at++])
        {
            case '+':
                min = 1;
                break;
            case '?':
                max = 1;
                break;
            case '{':
                int close = _pattern.IndexOf('}', _at);
                string[] parts = close < 0 ? [] : _pattern[_at..close].Split(',');
                if (parts.Length is 0 or > 2 || !TryCount(parts[0], out min) || (parts.Length == 2 && parts[1].Length > 0 && !TryCount(parts[1], out _)))
                {
                    throw _refuse($"has a '{{' that is no quantifier at character {_at}; write it as \\{{");
                }

                max = parts.Length == 1 ? min : parts[1].Length == 0 ? null : int.Parse(parts[1], CultureInfo.InvariantCulture);
                if (max < min)
                {
                    throw _refuse($"has a quantifier whose upper bound is below the lower one at character {_at}");
                }

                if (min > MaxRepetitions || max > MaxRepetitions)
                {
                    throw _refuse($"repeats something more than {MaxRepetitions} times");
                }

                _at = close + 1;
                break;
        }

        // A lazy quantifier allows the same strings.
        if (_at < _pattern.Length && _pattern[_at] == '?')
        {
            _at++;
        }

        return new Repetition(item, min, max) { Bare = true };

        static bool TryCount(string text, out int value) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);
    }

    private Node ParseAtom(int depth)
    {
        char c = _pattern[_at];
        switch (c)
        {
            case '^':
                _at++;
                return new Edge(false);
            case '$':
                _at++;
                return new Edge(true);
            case '.':
                _at++;
                return new Characters(LineEnds.Complement());
            case '(':
                return ParseGroup(depth);
            case '[':
                return ParseClass();
            case '\\':
                return new Characters(ParseEscape(inClass: false));
            case '*' or '+' or '?' or '{':
                throw _refuse($"has nothing to repeat at character {_at + 1}");
            default:
                return new Characters(Just(NextCodePoint()));
        }
    }

    private Node ParseGroup(int depth)
    {
        int opened = ++_at;
        if (_at < _pattern.Length && _pattern[_at] == '?')
        {
            int name = _pattern.IndexOf('>', _at);
            if (Follows("?:"))
            {
                _at += 2;
            }
            else if (Follows("?<") && !Follows("?<=") && !Follows("?<!") && name > _at + 2)
            {
                _at = name + 1;
            }
            else
            {
                throw _refuse($"uses lookaround or an inline flag at character {opened}, which no grammar can express");
            }
        }

        Node inside = ParseAlternatives(depth + 1);
        if (_at >= _pattern.Length)
        {
            throw _refuse($"has a '(' without ')' at character {opened}");
        }

        _at++;
        return inside;
    }

    private Characters ParseClass()
    {
        int opened = ++_at;
        bool negated = _at < _pattern.Length && _pattern[_at] == '^';
        if (negated)
        {
            _at++;
        }

        CodePointSet set = CodePointSet.Of();
        while (true)
        {
            if (_at >= _pattern.Length)
            {
                throw _refuse($"has a '[' without ']' at character {opened}");
            }

            if (_pattern[_at] == ']')
            {
                _at++;
                break;
            }

            Count();
            CodePointSet low = ClassMember();
            if (_at + 1 < _pattern.Length && _pattern[_at] == '-' && _pattern[_at + 1] != ']')
            {
                _at++;
                CodePointSet high = ClassMember();
                if (low.Single < 0 || high.Single < low.Single)
                {
                    throw _refuse($"has a character range that is out of order or no range at character {_at}");
                }

                low = CodePointSet.Of((low.Single, high.Single));
            }

            set = set.Union(low);
        }

        set = negated ? set.Complement() : set;
        return set.IsEmpty ? throw _refuse($"has a character class that nothing matches at character {opened}") : new Characters(set);
    }

    private CodePointSet ClassMember() => _pattern[_at] == '\\' ? ParseEscape(inClass: true) : Just(NextCodePoint());

    private CodePointSet ParseEscape(bool inClass)
    {
        int from = ++_at;
        if (_at >= _pattern.Length)
        {
            throw _refuse("ends with a backslash");
        }

        char c = _pattern[_at++];
        switch (c)
        {
            case 'd':
                return DigitSet;
            case 'D':
                return DigitSet.Complement();
            case 'w':
                return WordSet;
            case 'W':
                return WordSet.Complement();
            case 's':
                return SpaceSet;
            case 'S':
                return SpaceSet.Complement();
            case 't':
                return Just('\t');
            case 'n':
                return Just('\n');
            case 'r':
                return Just('\r');
            case 'f':
                return Just('\f');
            case 'v':
                return Just('\v');
            case 'b' when inClass:
                return Just('\b');
            case '0' when _at >= _pattern.Length || !char.IsAsciiDigit(_pattern[_at]):
                return Just(0);
            case 'x':
                return Just(Hex(2, from));
            case 'u':
                return Just(Unicode(from));
            default:
                if (char.IsAsciiLetterOrDigit(c) || char.IsSurrogate(c))
                {
                    throw _refuse($"uses '\\{c}' at character {from}, which is not supported (back-references, word boundaries and property classes are not)");
                }

                return Just(c);
        }
    }

    private int Unicode(int from)
    {
        if (_at < _pattern.Length && _pattern[_at] == '{')
        {
            int close = _pattern.IndexOf('}', _at);
            if (close < 0 || close - _at is 1 or > 7)
            {
                throw _refuse($"has a malformed \\u{{...}} at character {from}");
            }

            _at++;
            int value = Hex(close - _at, from);
            _at++;
            return value <= CodePointSet.Max && value is < 0xD800 or > 0xDFFF ? value : throw _refuse($"names a code point that doesn't exist at character {from}");
        }

        int high = Hex(4, from);
        if (high is < 0xD800 or > 0xDFFF)
        {
            return high;
        }

        if (high < 0xDC00 && Follows("\\u"))
        {
            _at += 2;
            int low = Hex(4, from);
            if (low is >= 0xDC00 and <= 0xDFFF)
            {
                return char.ConvertToUtf32((char)high, (char)low);
            }
        }

        throw _refuse($"names half of a surrogate pair at character {from}");
    }

    private int Hex(int digits, int from)
    {
        if (_at + digits > _pattern.Length || !int.TryParse(_pattern.AsSpan(_at, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value))
        {
            throw _refuse($"has a malformed escape at character {from}");
        }

        _at += digits;
        return value;
    }

    private int NextCodePoint()
    {
        if (!Rune.TryGetRuneAt(_pattern, _at, out Rune rune))
        {
            throw _refuse($"holds half of a surrogate pair at character {_at + 1}");
        }

        _at += rune.Utf16SequenceLength;
        return rune.Value;
    }

    private bool Follows(string text) => _pattern.AsSpan(_at).StartsWith(text, StringComparison.Ordinal);

    private static CodePointSet Just(int codePoint) => CodePointSet.Of((codePoint, codePoint));

    private void Count()
    {
        if (++_nodes > MaxNodes)
        {
            throw _refuse("is too large; simplify it");
        }
    }

    private abstract record Node;

    private sealed record Characters(CodePointSet Set) : Node;

    private sealed record Sequence(IReadOnlyList<Node> Items) : Node;

    private sealed record Alternatives(IReadOnlyList<Node> Items) : Node;

    private sealed record Repetition(Node Item, int Min, int? Max) : Node
    {
        /// <summary>Just parsed: a further quantifier would apply to nothing.</summary>
        public bool Bare { get; init; }
    }

    private sealed record Edge(bool IsEnd) : Node;

    /// <summary>Any run of characters, where the pattern isn't anchored.</summary>
    private sealed record Anything : Node
    {
        public static Anything Instance { get; } = new();
    }

    private sealed class Emitter(GrammarBuilder builder, string anyCharacter, RegexGrammar owner)
    {
        public string Emit(Node node)
        {
            owner.Count();
            switch (node)
            {
                case Characters characters:
                    return OneOf(characters.Set);
                case Anything:
                    return anyCharacter + "*";
                case Alternatives alternatives:
                    return "(" + string.Join(" | ", alternatives.Items.Select(Emit)) + ")";
                case Repetition repetition:
                    return EmitRepetition(repetition);
                case Sequence sequence:
                    return EmitSequence(sequence.Items);
                default:
                    throw owner._refuse("has an anchor in a place that is not supported");
            }
        }

        private string EmitSequence(IReadOnlyList<Node> items)
        {
            var parts = new List<string>();
            var literal = new StringBuilder();
            foreach (Node item in items)
            {
                if (item is Characters { Set.Single: >= 0 } one)
                {
                    literal.Append(JsonText.Character(one.Set.Single));
                    continue;
                }

                Flush();
                string part = Emit(item);
                if (part != "\"\"")
                {
                    parts.Add(part);
                }
            }

            Flush();
            return parts.Count == 0 ? "\"\"" : string.Join(' ', parts);

            void Flush()
            {
                if (literal.Length > 0)
                {
                    parts.Add(GrammarBuilder.Literal(literal.ToString()));
                    literal.Clear();
                }
            }
        }

        private string EmitRepetition(Repetition repetition)
        {
            (Node item, int min, int? max) = (repetition.Item, repetition.Min, repetition.Max);
            if (CanBeEmpty(item))
            {
                // (x?)* and its like loop without progress; the same strings come from repeating what is left of x without "".
                if (Without(item) is not { } solid)
                {
                    return "\"\"";
                }

                (item, min) = (solid, 0);
            }

            if (max == 0)
            {
                return "\"\"";
            }

            string text = Emit(item);
            string atom = text.StartsWith('[') && item is Characters ? text : builder.Add("re", text);
            return builder.Repeat(atom, min, max);
        }

        private static bool CanBeEmpty(Node node) => node switch
        {
            Anything => true,
            Alternatives a => a.Items.Any(CanBeEmpty),
            Sequence s => s.Items.All(CanBeEmpty),
            Repetition r => r.Min == 0 || CanBeEmpty(r.Item),
            _ => false,
        };

        /// <summary>What <paramref name="node"/> matches, less the empty string; null where nothing is left.</summary>
        private Node? Without(Node node)
        {
            owner.Count();
            switch (node)
            {
                case Alternatives alternatives:
                    Node[] left = [.. alternatives.Items.Select(Without).OfType<Node>()];
                    return left.Length == 0 ? null : new Alternatives(left);
                case Repetition { Max: 0 }:
                    return null;
                case Repetition repetition:
                    if (!CanBeEmpty(repetition))
                    {
                        return repetition;
                    }

                    Node? item = CanBeEmpty(repetition.Item) ? Without(repetition.Item) : repetition.Item;
                    return item is null ? null : new Repetition(item, 1, repetition.Max);
                case Sequence sequence:
                    if (!CanBeEmpty(sequence))
                    {
                        return sequence;
                    }

                    // The first part that isn't empty decides: everything before it is.
                    var starts = new List<Node>();
                    for (int i = 0; i < sequence.Items.Count; i++)
                    {
                        if (Without(sequence.Items[i]) is { } head)
                        {
                            starts.Add(new Sequence([head, .. sequence.Items.Skip(i + 1)]));
                        }
                    }

                    return starts.Count == 0 ? null : new Alternatives(starts);
                default:
                    return node;
            }
        }

        private string OneOf(CodePointSet set)
        {
            if (set.Single >= 0)
            {
                return GrammarBuilder.Literal(JsonText.Character(set.Single));
            }

            CodePointSet raw = set.Intersect(CodePointSet.JsonRaw);
            CodePointSet spelled = set.Except(CodePointSet.JsonRaw);
            if (spelled.IsEmpty)
            {
                return raw.ToGbnf();
            }

            var alternatives = new List<string>();
            if (!raw.IsEmpty)
            {
                alternatives.Add(raw.ToGbnf());
            }

            foreach ((int low, int high) in spelled.Ranges)
            {
                for (int c = low; c <= high; c++)
                {
                    alternatives.Add(GrammarBuilder.Literal(JsonText.Character(c)));
                }
            }

            return builder.Add("set", string.Join(" | ", alternatives));
        }
    }
}
