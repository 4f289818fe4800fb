using System.Runtime.InteropServices;

namespace ContinualNative.Interop.Llama;

/// <summary>
/// Tokens to compute in one decode, each of one sequence. Its memory is native and made once; adding a token allocates nothing.
/// </summary>
public sealed unsafe class LlamaBatch : IDisposable
{
    private byte* _memory;
    private LlamaBatchNative _native;
    private int* _sequenceIds;

    /// <summary>Makes room for <paramref name="capacity"/> tokens.</summary>
    public LlamaBatch(int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        Capacity = capacity;
        // Pointers first, then ints, then bytes: every array is aligned.
        nuint n = (nuint)capacity;
        _memory = (byte*)NativeMemory.AllocZeroed((n * (nuint)sizeof(int*)) + (n * 4 * sizeof(int)) + n);
        int** sequences = (int**)_memory;
        int* ints = (int*)(_memory + (n * (nuint)sizeof(int*)));
        _native = new LlamaBatchNative
        {
            Token = ints,
            Position = ints + n,
            SequenceCount = ints + (2 * n),
            SequenceId = sequences,
            Output = (sbyte*)(ints + (4 * n)),
        };
        _sequenceIds = ints + (3 * n);
        for (int i = 0; i < capacity; i++)
        {
            sequences[i] = _sequenceIds + i;
            _native.SequenceCount[i] = 1;
        }
    }

    /// <summary>Most tokens that fit.</summary>
    public int Capacity { get; }

    /// <summary>Tokens added since <see cref="Clear"/>.</summary>
    public int Count => _native.TokenCount;

    internal ref readonly LlamaBatchNative Native => ref _native;

    /// <summary>Forgets the tokens.</summary>
    public void Clear() => _native.TokenCount = 0;

    /// <summary>Adds a token; returns its index, which <see cref="LlamaContextHandle.Logits"/> takes when <paramref name="output"/> is set.</summary>
    public int Add(int token, int position, int sequence, bool output)
    {
        ObjectDisposedException.ThrowIf(_memory is null, this);
        int index = _native.TokenCount;
        if (index >= Capacity)
        {
            throw new InvalidOperationException($"The batch holds {Capacity} tokens already.");
        }
        _native.Token[index] = token;
        _native.Position[index] = position;
        _sequenceIds[index] = sequence;
        _native.Output[index] = output ? (sbyte)1 : (sbyte)0;
        _native.TokenCount = index + 1;
        return index;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_memory is not null)
        {
            NativeMemory.Free(_memory);
            _memory = null;
            _native = default;
            _sequenceIds = null;
        }
    }
}
