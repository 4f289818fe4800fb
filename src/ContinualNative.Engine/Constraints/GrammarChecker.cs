using System.Buffers;
using System.Globalization;
using System.Text;

namespace ContinualNative.Engine.Constraints;

/// <summary>
/// Reads GBNF as llama.cpp v0.5.0 does (src/llama-grammar.cpp), expands it to the same flat rules, and refuses what it would refuse
/// (with the place), what it reads otherwise than written, and what would exhaust it: its parser and its left-recursion check recurse,
/// its stacks are lists that are copied, and nothing there is bounded but single repetition counts.
/// </summary>
internal sealed class GrammarChecker
{
    private const int MaxNesting = 100;
    private const int MaxRules = 100_000;
    private const int MaxElements = 400_000;
    private const int MaxRepetition = 2000;
    private const int MaxLeftDepth = 1000;
    private const int MaxLeftPaths = 5000;
    private const int MaxTotalPaths = 1_000_000;

    private static readonly SearchValues<char> HexDigits = SearchValues.Create("0123456789abcdefABCDEF");

    private readonly string _text;
    private readonly string _param;
    private readonly bool _generated;
    private readonly Dictionary<string, int> _symbols = new(StringComparer.Ordinal);
    private readonly List<string> _names = [];
    private readonly List<int> _firstUse = [];
    private readonly List<List<GrammarElement>?> _rules = [];
    private int _at;
    private int _elements;
    private int _nesting;

    private GrammarChecker(string text, string param, bool generated)
    {
        _text = text;
        _param = param;
        _generated = generated;
    }

    /// <summary>Passes, or throws an <see cref="EngineException"/> about <paramref name="param"/>.</summary>
    /// <param name="text">The grammar.</param>
    /// <param name="maxBytes">Longest text, in bytes of UTF-8.</param>
    /// <param name="param">The request field at fault.</param>
    /// <param name="generated">The grammar was made from a schema: errors speak of that and not of lines.</param>
    public static void Check(string text, int maxBytes, string param, bool generated)
    {
        if (text.Length > maxBytes || Encoding.UTF8.GetByteCount(text) > maxBytes)
        {
            throw new EngineException(EngineError.InvalidRequest, $"The grammar exceeds {maxBytes / 1024} KiB; use a smaller one.", param);
        }

        var checker = new GrammarChecker(text, param, generated);
        checker.ParseGrammar();
        GrammarElement[][] rules = checker.Finish(out int root);
        checker.CheckLeftEdges(rules, root);
        if (GrammarProbe.Explodes(rules, root))
        {
            throw checker.Fail(-1, "is so ambiguous that the ways to read a text multiply without bound; give each text one reading", "has alternatives that begin alike and nest in each other, which multiplies the ways to read a document; put the property that tells them apart first");
        }
    }

    private EngineException Fail(int position, string what, string? ofSchema = null)
    {
        if (_generated)
        {
            return new EngineException(EngineError.InvalidRequest, $"'{_param}' can't be turned into a grammar: it {ofSchema ?? what}.", _param);
        }

        if (position < 0)
        {
            return new EngineException(EngineError.InvalidRequest, $"The grammar {what}.", _param);
        }

        int line = 1;
        int column = 1;
        for (int i = 0; i < position && i < _text.Length; i++)
        {
            if (_text[i] == '\n')
            {
                line++;
                column = 1;
            }
            else
            {
                column++;
            }
        }

        return new EngineException(EngineError.InvalidRequest, $"The grammar, line {line}, column {column}: {what}.", _param);
    }

    private void ParseGrammar()
    {
        for (int i = 0; i < _text.Length; i++)
        {
            if (_text[i] == '\0')
            {
                throw Fail(i, "U+0000 would end the text here; take it out");
            }

            if (char.IsSurrogate(_text[i]) && !(char.IsHighSurrogate(_text[i]) && i + 1 < _text.Length && char.IsLowSurrogate(_text[++i])))
            {
                throw Fail(i, "half of a surrogate pair; take it out");
            }
        }

        Space(true);
        while (_at < _text.Length)
        {
            ParseRule();
        }
    }

