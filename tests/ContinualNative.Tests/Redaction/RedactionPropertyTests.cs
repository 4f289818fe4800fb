using System.Globalization;
using System.Text;
using System.Text.Json;
using ContinualNative.Core.Redaction;

namespace ContinualNative.Tests.Redaction;

/// <summary>What must hold of all texts, tried on random ones. <c>CONTINUAL_REDACTION_ROUNDS</c> sets how many.</summary>
public sealed class RedactionPropertyTests
{
    private static readonly int Rounds = int.TryParse(Environment.GetEnvironmentVariable("CONTINUAL_REDACTION_ROUNDS"), out int rounds) ? rounds : 300;

    private static readonly string[] Filler =
    [
        "the", "order", "said", "x", "Übung", "日本", "مرحبا", "😀", "\ud800", "\udc00", "{", "}", "[", "]", "[[", "\"", "\\", "\\n", ":", ",", "(", ")", "+", "@", "@@", "%40", "-", "_", ".", "..", "12",
        "2026-11-26", "4711", "0", "00", "BEGIN", "-----BEGIN ", "Bearer ", "sk-", "eyJ", "cnk_", "[EMAIL_", "[EMAIL_1]", "[ card 2 ]", "[PHONE_3", "[KEY\\_1]", "\u202E", "\u200F", "\r\n", "```", "<", "&amp;",
    ];

    [Fact]
    public void Restoring_gives_back_what_was_redacted_and_redacting_twice_changes_nothing()
    {
        for (int round = 0; round < Rounds; round++)
        {
            Random random = new(round);
            (string[] conversation, List<string> secrets) = Conversation(random);
            Redactor redactor = NewRedactor();
            RedactionSession session = redactor.NewSession(conversation);
            string[] redacted = [.. conversation.Select(session.Redact)];
            for (int i = 0; i < conversation.Length; i++)
            {
                Assert.Equal(conversation[i], session.Restore(redacted[i]));
                Assert.Equal(redacted[i], session.Redact(redacted[i]));
                Assert.DoesNotContain(secrets, secret => redacted[i].Contains(secret, StringComparison.Ordinal));
            }
            RedactionSession again = redactor.NewSession(conversation);
            Assert.Equal(redacted, conversation.Select(again.Redact));
            Assert.Equal(session.Count, session.Counts.Values.Sum());
        }
    }

    [Fact]
    public void A_stream_restores_what_the_whole_restores_however_it_is_cut()
    {
        for (int round = 0; round < Rounds; round++)
        {
            Random random = new(1000 + round);
            (string[] conversation, _) = Conversation(random);
            RedactionSession session = NewRedactor().NewSession(conversation);
            // A letter in front: a text that is JSON as a whole is restored as JSON.
            string answer = "a" + string.Join(' ', conversation.Select(session.Redact).Append("[EMAIL_1][ email 2 ] [[CARD_1]] \"[CARD_1]\" [EMAIL_1"));
            string whole = session.Restore(answer);
            for (int cut = 0; cut <= Math.Min(answer.Length, 200); cut++)
            {
                RestoringStream two = session.NewRestorer();
                Assert.Equal(whole, two.Append(answer[..cut]) + two.Append(answer[cut..]) + two.Complete());
            }
            RestoringStream many = session.NewRestorer();
            StringBuilder joined = new();
            for (int at = 0; at < answer.Length;)
            {
                int next = Math.Min(answer.Length, at + random.Next(0, 4));
                joined.Append(many.Append(answer[at..next]));
                at = next;
            }
            Assert.Equal(whole, joined.Append(many.Complete()).ToString());
            Assert.Equal("", many.Complete());
        }
    }

    [Fact]
    public void A_stream_holds_back_only_what_may_be_a_placeholder()
    {
        RedactionSession session = NewRedactor().NewSession();
        RestoringStream before = session.NewRestorer();
        Assert.Equal("a [EMAIL_1", before.Append("a [EMAIL_1"));
        session.Redact("bob@example.org");
        RestoringStream stream = session.NewRestorer();
        Assert.Equal("see ", stream.Append("see ["));
        Assert.Equal(1, stream.Held);
        Assert.Equal("[1", stream.Append("1"));
        Assert.Equal("](url) ", stream.Append("](url) [E"));
        Assert.Equal("", stream.Append("MAIL_"));
        Assert.Equal("[EMAIL_x", stream.Append("x"));
        Assert.Equal("", stream.Append("[EMAIL_1"));
        Assert.Equal("bob@example.org!", stream.Append("]!"));
        Assert.Equal("[CARD", stream.Append("[CARD"));
        Assert.Equal("", stream.Append("[email"));
        Assert.Equal("[email", stream.Complete());
        // Spaces without end are no placeholder for ever.
        Assert.Equal("[EMAIL" + new string(' ', 100), stream.Append("[EMAIL" + new string(' ', 100)));
    }

