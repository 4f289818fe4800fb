using ContinualNative.Engine.Gguf;
using ContinualNative.Training;
using ContinualNative.Training.Corpus;
using ContinualNative.Training.Vocabulary;

namespace ContinualNative.Host.Training;

/// <summary>The model that a pretraining begins with: <c>fresh.gguf</c> in the folder of its checkpoints, where a resumed run finds it again.</summary>
internal sealed class FreshModelFile(CheckpointFolder folder)
{
    /// <summary>The file.</summary>
    public string Path { get; } = System.IO.Path.Combine(folder.Path, "fresh.gguf");

    /// <summary>Writes it.</summary>
    public void Write(SyntheticShape shape, BytePairVocabulary vocabulary, ulong seed, CancellationToken cancellationToken)
    {
        FreshVocabulary fresh = new()
        {
            Tokens = vocabulary.Spellings,
            Merges = vocabulary.MergeSpellings,
            Controls = BytePairVocabulary.ControlTokens.Count,
            Bos = vocabulary.Bos,
            Eos = vocabulary.Eos,
            EndOfTurn = vocabulary.MessageEnd,
            ChatTemplate = CorpusEncoder.ChatTemplate,
        };
        try
        {
            Directory.CreateDirectory(folder.Path);
            FreshModel.Create(shape, fresh, seed).Write(Path, cancellationToken: cancellationToken);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new TrainingException(TrainingError.CheckpointNotWritten, $"The fresh model can't be written into '{folder.Path}': {e.Message.TrimEnd('.')}. Free some space there, or name another folder with --checkpoint.", "checkpoint", e);
        }
    }

    /// <summary>The vocabulary of a file written before. Throws <see cref="TrainingException"/> (Checkpoint).</summary>
    public BytePairVocabulary ReadVocabulary()
    {
        if (!File.Exists(Path))
        {
            throw new TrainingException(TrainingError.Checkpoint, $"The model that the run began with is missing from '{folder.Path}' (fresh.gguf). Delete the folder and start anew.");
        }
        GgufFile file = ModelFile.Read(Path);
        return file.Metadata.GetValueOrDefault("tokenizer.ggml.tokens")?.Value is GgufArray tokens && file.Metadata.GetValueOrDefault("tokenizer.ggml.merges")?.Value is GgufArray merges
            && BytePairVocabulary.FromSpellings(Strings(tokens), Strings(merges)) is { } vocabulary
                ? vocabulary
                : throw new TrainingException(TrainingError.Checkpoint, $"'{Path}' is not the model that the run began with. Delete the folder and start anew.");
    }

    /// <summary>What tells it from others.</summary>
    public string Hash() => FileHash.Of(Path);

    /// <summary>After a finished run.</summary>
    public void Delete()
    {
        File.Delete(Path);
        if (!Directory.Exists(folder.Path))
        {
            return;
        }
        // A process that was killed may have left one half written.
        foreach (string left in Directory.EnumerateFiles(folder.Path, System.IO.Path.GetFileName(Path) + ".*.tmp"))
        {
            File.Delete(left);
        }
        if (!Directory.EnumerateFileSystemEntries(folder.Path).Any())
        {
            Directory.Delete(folder.Path);
        }
    }

    private static string[] Strings(GgufArray array) =>
        array.ElementType == GgufValueType.String ? [.. Enumerable.Range(0, array.Count).Select(array.GetString)] : [];
}
