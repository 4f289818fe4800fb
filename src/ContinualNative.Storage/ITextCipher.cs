namespace ContinualNative.Storage;

/// <summary>Encrypts the texts of the store. Thread-safe.</summary>
public interface ITextCipher
{
    /// <summary>Stored beside each text, so that keys can be changed: which key encrypted it. Not 0, which means plain.</summary>
    int KeyVersion { get; }

    /// <summary>Encrypts, and authenticates with <paramref name="context"/> (the request's id and the column), so that texts can't be swapped within the file.</summary>
    byte[] Encrypt(ReadOnlySpan<byte> plain, ReadOnlySpan<byte> context);

    /// <summary>Decrypts. Throws <see cref="System.Security.Cryptography.CryptographicException"/> for a wrong key or altered bytes.</summary>
    byte[] Decrypt(ReadOnlySpan<byte> encrypted, ReadOnlySpan<byte> context, int keyVersion);
}
