using System.Security.Cryptography;

namespace ContinualNative.Host.Training;

/// <summary>What tells a file from others.</summary>
internal static class FileHash
{
    /// <summary>SHA-256 in hexadecimal digits.</summary>
    public static string Of(string path)
    {
        using FileStream stream = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }
}