    private void ParseRule()
    {
        int start = _at;
        string name = Name("a rule's name (letters, digits and '-')");
        Space(false);
        if (!_text.AsSpan(_at).StartsWith("::=", StringComparison.Ordinal))
        {
            throw Fail(_at, $"expected '::=' after the rule name '{name}'");
        }

        _at += 3;
        Space(true);
        int id = Symbol(name, start);
        if (_rules[id] is not null)
        {
            throw Fail(start, $"the rule '{name}' is defined twice; only the last would count");
        }

        ParseAlternatives(name, id, false);
        if (_at < _text.Length && Now is not ('\r' or '\n'))
        {
            throw Fail(_at, Now == ')' ? "')' without '('" : $"unexpected '{Shown()}'");
        }

        Space(true);
    }

    private void ParseAlternatives(string name, int id, bool nested)
    {
        var rule = new List<GrammarElement>();
        ParseSequence(rule, name, nested);
        while (Now == '|')
        {
            Put(rule, new GrammarElement(ElementKind.Alternative, 0));
            _at++;
            Space(true);
            ParseSequence(rule, name, nested);
        }

        Put(rule, new GrammarElement(ElementKind.End, 0));
        _rules[id] = rule;
    }

    private void ParseSequence(List<GrammarElement> rule, string name, bool nested)
    {
        int last = rule.Count;
        long weight = 1;
        while (_at < _text.Length)
        {
            int start = _at;
            switch (Now)
            {
                case '"':
                    _at++;
                    last = rule.Count;
                    weight = 1;
                    while (Now != '"')
                    {
                        Put(rule, new GrammarElement(ElementKind.Character, Character(start, "the literal that begins here is not closed with '\"'")));
                    }

                    _at++;
                    Space(nested);
                    break;
                case '[':
                    last = rule.Count;
                    weight = 1;
                    ParseClass(rule);
                    Space(nested);
                    break;
                case '.':
                    last = rule.Count;
                    weight = 1;
                    Put(rule, new GrammarElement(ElementKind.Any, 0));
                    _at++;
                    Space(nested);
                    break;
                case '(':
                    if (++_nesting > MaxNesting)
                    {
                        throw Fail(start, $"groups are nested deeper than {MaxNesting}; use rules");
                    }

                    _at++;
                    Space(true);
                    int before = _symbols.Count;
                    int id = Synthesize(name);
                    ParseAlternatives(name, id, true);
                    weight = Math.Max(1, _symbols.Count - before);
                    last = rule.Count;
                    Put(rule, new GrammarElement(ElementKind.Reference, id));
                    if (Now != ')')
                    {
                        throw _at < _text.Length ? Fail(_at, $"unexpected '{Shown()}' in a group") : Fail(start, "the group that begins here is not closed with ')'");
                    }

                    _nesting--;
                    _at++;
                    Space(nested);
                    break;
                case '*' or '+' or '?' or '{':
                    if (last == rule.Count)
                    {
                        throw Fail(start, $"'{Now}' has nothing before it to repeat");
                    }

                    (long min, long? max) = Quantifier(nested);
                    Repeat(rule, last, min, max, name, ref weight, start);
                    break;
                case '<' or '!':
                    throw Fail(start, "token syntax (<text>, <[id]>, !<...>) is not supported; write the text as a literal");
                case var c when IsWord(c):
                    string reference = Name("a rule's name");
                    int symbol = Symbol(reference, start);
                    Space(nested);
                    last = rule.Count;
                    weight = 1;
                    Put(rule, new GrammarElement(ElementKind.Reference, symbol));
                    break;
                default:
                    return;
            }
        }
    }

    private void ParseClass(List<GrammarElement> rule)
    {
        int start = _at++;
        const string Open = "the class that begins here is not closed with ']'";
        ElementKind kind = ElementKind.Character;
        if (Now == '^')
        {
            _at++;
            kind = ElementKind.Not;
        }

        if (Now == ']')
        {
            throw Fail(start, "the class is empty, which llama.cpp reads as nothing at all; name its characters");
        }

        while (Now != ']')
        {
            int low = Character(start, Open);
            Put(rule, new GrammarElement(kind, low));
            kind = ElementKind.OrCharacter;
            if (Now == '-' && Next != ']')
            {
                int at = _at++;
                int high = Character(start, Open);
                if (high < low)
                {
                    throw Fail(at, "the range is out of order, so nothing matches it");
                }

                Put(rule, new GrammarElement(ElementKind.UpTo, high));
            }
        }

        _at++;
    }

