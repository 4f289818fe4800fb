using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace ContinualNative.Core.Access;

/// <summary>
/// The secret half of access: how keys look, and how they are hashed. A key is <c>cnk_</c> and 32 random bytes as base64url
/// (47 characters); its id is the first 8 characters after the prefix and is no secret.
/// </summary>
public static class ApiKey
{
    /// <summary>What every key begins with, so that secret scanners recognise one.</summary>
    public const string Prefix = "cnk_";

    /// <summary>Characters of an id.</summary>
    public const int IdLength = 8;

    private const int RandomBytes = 32;
    private const int Length = 4 + 43;

    /// <summary>A new key from the system's random numbers. Its id holds letters and digits only, so that it is easy to type as an argument.</summary>
    public static string Create()
    {
        Span<byte> bytes = stackalloc byte[RandomBytes];
        while (true)
        {
            RandomNumberGenerator.Fill(bytes);
            string text = Base64Url.EncodeToString(bytes);
            if (text.AsSpan(0, IdLength).IndexOfAny('-', '_') < 0)
            {
                CryptographicOperations.ZeroMemory(bytes);
                return Prefix + text;
            }
        }
    }

    /// <summary>The id of a key, or null when <paramref name="key"/> cannot be one.</summary>
    public static string? IdOf(string? key) =>
        key is { Length: Length } && key.StartsWith(Prefix, StringComparison.Ordinal) && !key.AsSpan().ContainsAnyExceptInRange('!', '~')
            ? key.Substring(Prefix.Length, IdLength)
            : null;

    /// <summary>
    /// SHA-256 over salt and key, 32 bytes.
    /// Decision: a fast hash is right here. Slow hashes protect secrets that can be guessed; a key has 256 random bits (208 beside its
    /// id), so nobody can search for it, and every request pays for the hash.
    /// </summary>
    public static byte[] Hash(string key, ReadOnlySpan<byte> salt)
    {
        byte[] input = new byte[salt.Length + Encoding.UTF8.GetByteCount(key)];
        salt.CopyTo(input);
        Encoding.UTF8.GetBytes(key, input.AsSpan(salt.Length));
        byte[] hash = SHA256.HashData(input);
        CryptographicOperations.ZeroMemory(input);
        return hash;
    }
}