    [Fact]
    public void Numbers_of_JSON_lose_their_quotes_in_a_stream_too()
    {
        RedactionSession session = NewRedactor().NewSession();
        string redacted = session.Redact("""{"card":4111111111111111,"s":"4111111111111111"}""");
        Assert.Equal("""{"card":"[CARD_1]","s":"[CARD_2]"}""", redacted);
        for (int cut = 0; cut <= redacted.Length; cut++)
        {
            RestoringStream stream = session.NewRestorer(json: true);
            Assert.Equal("""{"card":4111111111111111,"s":"4111111111111111"}""", stream.Append(redacted[..cut]) + stream.Append(redacted[cut..]) + stream.Complete());
        }
    }

    [Fact]
    public void Random_JSON_stays_JSON_and_comes_back_equal()
    {
        for (int round = 0; round < Rounds; round++)
        {
            Random random = new(5000 + round);
            List<string> secrets = [];
            string text = Json(random, 0, secrets);
            using JsonDocument original = JsonDocument.Parse(text);
            RedactionSession session = NewRedactor().NewSession([text]);
            string redacted = session.Redact(text);
            JsonDocument.Parse(redacted).Dispose();
            Assert.DoesNotContain(secrets, secret => redacted.Contains(secret, StringComparison.Ordinal));
            using JsonDocument restored = JsonDocument.Parse(session.Restore(redacted));
            Assert.True(JsonElement.DeepEquals(original.RootElement, restored.RootElement), $"round {round}");
            Assert.Equal(redacted, session.Redact(redacted));
        }
    }

    // Each of a million characters, and each would cost hours if anything were quadratic.
    public static readonly TheoryData<string, int> Hostile = new()
    {
        { "@", 1_000_000 }, { "a@", 500_000 }, { "%40", 333_000 }, { "a.@b", 250_000 }, { "1", 1_000_000 }, { "1 ", 500_000 }, { "4111 ", 200_000 }, { "+1 ", 333_000 }, { "0 ", 500_000 }, { "(0", 500_000 },
        { "[", 1_000_000 }, { "[EMAIL_", 140_000 }, { "[EMAIL_1]", 110_000 }, { "\"[", 500_000 }, { "\\", 1_000_000 }, { "\\n", 500_000 },
        { "sk-", 333_000 }, { "eyJ-", 250_000 }, { "eyJ.", 250_000 }, { "SG.", 333_000 }, { "bearer ", 140_000 }, { "-----BEGIN PRIVATE KEY", 45_000 }, { "-----BEGIN X PRIVATE KEY-----\n\u00A0", 33_000 }, { "-", 1_000_000 },
        { "DE89", 250_000 }, { "DE89 ", 200_000 }, { "AA00 A", 160_000 }, { ":", 1_000_000 }, { "f:", 500_000 }, { "1.", 500_000 }, { "::1 ", 250_000 }, { "phone ", 166_000 }, { "tel no ", 140_000 },
        { "\ud800", 1_000_000 }, { "\udc00\ud800", 500_000 }, { "\u202E\u05D0", 500_000 }, { "{\"a\":", 200_000 }, { "[1,", 333_000 }, { "bob@example.org ", 60_000 }, { "a@b.org+49301234567 ", 45_000 },
    };

    [Theory]
    [MemberData(nameof(Hostile))]
    public void Texts_that_are_made_to_be_slow_are_read_in_one_go(string unit, int count)
    {
        string text = new StringBuilder().Insert(0, unit, count).ToString();
        RedactionSession session = new Redactor(new RedactionOptions { Ip = true }, []).NewSession([text]);
        string redacted = session.Redact(text);
        Assert.Equal(text, session.Restore(redacted));
        RestoringStream stream = session.NewRestorer();
        Assert.Equal(text, stream.Append(redacted) + stream.Complete());
    }

    private static Redactor NewRedactor() => new(new RedactionOptions { Ip = true, Patterns = [new("badge", @"\bB-\d{4}\b")] }, []);

