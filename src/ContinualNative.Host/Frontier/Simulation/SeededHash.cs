using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace ContinualNative.Host.Frontier.Simulation;

/// <summary>Numbers that a seed and some texts decide, on every machine alike.</summary>
internal static class SeededHash
{
    private const double Step = 1.0 / (1UL << 53);

    /// <summary>From [0, 1), in steps of 2⁻⁵³.</summary>
    public static double Share(ulong seed, string what, string text = "") => (Number(seed, what, text) >> 11) * Step;

    /// <summary>Uniform over 64 bits.</summary>
    public static ulong Number(ulong seed, string what, string text = "")
    {
        // The length before the word keeps ("a", "bc") and ("ab", "c") apart.
        byte[] bytes = Encoding.UTF8.GetBytes($"{seed}:{what.Length}:{what}{text}");
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(bytes, hash);
        return BinaryPrimitives.ReadUInt64LittleEndian(hash);
    }
}
