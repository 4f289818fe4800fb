using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;

namespace ContinualNative.Storage.Codecs;

/// <summary>Embeddings as bytes: one byte of format, then the numbers, little-endian.</summary>
/// <remarks>
/// Decision: halves where every number fits. Embeddings have unit length, so a half's 11 significant bits keep a cosine to better than one part in a thousand,
/// which is below what any of its users distinguishes, and they are the larger part of a request's size. Numbers beyond a half's range are kept as singles.
/// </remarks>
internal static class EmbeddingCodec
{
    private const byte Halves = 1;
    private const byte Singles = 2;

    // Half-precision exponents are biased by 15, single-precision ones by 127: moving the bits over divides by 2^112, subnormals included.
    private const float Rebias = 5.192296858534828e33f;

    public static byte[] Encode(ReadOnlySpan<float> values)
    {
        bool halves = true;
        foreach (float value in values)
        {
            halves &= MathF.Abs(value) <= (float)Half.MaxValue;
        }
        byte[] bytes = new byte[1 + (values.Length * (halves ? 2 : 4))];
        bytes[0] = halves ? Halves : Singles;
        for (int i = 0; i < values.Length; i++)
        {
            if (halves)
            {
                BinaryPrimitives.WriteHalfLittleEndian(bytes.AsSpan(1 + (2 * i)), (Half)values[i]);
            }
            else
            {
                BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(1 + (4 * i)), values[i]);
            }
        }
        return bytes;
    }

    public static float[] Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
        {
            return [];
        }
        ReadOnlySpan<byte> body = bytes[1..];
        if (bytes[0] == Singles)
        {
            float[] singles = new float[body.Length / 4];
            for (int i = 0; i < singles.Length; i++)
            {
                singles[i] = BinaryPrimitives.ReadSingleLittleEndian(body[(4 * i)..]);
            }
            return singles;
        }
        float[] values = new float[body.Length / 2];
        int done = BitConverter.IsLittleEndian ? DecodeVectors(MemoryMarshal.Cast<byte, ushort>(body), values) : 0;
        for (int i = done; i < values.Length; i++)
        {
            values[i] = (float)BinaryPrimitives.ReadHalfLittleEndian(body[(2 * i)..]);
        }
        return values;
    }

    // Only for finite halves, which is all that Encode writes.
    private static int DecodeVectors(ReadOnlySpan<ushort> halves, Span<float> values)
    {
        Span<uint> bits = MemoryMarshal.Cast<float, uint>(values);
        int done = 0;
        for (; done + Vector<ushort>.Count <= halves.Length; done += Vector<ushort>.Count)
        {
            Vector.Widen(new Vector<ushort>(halves[done..]), out Vector<uint> low, out Vector<uint> high);
            Single(low).CopyTo(bits[done..]);
            Single(high).CopyTo(bits[(done + Vector<uint>.Count)..]);
        }
        return done;
    }

    private static Vector<uint> Single(Vector<uint> half)
    {
        Vector<float> magnitude = Vector.AsVectorSingle((half & new Vector<uint>(0x7FFF)) << 13) * new Vector<float>(Rebias);
        return Vector.AsVectorUInt32(magnitude) | ((half & new Vector<uint>(0x8000)) << 16);
    }
}
