using ContinualNative.Core.Evaluation;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Models;
using ContinualNative.Host.Commands;
using ContinualNative.Host.Evaluation;
using ContinualNative.Training;

namespace ContinualNative.Host.Training;

/// <summary>A JSONL file to examples in tokens, by the code that serves and evaluates.</summary>
internal sealed class TrainData(ModelText model, string? template)
{
    private readonly ChatPromptBuilder _prompts = new(model, template);

    /// <summary>Throws <see cref="ExampleFormatException"/> naming the line.</summary>
    public Task<TrainingExample[]> ReadAsync(string file, CancellationToken cancellationToken)
    {
        IReadOnlyList<Example> examples = ExampleReader.ReadFile(file);
        ExampleEncoder encoder = new(model, _prompts, file);
        return ConsoleProgress.RunAsync("reading", "examples", examples.Count, progress =>
            Task.Run(() => encoder.EncodeAll(examples, e => ToTraining(encoder, e), progress, cancellationToken), cancellationToken));
    }

    private TrainingExample ToTraining(ExampleEncoder encoder, Example example)
    {
        EncodedExample encoded = encoder.Encode(example);
        EncodedExample? rejected = example.Rejected is null ? null : encoder.EncodeRejected(example);
        if (rejected is not null && rejected.Text.AsSpan().SequenceEqual(encoded.Text))
        {
            throw encoder.Wrong(example, "the answer and 'rejected' are the same; there is nothing to prefer");
        }
        return new TrainingExample
        {
            Tokens = encoded.Text,
            From = encoded.From,
            Keep = model.Tokenizer.Bos >= 0 && encoded.Text[0] == model.Tokenizer.Bos ? 1 : 0,
            Weight = example.Weight,
            Rejected = rejected?.Text,
            RejectedFrom = rejected?.From ?? 0,
            Line = example.Line,
            Id = example.Id,
        };
    }
}
