using ContinualNative.Core.Evaluation;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Models;

namespace ContinualNative.Host.Evaluation;

/// <summary>
/// Examples to tokens, by the code that renders the prompts of served requests. Throws <see cref="ExampleFormatException"/> naming the line.
/// Thread-safe.
/// </summary>
/// <remarks>
/// Decision: the text is tokenized as a whole and split where the tokens of the prompt alone stop being its beginning. Where prompt and target
/// melt into one token ("Hello wor" + "ld"), that token counts to the target: every token scored is one that the whole text has by nature,
/// as training sees it, and none of its characters are left out of the loss.
/// </remarks>
internal sealed class ExampleEncoder(ModelText model, ChatPromptBuilder prompts, string file)
{
    private const int Batch = 64;

    private readonly Tokenizer _tokenizer = model.Tokenizer;

    /// <summary>Encodes all, on all cores. Of several wrong lines the first is named.</summary>
    public T[] EncodeAll<T>(IReadOnlyList<Example> examples, Func<Example, T> encode, IProgress<double> progress, CancellationToken cancellationToken)
    {
        T[] results = new T[examples.Count];
        for (int start = 0; start < results.Length; start += Batch)
        {
            cancellationToken.ThrowIfCancellationRequested();
            ExampleFormatException?[] wrong = new ExampleFormatException?[Batch];
            Parallel.For(start, Math.Min(start + Batch, results.Length), i =>
            {
                try
                {
                    results[i] = encode(examples[i]);
                }
                catch (ExampleFormatException e)
                {
                    wrong[i % Batch] = e;
                }
            });
            if (Array.Find(wrong, static e => e is not null) is { } first)
            {
                throw first;
            }
            progress.Report(Math.Min(start + Batch, results.Length));
        }
        return results;
    }

    /// <summary>The same example with the answer that is not wanted. It must have one.</summary>
    public EncodedExample EncodeRejected(Example example) => Encode(example with
    {
        Target = example.Rejected!,
        Messages = example.Messages is { } messages ? [.. messages.SkipLast(1), messages[^1] with { Content = example.Rejected }] : null,
    });

    public EncodedExample Encode(Example example)
    {
        try
        {
            return example.Messages is { } messages ? EncodeChat(example, messages) : EncodeRaw(example);
        }
        catch (EngineException e)
        {
            throw Wrong(example, e.Message.TrimEnd('.'), e);
        }
    }

    private EncodedExample EncodeRaw(Example example)
    {
        int[] prompt = prompts.EncodeText(example.Prompt);
        int[] text = prompts.EncodeText(example.Prompt + example.Target);
        int from = CommonPrefix(prompt, text);
        return from == 0 || prompt.Length == 0
            ? throw Wrong(example, "the field 'prompt' must not be empty for this model, which puts no token in front of a text: the first token has nothing to be predicted from")
            : Checked(example, prompt, text, from);
    }

    private EncodedExample EncodeChat(Example example, IReadOnlyList<ChatMessage> messages)
    {
        if (prompts.Template is not { } template)
        {
            throw Wrong(example, $"{(model.ChatTemplateError is { } reason ? $"the model's chat template can't be used ({reason.TrimEnd('.')})" : "the model has no chat template")}, so 'messages' can't be rendered; use 'prompt' and 'completion', or pass --chat-template FILE");
        }
        ChatMessage[] before = [.. messages.SkipLast(1)];
        int[] prompt = prompts.Encode(before);
        int[] whole = prompts.Encode(messages, addGenerationPrompt: false);
        int from = CommonPrefix(prompt, whole);
        string wholeText = from == prompt.Length ? "" : template.Render(messages, addGenerationPrompt: false);
        if (from == prompt.Length || wholeText.StartsWith(template.Render(before), StringComparison.Ordinal))
        {
            return Checked(example, prompt, UpToEnd(whole, from), from);
        }
        // The template opens an answer otherwise than it writes a past one (an empty thinking block, say): the prompt as served, then the target
        // and what the template puts behind it.
        string target = example.Target.Trim();
        int at = wholeText.LastIndexOf(target, StringComparison.Ordinal);
        if (at < 0)
        {
            throw Wrong(example, "the chat template doesn't write the assistant's message as it stands, so its tokens can't be told; shorten it to what the template keeps");
        }
        int[] content = _tokenizer.Encode(target, addSpecial: false, parseSpecial: false);
        int[] end = _tokenizer.Encode(wholeText[(at + target.Length)..], addSpecial: false, parseSpecial: true);
        return Checked(example, prompt, UpToEnd([.. prompt, .. content, .. end], prompt.Length), prompt.Length);
    }

    private static EncodedExample Checked(Example example, int[] prompt, int[] text, int from) =>
        from < text.Length ? new EncodedExample(example, prompt, text, from) : throw new EngineException(EngineError.InvalidRequest, "the target gives no tokens");

    /// <summary>A line that can't be used.</summary>
    public ExampleFormatException Wrong(Example example, string reason, Exception? inner = null) => new(file, example.Line, reason, inner);

    // The target ends with the token that ends the turn. The line break that many templates write behind it is never generated: serving stops before.
    private int[] UpToEnd(int[] tokens, int from)
    {
        int end = Array.FindLastIndex(tokens, _tokenizer.IsEnd);
        return end >= from && string.IsNullOrWhiteSpace(_tokenizer.Decode(tokens.AsSpan(end + 1), showSpecial: true)) ? tokens[..(end + 1)] : tokens;
    }

    private static int CommonPrefix(int[] a, int[] b) => a.AsSpan().CommonPrefixLength(b);
}
