using ContinualNative.Training.Vocabulary;

namespace ContinualNative.Training.Corpus;

/// <summary>
/// Documents to sequences for training: beginning of sequence, the document, end of sequence. A long document becomes several sequences that share one token, so
/// that each of its tokens is predicted once. Nothing attends to another sequence.
/// </summary>
public static class CorpusEncoder
{
    /// <summary>
    /// The chat template of fresh models: ChatML. <see cref="Encode"/> writes the tokens that rendering with it gives.
    /// </summary>
    public const string ChatTemplate =
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + (message['content'] or '') + '<|im_end|>\\n' }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

    private const int Batch = 1024;
    private const int PieceBytes = 1 << 18;

    /// <summary>Bytes of all documents.</summary>
    public static long Bytes(IReadOnlyList<CorpusDocument> documents) => documents.Sum(static d => d.Parts.Sum(static p => (long)p.Length));

    /// <summary>Counts the words of all documents; <paramref name="progress"/> is told the bytes done.</summary>
    public static VocabularyLearner CountWords(IReadOnlyList<CorpusDocument> documents, IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(documents);
        VocabularyLearner learner = new();
        long bytes = 0;
        foreach (ReadOnlyMemory<byte> piece in documents.SelectMany(static d => d.Parts).SelectMany(static p => Pieces(p)))
        {
            cancellationToken.ThrowIfCancellationRequested();
            learner.Add(piece.Span);
            bytes += piece.Length;
            progress?.Report(bytes);
        }
        return learner;
    }

    /// <summary>The tokens of a document.</summary>
    public static int[] Encode(CorpusDocument document, BytePairVocabulary vocabulary)
    {
        ArgumentNullException.ThrowIfNull(document);
        ArgumentNullException.ThrowIfNull(vocabulary);
        List<int> tokens = [vocabulary.Bos];
        foreach (ReadOnlyMemory<byte> part in document.Parts)
        {
            if (document.IsChat)
            {
                tokens.Add(vocabulary.MessageStart);
            }
            if (part.Length <= PieceBytes)
            {
                vocabulary.Encode(part.Span, tokens);
            }
            else
            {
                foreach (List<int> piece in Pieces(part).AsParallel().AsOrdered().Select(p => EncodePiece(p, vocabulary)))
                {
                    tokens.AddRange(piece);
                }
            }
            if (document.IsChat)
            {
                tokens.Add(vocabulary.MessageEnd);
                vocabulary.Encode("\n"u8, tokens);
            }
        }
        tokens.Add(vocabulary.Eos);
        return [.. tokens];
    }

    /// <summary>The sequences of all documents, of at most <paramref name="length"/> tokens, in their order; on all cores.</summary>
    public static IReadOnlyList<TrainingExample> Sequences(
        IReadOnlyList<CorpusDocument> documents, BytePairVocabulary vocabulary, int length, IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(documents);
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 2);
        List<TrainingExample> sequences = [];
        int[][] batch = new int[Batch][];
        for (int start = 0; start < documents.Count; start += Batch)
        {
            cancellationToken.ThrowIfCancellationRequested();
            int count = Math.Min(Batch, documents.Count - start);
            int first = start;
            Parallel.For(0, count, i => batch[i] = Encode(documents[first + i], vocabulary));
            for (int i = 0; i < count; i++)
            {
                Cut(batch[i], length, sequences);
            }
            progress?.Report(start + count);
        }
        return sequences;
    }

    /// <summary>
    /// A text in pieces, for progress and for several cores. They are parted before a line feed behind a visible character of ASCII: a word always ends there, and
    /// what stands before a word never matters to it.
    /// </summary>
    internal static IEnumerable<ReadOnlyMemory<byte>> Pieces(ReadOnlyMemory<byte> text, int least = PieceBytes)
    {
        while (text.Length > least)
        {
            int at = least;
            while (at < text.Length && !(text.Span[at] == '\n' && text.Span[at - 1] is > (byte)' ' and < 0x7F))
            {
                at++;
            }
            yield return text[..at];
            text = text[at..];
        }
        if (!text.IsEmpty)
        {
            yield return text;
        }
    }

    private static List<int> EncodePiece(ReadOnlyMemory<byte> text, BytePairVocabulary vocabulary)
    {
        List<int> tokens = [];
        vocabulary.Encode(text.Span, tokens);
        return tokens;
    }

    private static void Cut(int[] tokens, int length, List<TrainingExample> sequences)
    {
        for (int at = 0; at < tokens.Length - 1; at += length - 1)
        {
            int[] part = tokens[at..Math.Min(tokens.Length, at + length)];
            sequences.Add(new TrainingExample { Tokens = part, From = 1, Keep = at == 0 ? 1 : 0 });
        }
    }
}
