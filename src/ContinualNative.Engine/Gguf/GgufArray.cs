using System.Runtime.InteropServices;
using System.Text;

namespace ContinualNative.Engine.Gguf;

/// <summary>
/// An array of metadata, kept as the file's bytes: a vocabulary of 150,000 strings is two allocations, and a string is made when asked for.
/// </summary>
public sealed class GgufArray
{
    private readonly byte[] _bytes;
    private readonly int[] _ends;
    private readonly GgufArray[] _arrays;

    private GgufArray(GgufValueType type, int count, byte[] bytes, int[] ends, GgufArray[] arrays)
    {
        ElementType = type;
        Count = count;
        _bytes = bytes;
        _ends = ends;
        _arrays = arrays;
    }

    /// <summary>The elements' type.</summary>
    public GgufValueType ElementType { get; }

    /// <summary>Number of elements.</summary>
    public int Count { get; }

    /// <summary>The element as a number, bool, string or <see cref="GgufArray"/>.</summary>
    public object this[int index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfNegative(index);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Count);
            return ElementType switch
            {
                GgufValueType.String => GetString(index),
                GgufValueType.Array => _arrays[index],
                _ => GgufValueTypes.Decode(ElementType, _bytes.AsSpan(index * GgufValueTypes.Size(ElementType))),
            };
        }
    }

    /// <summary>The UTF-8 bytes of a string element.</summary>
    public ReadOnlySpan<byte> GetUtf8(int index) => GetUtf8Memory(index).Span;

    internal ReadOnlyMemory<byte> GetUtf8Memory(int index)
    {
        if (ElementType != GgufValueType.String)
        {
            throw new InvalidOperationException("the array's elements are not strings");
        }
        int start = index == 0 ? 0 : _ends[index - 1];
        return _bytes.AsMemory(start, _ends[index] - start);
    }

    /// <summary>A string element; bytes that are no UTF-8 become U+FFFD.</summary>
    public string GetString(int index) => Encoding.UTF8.GetString(GetUtf8(index));

    /// <summary>All elements as <typeparamref name="T"/>, which must be exactly the element type; a view, not a copy.</summary>
    public ReadOnlySpan<T> AsSpan<T>() where T : unmanaged =>
        ElementType == GgufValueTypes.Of<T>() && ElementType != GgufValueType.Bool
            ? MemoryMarshal.Cast<byte, T>(_bytes)
            : throw new InvalidOperationException($"the array's elements are {GgufValueTypes.Name(ElementType)}, not {typeof(T).Name}");

    /// <summary>An array of numbers or bools.</summary>
    public static GgufArray Of<T>(ReadOnlySpan<T> values) where T : unmanaged =>
        new(GgufValueTypes.Of<T>(), values.Length, MemoryMarshal.AsBytes(values).ToArray(), [], []);

    /// <summary>An array of strings.</summary>
    public static GgufArray Of(IEnumerable<string> values)
    {
        MemoryStream bytes = new();
        List<int> ends = [];
        foreach (string value in values)
        {
            bytes.Write(Encoding.UTF8.GetBytes(value));
            ends.Add(checked((int)bytes.Length));
        }
        return new GgufArray(GgufValueType.String, ends.Count, bytes.ToArray(), [.. ends], []);
    }

    /// <summary>An array of arrays. llama.cpp does not read these; other tools do.</summary>
    public static GgufArray Of(IEnumerable<GgufArray> values)
    {
        GgufArray[] arrays = [.. values];
        return new GgufArray(GgufValueType.Array, arrays.Length, [], [], arrays);
    }

    /// <summary>Of scalars in their file form.</summary>
    internal static GgufArray OfBytes(GgufValueType type, int count, byte[] bytes) => new(type, count, bytes, [], []);

    /// <summary>Of strings without their lengths, one after the other.</summary>
    internal static GgufArray OfUtf8(byte[] bytes, int[] ends) => new(GgufValueType.String, ends.Length, bytes, ends, []);

    /// <summary>The scalars in their file form.</summary>
    internal ReadOnlySpan<byte> RawBytes => _bytes;

    internal ReadOnlySpan<GgufArray> Nested => _arrays;
}
