using System.Globalization;
using System.Text;

namespace ContinualNative.Host.Demo.World;

/// <summary>
/// Patterns of sentences. <c>[a|b|]</c> stands for one of its parts, which may hold such brackets themselves and be empty; <c>{p}</c> stands for a product's name.
/// </summary>
internal static class Phrasing
{
    private static readonly string[] Openings = ["Hi, ", "Hello, ", "Hey, ", "Hi there, ", "Good morning, ", "Dear team, ", "Hello again, ", "Good evening, "];

    private static readonly string[] Closings =
        [" Thanks!", " Thank you.", " Cheers.", " Please help.", " Thanks in advance.", " Best regards.", " Let me know.", " Many thanks!", " It's a bit urgent.", " No rush."];

    private static readonly string[] Asides =
    [
        "I bought it [last week|last month|in spring|on sale|two days ago|online].", "It was a present [for my sister|for my dad|from a friend].", "I [ordered|got] it [with my brother|for the office|for our flat].",
        "This is my second message.", "I already tried your website.", "My neighbour has the same one.", "I am [really|quite] happy with it otherwise.", "It arrived [on Monday|on Friday|yesterday|early].",
    ];

    /// <summary>A sentence of the pattern.</summary>
    public static string Expand(string pattern, DeskRandom random)
    {
        StringBuilder text = new();
        int at = 0;
        Expand(pattern, ref at, random, text);
        return text.ToString();
    }

    /// <summary>A message about a product: greeting, aside and order number come and go, and so do capitals and typing errors.</summary>
    public static string Message(string pattern, string product, DeskRandom random)
    {
        string core = Capitalized(Expand(pattern, random)).Replace("{p}", product, StringComparison.Ordinal);
        if (random.Chance(0.2))
        {
            string aside = Expand(random.Pick(Asides), random);
            core = random.Chance(0.5) ? $"{core} {aside}" : $"{core} {Order(random)}";
        }
        return Dress(core, [product], random);
    }

    /// <summary>A question about the shop's terms.</summary>
    public static string Question(string pattern, DeskRandom random) => Dress(Capitalized(Expand(pattern, random)), [], random);

    /// <summary>A question about the shop's terms under a condition, such as "For members".</summary>
    public static string ConditionalQuestion(string condition, string pattern, DeskRandom random) => Dress($"{condition}, {Uncapitalized(Expand(pattern, random))}", [], random);

    private static string Order(DeskRandom random) => string.Create(CultureInfo.InvariantCulture, $"{random.Pick((string[])["Order", "My order is", "Order number", "It is order"])} {10000 + random.Below(90000)}.");

    private static string Dress(string core, IReadOnlyList<string> names, DeskRandom random)
    {
        string text = core;
        if (random.Chance(0.4))
        {
            string opening = random.Pick(Openings);
            text = opening + Uncapitalized(text);
        }
        if (random.Chance(0.35))
        {
            text += random.Pick(Closings);
        }
        if (random.Chance(0.12))
        {
            text = Mistyped(text, names, random);
        }
        if (random.Chance(0.1))
        {
            // Names are mostly copied from the order, or filled in by the keyboard.
            text = text.ToLowerInvariant().TrimEnd('.');
            foreach (string name in names)
            {
                text = text.Replace(name.ToLowerInvariant(), name, StringComparison.Ordinal);
            }
        }
        return text;
    }

    // One letter left out, doubled, or changed with its neighbour, in a longer word that is no product's name.
    private static string Mistyped(string text, IReadOnlyList<string> names, DeskRandom random)
    {
        string[] words = text.Split(' ');
        int word = random.Below(words.Length);
        if (words[word].Length < 5 || !words[word].All(char.IsAsciiLetterLower) || names.Contains(words[word]))
        {
            return text;
        }
        int at = 1 + random.Below(words[word].Length - 2);
        words[word] = random.Below(3) switch
        {
            0 => words[word].Remove(at, 1),
            1 => words[word].Insert(at, words[word].Substring(at, 1)),
            _ => $"{words[word][..at]}{words[word][at + 1]}{words[word][at]}{words[word][(at + 2)..]}",
        };
        return string.Join(' ', words);
    }

    // "I" keeps its capital.
    private static string Uncapitalized(string text) => text[0] == 'I' && text[1] is ' ' or '\'' ? text : char.ToLowerInvariant(text[0]) + text[1..];

    private static string Capitalized(string text) => char.ToUpperInvariant(text[0]) + text[1..];

    private static void Expand(string pattern, ref int at, DeskRandom random, StringBuilder text)
    {
        while (at < pattern.Length && pattern[at] is not ('|' or ']'))
        {
            if (pattern[at] != '[')
            {
                text.Append(pattern[at++]);
                continue;
            }
            List<string> parts = [];
            do
            {
                at++;
                StringBuilder part = new();
                Expand(pattern, ref at, random, part);
                parts.Add(part.ToString());
            }
            while (at < pattern.Length && pattern[at] == '|');
            at++;
            text.Append(random.Pick(parts));
        }
    }
}
