using System.Text;
using ContinualNative.Training;
using ContinualNative.Training.Corpus;
using ContinualNative.Training.Vocabulary;

namespace ContinualNative.Tests.Corpus;

public sealed class CorpusEncoderTests
{
    private static readonly BytePairVocabulary Bytes = new([]);

    [Fact]
    public void A_document_stands_between_its_beginning_and_its_end()
    {
        CorpusDocument document = new(false, ["ab"u8.ToArray()]);
        Assert.Equal([Bytes.Bos, 'a', 'b', Bytes.Eos], CorpusEncoder.Encode(document, Bytes));
    }

    [Fact]
    public void A_chat_is_written_as_its_template_says()
    {
        CorpusDocument chat = new(true, ["user\nhi"u8.ToArray(), "assistant\n<|im_end|>"u8.ToArray()]);
        int[] tokens = CorpusEncoder.Encode(chat, Bytes);
        int[] expected =
        [
            Bytes.Bos, Bytes.MessageStart, .. Encoding.UTF8.GetBytes("user\nhi"), Bytes.MessageEnd, '\n',
            // What looks like a control token in a message is text.
            Bytes.MessageStart, .. Encoding.UTF8.GetBytes("assistant\n<|im_end|>"), Bytes.MessageEnd, '\n', Bytes.Eos,
        ];
        Assert.Equal(expected, tokens);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(7)]
    [InlineData(12)]
    [InlineData(13)]
    [InlineData(100)]
    public void Long_documents_are_cut_so_that_every_token_is_predicted_once(int length)
    {
        CorpusDocument[] documents = [new(false, ["0123456789"u8.ToArray()]), new(false, ["x"u8.ToArray()])];
        IReadOnlyList<TrainingExample> sequences = CorpusEncoder.Sequences(documents, Bytes, length);
        Assert.All(sequences, s => Assert.InRange(s.Tokens.Length, 2, length));
        Assert.All(sequences, static s => Assert.Equal(1, s.From));
        int[] predicted = [.. sequences.SelectMany(static s => s.Tokens[1..])];
        Assert.Equal([.. Encoding.UTF8.GetBytes("0123456789"), Bytes.Eos, 'x', Bytes.Eos], predicted);
        Assert.Equal([Bytes.Bos, Bytes.Bos], sequences.Where(static s => s.Keep == 1).Select(static s => s.Tokens[0]));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(17)]
    [InlineData(100)]
    public void A_text_in_pieces_has_the_tokens_of_the_whole(int least)
    {
        StringBuilder text = new();
        Random random = new(least);
        string[] bits = ["word", " ", "\n", "\n\n", " \n", "\u00a0\n", "é\n", "'s", "12", "!\n", "\r\n", "  x"];
        for (int i = 0; i < 3000; i++)
        {
            text.Append(bits[random.Next(bits.Length)]);
        }
        byte[] bytes = Encoding.UTF8.GetBytes(text.ToString());
        VocabularyLearner learner = new();
        learner.Add(bytes);
        BytePairVocabulary vocabulary = new(learner.Learn(60));
        ReadOnlyMemory<byte>[] pieces = [.. CorpusEncoder.Pieces(bytes, least)];
        Assert.True(pieces.Length > 20);
        List<int> tokens = [];
        foreach (ReadOnlyMemory<byte> piece in pieces)
        {
            vocabulary.Encode(piece.Span, tokens);
        }
        List<int> whole = [];
        vocabulary.Encode(bytes, whole);
        Assert.Equal(whole, tokens);
        Assert.Equal(CorpusEncoder.Encode(new CorpusDocument(false, [bytes]), vocabulary)[1..^1], tokens);
    }
}
