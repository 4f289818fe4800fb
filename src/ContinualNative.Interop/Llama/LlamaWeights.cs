using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ContinualNative.Interop.Llama;

/// <summary>A weight, where the engine has it.</summary>
/// <param name="Name">As in the file, such as <c>blk.0.attn_q.weight</c>.</param>
/// <param name="Type">ggml's number of its type.</param>
/// <param name="Shape">ggml's four dimensions; the first runs fastest.</param>
/// <param name="Data">Its address, on the device that <paramref name="Buffer"/> names. It is there while the model lives.</param>
/// <param name="Bytes">How much it is.</param>
/// <param name="Buffer">The kind of memory: <c>CPU</c>, <c>CPU_Mapped</c>, <c>CUDA0</c> and so on.</param>
public sealed record LlamaWeight(string Name, int Type, IReadOnlyList<long> Shape, nint Data, long Bytes, string Buffer)
{
    /// <summary>The number of the CUDA device that has it; null: another kind of memory, or split over several.</summary>
    public int? CudaDevice =>
        Buffer.StartsWith("CUDA", StringComparison.Ordinal) && int.TryParse(Buffer.AsSpan(4), System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out int number) ? number : null;
}

/// <summary>
/// Finds a loaded model's weights. The engine has no list of them in its interface, but shows each node of a computation to a callback before it is computed, and the
/// nodes' sources are the weights: one decode of one token shows all.
/// </summary>
public static unsafe class LlamaWeights
{
    // struct ggml_tensor of the pinned release; checked against the library before anything is believed.
    [StructLayout(LayoutKind.Sequential)]
    private struct Tensor
    {
        public int Type;
        public nint Buffer;
        public fixed long Shape[4];
        public fixed long Strides[4];
        public int Operation;
        public fixed int Parameters[16];
        public int Flags;
        public SourceArray Sources;
        public Tensor* ViewSource;
        public nuint ViewOffset;
        public nint Data;
        public fixed byte Name[64];
        public nint Extra;
        public long Padding;
    }

    [InlineArray(10)]
    private struct SourceArray
    {
        private nint _first;
    }

    // What a tensor takes in ggml's own memory: its object of 32 bytes, and itself.
    private const int ObjectBytes = 32;

    private sealed class Found
    {
        public Dictionary<(string Name, nint Data), LlamaWeight> Weights { get; } = [];

        public string? Fault { get; set; }
    }

    /// <summary>The weights of a model, a name twice where it has copies of one. Throws <see cref="LlamaException"/>. Takes one decode of one token in a context of its own.</summary>
    public static IReadOnlyList<LlamaWeight> Of(LlamaModelHandle model)
    {
        ArgumentNullException.ThrowIfNull(model);
        if ((int)LlamaNative.ggml_tensor_overhead() != ObjectBytes + sizeof(Tensor))
        {
            throw new LlamaException("ggml_tensor_overhead", $"llama.cpp's tensors take {LlamaNative.ggml_tensor_overhead()} bytes, and this build knows those of {ObjectBytes + sizeof(Tensor)}: it is another release than the pinned one.");
        }
        Found found = new();
        GCHandle user = GCHandle.Alloc(found);
        try
        {
            LlamaContextOptions options = new() { KvTokens = 64, MaxSequences = 1, MaxOutputs = 1, BatchTokens = 8, Threads = 1 };
            using LlamaContextHandle context = LlamaContextHandle.Create(model, options, null, (nint)(delegate* unmanaged[Cdecl]<void*, byte, void*, byte>)&OnNode, GCHandle.ToIntPtr(user));
            using LlamaBatch batch = new(1);
            batch.Add(0, 0, 0, output: true);
            context.Decode(batch);
        }
        finally
        {
            user.Free();
        }
        return found.Fault is { } fault ? throw new LlamaException("ggml_tensor", fault) : [.. found.Weights.Values];
    }

    // 1 asks for the node's values, which nobody here wants: the graph is computed as ever.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static byte OnNode(void* node, byte asks, void* user)
    {
        try
        {
            if (asks != 0)
            {
                Found found = (Found)GCHandle.FromIntPtr((nint)user).Target!;
                Tensor* tensor = (Tensor*)node;
                for (int i = 0; i < 10; i++)
                {
                    Note(found, (Tensor*)tensor->Sources[i]);
                }
            }
        }
        catch (Exception)
        {
            // Nothing may escape into the engine; what is missing shows.
        }
        return 0;
    }

    private static void Note(Found found, Tensor* tensor)
    {
        if (tensor is null)
        {
            return;
        }
        if (LlamaNative.ggml_get_name(tensor) != tensor->Name || LlamaNative.ggml_get_data(tensor) != tensor->Data)
        {
            found.Fault = "llama.cpp's tensors are laid out otherwise than this build believes: it is another release than the pinned one.";
            return;
        }
        // A leaf: computed from nothing, and no view of another tensor.
        if (tensor->Operation != 0 || tensor->ViewSource is not null || tensor->Buffer == 0 || tensor->Data == 0)
        {
            return;
        }
        string name = Marshal.PtrToStringUTF8((nint)tensor->Name)!;
        if (!name.EndsWith(".weight", StringComparison.Ordinal) && !name.EndsWith(".bias", StringComparison.Ordinal))
        {
            return;
        }
        string buffer = Marshal.PtrToStringUTF8((nint)LlamaNative.ggml_backend_buft_name(LlamaNative.ggml_backend_buffer_get_type(tensor->Buffer))) ?? "";
        found.Weights[(name, tensor->Data)] = new LlamaWeight(
            name, tensor->Type, [tensor->Shape[0], tensor->Shape[1], tensor->Shape[2], tensor->Shape[3]], tensor->Data, (long)LlamaNative.ggml_nbytes(tensor), buffer);
    }
}
