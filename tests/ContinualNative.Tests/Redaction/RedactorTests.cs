using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Core.Redaction;

namespace ContinualNative.Tests.Redaction;

public sealed class RedactorTests
{
    private const string Token = "abcdefghijklmnopqrstuvwxyz0123456789abcdefg";

    [Theory]
    [InlineData("Write to bob@example.org.", "Write to [EMAIL_1].")]
    [InlineData("<Bob.Smith+news@mail.example.co.uk>", "<[EMAIL_1]>")]
    [InlineData("'o'brien@example.org'", "'[EMAIL_1]'")]
    [InlineData("mailto:jürgen@bücher.example", "mailto:[EMAIL_1]")]
    [InlineData("https://x.example/?email=bob@example.org&n=1", "https://x.example/?email=[EMAIL_1]&n=1")]
    [InlineData("bob%40example.org", "[EMAIL_1]")]
    [InlineData("bob@example.org-2026", "[EMAIL_1]-2026")]
    [InlineData("bob@a.co-op.example", "[EMAIL_1]")]
    [InlineData("пётр@пример.рф", "[EMAIL_1]")]
    [InlineData("+49 30 1234567", "[PHONE_1]")]
    [InlineData("(+49) 30 1234567", "[PHONE_1]")]
    [InlineData("+1 (415) 555-1234", "[PHONE_1]")]
    [InlineData("+4915112345678", "[PHONE_1]")]
    [InlineData("+33 1 23 45 67 89", "[PHONE_1]")]
    [InlineData("0049 30 1234567", "[PHONE_1]")]
    [InlineData("(415) 555-1234", "[PHONE_1]")]
    [InlineData("415.555.1234 and 415-555-1234", "[PHONE_1] and [PHONE_2]")]
    [InlineData("1-415-555-1234", "[PHONE_1]")]
    [InlineData("030 1234567, 0171/1234567, 020 7946 0958", "[PHONE_1], [PHONE_2], [PHONE_3]")]
    [InlineData("01 23 45 67 89 or 01.23.45.67.89", "[PHONE_1] or [PHONE_2]")]
    [InlineData("090-1234-5678", "[PHONE_1]")]
    [InlineData("+49 30 1234567 (415) 555-1234 -12", "[PHONE_1] [PHONE_2] -12")]
    [InlineData("12 - (415) 555-1234 - 12", "12 - [PHONE_1] - 12")]
    [InlineData("Call me at 555-1234 today", "Call me at [PHONE_1] today")]
    [InlineData("phone: 4155551234", "phone: [PHONE_1]")]
    [InlineData("Tel. 5551234", "Tel. [PHONE_1]")]
    [InlineData("Meine Handynummer ist 98765 43210", "Meine Handynummer ist [PHONE_1]")]
    [InlineData("4111 1111 1111 1111", "[CARD_1]")]
    [InlineData("4111-1111-1111-1111.", "[CARD_1].")]
    [InlineData("378282246310005 or 3782 822463 10005", "[CARD_1] or [CARD_2]")]
    [InlineData("4222222222222", "[CARD_1]")]
    [InlineData("6304000000000000", "[CARD_1]")]
    [InlineData("DE89 3704 0044 0532 0130 00", "[IBAN_1]")]
    [InlineData("de89370400440532013000, GB82WEST12345698765432", "[IBAN_1], [IBAN_2]")]
    [InlineData("cnk_" + Token, "[KEY_1]")]
    [InlineData("key=sk-proj-abcdef1234567890", "key=[KEY_1]")]
    [InlineData("ghp_" + Token + ". github_pat_" + Token, "[KEY_1]. [KEY_2]")]
    [InlineData("AKIAIOSFODNN7EXAMPLE", "[KEY_1]")]
    [InlineData("xoxb-1234-5678-abcdefg", "[KEY_1]")]
    [InlineData("AIzaSyA1234567890abcdefghijklmnopqrstuv", "[KEY_1]")]
    [InlineData("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N", "[KEY_1]")]
    [InlineData("Authorization: Bearer abc.def12345", "Authorization: Bearer [KEY_1]")]
    [InlineData("authorization: basic dXNlcjpwYXNz", "authorization: basic [KEY_1]")]
    [InlineData("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE+/=\n-----END RSA PRIVATE KEY-----\nb", "a\n[KEY_1]\nb")]
    [InlineData("-----BEGIN PRIVATE KEY-----\nMIIE\ncut", "[KEY_1]")]
    [InlineData("-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n-----END PGP PRIVATE KEY BLOCK----- y", "[KEY_1] y")]
    public void What_is_private_gets_a_placeholder(string text, string expected) => Assert.Equal(expected, Redact(text));

