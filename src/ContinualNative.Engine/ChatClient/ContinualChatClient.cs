using System.Runtime.CompilerServices;
using ContinualNative.Core.Adapters;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Generation;
using Microsoft.Extensions.AI;
using ChatMessage = Microsoft.Extensions.AI.ChatMessage;

namespace ContinualNative.Engine.ChatClient;

/// <summary>
/// The engine as <see cref="IChatClient"/>: the model's own chat template, tools, JSON schemas, usage and cancellation. Beside the fields of
/// <see cref="ChatOptions"/>, its AdditionalProperties may hold <c>guided_choice</c> (texts), <c>grammar</c> (GBNF), <c>min_p</c>, <c>repeat_penalty</c>,
/// <c>logit_bias</c> (token id → amount), <c>timeout</c> (<see cref="TimeSpan"/>) and <c>chat_template_kwargs</c> (variables of the template).
/// <see cref="ChatOptions.ModelId"/> is <c>name</c>, <c>name@adapter</c> or <c>name@base</c>. Thread-safe. Disposing it leaves the engine running.
/// </summary>
public sealed class ContinualChatClient : IChatClient
{
    /// <summary>The provider's name in <see cref="ChatClientMetadata"/>.</summary>
    public const string ProviderName = "continual-native";

    private readonly Func<CancellationToken, ValueTask<InferenceEngine>> _engine;
    private readonly Func<InferenceEngine?> _loaded;
    private readonly TimeProvider _time;
    private readonly Lazy<ChatClientMetadata> _metadata;
    private ChatPromptBuilder? _prompts;

    /// <summary>A client of a loaded engine, which it does not own.</summary>
    public ContinualChatClient(InferenceEngine engine, TimeProvider? time = null)
        : this(_ => ValueTask.FromResult(engine), () => engine, () => engine.Model.Name, time)
    {
        ArgumentNullException.ThrowIfNull(engine);
        _prompts = new ChatPromptBuilder(engine);
    }

    internal ContinualChatClient(Func<CancellationToken, ValueTask<InferenceEngine>> engine, Func<InferenceEngine?> loaded, Func<string> modelName, TimeProvider? time)
    {
        _engine = engine;
        _loaded = loaded;
        _time = time ?? TimeProvider.System;
        _metadata = new Lazy<ChatClientMetadata>(() => new ChatClientMetadata(ProviderName, null, modelName()));
    }

    /// <summary>
    /// The whole answer. Throws <see cref="ArgumentException"/> and <see cref="NotSupportedException"/> for what a text model can't take, naming it;
    /// <see cref="EngineException"/> for what the engine refuses; <see cref="OperationCanceledException"/>.
    /// </summary>
    public async Task<ChatResponse> GetResponseAsync(IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        // One path for both ways of asking, so that they can't differ.
        List<ChatResponseUpdate> updates = [];
        await foreach (ChatResponseUpdate update in GetStreamingResponseAsync(messages, options, cancellationToken))
        {
            updates.Add(update);
        }
        ChatResponse response = updates.ToChatResponse();
        response.RawRepresentation = updates[^1].RawRepresentation;
        return response;
    }

    /// <summary>
    /// The answer as it is generated; the last update holds usage, finish reason, and as RawRepresentation the <see cref="GenerationResult"/>. Calls of tools
    /// come whole. Ending the enumeration early, or cancelling, stops the answer. Throws as <see cref="GetResponseAsync"/> does.
    /// </summary>
    public async IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);
        ChatPrompt prompt = ChatRequestReader.Prompt(messages, options);
        InferenceEngine engine = await _engine(cancellationToken);
        ModelAddress address = engine.Resolve(options?.ModelId);
        PreparedChat chat = Prompts(engine).Prepare(prompt);
        GenerationRequest request = ChatRequestReader.Request(chat, options) with { Adapter = address.Adapter };
        ChatAnswerReader reader = chat.NewReader();

        using RunningAnswer answer = engine.Generate(request, cancellationToken);
        string adapter = await AdmittedAsync(answer, cancellationToken);
        Head head = new(
            "chatcmpl-" + Guid.NewGuid().ToString("N"),
            adapter == ModelAddress.Base && address.Adapter is null ? engine.Model.Name : new ModelAddress(engine.Model.Name, adapter).ToString(),
            _time.GetUtcNow());
        await foreach (GenerationChunk chunk in answer.ReadAllAsync(cancellationToken))
        {
            foreach (AnswerPart part in reader.Append(chunk.Text))
            {
                yield return head.Update(Content(part));
            }
        }
        foreach (AnswerPart part in reader.Complete())
        {
            yield return head.Update(Content(part));
        }
        GenerationResult result = await answer.Completion;
        ChatResponseUpdate last = head.Update(new UsageContent(new UsageDetails
        {
            InputTokenCount = result.PromptTokens,
            OutputTokenCount = result.CompletionTokens,
            TotalTokenCount = result.PromptTokens + result.CompletionTokens,
            CachedInputTokenCount = result.CachedTokens,
        }));
        last.FinishReason = Reason(result.FinishReason, reader.Calls, cancellationToken);
        last.RawRepresentation = result;
        yield return last;
    }

    /// <summary>This client, its <see cref="ChatClientMetadata"/>, or the <see cref="InferenceEngine"/> (null while it loads).</summary>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        return serviceKey is not null ? null
            : serviceType == typeof(ChatClientMetadata) ? _metadata.Value
            : serviceType == typeof(InferenceEngine) ? _loaded()
            : serviceType.IsInstanceOfType(this) ? this
            : null;
    }

    /// <summary>Nothing: the engine belongs to whoever loaded it.</summary>
    public void Dispose()
    {
    }

    private static async Task<string> AdmittedAsync(RunningAnswer answer, CancellationToken cancellationToken)
    {
        try
        {
            return await answer.Admitted.WaitAsync(cancellationToken);
        }
        catch (EngineException) when (cancellationToken.IsCancellationRequested)
        {
            // It was cancelled in the queue: that is what the caller asked for.
            throw new OperationCanceledException(cancellationToken);
        }
    }

    private static AIContent Content(AnswerPart part) => part.Call is { } call
        ? FunctionCallContent.CreateFromParsedArguments(call.Arguments, call.Id, call.Name, ChatRequestReader.Arguments)
        : new TextContent(part.Text);

    private static ChatFinishReason Reason(FinishReason reason, int calls, CancellationToken cancellationToken)
    {
        switch (reason)
        {
            case FinishReason.Stop:
                return calls > 0 ? ChatFinishReason.ToolCalls : ChatFinishReason.Stop;
            case FinishReason.Length:
                return ChatFinishReason.Length;
            case FinishReason.Timeout:
                throw new EngineException(EngineError.Timeout, "The request's time ran out before the answer was complete. Allow more time, or ask for fewer tokens.");
            default:
                cancellationToken.ThrowIfCancellationRequested();
                throw new OperationCanceledException("The answer was cancelled.");
        }
    }

    private ChatPromptBuilder Prompts(InferenceEngine engine) => _prompts ??= new ChatPromptBuilder(engine);

    private readonly record struct Head(string Id, string Model, DateTimeOffset Created)
    {
        public ChatResponseUpdate Update(AIContent content) => new(ChatRole.Assistant, [content])
        {
            ResponseId = Id,
            MessageId = Id,
            ModelId = Model,
            CreatedAt = Created,
        };
    }
}
