using ContinualNative.Core.Curation;
using ContinualNative.Core.Evaluation;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine.Models;
using ContinualNative.Host.Evaluation;
using ContinualNative.Host.Http;
using ContinualNative.Host.OpenAi;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;
using ContinualNative.Training;

namespace ContinualNative.Host.Cycles;

/// <summary>Curated examples in tokens, by the code that renders the prompts of served requests.</summary>
internal sealed class CycleExamples(ServedModel model)
{
    private readonly ExampleEncoder _encoder = new(model.Engine.Text, model.Prompts, "the traffic store");

    /// <summary>Examples that could not be used: tools, answers that the template does not write as they stand, requests of another version of this program.</summary>
    public int LeftOut { get; private set; }

    /// <summary>Plain examples, with their weights.</summary>
    public List<TrainingExample> Encode(IEnumerable<(CuratedExample Example, ExampleTexts Texts)> examples, CancellationToken cancellationToken)
    {
        List<TrainingExample> encoded = [];
        foreach ((CuratedExample example, ExampleTexts texts) in examples)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (TryEncode(example, texts, pair: false) is { } one)
            {
                encoded.Add(one);
            }
            else
            {
                LeftOut++;
            }
        }
        return encoded;
    }

    /// <summary>The preference pairs among them, unweighted.</summary>
    public List<TrainingExample> EncodePairs(IEnumerable<(CuratedExample Example, ExampleTexts Texts)> examples, CancellationToken cancellationToken)
    {
        List<TrainingExample> encoded = [];
        foreach ((CuratedExample example, ExampleTexts texts) in examples.Where(static e => e.Example.IsPair && e.Texts.Rejected is { Length: > 0 }))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (TryEncode(example, texts, pair: true) is { Rejected: not null } one)
            {
                encoded.Add(one);
            }
        }
        return encoded;
    }

    private TrainingExample? TryEncode(CuratedExample example, in ExampleTexts texts, bool pair)
    {
        try
        {
            ChatRequest chat = RequestText.Read(texts.Prompt);
            // Decision: a call of a tool is written by each model's template in its own way, and stored as OpenAI's message; it is not trained on until both are one.
            if (chat.Tools.Count > 0 || chat.TemplateArguments is not null || texts.Answer.Length == 0)
            {
                return null;
            }
            Example line = new()
            {
                Line = 0,
                Id = example.RequestId,
                Weight = example.Weight,
                Messages = [.. chat.Messages, new ChatMessage { Role = "assistant", Content = texts.Answer }],
                Target = texts.Answer,
                Rejected = pair ? texts.Rejected : null,
            };
            EncodedExample encoded = _encoder.Encode(line);
            EncodedExample? rejected = pair ? _encoder.EncodeRejected(line) : null;
            Tokenizer tokenizer = model.Engine.Tokenizer;
            return new TrainingExample
            {
                Tokens = encoded.Text,
                From = encoded.From,
                Keep = tokenizer.Bos >= 0 && encoded.Text[0] == tokenizer.Bos ? 1 : 0,
                Weight = pair ? 1 : example.Weight,
                Rejected = rejected is not null && !rejected.Text.AsSpan().SequenceEqual(encoded.Text) ? rejected.Text : null,
                RejectedFrom = rejected?.From ?? 0,
                Id = example.RequestId,
            };
        }
        catch (Exception e) when (e is ExampleFormatException or ApiException)
        {
            return null;
        }
    }
}
