using System.Runtime.InteropServices;

namespace ContinualNative.Interop.Llama;

/// <summary>How <c>libcontinual_native</c> was compiled to see the structures that cross to it, for comparison with the mirrors here.</summary>
internal static unsafe partial class FirewallLayout
{
    /// <summary>The <c>CN_INTERFACE_VERSION</c> that <see cref="Firewall"/> is written for.</summary>
    internal const int InterfaceVersion = 4;

    /// <summary>The order of <c>CN_STRUCT_*</c> in <c>continual_native.h</c>.</summary>
    internal enum Structure
    {
        Batch,
        ModelParams,
        ContextParams,
        QuantizeParams,
        TokenData,
        TokenDataArray,
        ModelInfo,
        Memory,
        TrainerConfig,
        BatchTrain,
        Loss,
        Update,
        DeviceInfo,
        Tensor,
        SliceCosts,
    }

    /// <summary>One field: its name in C, and its offset and size in bytes.</summary>
    internal readonly record struct Field(string Name, int Offset, int Size);

    [LibraryImport(Firewall.Library)] private static partial int cn_version();
    [LibraryImport(Firewall.Library)] private static partial int cn_struct_layout(int structure, int field, byte* name, int capacity, int* offset, int* size);

    /// <summary>The interface version of the library that was loaded.</summary>
    internal static int LoadedVersion()
    {
        LlamaLibrary.EnsureLoaded();
        return Version();
    }

    /// <summary>The same while the libraries are still being loaded.</summary>
    internal static int Version() => cn_version();

    /// <summary>Size of the structure in bytes, and its fields in order.</summary>
    internal static (int Size, IReadOnlyList<Field> Fields) Of(Structure structure)
    {
        LlamaLibrary.EnsureResolver();
        const int NameCapacity = 64;
        byte* name = stackalloc byte[NameCapacity];
        int offset;
        int size;
        if (cn_struct_layout((int)structure, -1, name, NameCapacity, &offset, &size) != 0)
        {
            throw new LlamaException("cn_struct_layout", $"libcontinual_native knows no structure {structure}.", 1);
        }
        int whole = size;
        List<Field> fields = [];
        while (cn_struct_layout((int)structure, fields.Count, name, NameCapacity, &offset, &size) == 0)
        {
            fields.Add(new Field(Marshal.PtrToStringUTF8((nint)name)!, offset, size));
        }
        return (whole, fields);
    }
}
