using System.Globalization;
using System.Text;

namespace ContinualNative.Tests.Constraints;

/// <summary>
/// Says whether a text matches a GBNF grammar: an own reader of the notation and a memoized search over (node, place) for the set of
/// places where a match can end. Shares nothing with the code under test. For grammars without left recursion and short texts.
/// </summary>
internal sealed class GbnfRecognizer
{
    private readonly Dictionary<string, Node> _rules = [];
    private readonly string _text;
    private int _at;

    private int[] _input = [];
    private Dictionary<(Node, int), HashSet<int>> _memo = [];

    public GbnfRecognizer(string grammar)
    {
        _text = grammar;
        Skip(true);
        while (_at < _text.Length)
        {
            string name = Word();
            Skip(false);
            Expect("::=");
            Skip(true);
            _rules.Add(name, Either(false));
            Skip(true);
        }
    }

    public bool Accepts(string text)
    {
        _input = [.. text.EnumerateRunes().Select(r => r.Value)];
        _memo = [];
        return Ends(_rules["root"], 0).Contains(_input.Length);
    }

    private HashSet<int> Ends(Node node, int from)
    {
        if (_memo.TryGetValue((node, from), out HashSet<int>? known))
        {
            return known;
        }

        HashSet<int> ends = [];
        switch (node)
        {
            case Set set:
                if (from < _input.Length && set.Has(_input[from]))
                {
                    ends.Add(from + 1);
                }

                break;
            case Call call:
                ends = Ends(_rules[call.Name], from);
                break;
            case Or or:
                foreach (Node item in or.Items)
                {
                    ends.UnionWith(Ends(item, from));
                }

                break;
            case Then then:
                ends.Add(from);
                foreach (Node item in then.Items)
                {
                    ends = [.. ends.SelectMany(place => Ends(item, place))];
                }

                break;
            case Times times:
                HashSet<int> front = [from];
                for (int i = 0; i < times.Min; i++)
                {
                    front = [.. front.SelectMany(place => Ends(times.Item, place))];
                }

                ends.UnionWith(front);
                for (int i = times.Min; i < times.Max && front.Count > 0; i++)
                {
                    front = [.. front.SelectMany(place => Ends(times.Item, place)).Where(place => !ends.Contains(place))];
                    ends.UnionWith(front);
                }

                break;
        }

        _memo[(node, from)] = ends;
        return ends;
    }

    private Or Either(bool nested)
    {
        var items = new List<Node> { Row(nested) };
        while (_at < _text.Length && _text[_at] == '|')
        {
            _at++;
            Skip(true);
            items.Add(Row(nested));
        }

        return new Or(items);
    }

    private Then Row(bool nested)
    {
        var items = new List<Node>();
        while (_at < _text.Length && !"|)\r\n".Contains(_text[_at]))
        {
            switch (_text[_at])
            {
                case '"':
                    _at++;
                    var letters = new List<Node>();
                    while (_text[_at] != '"')
                    {
                        int c = Letter();
                        letters.Add(new Set(false, [(c, c)]));
                    }

                    _at++;
                    items.Add(new Then(letters));
                    break;
                case '[':
                    _at++;
                    bool not = _text[_at] == '^';
                    _at += not ? 1 : 0;
                    var ranges = new List<(int, int)>();
                    while (_text[_at] != ']')
                    {
                        int low = Letter();
                        int high = low;
                        if (_text[_at] == '-' && _text[_at + 1] != ']')
                        {
                            _at++;
                            high = Letter();
                        }

                        ranges.Add((low, high));
                    }

                    _at++;
                    items.Add(new Set(not, ranges));
                    break;
                case '(':
                    _at++;
                    Skip(true);
                    items.Add(Either(true));
                    Expect(")");
                    break;
                case '.':
                    _at++;
                    items.Add(new Set(true, []));
                    break;
                case '*':
                    Again(0, int.MaxValue);
                    break;
                case '+':
                    Again(1, int.MaxValue);
                    break;
                case '?':
                    Again(0, 1);
                    break;
                case '{':
                    int close = _text.IndexOf('}', _at);
                    string[] parts = _text[(_at + 1)..close].Split(',');
                    int min = int.Parse(parts[0], CultureInfo.InvariantCulture);
                    _at = close - 1 + 1;
                    Again(min, parts.Length == 1 ? min : parts[1].Trim().Length == 0 ? int.MaxValue : int.Parse(parts[1], CultureInfo.InvariantCulture));
                    break;
                default:
                    items.Add(new Call(Word()));
                    break;
            }

            Skip(nested);
        }

        return new Then(items);

        void Again(int min, int max)
        {
            _at++;
            items[^1] = new Times(items[^1], min, max);
        }
    }

    private int Letter()
    {
        if (_text[_at] != '\\')
        {
            Rune rune = Rune.GetRuneAt(_text, _at);
            _at += rune.Utf16SequenceLength;
            return rune.Value;
        }

        char c = _text[_at + 1];
        _at += 2;
        int digits = c switch { 'x' => 2, 'u' => 4, 'U' => 8, _ => 0 };
        if (digits > 0)
        {
            int value = Convert.ToInt32(_text.Substring(_at, digits), 16);
            _at += digits;
            return value;
        }

        return c switch { 'n' => '\n', 't' => '\t', 'r' => '\r', _ => c };
    }

    private string Word()
    {
        int start = _at;
        while (_at < _text.Length && (char.IsAsciiLetterOrDigit(_text[_at]) || _text[_at] == '-'))
        {
            _at++;
        }

        return _at > start ? _text[start.._at] : throw new FormatException($"No rule name at {_at}: {_text[_at..Math.Min(_at + 40, _text.Length)]}");
    }

    private void Expect(string text)
    {
        if (string.CompareOrdinal(_text, _at, text, 0, text.Length) != 0)
        {
            throw new FormatException($"No {text} at {_at}");
        }

        _at += text.Length;
    }

    private void Skip(bool lines)
    {
        while (_at < _text.Length && (_text[_at] is ' ' or '\t' || (lines && _text[_at] is '\r' or '\n')))
        {
            _at++;
        }
    }

    // Reference equality: each node of the grammar is its own memo key.
    private abstract class Node;

    private sealed class Set(bool not, List<(int Low, int High)> ranges) : Node
    {
        public bool Has(int c) => ranges.Exists(range => range.Low <= c && c <= range.High) != not;
    }

    private sealed class Call(string name) : Node
    {
        public string Name => name;
    }

    private sealed class Or(List<Node> items) : Node
    {
        public List<Node> Items => items;
    }

    private sealed class Then(List<Node> items) : Node
    {
        public List<Node> Items => items;
    }

    private sealed class Times(Node item, int min, int max) : Node
    {
        public Node Item => item;

        public int Min => min;

        public int Max => max;
    }
}
