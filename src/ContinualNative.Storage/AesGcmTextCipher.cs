using System.Security.Cryptography;

namespace ContinualNative.Storage;

/// <summary>
/// AES-256-GCM with a random nonce for each text: 12 bytes of nonce, the encrypted text, 16 bytes of tag. Thread-safe.
/// NIST SP 800-38D (section 8.3) allows 2^32 texts under one key with random nonces, which is a billion requests with all their texts: give a new key before that.
/// </summary>
public sealed class AesGcmTextCipher : ITextCipher
{
    /// <summary>Length of a key in bytes.</summary>
    public const int KeyBytes = 32;

    private const int NonceBytes = 12;
    private const int TagBytes = 16;

    private readonly byte[] _key;
    private readonly Dictionary<int, byte[]> _keys = [];

    /// <summary>Takes copies of the keys. Throws <see cref="ArgumentException"/> for a key of another length and for version 0, which means plain text.</summary>
    /// <param name="key">32 random bytes: what is written from now on is encrypted with it.</param>
    /// <param name="keyVersion">Its number, stored with each text. Not 0.</param>
    /// <param name="oldKeys">Keys of earlier versions, to read what was written with them.</param>
    public AesGcmTextCipher(ReadOnlySpan<byte> key, int keyVersion, IReadOnlyDictionary<int, byte[]>? oldKeys = null)
    {
        foreach ((int version, byte[] old) in oldKeys ?? new Dictionary<int, byte[]>())
        {
            _keys.Add(Numbered(version), Measured(old));
        }
        _key = Measured(key);
        if (!_keys.TryAdd(Numbered(keyVersion), _key))
        {
            throw new ArgumentException($"Key version {keyVersion} is given twice: a new key needs a new version.", nameof(oldKeys));
        }
        KeyVersion = keyVersion;
    }

    /// <inheritdoc/>
    public int KeyVersion { get; }

    /// <inheritdoc/>
    public byte[] Encrypt(ReadOnlySpan<byte> plain, ReadOnlySpan<byte> context)
    {
        byte[] encrypted = new byte[NonceBytes + plain.Length + TagBytes];
        Span<byte> nonce = encrypted.AsSpan(0, NonceBytes);
        RandomNumberGenerator.Fill(nonce);
        // AesGcm is not safe for use by several threads at once, and making one costs about a microsecond.
        using AesGcm aes = new(_key, TagBytes);
        aes.Encrypt(nonce, plain, encrypted.AsSpan(NonceBytes, plain.Length), encrypted.AsSpan(NonceBytes + plain.Length), context);
        return encrypted;
    }

    /// <inheritdoc/>
    public byte[] Decrypt(ReadOnlySpan<byte> encrypted, ReadOnlySpan<byte> context, int keyVersion)
    {
        if (!_keys.TryGetValue(keyVersion, out byte[]? key))
        {
            throw new CryptographicException($"There is no key of version {keyVersion}.");
        }
        if (encrypted.Length < NonceBytes + TagBytes)
        {
            throw new CryptographicException("The encrypted text is too short.");
        }
        byte[] plain = new byte[encrypted.Length - NonceBytes - TagBytes];
        using AesGcm aes = new(key, TagBytes);
        aes.Decrypt(encrypted[..NonceBytes], encrypted[NonceBytes..^TagBytes], encrypted[^TagBytes..], plain, context);
        return plain;
    }

    private static byte[] Measured(ReadOnlySpan<byte> key) =>
        key.Length == KeyBytes ? key.ToArray() : throw new ArgumentException($"A key has {KeyBytes} bytes, and this one {key.Length}.", nameof(key));

    private static int Numbered(int version) => version != 0 ? version : throw new ArgumentException("Key version 0 means plain text: number keys from 1.", nameof(version));
}
