using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace ContinualNative.Core.Teaching;

/// <summary>Chance that is the same on every machine and in every run: the first eight bytes of SHA-256 over a purpose and an id.</summary>
public static class StableHash
{
    /// <summary>All 64 bits, even over ids.</summary>
    public static ulong Of(string purpose, string id) => BinaryPrimitives.ReadUInt64BigEndian(SHA256.HashData(Encoding.UTF8.GetBytes($"{purpose}\n{id}")));

    /// <summary>As <see cref="Of(string, string)"/>, of a seed.</summary>
    public static ulong Of(ulong seed, string id) => Of(seed.ToString(CultureInfo.InvariantCulture), id);

    /// <summary>The hash as a number in [0, 1).</summary>
    public static double Share(ulong hash) => (hash >> 11) * (1.0 / (1UL << 53));
}
