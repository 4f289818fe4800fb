using System.Text;
using ContinualNative.Core.Evaluation;

namespace ContinualNative.Tests.Evaluation;

public sealed class ExampleReaderTests
{
    [Fact]
    public void Both_kinds_of_lines_are_read()
    {
        IReadOnlyList<Example> examples = Read("\uFEFF" + """
            {"messages":[{"role":"system","content":"s"},{"role":"user","content":"u","name":"n"},{"role":"assistant","content":"a"}],"weight":0.5,"id":"x","note":[1]}

            {"prompt":"","completion":" c","id":12,"weight":null}
            """.ReplaceLineEndings("\r\n"));

        Assert.Equal(2, examples.Count);
        Assert.Equal((1, "x", 0.5, "a"), (examples[0].Line, examples[0].Id, examples[0].Weight, examples[0].Target));
        Assert.Equal(["system", "user", "assistant"], examples[0].Messages!.Select(static m => m.Role));
        Assert.Equal("n", examples[0].Messages![1].Name);
        Assert.Equal((3, "12", 1.0, "", " c"), (examples[1].Line, examples[1].Id, examples[1].Weight, examples[1].Prompt, examples[1].Target));
        Assert.Null(examples[1].Messages);
    }

    [Fact]
    public void Rejected_answers_come_beside_both_kinds()
    {
        IReadOnlyList<Example> examples = Read("""
            {"messages":[{"role":"user","content":"u"},{"role":"assistant","content":"a"}],"rejected":{"role":"assistant","content":"b"}}
            {"prompt":"p","completion":"c","rejected":"d"}
            {"prompt":"p","completion":"c","rejected":null}
            """);
        Assert.Equal(["b", "d", null], examples.Select(static e => e.Rejected));
        Assert.Equal(["a", "c", "c"], examples.Select(static e => e.Target));
    }

    [Fact]
    public void Long_lines_and_many_lines_cross_the_buffer()
    {
        string[] texts = [.. Enumerable.Range(0, 300).Select(static i => new string((char)('a' + (i % 26)), i * 37 % 200_000 + (i == 150 ? 300_000 : 1)))];
        IReadOnlyList<Example> examples = Read(string.Join('\n', texts.Select(static t => $$"""{"prompt":"p","completion":"{{t}}"}""")));
        Assert.Equal(texts, examples.Select(static e => e.Target));
        Assert.Equal(Enumerable.Range(1, 300), examples.Select(static e => e.Line));
        Assert.Equal(10, Read(string.Join('\n', texts.Select(static t => """{"prompt":"p","completion":"c"}""")), 10).Count);
    }

