using System.Text;
using ContinualNative.Core.Evaluation;
using ContinualNative.Training.Corpus;

namespace ContinualNative.Tests.Corpus;

public sealed class CorpusReaderTests
{
    [Theory]
    [InlineData("one\n\ntwo\n", "one\n\ntwo")]
    [InlineData("one\ftwo\n\n\f\n \f\nthree", "one|two|three")]
    [InlineData("one\n<|endoftext|>\r\ntwo\n<|endoftext|>\n", "one|two")]
    [InlineData("a <|endoftext|> inside a line stays", "a <|endoftext|> inside a line stays")]
    [InlineData("\uFEFFmark", "mark")]
    [InlineData("\n\n  indented\n", "  indented")]
    public void Text_files_fall_into_documents(string content, string documents) =>
        Assert.Equal(documents, string.Join('|', CorpusReader.ReadText(Encoding.UTF8.GetBytes(content), "t.txt").Select(static d => Read(d.Parts[0]))));

    [Fact]
    public void Lines_of_json_are_texts_and_chats()
    {
        const string lines = """
            {"text": "Grüße\n"}

            {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": ""}]}
            {"prompt": "2+2=", "completion": "4", "id": 7}
            {"text": "  "}
            """;
        IReadOnlyList<CorpusDocument> documents = CorpusReader.ReadLines(Encoding.UTF8.GetBytes(lines), "t.jsonl");
        Assert.Equal([false, true, false], documents.Select(static d => d.IsChat));
        Assert.Equal("Grüße\n", Read(documents[0].Parts[0]));
        Assert.Equal(["system\nBe brief.", "user\nHi", "assistant\n"], documents[1].Parts.Select(Read));
        Assert.Equal("2+2=4", Read(documents[2].Parts[0]));
    }

    [Theory]
    [InlineData("{\"text\": 5}", "'text' must be a string")]
    [InlineData("{\"words\": \"x\"}", "none of the fields")]
    [InlineData("[1]", "must be an object")]
    [InlineData("{\"text\": \"x\"", "not JSON")]
    [InlineData("{\"text\": \"x\", \"text\": \"y\"}", "not JSON")]
    [InlineData("{\"messages\": {}}", "must be an array")]
    [InlineData("{\"messages\": [{\"role\": \"user\"}]}", "'role' and 'content'")]
    [InlineData("{\"messages\": [{\"role\": \"robot\", \"content\": \"x\"}]}", "'robot'")]
    [InlineData("{\"text\": \"\\ud800\"}", "Unicode")]
    public void A_wrong_line_is_named(string line, string reason)
    {
        ExampleFormatException e = Assert.Throws<ExampleFormatException>(() => CorpusReader.ReadLines(Encoding.UTF8.GetBytes("{\"text\": \"fine\"}\n" + line), "t.jsonl"));
        Assert.Contains("t.jsonl", e.Message, StringComparison.Ordinal);
        Assert.Contains("2", e.Message, StringComparison.Ordinal);
        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_no_UTF_8_is_refused_with_its_line()
    {
        ExampleFormatException latin = Assert.Throws<ExampleFormatException>(static () => CorpusReader.ReadText("fine\ncaf\xe9"u8.ToArray()[..^2].Append((byte)0xE9).Append((byte)'\n').ToArray(), "t.txt"));
        Assert.Contains("0xE9", latin.Message, StringComparison.Ordinal);
        ExampleFormatException wide = Assert.Throws<ExampleFormatException>(static () => CorpusReader.ReadText(Encoding.Unicode.GetBytes("text"), "t.txt"));
        Assert.Contains("zero byte", wide.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Missing_and_empty_files_are_told()
    {
        string folder = Directory.CreateTempSubdirectory("corpus").FullName;
        try
        {
            Assert.Contains("no such file", Assert.Throws<ExampleFormatException>(() => CorpusReader.ReadFiles([Path.Combine(folder, "none.txt")])).Message, StringComparison.Ordinal);
            Assert.Contains("folder", Assert.Throws<ExampleFormatException>(() => CorpusReader.ReadFiles([folder])).Message, StringComparison.Ordinal);
            string empty = Path.Combine(folder, "empty.txt");
            File.WriteAllText(empty, "\n \n");
            Assert.Contains("no text", Assert.Throws<ExampleFormatException>(() => CorpusReader.ReadFiles([empty])).Message, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string Read(ReadOnlyMemory<byte> part) => Encoding.UTF8.GetString(part.Span);
}
