using System.Text.RegularExpressions;
using ContinualNative.Host.Demo.World;
using ContinualNative.Training.Corpus;

namespace ContinualNative.HostTests.Demo;

public sealed class CorpusWriterTests
{
    // The whole corpus: what the model never saw is the demo's premise.
    private static readonly string[] Lines = [.. CorpusWriter.Chats(CorpusWriter.DefaultDocuments).Select(static c => $"{c.Task} {c.Message} => {c.Answer}")];

    [Fact]
    public void Corpus_holds_no_name_line_label_or_word_of_the_drift()
    {
        string[] reserved =
        [
            .. DriftReserve.Names, .. DriftReserve.Lines, .. DriftReserve.Intents.Select(static i => i.Label), .. DriftReserve.Wordings.SelectMany(static w => w.Words),
        ];
        Regex any = new($@"(?<![A-Za-z_-])(?:{string.Join('|', reserved.Select(Regex.Escape))})(?![A-Za-z_-])", RegexOptions.IgnoreCase);
        Assert.DoesNotContain(Lines, any.IsMatch);
    }

    [Fact]
    public void Corpus_gives_no_policy_a_later_value_and_tells_of_no_new_terms()
    {
        HashSet<string> later = [.. KnownWorld.Policies.SelectMany(static p => p.LaterValues.Select(v => $"=> {p.Answer(v)}"))];
        Assert.DoesNotContain(Lines, line => later.Contains(line[line.IndexOf("=> ", StringComparison.Ordinal)..]));
        Assert.DoesNotContain(Lines, static line => line.Contains("new terms", StringComparison.OrdinalIgnoreCase));
    }

    [Fact]
    public void Corpus_has_every_known_product_with_every_known_intent()
    {
        string text = string.Join('\n', Lines);
        Assert.All(KnownWorld.Products, p => Assert.Contains(p.Name, text, StringComparison.Ordinal));
        Assert.All(KnownWorld.Intents.SelectMany(static i => KnownWorld.Lines.Select(l => SupportWorld.TriageAnswer(i.Label, l))), answer => Assert.Contains(answer, text, StringComparison.Ordinal));
    }

    [Fact]
    public void Corpus_file_is_equal_each_time_and_is_read_as_chats()
    {
        string folder = Directory.CreateTempSubdirectory("corpus").FullName;
        try
        {
            byte[] first = File.ReadAllBytes(CorpusWriter.Write(folder, 500));
            string path = CorpusWriter.Write(folder, 500);
            Assert.Equal(first, File.ReadAllBytes(path));
            IReadOnlyList<CorpusDocument> documents = CorpusReader.ReadFiles([path]);
            Assert.Equal(500, documents.Count);
            Assert.All(documents, static d => Assert.True(d.IsChat && d.Parts.Count == 3));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