    private (long Min, long? Max) Quantifier(bool nested)
    {
        int start = _at;
        char c = _text[_at++];
        Space(nested);
        switch (c)
        {
            case '*':
                return (0, null);
            case '+':
                return (1, null);
            case '?':
                return (0, 1);
        }

        long min = Integer();
        long? max = min;
        Space(nested);
        if (Now == ',')
        {
            _at++;
            Space(nested);
            max = char.IsAsciiDigit(Now) ? Integer() : null;
            Space(nested);
        }

        if (Now != '}')
        {
            throw Fail(_at, "expected '}' after the repetition count");
        }

        _at++;
        Space(nested);
        if (min > MaxRepetition || max > MaxRepetition)
        {
            throw Fail(start, $"repeats more than {MaxRepetition} times, the most that is supported; nest two repetitions");
        }

        return max < min ? throw Fail(start, "the upper repetition count is below the lower one") : (min, max);
    }

    private long Integer()
    {
        int start = _at;
        while (char.IsAsciiDigit(Now))
        {
            _at++;
        }

        if (start == _at)
        {
            throw Fail(_at, "expected a number in '{}'");
        }

        return long.TryParse(_text.AsSpan(start, _at - start), NumberStyles.None, CultureInfo.InvariantCulture, out long value) ? value : long.MaxValue;
    }

    // llama.cpp's own rewriting: S{m,n} is m copies of S and then n − m rules, each "S and the next, or nothing".
    private void Repeat(List<GrammarElement> rule, int last, long min, long? max, string name, ref long weight, int start)
    {
        long total = max is > 0 ? max.Value : Math.Max(min, 1);
        weight *= total;
        if (weight > MaxRepetition)
        {
            throw Fail(start, $"the repetitions multiply to more than {MaxRepetition} rules; lower the counts or put what is repeated into a rule of its own");
        }

        GrammarElement[] item = [.. rule[last..]];
        if (min == 0)
        {
            rule.RemoveRange(last, item.Length);
        }

        for (long i = 1; i < min; i++)
        {
            foreach (GrammarElement element in item)
            {
                Put(rule, element);
            }
        }

        int tail = -1;
        for (long i = 0; i < (max is null ? 1 : max.Value - min); i++)
        {
            int id = Synthesize(name);
            var optional = new List<GrammarElement>(item.Length + 3);
            foreach (GrammarElement element in item)
            {
                Put(optional, element);
            }

            if (max is null || tail >= 0)
            {
                Put(optional, new GrammarElement(ElementKind.Reference, max is null ? id : tail));
            }

            Put(optional, new GrammarElement(ElementKind.Alternative, 0));
            Put(optional, new GrammarElement(ElementKind.End, 0));
            _rules[id] = optional;
            tail = id;
        }

        if (tail >= 0)
        {
            Put(rule, new GrammarElement(ElementKind.Reference, tail));
        }
    }

    private int Character(int start, string unclosed)
    {
        if (_at >= _text.Length)
        {
            throw Fail(start, unclosed);
        }

        int at = _at;
        if (_text[_at] != '\\')
        {
            Rune rune = Rune.GetRuneAt(_text, _at);
            _at += rune.Utf16SequenceLength;
            return rune.Value;
        }

        char c = _at + 1 < _text.Length ? _text[_at + 1] : '\0';
        _at = Math.Min(_at + 2, _text.Length);
        int value = c switch
        {
            't' => '\t',
            'r' => '\r',
            'n' => '\n',
            '\\' or '"' or '[' or ']' or '-' => c,
            'x' => Hex(2, at),
            'u' => Hex(4, at),
            'U' => Hex(8, at),
            _ => throw Fail(at, c == '\0' ? unclosed : $"unknown escape '\\{c}'; there are \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\xHH \\uHHHH \\UHHHHHHHH"),
        };
        if (value is >= 0xD800 and <= 0xDFFF)
        {
            throw Fail(at, "half of a surrogate pair is no character; write the character itself or \\UHHHHHHHH");
        }
        return value is > CodePointSet.Max or < 0 ? throw Fail(at, "there is no code point beyond U+10FFFF") : value;
    }

