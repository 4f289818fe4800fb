using System.Text;
using ContinualNative.Training.Vocabulary;

namespace ContinualNative.Tests.Vocabulary;

public sealed class WordSplitterTests
{
    // What GPT-2's pattern gives, worked out by hand.
    [Theory]
    [InlineData("Hello world", "Hello| world")]
    [InlineData("it's we'll they've I'm he'd you're can't", "it|'s| we|'ll| they|'ve| I|'m| he|'d| you|'re| can|'t")]
    [InlineData("it'S 'tis", "it|'|S| '|tis")]
    [InlineData("a  b", "a| | b")]
    [InlineData("a   b", "a|  | b")]
    [InlineData("a\n\nb", "a|\n|\n|b")]
    [InlineData("a \nb", "a| |\n|b")]
    [InlineData("a\n b", "a|\n| b")]
    [InlineData("end  ", "end|  ")]
    [InlineData("end ", "end| ")]
    [InlineData("x1234y", "x|1234|y")]
    [InlineData("costs $4.50!", "costs| $|4|.|50|!")]
    [InlineData("ça va — Ωμέγα", "ça| va| —| Ωμέγα")]
    [InlineData("½²٣", "½²٣")]
    [InlineData("日本語。テスト", "日本語|。|テスト")]
    [InlineData("a\u00a0b", "a|\u00a0|b")]
    [InlineData("e\u0301a", "e|\u0301|a")]
    [InlineData("🎉🎊 ok", "🎉🎊| ok")]
    public void Text_falls_into_the_words_of_GPT_2(string text, string words)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        List<string> found = [];
        for (int at = 0; at < bytes.Length;)
        {
            int length = WordSplitter.FirstWord(bytes.AsSpan(at));
            found.Add(Encoding.UTF8.GetString(bytes, at, length));
            at += length;
        }
        Assert.Equal(words, string.Join('|', found));
    }

    [Fact]
    public void Words_of_any_bytes_are_never_empty_and_never_too_long()
    {
        Random random = new(5);
        byte[] bytes = new byte[4096];
        random.NextBytes(bytes);
        int at = 0;
        while (at < bytes.Length)
        {
            int length = WordSplitter.FirstWord(bytes.AsSpan(at));
            Assert.InRange(length, 1, bytes.Length - at);
            at += length;
        }
    }
}
