using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ContinualNative.Core.Routing;

/// <summary>Arithmetic on embeddings.</summary>
internal static class Vectors
{
    /// <summary>Inner product of two vectors of one length, any length.</summary>
    public static float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        if (a.Length != b.Length)
        {
            throw new ArgumentException($"The vectors have {a.Length} and {b.Length} elements.");
        }
        int i = 0;
        float sum = 0;
        ref float left = ref MemoryMarshal.GetReference(a);
        ref float right = ref MemoryMarshal.GetReference(b);
        if (Vector256.IsHardwareAccelerated)
        {
            // Four sums at once hide the latency of the multiply-add.
            Vector256<float> s0 = default, s1 = default, s2 = default, s3 = default;
            for (; i <= a.Length - 32; i += 32)
            {
                s0 = Vector256.MultiplyAddEstimate(Load(ref left, i), Load(ref right, i), s0);
                s1 = Vector256.MultiplyAddEstimate(Load(ref left, i + 8), Load(ref right, i + 8), s1);
                s2 = Vector256.MultiplyAddEstimate(Load(ref left, i + 16), Load(ref right, i + 16), s2);
                s3 = Vector256.MultiplyAddEstimate(Load(ref left, i + 24), Load(ref right, i + 24), s3);
            }
            sum = Vector256.Sum((s0 + s1) + (s2 + s3));
        }
        for (; i < a.Length; i++)
        {
            sum += a[i] * b[i];
        }
        return sum;
    }

    private static Vector256<float> Load(ref float start, int offset) => Vector256.LoadUnsafe(ref Unsafe.Add(ref start, offset));
}
