using System.Runtime.InteropServices;

namespace ContinualNative.Interop.Llama;

/// <summary>How a context pools embeddings.</summary>
public enum LlamaPooling
{
    /// <summary>As the model's file says.</summary>
    FromModel = -1,

    /// <summary>One vector a token.</summary>
    None = 0,

    /// <summary>Mean over the sequence.</summary>
    Mean = 1,

    /// <summary>The first token's vector.</summary>
    Cls = 2,

    /// <summary>The last token's vector.</summary>
    Last = 3,

    /// <summary>A ranking score.</summary>
    Rank = 4,
}

/// <summary>How a context is made.</summary>
public sealed record LlamaContextOptions
{
    /// <summary>Cells of the KV cache, in tokens.</summary>
    public required int KvTokens { get; init; }

    /// <summary>
    /// Sequences that compute at the same time. In a unified context, sequence ids up to <see cref="LlamaContextHandle.SequenceIds"/> may
    /// hold cells whatever this says; it sizes the compute buffers only.
    /// </summary>
    public required int MaxSequences { get; init; }

    /// <summary>Most tokens of one batch that give logits; sizes the buffer of logits.</summary>
    public required int MaxOutputs { get; init; }

    /// <summary>Most tokens of one decode, and of one computation inside it.</summary>
    public required int BatchTokens { get; init; }

    /// <summary>Threads that compute.</summary>
    public required int Threads { get; init; }

    /// <summary>One pool of cells for all sequences, so that sequences can share a prefix without a copy.</summary>
    public bool Unified { get; init; } = true;

    /// <summary>Whether the context gives embeddings (of every token) besides logits.</summary>
    public bool Embeddings { get; init; }

    /// <summary>How embeddings are pooled.</summary>
    public LlamaPooling Pooling { get; init; } = LlamaPooling.FromModel;

    /// <summary>KV cache in F32 and no flash attention: results depend on the batch's shape by rounding of F32 only.</summary>
    public bool ExactAttention { get; init; }
}

/// <summary>
/// A context: KV cache and compute buffers. Not thread-safe: one thread owns it. It holds a reference on its model
/// and drops it in <see cref="ReleaseHandle"/>, so the two may be disposed in any order.
/// </summary>
public sealed unsafe class LlamaContextHandle : SafeHandle
{
    /// <summary>Sequence ids that llama.cpp has room for (<c>LLAMA_MAX_SEQ</c>).</summary>
    public const int SequenceIds = 256;

    private readonly LlamaModelHandle _model;
    private readonly int _vocabulary;
    private readonly int _embedding;
    private readonly nint _memory;
    private LlamaThreadpool? _threadpool;

