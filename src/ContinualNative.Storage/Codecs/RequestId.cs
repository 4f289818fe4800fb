using System.Buffers;

namespace ContinualNative.Storage.Codecs;

/// <summary>Ids of requests: 24 hexadecimal digits outside, 12 bytes in the file.</summary>
internal static class RequestId
{
    public const int Bytes = 12;

    private static readonly SearchValues<char> Digits = SearchValues.Create("0123456789abcdef");

    /// <summary>Whether this can be an id at all: upper case is none, so that every id has one spelling.</summary>
    public static bool IsValid(string? id) => id is { Length: 2 * Bytes } && !id.AsSpan().ContainsAnyExcept(Digits);

    /// <summary>The bytes of a valid id.</summary>
    public static byte[] ToBytes(string id) => Convert.FromHexString(id);

    public static string ToText(ReadOnlySpan<byte> id) => Convert.ToHexStringLower(id);
}