    [Theory]
    [InlineData("order 1234567890 of 2026-11-26, invoice 4711-0815-42")]
    [InlineData("26.11.2026, 26/11/2026, 01.02.2024 10:30, 2026-11-26T10:15:00Z, 26 11 2026")]
    [InlineData("10 000 000 people, +12 345 678, 3.14159265358979, -17.5 %, $415 555 1234")]
    [InlineData("versions 1.2.3.4 and 10.0.26100.1742, isbn 978-3-16-148410-0")]
    [InlineData("order no 123-456-7890 and part 415-555-1234-99")]
    [InlineData("Call me. 1234567 is the order")]
    [InlineData("Please call about ticket 12345678")]
    [InlineData("call me on 26.11.2026")]
    [InlineData("4111111111111112 and 1732600000000 and 41111111111111111111111111")]
    [InlineData("2024-11-26 12.30.45 678")]
    [InlineData("GB82 WEST 1234 5698 7654 31")]
    [InlineData("a@b, @name, user@localhost, 1 @ 2.50, lodash@4.17.21")]
    [InlineData("sk-learn-something-longer-than-sixteen, risk-1234567890abcdefghij, a bearer certificates share, basic understanding")]
    [InlineData("-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----")]
    [InlineData("C++11 2014 2017, 0x12345678, 12345 67890")]
    [InlineData("127.0.0.1 and ::1")]
    public void What_is_not_stays(string text) => Assert.Equal(text, Redact(text));

    [Theory]
    [InlineData("10.0.0.1:80, 192.168.1.255.", "[IP_1]:80, [IP_2].")]
    [InlineData("::1 and fe80::1 and 2001:db8:0:0:0:0:2:1", "[IP_1] and [IP_2] and [IP_3]")]
    [InlineData("10.0.0.256, 1.2.3, 1.2.3.4.5, 12:30:45, std::vector, v1.2.3.4", null)]
    public void Addresses_are_found_where_they_are_asked_for(string text, string? expected)
    {
        RedactionSession session = new Redactor(new RedactionOptions { Ip = true }, []).NewSession();
        Assert.Equal(expected ?? text, session.Redact(text));
    }

    [Fact]
    public void A_value_has_one_placeholder_in_all_texts_of_a_session()
    {
        RedactionSession session = NewRedactor().NewSession();
        Assert.Equal("[EMAIL_1] and [EMAIL_2] and [EMAIL_1]", session.Redact("b@x.org and a@x.org and b@x.org"));
        Assert.Equal("ask [EMAIL_2], not [EMAIL_3]", session.Redact("ask a@x.org, not B@x.org"));
        Assert.Equal("""{"to":"[EMAIL_1]"}""", session.Redact("""{"to":"b@x.org"}"""));
        Assert.Equal(3, session.Count);
        Assert.Equal(3, session.Counts["EMAIL"]);
        Assert.DoesNotContain("PHONE", session.Counts.Keys);
        Assert.Equal("b@x.org, [EMAIL_9]", session.Restore("[EMAIL_1], [EMAIL_9]"));
    }

    [Fact]
    public void Numbers_follow_the_first_appearance_even_where_one_find_lays_bare_another()
    {
        // The plus stands after a letter until the address before it is gone.
        RedactionSession session = NewRedactor().NewSession();
        Assert.Equal("[EMAIL_1][PHONE_1] [PHONE_2]", session.Redact("a@b.org+49301234567 +49 30 7654321"));
    }

