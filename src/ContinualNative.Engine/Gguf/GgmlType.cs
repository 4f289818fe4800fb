namespace ContinualNative.Engine.Gguf;

// The names are ggml's own, underscores included.
#pragma warning disable CA1707

/// <summary>The tensor types of the pinned llama.cpp, with their numbers in GGUF files. Gaps are types that llama.cpp has removed.</summary>
public enum GgmlType
{
    /// <summary>32-bit float.</summary>
    F32 = 0,

    /// <summary>16-bit float.</summary>
    F16 = 1,

    /// <summary>4 bits, blocks of 32 with a scale.</summary>
    Q4_0 = 2,

    /// <summary>4 bits, blocks of 32 with scale and minimum.</summary>
    Q4_1 = 3,

    /// <summary>5 bits, blocks of 32 with a scale.</summary>
    Q5_0 = 6,

    /// <summary>5 bits, blocks of 32 with scale and minimum.</summary>
    Q5_1 = 7,

    /// <summary>8 bits, blocks of 32 with a scale.</summary>
    Q8_0 = 8,

    /// <summary>8 bits, blocks of 32 with scale and sum (an intermediate of dot products).</summary>
    Q8_1 = 9,

    /// <summary>2 bits, super-blocks of 256.</summary>
    Q2_K = 10,

    /// <summary>3 bits, super-blocks of 256.</summary>
    Q3_K = 11,

    /// <summary>4 bits, super-blocks of 256.</summary>
    Q4_K = 12,

    /// <summary>5 bits, super-blocks of 256.</summary>
    Q5_K = 13,

    /// <summary>6 bits, super-blocks of 256.</summary>
    Q6_K = 14,

    /// <summary>8 bits, super-blocks of 256 (an intermediate of dot products).</summary>
    Q8_K = 15,

    /// <summary>About 2.06 bits from a grid.</summary>
    IQ2_XXS = 16,

    /// <summary>About 2.31 bits from a grid.</summary>
    IQ2_XS = 17,

    /// <summary>About 3.06 bits from a grid.</summary>
    IQ3_XXS = 18,

    /// <summary>About 1.56 bits from a grid.</summary>
    IQ1_S = 19,

    /// <summary>4 bits on a non-linear scale, blocks of 32.</summary>
    IQ4_NL = 20,

    /// <summary>About 3.44 bits from a grid.</summary>
    IQ3_S = 21,

    /// <summary>About 2.56 bits from a grid.</summary>
    IQ2_S = 22,

    /// <summary>4.25 bits on a non-linear scale, super-blocks of 256.</summary>
    IQ4_XS = 23,

    /// <summary>8-bit integer.</summary>
    I8 = 24,

    /// <summary>16-bit integer.</summary>
    I16 = 25,

    /// <summary>32-bit integer.</summary>
    I32 = 26,

    /// <summary>64-bit integer.</summary>
    I64 = 27,

    /// <summary>64-bit float.</summary>
    F64 = 28,

    /// <summary>1.75 bits from a grid.</summary>
    IQ1_M = 29,

    /// <summary>bfloat16.</summary>
    BF16 = 30,

    /// <summary>Ternary, 1.69 bits.</summary>
    TQ1_0 = 34,

    /// <summary>Ternary, 2.06 bits.</summary>
    TQ2_0 = 35,

    /// <summary>4-bit floats with a shared exponent per 32.</summary>
    MXFP4 = 39,

    /// <summary>4-bit floats with an 8-bit float scale per 16.</summary>
    NVFP4 = 40,

    /// <summary>1 bit, blocks of 128 with a scale.</summary>
    Q1_0 = 41,

    /// <summary>2 bits, blocks of 64 with a scale.</summary>
    Q2_0 = 42,
}

/// <summary>Names and layouts of <see cref="GgmlType"/>.</summary>
public static class GgmlTypes
{
    // Index: type number; (name as ggml prints it, elements per block, bytes per block); null: no such type.
    private static readonly (string Name, int Block, int Bytes)?[] Table =
    [
        ("f32", 1, 4), ("f16", 1, 2), ("q4_0", 32, 18), ("q4_1", 32, 20), null, null, ("q5_0", 32, 22), ("q5_1", 32, 24),
        ("q8_0", 32, 34), ("q8_1", 32, 36), ("q2_K", 256, 84), ("q3_K", 256, 110), ("q4_K", 256, 144), ("q5_K", 256, 176),
        ("q6_K", 256, 210), ("q8_K", 256, 292), ("iq2_xxs", 256, 66), ("iq2_xs", 256, 74), ("iq3_xxs", 256, 98), ("iq1_s", 256, 50),
        ("iq4_nl", 32, 18), ("iq3_s", 256, 110), ("iq2_s", 256, 82), ("iq4_xs", 256, 136), ("i8", 1, 1), ("i16", 1, 2), ("i32", 1, 4),
        ("i64", 1, 8), ("f64", 1, 8), ("iq1_m", 256, 56), ("bf16", 1, 2), null, null, null, ("tq1_0", 256, 54), ("tq2_0", 256, 66),
        null, null, null, ("mxfp4", 32, 17), ("nvfp4", 64, 36), ("q1_0", 128, 18), ("q2_0", 64, 18),
    ];

    /// <summary>Whether llama.cpp knows the type.</summary>
    public static bool IsKnown(this GgmlType type) => (uint)type < (uint)Table.Length && Table[(int)type] is not null;

    /// <summary>ggml's name, such as <c>q4_K</c>.</summary>
    public static string Name(this GgmlType type) => Entry(type).Name;

    /// <summary>Elements that one block holds; a row's length is a multiple of it.</summary>
    public static int BlockSize(this GgmlType type) => Entry(type).Block;

    /// <summary>Bytes of one block.</summary>
    public static int BytesPerBlock(this GgmlType type) => Entry(type).Bytes;

    /// <summary>Whether blocks hold more than one element, so that the values are approximate.</summary>
    public static bool IsQuantized(this GgmlType type) => Entry(type).Block > 1;

    /// <summary>Bytes of <paramref name="elements"/> elements, a multiple of the block size.</summary>
    public static long Bytes(this GgmlType type, long elements)
    {
        (_, int block, int bytes) = Entry(type);
        if (elements < 0 || elements % block != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(elements), elements, $"must be a multiple of {block} for {type.Name()}");
        }
        return checked(elements / block * bytes);
    }

    private static (string Name, int Block, int Bytes) Entry(GgmlType type) =>
        (uint)type < (uint)Table.Length && Table[(int)type] is { } entry
            ? entry
            : throw new ArgumentOutOfRangeException(nameof(type), type, "not a ggml type");
}
