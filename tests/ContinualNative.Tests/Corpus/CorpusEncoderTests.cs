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
}