    private LlamaContextHandle(LlamaModelHandle model, nint context)
        : base(0, ownsHandle: true)
    {
        bool added = false;
        model.DangerousAddRef(ref added);
        SetHandle(context);
        _model = model;
        _vocabulary = model.Vocabulary.Size;
        _embedding = model.EmbeddingLength;
        _memory = LlamaNative.llama_get_memory(this);
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Whether the context has a memory of earlier tokens; encoders have none.</summary>
    public bool HasMemory => _memory != 0;

    /// <summary>Cells of the KV cache, as llama.cpp rounded them.</summary>
    public int KvTokens => (int)LlamaNative.llama_n_ctx(this);

    /// <summary>Most tokens of one decode.</summary>
    public int BatchTokens => (int)LlamaNative.llama_n_batch(this);

    /// <summary>How embeddings are pooled.</summary>
    public LlamaPooling Pooling => (LlamaPooling)LlamaNative.llama_pooling_type(this);

    /// <summary>Makes a context on a model; throws <see cref="LlamaException"/>, for want of memory most often.</summary>
    public static LlamaContextHandle Create(LlamaModelHandle model, LlamaContextOptions options, LlamaThreadpool? threadpool = null) => Create(model, options, threadpool, 0, 0);

    /// <summary>The same; <paramref name="onNode"/> (<c>ggml_backend_sched_eval_callback</c>) is called for each node of a computation.</summary>
    internal static LlamaContextHandle Create(LlamaModelHandle model, LlamaContextOptions options, LlamaThreadpool? threadpool, nint onNode, nint user)
    {
        LlamaContextParams parameters = LlamaNative.llama_context_default_params();
        parameters.EvalCallback = onNode;
        parameters.EvalUserData = user;
        parameters.Context = (uint)options.KvTokens;
        parameters.Batch = (uint)options.BatchTokens;
        parameters.MicroBatch = (uint)options.BatchTokens;
        parameters.MaxSequences = (uint)options.MaxSequences;
        parameters.MaxOutputs = (uint)Math.Max(options.MaxOutputs, options.MaxSequences);
        parameters.Threads = options.Threads;
        parameters.BatchThreads = options.Threads;
        parameters.KvUnified = options.Unified ? (byte)1 : (byte)0;
        parameters.Embeddings = options.Embeddings ? (byte)1 : (byte)0;
        parameters.PoolingType = (int)options.Pooling;
        if (options.ExactAttention)
        {
            const int F32 = 0;
            parameters.TypeK = F32;
            parameters.TypeV = F32;
            parameters.FlashAttention = 0;
        }
        LlamaLog.BeginCapture();
        nint context = 0;
        string log;
        try
        {
            context = Firewall.NewContext(model, parameters);
        }
        finally
        {
            log = LlamaLog.EndCapture();
        }
        if (context == 0)
        {
            throw new LlamaException("llama_init_from_model",
                $"llama.cpp can't make a context of {options.KvTokens} tokens: {(log.Length == 0 ? "no reason given" : log)}. A smaller context or fewer sequences need less memory.");
        }
        LlamaContextHandle handle = new(model, context);
        if (threadpool is not null)
        {
            bool added = false;
            threadpool.DangerousAddRef(ref added);
            handle._threadpool = threadpool;
            LlamaNative.llama_attach_threadpool(handle, threadpool, threadpool);
        }
        return handle;
    }

    /// <summary>Computes a batch. 0: done; 1: no room in the KV cache, nothing changed; anything else throws.</summary>
    public int Decode(LlamaBatch batch)
    {
        int status = Firewall.Decode(this, batch.Native);
        return status is 0 or 1 ? status : throw new LlamaException("llama_decode", $"llama.cpp failed to compute a batch of {batch.Count} tokens (status {status}).", status);
    }

    /// <summary>The logits of the batch's token at <paramref name="index"/>: one float per token of the vocabulary, writable until the next decode.</summary>
    public Span<float> Logits(int index)
    {
        float* logits = LlamaNative.llama_get_logits_ith(this, index);
        return logits is null ? throw new LlamaException("llama_get_logits_ith", $"The batch has no logits at {index}.") : new Span<float>(logits, _vocabulary);
    }

    /// <summary>The embedding of the batch's token at <paramref name="index"/>.</summary>
    public ReadOnlySpan<float> TokenEmbedding(int index) => Embedding(LlamaNative.llama_get_embeddings_ith(this, index));

    /// <summary>The pooled embedding of a sequence.</summary>
    public ReadOnlySpan<float> SequenceEmbedding(int sequence) => Embedding(LlamaNative.llama_get_embeddings_seq(this, sequence));

    /// <summary>Sets the one adapter of the next decodes; null: none. Cheap when it is set already.</summary>
    public void SetAdapter(LlamaAdapterHandle? adapter)
    {
        bool added = false;
        try
        {
            adapter?.DangerousAddRef(ref added);
            Firewall.SetAdapters(this, adapter?.DangerousGetHandle() ?? 0, 1f);
        }
        finally
        {
            if (added)
            {
                adapter!.DangerousRelease();
            }
        }
    }

    /// <summary>Forgets a sequence's tokens at positions [from, to); −1 for an open end. False when the memory can't be cut there.</summary>
    public bool Remove(int sequence, int from = -1, int to = -1) => LlamaNative.llama_memory_seq_rm(_memory, sequence, from, to) != 0;

    /// <summary>Lets <paramref name="destination"/> share the cells of <paramref name="source"/> at positions [0, to).</summary>
    public void Share(int source, int destination, int to) => LlamaNative.llama_memory_seq_cp(_memory, source, destination, 0, to);

    /// <summary>Forgets everything.</summary>
    public void Clear() => LlamaNative.llama_memory_clear(_memory, 0);

    /// <summary>The last position of a sequence, or −1 when it is empty.</summary>
    public int LastPosition(int sequence) => LlamaNative.llama_memory_seq_pos_max(_memory, sequence);

    /// <summary>The first position of a sequence, or −1 when it is empty; above 0 once a sliding window has passed.</summary>
    public int FirstPosition(int sequence) => LlamaNative.llama_memory_seq_pos_min(_memory, sequence);

    /// <summary>
    /// Bytes that the state of a sequence takes in host memory; 0 when it can't be saved. llama.cpp saves sequences below <see cref="LlamaContextOptions.MaxSequences"/>
    /// only: another has to <see cref="Share"/> its cells with one of those first.
    /// </summary>
    public long StateBytes(int sequence) => (long)LlamaNative.llama_state_seq_get_size(this, sequence);

    /// <summary>Copies the KV of a sequence to <paramref name="bytes"/> of host memory, which <see cref="StateBytes"/> told. null when that fails.</summary>
    public LlamaSequenceState? SaveState(int sequence, long bytes)
    {
        if (LlamaSequenceState.Allocate((nuint)bytes) is not { } state)
        {
            return null;
        }
        if (LlamaNative.llama_state_seq_get_data(this, state, (nuint)bytes, sequence) == (nuint)bytes)
        {
            return state;
        }
        state.Dispose();
        return null;
    }

    /// <summary>
    /// Copies saved KV into free cells of this context under any sequence id, whose earlier cells are forgotten. The state must come from this context.
    /// False when llama.cpp refuses it, for want of free cells most often; the sequence is empty then.
    /// </summary>
    public bool RestoreState(LlamaSequenceState state, int sequence)
    {
        if (LlamaNative.llama_state_seq_set_data(this, state, (nuint)state.Bytes, sequence) == (nuint)state.Bytes)
        {
            return true;
        }
        Remove(sequence);
        return false;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        LlamaNative.llama_free(handle);
        _threadpool?.DangerousRelease();
        _model.DangerousRelease();
        return true;
    }

    private ReadOnlySpan<float> Embedding(float* embedding) =>
        embedding is null ? throw new LlamaException("llama_get_embeddings", "The batch has no such embedding.") : new ReadOnlySpan<float>(embedding, _embedding);
}