    [Theory]
    [InlineData("""{"prompt":"a"}""", "'completion' is missing")]
    [InlineData("""{"completion":"a"}""", "'prompt' is missing")]
    [InlineData("""{"prompt":"a","completion":""}""", "'completion' is empty")]
    [InlineData("""{"prompt":"a","completion":5}""", "'completion' must be a string, not a number")]
    [InlineData("""{"text":"a"}""", "'messages' is missing")]
    [InlineData("""{"messages":{}}""", "'messages' must be an array, not an object")]
    [InlineData("""{"messages":[]}""", "'messages' is empty")]
    [InlineData("""{"messages":[5]}""", "'messages[0]' must be an object")]
    [InlineData("""{"messages":[{"role":"user","content":"a"}]}""", "must be the assistant's")]
    [InlineData("""{"messages":[{"role":"assistant","content":"a"}]}""", "a message before it is needed")]
    [InlineData("""{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":" "}]}""", "'messages[1].content' is empty")]
    [InlineData("""{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null}]}""", "'messages[1].content' must be a string, not null")]
    [InlineData("""{"messages":[{"role":"robot","content":"a"},{"role":"assistant","content":"b"}]}""", "'messages[0].role' is 'robot'")]
    [InlineData("""{"messages":[{"content":"a"},{"role":"assistant","content":"b"}]}""", "'messages[0].role' is missing")]
    [InlineData("""{"messages":[{"role":"user","content":"a","tool_calls":[]},{"role":"assistant","content":"b"}]}""", "'messages[0].tool_calls' is not supported")]
    [InlineData("""{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"tools":[]}""", "'tools' is not supported")]
    [InlineData("""{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"prompt":"c"}""", "also 'prompt'")]
    [InlineData("""{"prompt":"a","completion":"b","rejected":""}""", "'rejected' is empty")]
    [InlineData("""{"prompt":"a","completion":"b","rejected":{}}""", "'rejected' must be a string, not an object")]
    [InlineData("""{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"rejected":"c"}""", "'rejected' must be a message of the assistant beside 'messages', not a string")]
    [InlineData("""{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"rejected":{"role":"user","content":"c"}}""", "'rejected.role' is 'user'")]
    [InlineData("""{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"rejected":{"role":"assistant","content":" "}}""", "'rejected.content' is empty")]
    [InlineData("""{"prompt":"a","completion":"b","weight":-1}""", "'weight' must be a number of 0 or more, not -1")]
    [InlineData("""{"prompt":"a","completion":"b","weight":"1"}""", "'weight' must be a number of 0 or more, not a string")]
    [InlineData("""{"prompt":"a","completion":"b","weight":1e999}""", "'weight' must be a number")]
    [InlineData("""{"prompt":"a","completion":"b","id":[]}""", "'id' must be a string or a number")]
    [InlineData("""{"prompt":"a","prompt":"b","completion":"c"}""", "not valid JSON")]
    [InlineData("""{"prompt":"a","completion":"\ud800"}""", "surrogate")]
    [InlineData("""{"prompt":"a","completion":"b"} x""", "not valid JSON at byte 33")]
    [InlineData("[1]", "must be a JSON object, not an array")]
    [InlineData("{", "not valid JSON")]
    public void Every_fault_names_file_line_and_field(string line, string expected)
    {
        ExampleFormatException e = Assert.Throws<ExampleFormatException>(() => Read("""{"prompt":"a","completion":"b"}""" + "\n\n" + line + "\n"));
        Assert.Equal(3, e.Line);
        Assert.StartsWith("d.jsonl, line 3: ", e.Message, StringComparison.Ordinal);
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_no_text_at_all_is_refused()
    {
        Assert.Contains("not valid UTF-8", Assert.Throws<ExampleFormatException>(() => ExampleReader.Read(new MemoryStream([.. """{"prompt":"a","completion":"""u8, (byte)'"', 0xFF, .. "\"}"u8]), "d.jsonl")).Message, StringComparison.Ordinal);
        Assert.Contains("it holds no examples", Assert.Throws<ExampleFormatException>(() => Read(" \n\n")).Message, StringComparison.Ordinal);
        Assert.Contains("longer than 16 MiB", Assert.Throws<ExampleFormatException>(() => ExampleReader.Read(new MemoryStream(new byte[(16 << 20) + (1 << 17)]), "d.jsonl")).Message, StringComparison.Ordinal);
        Assert.Contains("there is no such file", Assert.Throws<ExampleFormatException>(() => ExampleReader.ReadFile("no/such/file.jsonl")).Message, StringComparison.Ordinal);
        Assert.Contains("that is a folder", Assert.Throws<ExampleFormatException>(() => ExampleReader.ReadFile(Path.GetTempPath())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Totals_are_weighted_by_tokens()
    {
        EvaluationTotals totals = new();
        Assert.True(double.IsNaN(totals.Loss));
        totals.Add(1, 6, 3, 10, 2, exact: true);
        totals.Add(0.5, 4, 2, 10, 2, exact: false);
        totals.Add(0, double.PositiveInfinity, 5, 10, 2, exact: false);
        Assert.Equal((6 + 2) / (3 + 1.0), totals.Loss, 12);
        Assert.Equal(Math.Exp(2), totals.Perplexity, 12);
        Assert.Equal(1 / 3.0, totals.ExactMatch, 12);
        Assert.Equal((10L, 30L, 6L), (totals.Tokens, totals.PromptTokens, totals.GeneratedTokens));
        Assert.True(EvaluationTotals.IsExact(" a b\n", "a b "));
        Assert.False(EvaluationTotals.IsExact("A b", "a b"));
    }

    private static IReadOnlyList<Example> Read(string text, int limit = int.MaxValue) => ExampleReader.Read(new MemoryStream(Encoding.UTF8.GetBytes(text)), "d.jsonl", limit);
}