    // Secrets are of distinct forms and stand between spaces or signs, where every one must be found.
    private static (string[] Texts, List<string> Secrets) Conversation(Random random)
    {
        List<string> secrets = [.. Enumerable.Range(0, random.Next(1, 6)).Select(_ => Secret(random))];
        string[] texts = new string[random.Next(1, 5)];
        for (int i = 0; i < texts.Length; i++)
        {
            StringBuilder text = new();
            for (int word = random.Next(0, 30); word > 0; word--)
            {
                if (random.Next(4) == 0)
                {
                    string[] around = [" ", "\n", ", ", "; "];
                    text.Append(around[random.Next(around.Length)]).Append(secrets[random.Next(secrets.Count)]).Append(around[random.Next(around.Length)]);
                }
                else
                {
                    text.Append(Filler[random.Next(Filler.Length)]).Append(random.Next(2) == 0 ? " " : "");
                }
            }
            texts[i] = text.ToString();
        }
        return (texts, secrets);
    }

    private static string Secret(Random random) => random.Next(8) switch
    {
        0 => $"user{random.Next(1000)}@host{random.Next(1000)}.example",
        1 => $"+49 30 {random.Next(1_000_000, 9_999_999)}",
        2 => $"({random.Next(200, 999)}) {random.Next(200, 999)}-{random.Next(1000, 9999)}",
        3 => Card(random),
        4 => Iban(random),
        5 => "sk-" + Letters(random, 24) + "7",
        6 => $"B-{random.Next(1000, 9999)}",
        _ => "-----BEGIN PRIVATE KEY-----\n" + Letters(random, 64) + "\n-----END PRIVATE KEY-----",
    };

    private static string Letters(Random random, int count) => string.Create(count, random, static (span, r) =>
    {
        foreach (ref char c in span)
        {
            c = (char)('a' + r.Next(26));
        }
    });

    private static string Card(Random random)
    {
        string digits = "4" + string.Concat(Enumerable.Range(0, 14).Select(_ => random.Next(10)));
        for (int check = 0; check < 10; check++)
        {
            string number = digits + check;
            int sum = number.Reverse().Select((c, i) => i % 2 == 0 ? c - '0' : (2 * (c - '0') / 10) + (2 * (c - '0') % 10)).Sum();
            if (sum % 10 == 0)
            {
                return random.Next(2) == 0 ? number : string.Join(' ', number.Chunk(4).Select(static c => new string(c)));
            }
        }
        throw new InvalidOperationException("Some check digit must fit.");
    }

    private static string Iban(Random random)
    {
        string account = string.Concat(Enumerable.Range(0, 18).Select(_ => random.Next(10)));
        // D is 13, E is 14.
        int check = 98 - (int)(System.Numerics.BigInteger.Parse(account + "131400", CultureInfo.InvariantCulture) % 97);
        return $"DE{check:00}{account}";
    }

    private static string Json(Random random, int depth, List<string> secrets)
    {
        switch (depth == 0 ? random.Next(2) : depth > 4 ? random.Next(2, 6) : random.Next(6))
        {
            case 0:
                return "{" + string.Join(", ", Enumerable.Range(0, random.Next(5)).Select(i => $"{Text(random, i, secrets)} : {Json(random, depth + 1, secrets)}")) + "}";
            case 1:
                return "[" + string.Join(",", Enumerable.Range(0, random.Next(5)).Select(_ => Json(random, depth + 1, secrets))) + "]";
            case 2:
                string card = Card(random).Replace(" ", "", StringComparison.Ordinal);
                secrets.Add(card);
                return card;
            case 3:
                return random.Next(3) switch { 0 => "null", 1 => "true", _ => random.Next(-1000, 1000).ToString(CultureInfo.InvariantCulture) };
            default:
                return Text(random, -1, secrets);
        }
    }

    private static string Text(Random random, int unique, List<string> secrets)
    {
        // No cut-off key of filler, which would swallow what follows; and a name of a property stands once.
        string text = (unique < 0 ? "" : $"p{unique} ") + string.Join(' ', Enumerable.Range(0, random.Next(4)).Select(_ => Filler[random.Next(Filler.Length)]).Where(static f => !f.Any(char.IsSurrogate)));
        if (random.Next(2) == 0)
        {
            string secret = Secret(random);
            if (!secret.Contains('\n'))
            {
                secrets.Add(secret);
            }
            text += " " + secret;
        }
        return random.Next(2) == 0 ? JsonSerializer.Serialize(text) : $"\"{JsonEncodedText.Encode(text, System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping)}\"";
    }
}
