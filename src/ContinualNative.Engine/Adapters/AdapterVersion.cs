using ContinualNative.Interop.Llama;

namespace ContinualNative.Engine.Adapters;

/// <summary>
/// One loaded adapter, or the bare model. Sequences count themselves in and out; the engine thread frees the native adapter when it is
/// retired and nothing runs on it.
/// </summary>
internal sealed class AdapterVersion(string id, LlamaAdapterHandle? handle)
{
    private int _running;

    /// <summary>Its id, or <c>base</c>.</summary>
    public string Id { get; } = id;

    /// <summary>null for the bare model.</summary>
    public LlamaAdapterHandle? Handle { get; } = handle;

    /// <summary>Sequences that hold it.</summary>
    public int Running => Volatile.Read(ref _running);

    /// <summary>Step at which the engine last computed for it; engine thread only.</summary>
    public long LastStep { get; set; }

    public void Acquire() => Interlocked.Increment(ref _running);

    public void Release() => Interlocked.Decrement(ref _running);
}
