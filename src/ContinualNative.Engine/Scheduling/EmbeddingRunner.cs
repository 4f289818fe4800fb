using System.Numerics.Tensors;
using ContinualNative.Interop.Llama;

namespace ContinualNative.Engine.Scheduling;

/// <summary>
/// Embeddings of the bare model, on a context of its own that is made when the first one is asked for. The engine thread runs one job between two
/// decode steps, so embeddings and answers share the processor without a second compute thread.
/// </summary>
internal sealed class EmbeddingRunner(LlamaModelHandle model, EngineOptions options, LlamaThreadpool threadpool, bool isEncoder) : IDisposable
{
    // Tokens of a causal model are computed in pieces: every token's vector is an output, and each brings a row of logits with it.
    private const int CausalPiece = 64;

    // A monitor and not a Lock, whose first contended wait allocates on the engine thread.
    private readonly object _gate = new();
    private readonly Queue<Job> _jobs = new();
    private readonly Action _none = static () => { };
    private Action? _wake;
    private bool _closed;
    private LlamaContextHandle? _context;
    private LlamaBatch? _batch;
    private int _position;

    /// <summary>Longest text in tokens.</summary>
    public int MaxTokens { get; } = isEncoder ? Math.Min(Math.Max(model.TrainedContext, 1), 8192) : options.ContextLength;

    private sealed record Job(ReadOnlyMemory<int> Tokens, TaskCompletionSource<float[]> Completion, CancellationToken Cancellation);

    public void OnJob(Action wake) => _wake = wake;

    public Task<float[]> SubmitAsync(ReadOnlyMemory<int> tokens, CancellationToken cancellationToken)
    {
        TaskCompletionSource<float[]> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_closed)
            {
                throw new EngineException(EngineError.ShuttingDown, "The server is shutting down and takes no more requests.");
            }
            if (_jobs.Count >= options.QueueCapacity)
            {
                throw new EngineException(EngineError.Overloaded, $"{_jobs.Count} texts are waiting already. Try again in a moment.");
            }
            _jobs.Enqueue(new Job(tokens, completion, cancellationToken));
        }
        (_wake ?? _none)();
        return completion.Task.WaitAsync(cancellationToken);
    }

    /// <summary>Runs one waiting job. Engine thread only. False when there is none.</summary>
    public bool RunOne()
    {
        Job? job;
        lock (_gate)
        {
            if (!_jobs.TryDequeue(out job))
            {
                return false;
            }
        }
        if (job.Cancellation.IsCancellationRequested)
        {
            job.Completion.TrySetCanceled(job.Cancellation);
            return true;
        }
        try
        {
            job.Completion.TrySetResult(Compute(job.Tokens.Span));
        }
        catch (LlamaException e)
        {
            job.Completion.TrySetException(new EngineException(EngineError.Internal, e.Message, inner: e));
        }
        return true;
    }

    public void FailAll(EngineException error)
    {
        lock (_gate)
        {
            _closed = true;
            while (_jobs.TryDequeue(out Job? job))
            {
                job.Completion.TrySetException(error);
            }
        }
    }

    public void Dispose()
    {
        _context?.Dispose();
        _batch?.Dispose();
    }

    private float[] Compute(ReadOnlySpan<int> tokens)
    {
        LlamaContextHandle context = _context ??= CreateContext();
        LlamaBatch batch = _batch ??= new LlamaBatch(context.BatchTokens);
        if (context.HasMemory)
        {
            context.Clear();
        }
        float[] embedding = new float[model.EmbeddingLength];
        for (_position = 0; _position < tokens.Length;)
        {
            int count = Math.Min(tokens.Length - _position, batch.Capacity);
            batch.Clear();
            for (int i = 0; i < count; i++)
            {
                batch.Add(tokens[_position + i], _position + i, 0, output: true);
            }
            if (context.Decode(batch) != 0)
            {
                throw new LlamaException("llama_decode", $"A text of {tokens.Length} tokens does not fit into the context.");
            }
            if (context.Pooling == LlamaPooling.None)
            {
                for (int i = 0; i < count; i++)
                {
                    TensorPrimitives.Add(embedding, context.TokenEmbedding(i), embedding);
                }
            }
            else
            {
                context.SequenceEmbedding(0).CopyTo(embedding);
            }
            _position += count;
        }
        // Mean or sum makes no difference: the vector is brought to length 1.
        float norm = TensorPrimitives.Norm<float>(embedding);
        if (norm > 0)
        {
            TensorPrimitives.Divide(embedding, norm, embedding);
        }
        return embedding;
    }

    private LlamaContextHandle CreateContext()
    {
        // An encoder sees all tokens at once; a causal model is computed in pieces, unless its file asks for pooling that spans them.
        int piece = isEncoder ? Math.Min(MaxTokens, 2048) : CausalPiece;
        LlamaContextHandle context = Create(piece, LlamaPooling.FromModel);
        if (!isEncoder && context.Pooling is LlamaPooling.Mean or LlamaPooling.Cls)
        {
            context.Dispose();
            context = Create(piece, LlamaPooling.None);
        }
        return context;
    }

    private LlamaContextHandle Create(int piece, LlamaPooling pooling) =>
        LlamaContextHandle.Create(
            model,
            new LlamaContextOptions
            {
                KvTokens = isEncoder ? piece : options.ContextLength,
                MaxSequences = 1,
                MaxOutputs = piece,
                BatchTokens = piece,
                Threads = options.Threads,
                Embeddings = true,
                Pooling = pooling,
            },
            threadpool);
}
