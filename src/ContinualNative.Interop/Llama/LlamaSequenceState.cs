using System.Runtime.InteropServices;

namespace ContinualNative.Interop.Llama;

/// <summary>The KV of one sequence in host memory, as llama.cpp wrote it. It owns the memory; whoever holds it disposes it once.</summary>
public sealed unsafe class LlamaSequenceState : SafeHandle
{
    private LlamaSequenceState(void* memory, nuint bytes)
        : base(0, ownsHandle: true)
    {
        SetHandle((nint)memory);
        Bytes = (long)bytes;
    }

    /// <summary>Bytes held.</summary>
    public long Bytes { get; }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>null when the machine has no such memory.</summary>
    internal static LlamaSequenceState? Allocate(nuint bytes)
    {
        try
        {
            return new LlamaSequenceState(NativeMemory.Alloc(bytes), bytes);
        }
        catch (OutOfMemoryException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        NativeMemory.Free((void*)handle);
        return true;
    }
}
