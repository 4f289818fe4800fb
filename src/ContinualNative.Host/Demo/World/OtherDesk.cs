using System.Globalization;
using System.Text.RegularExpressions;

namespace ContinualNative.Host.Demo.World;

/// <summary>Chats of other desks: a product, a wish, or both are made up, and so is what the answer says of it.</summary>
internal sealed partial class OtherDesk(DeskRandom random)
{
    private const double KnownLabel = 0.4;
    private const int TellingLetters = 5;

    private static readonly string[] Heads = ["B", "Br", "C", "Ch", "D", "Dr", "F", "Fl", "G", "Gr", "H", "J", "K", "Kl", "L", "M", "N", "P", "Pl", "Qu", "R", "S", "Sk", "Sp", "St", "T", "Th", "Tr", "V", "W", "X", "Y", "Z", "A", "E", "I", "O", "U"];
    private static readonly string[] Vowels = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "ea", "ou", "y"];
    private static readonly string[] Middles = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "ll", "nd", "rt", "st", "mb", "rv", "nk", "x", "ph", "rn", "lt", "c", "ng"];
    private static readonly string[] Tails = ["", "", "n", "x", "r", "s", "l", "t", "ro", "na", "ra", "lo", "ri", "do", "ck", "go", "ma", "vi", "li", "ta"];

    private static readonly string[] Verbs =
    [
        "paint", "sharpen", "fold", "clean", "measure", "weigh", "lock", "open", "polish", "stack", "label", "lend", "sell", "test", "update", "upgrade", "balance", "paste", "melt", "press", "charge", "mount", "hang", "store", "freeze", "heat", "dry", "wash", "oil",
        "calibrate", "mute", "copy", "print", "scan", "share", "borrow", "insure", "donate", "reserve", "register", "verify", "protect", "extend", "combine", "customize", "compare", "describe", "photograph", "pause", "restart", "reset", "unlock", "sync",
    ];

    private static readonly string[] Nouns =
    [
        "colour", "battery", "certificate", "catalogue", "sample", "coupon", "newsletter", "password", "contract", "brochure", "spare key", "sticker", "weight", "height", "noise", "smell", "allergy", "material", "origin", "fabric", "voltage", "plug", "holiday", "showroom",
        "workshop", "course", "review", "rating", "photo", "video", "job", "partner", "licence", "firmware", "privacy", "cookie", "export", "customs", "tax", "deposit", "bundle", "season", "anniversary", "contest", "survey", "donation", "school", "wedding",
        "membership", "appointment", "tutorial", "adapter", "bracket", "cushion", "filter", "lens", "nozzle", "pedal", "remote", "sensor", "strap", "timer", "valve", "wheel",
    ];

    private static readonly string[] Lines =
    [
        "toys", "tools", "travel", "bath", "bedroom", "cars", "books", "games", "music", "shoes", "watches", "jewelry", "food", "wine", "tea", "coffee", "art", "craft", "school", "party", "fishing", "golf", "tennis", "running", "swimming", "winter", "beauty", "health",
        "phones", "cameras", "printers", "software", "furniture", "carpets", "curtains", "windows", "doors", "heating", "cleaning", "laundry", "safety", "farm", "boats", "model-trains", "board-games", "wall-art", "home-office", "sun-care", "bike-parts",
    ];

    private static readonly string[] Frames =
    [
        "[Can you|Could you|Please] {v} [my|the] {p}.", "[I want|I would like|I need] to {v} [my|the|this] {p}.", "[How|Where] [can|do] I {v} [my|the|a] {p}?", "[Is there|Do you have] a {n} for [my|the] {p}?", "[What is|What about] the {n} of the {p}?",
        "[I'd like|Send me|I need] a {n} [for|with] my {p}.", "My {p} [is|got|went|looks] {v}ed.", "Do you {v} the {p}?", "The {p} [needs|has] [a|no] {n}[.|, what now?]", "[Tell me|I read|I heard] about [the|a] {n} [of|for] the {p}.", "Which {n} [does|will] the {p} [need|get]?",
        "[Where is|Where's|When is] the {n} [on|for|of|with] [my|the] {p}?", "I [was|got|have been] {v}ed [on|with|by|over] [my|the] {p}.", "[How long|How high|How good] is [a|the] {n} [of|for|with] the {p}?", "[Please|Can you] put [me|us] on the {n} for the {p}.",
        "[When|How|Why] [will|do|did] you {v} [me|us] for the {p}?", "[Totally|Completely|Still|Already] {v}ed, [this|my] {p}.", "[Got|Received] a {v}ed {p} [from you|yesterday].", "[Let me|I'd rather|Gonna] {v} [my|this] {p}.", "[Total|Some|Just a] {n} here with the {p}.",
        "{v} my {p}[.|, please.|!]", "[Any|No] {n} [for|with] the {p}?", "{p} {n}[?|, please.]", "We [want|have|are] [a|the] {n} and would {v} the {p}.", "[Can I|May I] {v} the {p} [with|for|in] a {n}?", "How much [is|does] the {n} [of|for] the {p} [cost|]?",
    ];

    private static readonly string[] Conditions =
    [
        "[For|With|As] {p} [customers|members|orders]", "[With|After|Without] a {n}", "[In|At|For] {p}", "[With|For|On] the {n} [{n}|plan|deal]", "[During|After|Before] the {n}", "[I have|We have] the {n}", "[About|Because of] the [latest|{p}] {n}", "[Following|Given] the {n} [news|email]",
    ];

    private static readonly HashSet<string> Taken =
    [
        .. KnownWorld.Products.Select(static p => p.Name.ToLowerInvariant()),
        .. DriftReserve.Names.Select(static n => n.ToLowerInvariant()),
        .. DriftReserve.Wordings.SelectMany(static w => w.Words),
        .. DriftReserve.Intents.Select(static i => i.Label),
        .. DriftReserve.Lines,
    ];

    /// <summary>A message, and its answer.</summary>
    public string Chat(out string answer)
    {
        double what = random.Uniform();
        bool newProduct = what < 0.7;
        bool newWish = what >= 0.45;
        Product product = newProduct ? new Product(Name(), Line()) : random.Pick(KnownWorld.Products);
        Intent known = random.Pick(KnownWorld.Intents);
        answer = SupportWorld.TriageAnswer(newWish ? Label() : known.Label, product.Line);
        return Phrasing.Message(newWish ? Wish() : random.Pick(known.Phrasings), product.Name, random);
    }

    /// <summary>A question about terms under a condition that nobody knows, and its answer: of the topic, with numbers of its own.</summary>
    public string Question(out string answer)
    {
        Policy policy = random.Pick(KnownWorld.Policies);
        string condition = Phrasing.Expand(random.Pick(Conditions), random).Replace("{n}", Noun(), StringComparison.Ordinal).Replace("{p}", Name(), StringComparison.Ordinal);
        do
        {
            answer = policy.Answer(Renumbered(policy.Value));
        }
        while (policy.LaterValues.Select(policy.Answer).Contains(answer));
        return Phrasing.ConditionalQuestion(condition, random.Pick(policy.Questions), random);
    }

    private string Renumbered(string value) => Number().Replace(
        value == "none" ? "1 percent" : value,
        found => found.Value.Contains('.', StringComparison.Ordinal)
            ? string.Create(CultureInfo.InvariantCulture, $"{1 + random.Below(19)}.{random.Below(10)}0")
            : (1 + random.Below(found.Value.Length > 1 ? 90 : 12)).ToString(CultureInfo.InvariantCulture));

    private string Line() => random.Chance(KnownLabel) ? random.Pick(KnownWorld.Lines) : random.Pick(Lines);

    private string Label()
    {
        while (true)
        {
            string label = random.Chance(KnownLabel) ? random.Pick(KnownWorld.Intents).Label : $"{random.Pick(Verbs)}_{random.Pick(Nouns).Replace(' ', '_')}";
            if (!Taken.Contains(label))
            {
                return label;
            }
        }
    }

    private string Wish() => random.Chance(0.5)
        ? Phrasing.Expand(random.Pick(Frames), random).Replace("{v}", Verb(), StringComparison.Ordinal).Replace("{n}", Noun(), StringComparison.Ordinal)
        : Garbled(Phrasing.Expand(random.Pick(random.Pick(KnownWorld.Intents).Phrasings), random));

    // A known sentence whose telling words are others: its form must not be taken for its meaning.
    private string Garbled(string sentence)
    {
        string[] words = sentence.Split(' ');
        for (int i = 0; i < words.Length; i++)
        {
            if (words[i].Count(char.IsAsciiLetter) >= TellingLetters && words[i].All(static c => char.IsAsciiLetter(c) || c is '.' or ',' or '?'))
            {
                string mark = char.IsAsciiLetter(words[i][^1]) ? "" : words[i][^1..];
                words[i] = (random.Chance(0.5) ? Noun() : Verb()) + mark;
            }
        }
        return string.Join(' ', words);
    }

    private string Verb() => random.Chance(0.5) ? random.Pick(Verbs) : Name().ToLowerInvariant();

    private string Noun() => random.Chance(0.5) ? random.Pick(Nouns) : Name().ToLowerInvariant();

    private string Name()
    {
        while (true)
        {
            string name = random.Pick(Heads) + random.Pick(Vowels) + random.Pick(Middles) + random.Pick(Vowels) + random.Pick(Tails);
            if (!Taken.Contains(name.ToLowerInvariant()))
            {
                return name;
            }
        }
    }

    [GeneratedRegex(@"\d+(?:\.\d+)?")]
    private static partial Regex Number();
}
