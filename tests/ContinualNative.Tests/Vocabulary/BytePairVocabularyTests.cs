using System.Text;
using ContinualNative.Training.Vocabulary;

namespace ContinualNative.Tests.Vocabulary;

public sealed class BytePairVocabularyTests
{
    private const string Text =
        "The quick brown fox jumps over the lazy dog; the dog didn't mind. Über allen Gipfeln ist Ruh. Съешь же ещё этих мягких французских булок. "
        + "日本語のテキスト。日本語のテスト。 1234 5678 1234 🎉🎉🎉\n\n\tif (x == y) { return x; }\r\n    if (x != y) { return y; }\n";

    private static readonly BytePairVocabulary Learned = Learn();

    [Fact]
    public void Bytes_come_first_and_control_tokens_last()
    {
        BytePairVocabulary vocabulary = new([new BytePair('a', 'b')]);
        Assert.Equal(BytePairVocabulary.BaseSize + 1, vocabulary.Size);
        Assert.Equal((257, 258, 259, 260), (vocabulary.Bos, vocabulary.Eos, vocabulary.MessageStart, vocabulary.MessageEnd));
        Assert.Equal(["ab", "<|bos|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"], vocabulary.Spellings.Skip(256));
        // GPT-2's spellings of the space, the line feed, DEL, the soft hyphen and ÿ.
        Assert.Equal(["Ġ", "Ċ", "ġ", "Ń", "ÿ", "!"], ((int[])[' ', '\n', 0x7F, 0xAD, 0xFF, '!']).Select(b => vocabulary.Spellings[b]));
    }

    [Fact]
    public void Any_text_comes_back()
    {
        Assert.Equal(Text, Encoding.UTF8.GetString(Learned.Decode(Learned.Encode(Text))));
        Assert.True(Learned.Encode(Text).Length < Encoding.UTF8.GetByteCount(Text) * 2 / 3);
        Random random = new(11);
        for (int round = 0; round < 200; round++)
        {
            StringBuilder text = new();
            while (text.Length < 60)
            {
                int c = random.Next(4) switch { 0 => random.Next(0x80), 1 => random.Next(0x800), 2 => random.Next(0x10000), _ => random.Next(0x110000) };
                text.Append(Rune.IsValid(c) ? new Rune(c).ToString() : " the");
            }
            string one = text.ToString();
            Assert.Equal(one, Encoding.UTF8.GetString(Learned.Decode(Learned.Encode(one))));
        }
    }

    [Fact]
    public void Bytes_that_are_no_text_come_back_too()
    {
        Random random = new(12);
        byte[] bytes = new byte[3000];
        random.NextBytes(bytes);
        "\xff\xfe the lazy \u00e2\u0082"u8.CopyTo(bytes.AsSpan(100));
        bytes[500] = 0xE2;
        bytes[501] = 0x82;
        bytes[502] = (byte)' ';
        List<int> tokens = [];
        Learned.Encode(bytes, tokens);
        Assert.Equal(bytes, Learned.Decode([.. tokens]));
    }

    [Fact]
    public void A_word_of_a_hundred_thousand_letters_takes_no_quadratic_time()
    {
        string word = string.Concat(Enumerable.Repeat("brownfoxthelazydog", 6000));
        int[] tokens = Learned.Encode(word);
        Assert.Equal(word, Encoding.UTF8.GetString(Learned.Decode(tokens)));
        VocabularyLearner learner = new();
        learner.Add(Encoding.UTF8.GetBytes(word));
        // One word of period 18: each merge halves what is left, until tokens are as long as they may be.
        Assert.InRange(learner.Learn(32).Count, 10, 32);
    }

    [Fact]
    public void A_vocabulary_is_read_back_from_its_spellings()
    {
        BytePairVocabulary? read = BytePairVocabulary.FromSpellings(Learned.Spellings, Learned.MergeSpellings);
        Assert.NotNull(read);
        Assert.Equal(Learned.Merges, read.Merges);
        Assert.Equal(Learned.Encode(Text), read.Encode(Text));
        Assert.Null(BytePairVocabulary.FromSpellings(Learned.Spellings, [.. Learned.MergeSpellings.Skip(1)]));
        Assert.Null(BytePairVocabulary.FromSpellings([.. Learned.Spellings.Reverse()], Learned.MergeSpellings));
        Assert.Null(BytePairVocabulary.FromSpellings(Learned.Spellings, ["no-space"]));
    }

    [Fact]
    public void Merges_that_make_no_sense_are_refused()
    {
        Assert.Throws<ArgumentException>(static () => new BytePairVocabulary([new BytePair('a', 256)]));
        Assert.Throws<ArgumentException>(static () => new BytePairVocabulary([new BytePair('a', 'b'), new BytePair('a', 'b')]));
        Assert.Throws<ArgumentException>(static () => new BytePairVocabulary([new BytePair(-1, 'b')]));
    }

    private static BytePairVocabulary Learn()
    {
        VocabularyLearner learner = new();
        learner.Add(Encoding.UTF8.GetBytes(Text + Text));
        return new BytePairVocabulary(learner.Learn(200));
    }
}