    [Theory]
    [InlineData("[EMAIL_1]")]
    [InlineData("[email_1]")]
    [InlineData("[ Email 1 ]")]
    [InlineData("[EMAIL-1]")]
    [InlineData("[EMAIL\\_1]")]
    [InlineData("[EMAIL _ 1]")]
    public void Placeholders_that_a_model_wrote_its_own_way_are_found(string written)
    {
        RedactionSession session = NewRedactor().NewSession();
        session.Redact("bob@example.org");
        Assert.Equal("to [bob@example.org]!", session.Restore($"to [{written}]!"));
    }

    [Theory]
    [InlineData("[EMAIL_2]")]
    [InlineData("[EMAIL_01]")]
    [InlineData("[EMAIL1]")]
    [InlineData("[EMAIL_1")]
    [InlineData("EMAIL_1")]
    [InlineData("[EMAIL\n1]")]
    [InlineData("[MY_EMAIL_1]")]
    [InlineData("[EMAIL_1_1]")]
    [InlineData("[]")]
    public void What_is_none_of_the_sessions_placeholders_stays(string written)
    {
        RedactionSession session = NewRedactor().NewSession();
        session.Redact("bob@example.org");
        Assert.Equal(written, session.Restore(written));
    }

    [Fact]
    public void What_a_user_writes_like_a_placeholder_is_never_taken_for_one()
    {
        string[] conversation = ["mail bob@example.org", "what is [EMAIL_1] and [ email-2 ]?", "and amy@example.org"];
        RedactionSession session = NewRedactor().NewSession(conversation);
        string[] redacted = [.. conversation.Select(session.Redact)];
        Assert.Equal(["mail [EMAIL_3]", "what is [EMAIL_1] and [ email-2 ]?", "and [EMAIL_4]"], redacted);
        Assert.Equal(conversation, redacted.Select(session.Restore));
    }

    [Fact]
    public void A_stored_text_can_be_sent_up_again_by_a_later_session()
    {
        string stored = NewRedactor().NewSession().Redact("I am bob@example.org, who are you?");
        RedactionSession later = NewRedactor().NewSession([stored]);
        Assert.Equal(stored, later.Redact(stored));
        string answer = later.Redact("[EMAIL_1], ask amy@example.org");
        Assert.Equal("[EMAIL_1], ask [EMAIL_2]", answer);
        Assert.Equal("[EMAIL_1], ask amy@example.org", later.Restore(answer));
    }

    [Fact]
    public void JSON_stays_valid_and_numbers_come_back_as_numbers()
    {
        const string Text = """
            {"card": 4111111111111111, "phone_number": "4155551234", "mobile": 4155551234, "total": 1234567890, "bob@example.org": [1.50, null],
             "text": "line\nbob@example.org \u0041 \"x\"", "inner": "{\"to\":\"bob@example.org\",\"card\":4111111111111111}", "deep": [[["DE89370400440532013000"]]]}
            """;
        RedactionSession session = NewRedactor().NewSession([Text]);
        string redacted = session.Redact(Text);
        using JsonDocument document = JsonDocument.Parse(redacted);
        JsonElement root = document.RootElement;
        Assert.Equal("[CARD_1]", root.GetProperty("card").GetString());
        Assert.Equal("[PHONE_1]", root.GetProperty("phone_number").GetString());
        Assert.Equal("[PHONE_2]", root.GetProperty("mobile").GetString());
        Assert.Equal(1234567890, root.GetProperty("total").GetInt64());
        Assert.Equal("1.50", root.GetProperty("[EMAIL_1]")[0].GetRawText());
        Assert.Equal("line\n[EMAIL_1] A \"x\"", root.GetProperty("text").GetString());
        Assert.Equal("""{"to":"[EMAIL_1]","card":"[CARD_1]"}""", root.GetProperty("inner").GetString());
        Assert.Equal("[IBAN_1]", root.GetProperty("deep")[0][0][0].GetString());
        Assert.Equal(Text.Replace("\\u0041", "A", StringComparison.Ordinal), session.Restore(redacted));
        Assert.Equal(redacted, session.Redact(redacted));
    }

