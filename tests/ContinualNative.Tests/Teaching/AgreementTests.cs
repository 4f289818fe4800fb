using System.Text;
using ContinualNative.Core.Teaching;

namespace ContinualNative.Tests.Teaching;

public sealed class AgreementTests
{
    [Theory]
    [InlineData(" a b\n", "a b", 1)]
    [InlineData("A b", "a b", 0)]
    [InlineData("", " ", 1)]
    [InlineData("a\u0301", "á", 0)]
    public void Exact_answers_are_equal_letter_by_letter(string local, string teacher, double expected) =>
        Assert.Equal(expected, Agreement.Score(AgreementMeasure.Exact, local, teacher));

    [Theory]
    [InlineData("Paris", "paris.")]
    [InlineData("\"Paris\"", "Paris")]
    [InlineData("**Paris**!", "“paris”")]
    [InlineData("```\nParis\n```", "Paris")]
    [InlineData("```json\nParis\n```", "paris")]
    [InlineData("```Paris```", "paris")]
    [InlineData("`yes`", "Yes")]
    [InlineData("a  b\n\tc", "A B C")]
    [InlineData("cafe\u0301", "CAFÉ")]
    [InlineData("ＡＢ１", "ab1")]
    [InlineData("ﬁve", "five")]
    [InlineData("x²", "x2")]
    [InlineData("\u1112\u1161\u11AB", "한")]
    [InlineData("か\u3099", "が")]
    [InlineData("don’t", "Don't")]
    [InlineData("1–2", "1-2")]
    [InlineData("a\u00A0b\u200B", "a b")]
    [InlineData("(b)", "b")]
    [InlineData("\u202Eyes", "yes")]
    [InlineData("ΣΑΣ", "σασ")]
    [InlineData("!", "!")]
    public void Normalized_answers_are_equal_as_words(string local, string teacher)
    {
        Assert.Equal(1, Agreement.Score(AgreementMeasure.Normalized, local, teacher));
        Assert.Equal(1, Agreement.Score(AgreementMeasure.Normalized, teacher, local));
    }

    [Theory]
    [InlineData("the cat", "cat")]
    [InlineData("-5", "5")]
    [InlineData("$5", "5")]
    [InlineData("5%", "5")]
    [InlineData(".5", "5")]
    [InlineData("C", "C#")]
    [InlineData("C", "C++")]
    [InlineData("resume", "résumé")]
    [InlineData("!", "?")]
    [InlineData("", "no")]
    [InlineData("(a) or (b)", "a or b")]
    [InlineData("code:\n```\nx\n```", "x")]
    [InlineData("a b", "ab")]
    public void Normalized_answers_that_mean_different_things_are_not_equal(string local, string teacher)
    {
        Assert.Equal(0, Agreement.Score(AgreementMeasure.Normalized, local, teacher));
        Assert.Equal(0, Agreement.Score(AgreementMeasure.Normalized, teacher, local));
    }

    [Theory]
    [InlineData("""{"a":1,"b":[1,2]}""", """{ "b": [1.0, 2e0], "a": 100e-2 }""", 1)]
    [InlineData("""{"a":1}""", "Here it is:\n```json\n{\"a\": 1}\n```\nDone.", 1)]
    [InlineData("""{"a":1}""", "It is {\"a\": 1}, I think.", 1)]
    [InlineData("""{"a":1}""", "````\n```\n{\"a\": 1}\n```\n````", 1)]
    [InlineData("""{"a":1,"b":2}""", """{"a":1,"b":3}""", 0.5)]
    [InlineData("""{"a":1,"b":2}""", """{"a":1}""", 0.5)]
    [InlineData("""{"a":1,"b":2}""", """{"a":1,"c":2}""", 1.0 / 3)]
    [InlineData("[1,2]", "[2,1]", 0)]
    [InlineData("[1,2,3,4]", "[1,2,3,5]", 0.75)]
    [InlineData("""{"a":"1"}""", """{"a":1}""", 0)]
    [InlineData("""{"a.b":1}""", """{"a":{"b":1}}""", 0)]
    [InlineData("""{"a":{}}""", """{"a":[]}""", 0)]
    [InlineData("{}", "{}", 1)]
    [InlineData("""{"a":12345678901234567890123456789012345678901}""", """{"a":12345678901234567890123456789012345678902}""", 0)]
    [InlineData("""{"a":-0.0}""", """{"a":0}""", 1)]
    [InlineData("""{"a":"\u0041"}""", """{"a":"A"}""", 1)]
    [InlineData("no JSON", """{"a":1}""", 0)]
    [InlineData("Yes.", "yes", 1)]
    [InlineData("5", "5.0", 1)]
    [InlineData("true", "true", 1)]
    public void JSON_is_compared_by_its_leaves(string local, string teacher, double expected)
    {
        Assert.Equal(expected, Agreement.Score(AgreementMeasure.Json, local, teacher), 1e-12);
        Assert.Equal(Agreement.Score(AgreementMeasure.Json, local, teacher), Agreement.Score(AgreementMeasure.Json, teacher, local), 12);
    }

