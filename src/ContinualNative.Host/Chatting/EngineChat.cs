using System.Runtime.CompilerServices;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Generation;

namespace ContinualNative.Host.Chatting;

/// <summary>Chats with a model in this process. Owns the engine.</summary>
internal sealed class EngineChat(InferenceEngine engine, ChatPromptBuilder prompts) : IChatBackend
{
    private const int RawAnswer = 256;

    // The share of the context that an answer should find free.
    private const int AnswerShare = 4;

    public string Description => $"{engine.Model.Name} ({engine.Model.Description}), context {engine.Model.ContextLength} tokens{(engine.Adapters.Champion is { } adapter ? $", adapter {adapter}" : "")}";

    public bool IsChat => prompts.Template is not null;

    public async IAsyncEnumerable<string> AnswerAsync(IReadOnlyList<ChatMessage> messages, ChatSettings settings, bool spacious, AnswerStats stats, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using RunningAnswer answer = Start(messages, settings, spacious, cancellationToken);
        await using IAsyncEnumerator<GenerationChunk> chunks = answer.ReadAllAsync(CancellationToken.None).GetAsyncEnumerator(CancellationToken.None);
        while (await NextAsync(chunks))
        {
            if (chunks.Current.Text.Length > 0)
            {
                yield return chunks.Current.Text;
            }
        }
        Fill(stats, await answer.Completion);
        cancellationToken.ThrowIfCancellationRequested();
    }

    public async Task<string> UseAdapterAsync(string adapter, CancellationToken cancellationToken)
    {
        try
        {
            string id = adapter;
            if (adapter.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) || adapter.Contains(Path.DirectorySeparatorChar))
            {
                string name = Path.GetFileNameWithoutExtension(adapter);
                id = ModelAddress.IsValidAdapterId(name) ? name : "adapter";
                if (!engine.Adapters.List().Any(a => a.Id == id && a.Path == Path.GetFullPath(adapter)))
                {
                    await engine.Adapters.LoadAsync(id, adapter, cancellationToken);
                }
            }
            engine.Adapters.Promote(id);
            return id == ModelAddress.Base ? "The bare model answers." : $"The adapter {id} answers.";
        }
        catch (EngineException e)
        {
            throw new ChatFailedException(e.Message, e);
        }
    }

    public ValueTask DisposeAsync() => engine.DisposeAsync();

    private RunningAnswer Start(IReadOnlyList<ChatMessage> messages, ChatSettings settings, bool spacious, CancellationToken cancellationToken)
    {
        try
        {
            int[] prompt = IsChat ? prompts.Encode(messages) : prompts.EncodeText(messages[^1].Content!);
            int context = engine.Model.ContextLength;
            int room = spacious ? Math.Min(settings.MaxTokens ?? int.MaxValue, context / AnswerShare) : 1;
            if (prompt.Length + room > context)
            {
                throw new ContextFullException($"The chat has {prompt.Length} tokens and the context holds {context}.");
            }
            return engine.Generate(
                new GenerationRequest
                {
                    Prompt = prompt,
                    MaxTokens = settings.MaxTokens ?? (IsChat ? null : RawAnswer),
                    Sampling = new SamplingOptions { Temperature = settings.Temperature ?? 1f, Seed = settings.Seed },
                },
                cancellationToken);
        }
        catch (EngineException e)
        {
            throw new ChatFailedException(e.Message, e);
        }
    }

    private static async Task<bool> NextAsync(IAsyncEnumerator<GenerationChunk> chunks)
    {
        try
        {
            return await chunks.MoveNextAsync();
        }
        catch (EngineException e)
        {
            throw new ChatFailedException(e.Message, e);
        }
    }

    private static void Fill(AnswerStats stats, GenerationResult result)
    {
        double seconds = (result.Total - result.TimeToFirstToken).TotalSeconds;
        stats.PromptTokens = result.PromptTokens;
        stats.CachedTokens = result.CachedTokens;
        stats.Tokens = result.CompletionTokens;
        stats.Confidence = result.CompletionTokens > 0 ? result.Confidence.Score : null;
        stats.Rate = result.CompletionTokens > 1 && seconds > 0 ? (result.CompletionTokens - 1) / seconds : null;
        stats.Cut = result.FinishReason == FinishReason.Length;
    }
}