    [Fact]
    public void A_value_with_line_breaks_is_escaped_where_it_is_put_back_into_JSON()
    {
        const string Key = "-----BEGIN PRIVATE KEY-----\nMI\"IE\n-----END PRIVATE KEY-----";
        RedactionSession session = NewRedactor().NewSession();
        Assert.Equal("use [KEY_1]", session.Redact("use " + Key));
        const string Arguments = """{"key":"[KEY_1]","also":"{\"k\":\"[KEY_1]\"}"}""";
        using JsonDocument whole = JsonDocument.Parse(session.Restore(Arguments));
        Assert.Equal(Key, whole.RootElement.GetProperty("key").GetString());
        using JsonDocument inner = JsonDocument.Parse(whole.RootElement.GetProperty("also").GetString()!);
        Assert.Equal(Key, inner.RootElement.GetProperty("k").GetString());

        RestoringStream stream = session.NewRestorer(json: true);
        using JsonDocument streamed = JsonDocument.Parse(stream.Append("""{"key":"[KE""") + stream.Append("""Y_1]"}""") + stream.Complete());
        Assert.Equal(Key, streamed.RootElement.GetProperty("key").GetString());
    }

    [Theory]
    [InlineData("""say {"a": "x\nbob@example.org"}""", """say {"a": "x\n[EMAIL_1]"}""")]
    [InlineData("""say {"a": "x\u000abob@example.org"}""", """say {"a": "x\u000a[EMAIL_1]"}""")]
    [InlineData("""say {"a": "x\tsk-abcdef1234567890123"}""", """say {"a": "x\t[KEY_1]"}""")]
    [InlineData("""say {"a": "x\n4111111111111111\n+49301234567"}""", """say {"a": "x\n[CARD_1]\n[PHONE_1]"}""")]
    public void Escapes_of_JSON_inside_of_prose_stay_whole(string text, string expected) => Assert.Equal(expected, Redact(text));

    [Fact]
    public void Of_overlapping_finds_nothing_remains()
    {
        RedactionOptions options = new() { Patterns = [new("ab", "ab+"), new("bc", "b+c+"), new("word", "x\\w+")] };
        RedactionSession session = new Redactor(options, []).NewSession();
        // The earliest wins; of the other, what is left over.
        Assert.Equal("[AB_1][BC_1]d", session.Redact("abbccd"));
        // The longest of those that begin together; an address beats what lies inside of it.
        Assert.Equal("[EMAIL_1] [WORD_1]", session.Redact("4111111111111111@example.org xabbcc"));
        Assert.Equal("abbccd", session.Restore("[AB_1][BC_1]d"));
    }

    [Fact]
    public void A_pattern_that_matches_everything_leaves_placeholders_alone()
    {
        RedactionSession session = new Redactor(new RedactionOptions { Patterns = [new("all", "(?s).+")] }, []).NewSession();
        Assert.Equal("[ALL_1]", session.Redact("bob@example.org said so"));
        Assert.Equal("[ALL_1]", session.Redact("[ALL_1]"));
        Assert.Equal("[ALL_2][ALL_1] [ALL_1][ALL_3]", session.Redact("a [ALL_1] [ALL_1] b"));
        Assert.Equal("a [ALL_1]", new Redactor(new RedactionOptions(), []).NewSession().Restore("a [ALL_1]"));
    }