    [Theory]
    [InlineData("the cat sat", "The cat sat.", 1)]
    [InlineData("the cat", "the dog", 0.5)]
    [InlineData("a a a", "a", 0.5)]
    [InlineData("", "", 1)]
    [InlineData("", "a", 0)]
    [InlineData("3.5 miles", "3,5 miles", 0.5)]
    [InlineData("done.Then", "done then", 1)]
    [InlineData("我爱你", "我恨你", 2.0 / 3)]
    [InlineData("don't", "don’t", 1)]
    public void Words_are_compared_as_multisets(string local, string teacher, double expected)
    {
        Assert.Equal(expected, Agreement.TokenF1(local, teacher), 12);
        Assert.Equal(expected, Agreement.Score(AgreementMeasure.TokenF1, local, teacher), 12);
        Assert.Equal(expected, Agreement.Score(AgreementMeasure.Similarity, local, teacher), 12);
    }

    [Fact]
    public async Task Similarity_is_the_cosine_of_embeddings()
    {
        ReadOnlyMemory<float> Embed(string text) => text switch { "a" => new[] { 3f, 0 }, "b" => new[] { 1f, 1 }, "c" => new[] { -1f, 0 }, "nan" => new[] { float.NaN, 1 }, _ => new[] { 0f, 0 } };
        Assert.Equal(Math.Sqrt(0.5), Agreement.Score(AgreementMeasure.Similarity, "a", "b", Embed), 7);
        Assert.Equal(1, Agreement.Score(AgreementMeasure.Similarity, "b", "b", Embed), 12);
        Assert.Equal(0, Agreement.Score(AgreementMeasure.Similarity, "a", "c", Embed));
        Assert.Equal(0, Agreement.Score(AgreementMeasure.Similarity, "a", "zero", Embed));
        Assert.Equal(0, Agreement.Score(AgreementMeasure.Similarity, "a", "nan", Embed));
        Assert.Throws<ArgumentException>(() => Agreement.Cosine([1f], [1f, 2f]));
        int asked = 0;
        ValueTask<ReadOnlyMemory<float>> EmbedLater(string text, CancellationToken token)
        {
            asked++;
            return ValueTask.FromResult(Embed(text));
        }
        Assert.Equal(Math.Sqrt(0.5), await Agreement.ScoreAsync(AgreementMeasure.Similarity, "a", "b", EmbedLater, TestContext.Current.CancellationToken), 7);
        Assert.Equal(1, await Agreement.ScoreAsync(AgreementMeasure.Exact, "a", "a", EmbedLater, TestContext.Current.CancellationToken));
        Assert.Equal(2, asked);
    }

