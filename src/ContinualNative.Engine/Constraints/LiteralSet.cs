using System.Text;

namespace ContinualNative.Engine.Constraints;

/// <summary>
/// Rules that match exactly one of many texts, or none of them. Common prefixes are shared: llama.cpp keeps one stack per
/// alternative that is still possible, so a flat list of a thousand texts would cost a thousand stacks at the first token.
/// </summary>
internal static class LiteralSet
{
    private const int Flat = 12;
    private const int MaxNameLength = 1000;

    /// <summary>An expression that matches exactly one of <paramref name="texts"/> (distinct).</summary>
    public static string AnyOf(GrammarBuilder builder, IReadOnlyList<string> texts)
    {
        if (texts.Count <= Flat)
        {
            return string.Join(" | ", texts.Select(GrammarBuilder.Literal));
        }

        // Sorted by code unit, texts with a common prefix are neighbours.
        string[] sorted = [.. texts.Order(StringComparer.Ordinal)];
        return Branch(builder, sorted, 0, 0);
    }

    /// <summary>
    /// A JSON string's content, spelled without escapes, that is none of <paramref name="texts"/>: the names that are left for
    /// additional properties.
    /// </summary>
    public static string NoneOf(GrammarBuilder builder, IEnumerable<string> texts)
    {
        var root = new Node();
        foreach (string text in texts)
        {
            if (text.Length > MaxNameLength)
            {
                throw new EngineException(
                    EngineError.InvalidRequest, $"Schema: a property name of more than {MaxNameLength} characters beside additionalProperties; shorten it.", builder.Param);
            }

            Node node = root;
            foreach (Rune rune in text.EnumerateRunes())
            {
                if (!node.Children.TryGetValue(rune.Value, out Node? child))
                {
                    node.Children.Add(rune.Value, child = new Node());
                }

                node = child;
            }

            node.IsText = true;
        }

        return Others(builder, root);
    }

    private static string Branch(GrammarBuilder builder, ReadOnlySpan<string> texts, int depth, int level)
    {
        if (level > 2000)
        {
            throw new EngineException(EngineError.InvalidRequest, "The texts to choose from share prefixes too deeply; use fewer or shorter ones.", builder.Param);
        }

        var alternatives = new List<string>();
        for (int start = 0; start < texts.Length;)
        {
            if (texts[start].Length == depth)
            {
                alternatives.Add("\"\"");
                start++;
                continue;
            }

            int end = start + 1;
            while (end < texts.Length && First(texts[end], depth) == First(texts[start], depth))
            {
                end++;
            }

            ReadOnlySpan<string> group = texts[start..end];
            if (group.Length == 1)
            {
                alternatives.Add(GrammarBuilder.Literal(group[0][depth..]));
            }
            else
            {
                int common = CommonLength(group[0], group[^1], depth);
                string tail = builder.Add("one", Branch(builder, group, common, level + 1));
                alternatives.Add($"{GrammarBuilder.Literal(group[0][depth..common])} {tail}");
            }

            start = end;
        }

        return string.Join(" | ", alternatives);
    }

    private static int First(string text, int index) => Rune.TryGetRuneAt(text, index, out Rune rune) ? rune.Value : -1;

    private static int CommonLength(string a, string b, int from)
    {
        int length = from;
        while (length < a.Length && length < b.Length && a[length] == b[length])
        {
            length++;
        }

        // Never between the halves of a surrogate pair.
        return length > from && char.IsHighSurrogate(a[length - 1]) ? length - 1 : length;
    }

    private static string Others(GrammarBuilder builder, Node node)
    {
        string any = CodePointSet.JsonRaw.ToGbnf();
        CodePointSet free = CodePointSet.JsonRaw.Except(CodePointSet.Of(node.Children.Keys.Select(c => (c, c))));
        var alternatives = new List<string> { $"{free.ToGbnf()} {any}*" };
        foreach ((int codePoint, Node child) in node.Children)
        {
            if (CodePointSet.JsonRaw.Contains(codePoint))
            {
                string rest = builder.Add("other", Others(builder, child));
                alternatives.Add($"{GrammarBuilder.Literal(new Rune(codePoint).ToString())} {rest}");
            }
        }

        if (!node.IsText)
        {
            alternatives.Add("\"\"");
        }

        return string.Join(" | ", alternatives);
    }

    private sealed class Node
    {
        public SortedDictionary<int, Node> Children { get; } = [];

        public bool IsText { get; set; }
    }
}