    [Fact]
    public void Patterns_and_plug_ins_that_cannot_be_used_are_refused_by_name()
    {
        AssertRefused("redaction.patterns.bad", new RedactionOptions { Patterns = [new("bad", "(")] });
        AssertRefused("redaction.patterns.empty", new RedactionOptions { Patterns = [new("empty", "")] });
        AssertRefused("redaction.patterns.e-mail", new RedactionOptions { Patterns = [new("e-mail", "x")] });
        AssertRefused("redaction.patterns.a__b", new RedactionOptions { Patterns = [new("a__b", "x")] });
        AssertRefused("redaction.patterns.email", new RedactionOptions { Email = false, Patterns = [new("email", "x")] });
        AssertRefused("redaction.patterns.TWICE", new RedactionOptions { Patterns = [new("twice", "x"), new("TWICE", "y")] });
        AssertRefused("redaction.pattern_timeout_seconds", new RedactionOptions { PatternTimeout = TimeSpan.Zero });
        AssertRefused("redaction plug-in Rule", new RedactionOptions(), new Rule("lower", static (_, _) => { }));
        AssertRefused("redaction plug-in Rule", new RedactionOptions(), new Rule("KEY", static (_, _) => { }));

        static void AssertRefused(string key, RedactionOptions options, params IRedactionRule[] plugIns)
        {
            PolicyOptionException e = Assert.Throws<PolicyOptionException>(() => new Redactor(options, plugIns));
            Assert.Equal(key, e.Key);
            Assert.StartsWith($"'{key}': ", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_pattern_that_would_never_end_gives_the_text_up()
    {
        // The back-reference keeps it from the engine without backtracking; so it has the clock.
        RedactionOptions options = new() { Patterns = [new("slow", @"(a+)+\1b$")], PatternTimeout = TimeSpan.FromMilliseconds(50) };
        RedactionException e = Assert.Throws<RedactionException>(() => new Redactor(options, []).NewSession().Redact(new string('a', 5000) + "!"));
        Assert.Equal("SLOW", e.Kind);
        Assert.DoesNotContain("aaa", e.Message, StringComparison.Ordinal);
        // The same danger without the back-reference is none.
        RedactionOptions harmless = options with { Patterns = [new("slow", "(a+)+b$")], PatternTimeout = TimeSpan.FromSeconds(20) };
        Assert.Equal(new string('a', 5000) + "!", new Redactor(harmless, []).NewSession().Redact(new string('a', 5000) + "!"));
    }

    [Fact]
    public void A_plug_in_is_asked_and_its_failure_is_not_passed_over()
    {
        Rule badge = new("BADGE", static (text, found) =>
        {
            int at = text.IndexOf("badge ");
            if (at >= 0)
            {
                found.Add(new RedactionRange(at + 6, 4));
            }
        });
        Assert.Equal("badge [BADGE_1].", new Redactor(new RedactionOptions(), [badge]).NewSession().Redact("badge 0815."));

        Rule broken = new("BROKEN", static (_, _) => throw new InvalidOperationException("secret text"));
        RedactionException thrown = Assert.Throws<RedactionException>(() => new Redactor(new RedactionOptions(), [broken]).NewSession().Redact("x"));
        Assert.Equal("BROKEN", thrown.Kind);
        Assert.DoesNotContain("secret", thrown.Message, StringComparison.Ordinal);

        foreach (RedactionRange range in new RedactionRange[] { new(-1, 1), new(0, 0), new(0, 4), new(4, 1), new(3, int.MaxValue) })
        {
            Rule outside = new("OUTSIDE", (_, found) => found.Add(range));
            Assert.Throws<RedactionException>(() => new Redactor(new RedactionOptions(), [outside]).NewSession().Redact("abc"));
        }
    }

    [Fact]
    public void No_half_of_a_surrogate_pair_is_left_behind()
    {
        Rule half = new("HALF", static (text, found) =>
        {
            if (text.Length == 4)
            {
                found.Add(new RedactionRange(2, 1));
            }
        });
        RedactionSession session = new Redactor(new RedactionOptions(), [half]).NewSession();
        Assert.Equal("a[HALF_1]b", session.Redact("a😀b"));
        Assert.Equal("a😀b", session.Restore("a[HALF_1]b"));
    }

    [Fact]
    public void Storing_and_sending_are_switched_off_by_themselves()
    {
        RedactionSession storage = new Redactor(new RedactionOptions { ForFrontier = false }, []).NewSession();
        Assert.Equal(("[EMAIL_1]", "a@b.org"), (storage.ForStorage("a@b.org"), storage.ForFrontier("a@b.org")));
        RedactionSession frontier = new Redactor(new RedactionOptions { ForStorage = false }, []).NewSession();
        Assert.Equal(("a@b.org", "[EMAIL_1]"), (frontier.ForStorage("a@b.org"), frontier.ForFrontier("a@b.org")));
    }

    [Fact]
    public void Kinds_are_switched_off_by_themselves()
    {
        const string Text = "a@b.org +49301234567 4111111111111111 DE89370400440532013000 AKIAIOSFODNN7EXAMPLE";
        Assert.Equal("a@b.org [PHONE_1] [CARD_1] [IBAN_1] [KEY_1]", Redact(Text, new RedactionOptions { Email = false }));
        Assert.Equal("[EMAIL_1] +49301234567 [CARD_1] [IBAN_1] [KEY_1]", Redact(Text, new RedactionOptions { Phone = false }));
        Assert.Equal("[EMAIL_1] [PHONE_1] 4111111111111111 [IBAN_1] [KEY_1]", Redact(Text, new RedactionOptions { Card = false }));
        Assert.Equal("[EMAIL_1] [PHONE_1] [CARD_1] DE89370400440532013000 [KEY_1]", Redact(Text, new RedactionOptions { Iban = false }));
        Assert.Equal("[EMAIL_1] [PHONE_1] [CARD_1] [IBAN_1] AKIAIOSFODNN7EXAMPLE", Redact(Text, new RedactionOptions { Key = false }));
    }

    [Fact]
    public void Options_are_read_from_JSON_and_faults_name_their_key()
    {
        RedactionOptions options = Parse("""{"forStorage": false, "ip": true, "phone": false, "patterns": {"badge": "B-\\d+", "word": {"pattern": "x", "ignore_case": true}}, "pattern-timeout-seconds": 0.5, "card": null}""");
        Assert.Equal((false, true, true, false, true), (options.ForStorage, options.ForFrontier, options.Ip, options.Phone, options.Card));
        Assert.Equal([new RedactionPattern("badge", "B-\\d+"), new RedactionPattern("word", "x", true)], options.Patterns);
        Assert.Equal(TimeSpan.FromSeconds(0.5), options.PatternTimeout);
        Assert.Equal("[WORD_1]", new Redactor(options, []).NewSession().Redact("X"));

        Assert.Equal("redaction.fax", Assert.Throws<PolicyOptionException>(() => Parse("""{"fax": true}""")).Key);
        Assert.Equal("redaction.email", Assert.Throws<PolicyOptionException>(() => Parse("""{"email": 1}""")).Key);
        Assert.Equal("redaction.forStorage", Assert.Throws<PolicyOptionException>(() => Parse("""{"for_storage": true, "forStorage": true}""")).Key);
        Assert.Equal("redaction.patterns.a.patern", Assert.Throws<PolicyOptionException>(() => Parse("""{"patterns": {"a": {"patern": "x"}}}""")).Key);
        Assert.Equal("redaction.patterns.a.pattern", Assert.Throws<PolicyOptionException>(() => Parse("""{"patterns": {"a": {}}}""")).Key);
        Assert.Equal("redaction.pattern_timeout_seconds", Assert.Throws<PolicyOptionException>(() => Parse("""{"pattern_timeout_seconds": 0}""")).Key);
        Assert.Equal("redaction", Assert.Throws<PolicyOptionException>(() => Parse("[]")).Key);

        static RedactionOptions Parse(string json)
        {
            using JsonDocument document = JsonDocument.Parse(json);
            return RedactionOptions.Parse(document.RootElement);
        }
    }

    [Fact]
    public void Sessions_may_be_used_from_many_threads()
    {
        Redactor redactor = NewRedactor();
        RedactionSession shared = redactor.NewSession();
        Parallel.For(0, 200, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i =>
        {
            string text = $"u{i % 20}@example.org";
            Assert.Equal(text, shared.Restore(shared.Redact(text)));
            Assert.Equal("[EMAIL_1]", redactor.NewSession().Redact(text));
        });
        Assert.Equal(20, shared.Count);
    }

    private static Redactor NewRedactor() => new(new RedactionOptions(), []);

    private static string Redact(string text, RedactionOptions? options = null)
    {
        RedactionSession session = new Redactor(options ?? new RedactionOptions(), []).NewSession();
        string redacted = session.Redact(text);
        Assert.Equal(text, session.Restore(redacted));
        Assert.Equal(redacted, session.Redact(redacted));
        return redacted;
    }

    private delegate void Finder(ReadOnlySpan<char> text, ICollection<RedactionRange> found);

    private sealed class Rule(string kind, Finder find) : IRedactionRule
    {
        public string Kind => kind;

        public void Find(ReadOnlySpan<char> text, ICollection<RedactionRange> found) => find(text, found);
    }
}