    [Theory]
    [InlineData("""[{"name":"f","arguments":"{\"x\":1,\"y\":2}"}]""", """[{"name":"f","arguments":"{ \"y\": 2.0, \"x\": 1 }"}]""", 1)]
    [InlineData("""[{"name":"f","arguments":"{\"x\":1,\"y\":2}"}]""", """[{"name":"f","arguments":"{\"x\":1,\"y\":3}"}]""", 0.5)]
    [InlineData("""[{"name":"f","arguments":"{}"}]""", """[{"name":"g","arguments":"{}"}]""", 0)]
    [InlineData("""[{"name":"f","arguments":""}]""", """[{"name":"f"}]""", 1)]
    [InlineData("""[{"name":"f","arguments":"{}"},{"name":"g","arguments":"{}"}]""", """[{"name":"g","arguments":"{}"},{"name":"f","arguments":"{}"}]""", 1)]
    [InlineData("""[{"name":"f","arguments":"{}"},{"name":"f","arguments":"{}"}]""", """[{"name":"f","arguments":"{}"}]""", 0.5)]
    [InlineData("""[{"name":"f","arguments":"{\"a\":1}"},{"name":"f","arguments":"{\"a\":2}"}]""", """[{"name":"f","arguments":"{\"a\":2}"},{"name":"f","arguments":"{\"a\":1}"}]""", 1)]
    [InlineData("""[{"name":"f","arguments":"not json"}]""", """[{"name":"f","arguments":"{}"}]""", 0)]
    public void Calls_of_tools_are_compared_by_name_and_arguments(string local, string teacher, double expected)
    {
        // Once as OpenAI nests them, once flat.
        string nested = "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":" + local.Replace("{\"name\"", "{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\"", StringComparison.Ordinal).Replace("}\"}", "}\"}}", StringComparison.Ordinal) + "}";
        if (IsJson(nested))
        {
            Assert.Equal(expected, Agreement.Score(AgreementMeasure.Exact, nested, Message(teacher)), 12);
        }
        Assert.Equal(expected, Agreement.Score(AgreementMeasure.Normalized, Message(local), Message(teacher)), 12);
        Assert.Equal(expected, Agreement.ToolCallScore(Message(teacher), Message(local))!.Value, 12);

        static string Message(string calls) => $$"""{"role":"assistant","tool_calls":{{calls}}}""";

        static bool IsJson(string text)
        {
            try
            {
                System.Text.Json.JsonDocument.Parse(text).Dispose();
                return true;
            }
            catch (System.Text.Json.JsonException)
            {
                return false;
            }
        }
    }

    [Fact]
    public void A_call_and_a_text_never_agree()
    {
        const string Call = """{"role":"assistant","tool_calls":[{"name":"f","arguments":"{}"}]}""";
        Assert.Equal(0, Agreement.Score(AgreementMeasure.Normalized, Call, "text"));
        Assert.Equal(0, Agreement.Score(AgreementMeasure.Judge, "text", Call));
        Assert.Null(Agreement.ToolCallScore("""the word "tool_calls" """, """{"tool_calls": []}"""));
        Assert.Throws<ArgumentException>(() => Agreement.Score(AgreementMeasure.Judge, "a", "a"));
    }

    [Fact]
    public void Measures_have_names_and_pass_marks()
    {
        Assert.Equal(["exact", "normalized", "json", "similarity", "token_f1", "judge"], Agreement.Names);
        Assert.All(Enum.GetValues<AgreementMeasure>(), static measure => Assert.Equal(measure, Agreement.Named(Agreement.NameOf(measure))));
        Assert.Null(Agreement.Named("Exact"));
        Assert.Null(Agreement.Named(null));
        Assert.Equal([1, 1, 1, 0.8, 0.8, 0.8], Enum.GetValues<AgreementMeasure>().Select(Agreement.DefaultPassMark));
    }

    public static readonly TheoryData<string, int> Hostile = new()
    {
        { "```\n", 250_000 }, { "````", 250_000 }, { "[", 1_000_000 }, { "{\"a\":", 200_000 }, { "[1,", 300_000 }, { "(", 1_000_000 }, { "'", 1_000_000 }, { "*_", 500_000 }, { "\ud800", 500_000 }, { "\u05D0\u202E ", 300_000 },
        { "e\u0301", 500_000 }, { ".", 1_000_000 }, { "1.", 500_000 }, { "字", 500_000 }, { "\"tool_calls\"", 80_000 },
    };

    [Theory]
    [MemberData(nameof(Hostile))]
    public void Answers_that_are_made_to_be_slow_are_compared_in_one_go(string unit, int count)
    {
        string text = new StringBuilder().Insert(0, unit, count).ToString();
        foreach (AgreementMeasure measure in (ReadOnlySpan<AgreementMeasure>)[AgreementMeasure.Exact, AgreementMeasure.Normalized, AgreementMeasure.Json, AgreementMeasure.TokenF1])
        {
            Assert.Equal(1, Agreement.Score(measure, text, text));
            Assert.InRange(Agreement.Score(measure, text, "{\"x\":1}"), 0, 0.5);
        }
    }

    [Fact]
    public void Long_names_over_many_leaves_are_compared_in_one_go()
    {
        string text = $$"""{"{{new string('n', 300_000)}}": [{{string.Join(',', Enumerable.Range(0, 100_000))}}]}""";
        Assert.Equal(1, Agreement.Score(AgreementMeasure.Json, text, text));
        Assert.Equal(99_999.0 / 100_000, Agreement.Score(AgreementMeasure.Json, text, text.Replace("[0,", "[7,", StringComparison.Ordinal)), 12);
    }
}
