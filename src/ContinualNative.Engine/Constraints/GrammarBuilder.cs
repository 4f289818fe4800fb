using System.Globalization;
using System.Text;

namespace ContinualNative.Engine.Constraints;

/// <summary>
/// Collects GBNF rules under names of its own, so that several schemas and hand-written pieces (a tool call around its arguments)
/// become one grammar. Not thread-safe.
/// </summary>
public sealed class GrammarBuilder
{
    /// <summary>Most bytes of a built grammar; beyond it the request is refused.</summary>
    public const int MaxBytes = 256 * 1024;

    // llama.cpp turns x{0,n} into n rules and refuses n > 2000; longer runs are made of blocks of this many.
    private const int Block = 64;

    private readonly Dictionary<string, string?> _rules = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _byExpression = new(StringComparer.Ordinal);
    private readonly List<string> _order = [];
    private long _size;
    private int _next;

    /// <summary>Creates an empty grammar; <paramref name="param"/> is the request field that errors name.</summary>
    public GrammarBuilder(string param = "response_format") => Param = param;

    /// <summary>The request field that errors name.</summary>
    public string Param { get; }

    /// <summary><paramref name="text"/> as a quoted GBNF literal that matches exactly it.</summary>
    /// <exception cref="EngineException">It holds U+0000 or a lone surrogate, which no model can write.</exception>
    public static string Literal(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var literal = new StringBuilder(text.Length + 2).Append('"');
        ReadOnlySpan<char> rest = text;
        while (!rest.IsEmpty)
        {
            if (Rune.DecodeFromUtf16(rest, out Rune rune, out int used) != System.Buffers.OperationStatus.Done || rune.Value == 0)
            {
                throw new EngineException(EngineError.InvalidRequest, "A constrained text holds U+0000 or half of a surrogate pair; take it out.");
            }

            rest = rest[used..];
            switch (rune.Value)
            {
                case '"' or '\\':
                    literal.Append('\\').Append((char)rune.Value);
                    break;
                case '\n':
                    literal.Append("\\n");
                    break;
                case '\r':
                    literal.Append("\\r");
                    break;
                case '\t':
                    literal.Append("\\t");
                    break;
                case < 0x20 or 0x7F:
                    literal.Append("\\x").Append(rune.Value.ToString("X2", CultureInfo.InvariantCulture));
                    break;
                default:
                    literal.Append(rune.ToString());
                    break;
            }
        }

        return literal.Append('"').ToString();
    }

    /// <summary>Takes a fresh rule name that <see cref="Define"/> gives its meaning later: for recursion.</summary>
    public string Reserve(string hint)
    {
        ArgumentNullException.ThrowIfNull(hint);
        var name = new StringBuilder();
        foreach (char c in hint)
        {
            if (char.IsAsciiLetterOrDigit(c) && name.Length < 24)
            {
                name.Append(c);
            }
        }

        if (name.Length == 0)
        {
            name.Append("value");
        }

        string full = $"{name}-{_next++}";
        _rules.Add(full, null);
        _order.Add(full);
        return full;
    }

    /// <summary>Gives a reserved name its expression.</summary>
    public void Define(string name, string expression)
    {
        ArgumentNullException.ThrowIfNull(expression);
        if (!_rules.TryGetValue(name, out string? old) || old is not null)
        {
            throw new InvalidOperationException($"Rule {name} is not reserved, or defined already.");
        }

        _rules[name] = expression;
        Grow(name.Length + expression.Length);
    }

    /// <summary>Adds a rule and gives its name; equal expressions share one rule.</summary>
    public string Add(string hint, string expression)
    {
        ArgumentNullException.ThrowIfNull(expression);
        if (_byExpression.TryGetValue(expression, out string? known))
        {
            return known;
        }

        string name = Reserve(hint);
        Define(name, expression);
        _byExpression.Add(expression, name);
        return name;
    }

    /// <summary>
    /// An expression for <paramref name="item"/> (a rule name, a class or a literal that can't be empty) from <paramref name="min"/>
    /// to <paramref name="max"/> times; null: without end. Long runs are made of blocks, which keeps them small: n repetitions take about
    /// 64 · log₆₄ n rules instead of n.
    /// </summary>
    public string Repeat(string item, int min, int? max)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(min);
        if (max < min)
        {
            throw new ArgumentOutOfRangeException(nameof(max), "The upper bound is below the lower one.");
        }

        string exact = Exactly(item, min);
        string rest = max is null ? item + "*" : UpTo(item, max.Value - min);
        return exact.Length == 0 ? rest : rest.Length == 0 ? exact : exact + " " + rest;
    }

    /// <summary>The grammar whose root is <paramref name="rootExpression"/>, checked with <see cref="Constraint.ValidateGrammar"/>'s rules.</summary>
    /// <exception cref="EngineException">It can't be matched by anything, refers to itself without progress, or is too large.</exception>
    public string Build(string rootExpression)
    {
        ArgumentNullException.ThrowIfNull(rootExpression);
        var text = new StringBuilder().Append("root ::= ").Append(rootExpression).Append('\n');
        foreach (string name in _order)
        {
            if (_rules[name] is { } expression)
            {
                text.Append(name).Append(" ::= ").Append(expression).Append('\n');
            }
        }

        string grammar = text.ToString();
        GrammarChecker.Check(grammar, MaxBytes, Param, generated: true);
        return grammar;
    }

    /// <summary>A rule of fixed name, made once.</summary>
    internal string Shared(string name, Func<string> expression)
    {
        if (!_rules.ContainsKey(name))
        {
            _rules.Add(name, null);
            _order.Add(name);
            Define(name, expression());
        }

        return name;
    }

    private string Exactly(string item, int count)
    {
        switch (count)
        {
            case 0:
                return "";
            case 1:
                return item;
            case <= Block:
                return $"{item}{{{count}}}";
            default:
                string blocks = Exactly(BlockOf(item), count / Block);
                string rest = Exactly(item, count % Block);
                return rest.Length == 0 ? blocks : blocks + " " + rest;
        }
    }

    private string UpTo(string item, int count)
    {
        switch (count)
        {
            case 0:
                return "";
            case 1:
                return item + "?";
            case <= Block:
                return $"{item}{{0,{count}}}";
            default:
                // (blocks − 1) optional blocks and Block − 1 single items reach blocks · Block − 1; an optional head brings the rest.
                int blocks = (int)(((long)count + 1) / Block);
                int head = (int)(count - ((long)blocks * Block - 1));
                string prefix = head == 0 ? "" : $"({Exactly(item, head)})? ";
                string middle = UpTo(BlockOf(item), blocks - 1);
                return $"{prefix}{middle}{(middle.Length == 0 ? "" : " ")}{item}{{0,{Block - 1}}}";
        }
    }

    private string BlockOf(string item) => Add("block", Exactly(item, Block));

    private void Grow(int characters)
    {
        _size += characters + 6;
        if (_size > MaxBytes)
        {
            throw new EngineException(EngineError.InvalidRequest, $"The grammar made from '{Param}' exceeds {MaxBytes / 1024} KiB; use a smaller schema.", Param);
        }
    }
}