    private int Hex(int digits, int at)
    {
        if (_at + digits > _text.Length || _text.AsSpan(_at, digits).ContainsAnyExcept(HexDigits))
        {
            throw Fail(at, $"expected {digits} hexadecimal digits");
        }

        int value = unchecked((int)uint.Parse(_text.AsSpan(_at, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture));
        _at += digits;
        return value;
    }

    private string Name(string what)
    {
        int start = _at;
        while (IsWord(Now))
        {
            _at++;
        }

        return _at > start ? _text[start.._at] : throw Fail(_at, $"expected {what}, not '{Shown()}'");
    }

    private void Space(bool newlines)
    {
        while (_at < _text.Length)
        {
            char c = _text[_at];
            if (c == '#')
            {
                while (_at < _text.Length && _text[_at] is not ('\r' or '\n'))
                {
                    _at++;
                }
            }
            else if (c is ' ' or '\t' || (newlines && c is '\r' or '\n'))
            {
                _at++;
            }
            else
            {
                return;
            }
        }
    }

    private static bool IsWord(char c) => char.IsAsciiLetterOrDigit(c) || c == '-';

    private char Now => _at < _text.Length ? _text[_at] : '\0';

    private char Next => _at + 1 < _text.Length ? _text[_at + 1] : '\0';

    private string Shown() => _at < _text.Length ? Rune.GetRuneAt(_text, _at).ToString() : "end of text";

    private int Symbol(string name, int at)
    {
        if (_symbols.TryGetValue(name, out int id))
        {
            return id;
        }

        id = _rules.Count;
        if (id >= MaxRules)
        {
            throw Fail(at, $"the grammar expands to more than {MaxRules} rules; make it smaller", "is too large");
        }

        _symbols.Add(name, id);
        _names.Add(name);
        _firstUse.Add(at);
        _rules.Add(null);
        return id;
    }

    // '_' can't stand in a written name, so these never meet one.
    private int Synthesize(string name) => Symbol(string.Create(CultureInfo.InvariantCulture, $"{name}_{_rules.Count}"), _at);

    private void Put(List<GrammarElement> rule, GrammarElement element)
    {
        if (++_elements > MaxElements)
        {
            throw Fail(_at, $"the grammar expands to more than {MaxElements} symbols; lower the repetition counts", "is too large");
        }

        rule.Add(element);
    }

    private GrammarElement[][] Finish(out int root)
    {
        for (int i = 0; i < _rules.Count; i++)
        {
            if (_rules[i] is null)
            {
                throw Fail(_firstUse[i], $"the rule '{_names[i]}' is not defined", "can't be satisfied");
            }
        }

        if (!_symbols.TryGetValue("root", out root))
        {
            throw Fail(-1, "has no rule 'root', where every text begins");
        }

        return [.. _rules.Select(rule => rule!.ToArray())];
    }

    private void CheckLeftEdges(GrammarElement[][] rules, int root)
    {
        bool[] empty = Fixpoint(rules, terminals: false);
        bool[] finite = Fixpoint(rules, terminals: true);
        if (!finite[root])
        {
            throw Fail(-1, "has no text that it could ever finish: each way through 'root' goes on without end", "asks for an endless document");
        }

        // Rules that can stand at the very beginning of each rule.
        var left = new List<int>[rules.Length];
        for (int i = 0; i < rules.Length; i++)
        {
            left[i] = [];
            bool atStart = true;
            foreach (GrammarElement element in rules[i])
            {
                switch (element.Kind)
                {
                    case ElementKind.Reference:
                        if (atStart)
                        {
                            left[i].Add(element.Value);
                            atStart = empty[element.Value];
                        }

                        break;
                    case ElementKind.Alternative or ElementKind.End:
                        atStart = true;
                        break;
                    default:
                        atStart = false;
                        break;
                }
            }
        }

        // Depth first with a stack of our own; state: 0 new, 1 under way, 2 done.
        var state = new byte[rules.Length];
        var paths = new long[rules.Length];
        var depth = new int[rules.Length];
        long total = 0;
        var stack = new Stack<(int Rule, int Next)>();
        for (int i = 0; i < rules.Length; i++)
        {
            if (state[i] == 0)
            {
                stack.Push((i, 0));
                state[i] = 1;
                while (stack.Count > 0)
                {
                    (int rule, int next) = stack.Pop();
                    if (next < left[rule].Count)
                    {
                        stack.Push((rule, next + 1));
                        int child = left[rule][next];
                        if (state[child] == 1)
                        {
                            throw Fail(
                                _firstUse[child],
                                $"left recursion: '{Written(child)}' can begin with itself, or repeats something that can be empty; make each round consume a character first",
                                "refers to itself without going deeper");
                        }

                        if (state[child] == 0)
                        {
                            state[child] = 1;
                            stack.Push((child, 0));
                        }
                    }
                    else
                    {
                        paths[rule] = 1 + left[rule].Sum(child => paths[child]);
                        depth[rule] = 1 + left[rule].Select(child => depth[child]).DefaultIfEmpty().Max();
                        state[rule] = 2;
                        if (paths[rule] > MaxLeftPaths || depth[rule] > MaxLeftDepth)
                        {
                            throw Fail(_firstUse[rule], $"'{Written(rule)}' can begin in too many ways; factor out what they share", "has too many alternatives or optional properties");
                        }
                    }
                }

                total += paths[i];
                if (total > MaxTotalPaths)
                {
                    throw Fail(-1, "begins in too many ways; make it smaller", "is too large");
                }
            }
        }
    }

    private string Written(int rule)
    {
        string name = _names[rule];
        int underscore = name.IndexOf('_');
        return underscore < 0 ? name : name[..underscore];
    }

    /// <summary>The rules of which some alternative holds only such rules (and, if <paramref name="terminals"/>, characters).</summary>
    private static bool[] Fixpoint(GrammarElement[][] rules, bool terminals)
    {
        var holds = new bool[rules.Length];
        var waiting = new List<(int Rule, int[] Missing)>();
        var users = new List<int>[rules.Length];
        var ready = new Queue<int>();
        for (int i = 0; i < rules.Length; i++)
        {
            users[i] = [];
        }

        for (int i = 0; i < rules.Length; i++)
        {
            int missing = 0;
            bool blocked = false;
            var references = new List<int>();
            foreach (GrammarElement element in rules[i])
            {
                switch (element.Kind)
                {
                    case ElementKind.Reference:
                        references.Add(element.Value);
                        missing++;
                        break;
                    case ElementKind.Alternative or ElementKind.End:
                        if (!blocked && missing == 0 && !holds[i])
                        {
                            holds[i] = true;
                            ready.Enqueue(i);
                        }
                        else if (!blocked && missing > 0)
                        {
                            foreach (int reference in references)
                            {
                                users[reference].Add(waiting.Count);
                            }

                            waiting.Add((i, [missing]));
                        }

                        missing = 0;
                        blocked = false;
                        references.Clear();
                        break;
                    default:
                        blocked |= !terminals;
                        break;
                }
            }
        }

        while (ready.TryDequeue(out int rule))
        {
            foreach (int user in users[rule])
            {
                (int owner, int[] missing) = waiting[user];
                if (--missing[0] == 0 && !holds[owner])
                {
                    holds[owner] = true;
                    ready.Enqueue(owner);
                }
            }
        }

        return holds;
    }
}

/// <summary>What a flat rule is made of.</summary>
internal enum ElementKind : byte
{
    End,
    Alternative,
    Reference,

    /// <summary>A character, or the first of a class.</summary>
    Character,

    /// <summary>The first of a negated class.</summary>
    Not,

    /// <summary>Any character.</summary>
    Any,

    /// <summary>A further member of a class.</summary>
    OrCharacter,

    /// <summary>The upper end of a range whose lower end is the element before.</summary>
    UpTo,
}

/// <summary>One element of a flat rule: a code point or a rule's number.</summary>
internal readonly record struct GrammarElement(ElementKind Kind, int Value);
