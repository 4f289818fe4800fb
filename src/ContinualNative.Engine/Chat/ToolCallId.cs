using System.Security.Cryptography;

namespace ContinualNative.Engine.Chat;

/// <summary>Makes the ids of tool calls.</summary>
public static class ToolCallId
{
    internal const int ShortLength = 9;

    private const string Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    /// <summary>A random id: nine letters and digits where the format's templates insist on that, else <c>call_</c> and 24 of them.</summary>
    public static string Random(ToolCallFormat format) => format is ToolCallFormat.Mistral or ToolCallFormat.MistralArgs
        ? RandomNumberGenerator.GetString(Alphabet, ShortLength)
        : "call_" + RandomNumberGenerator.GetString(Alphabet, 24);

    internal static string Short(ReadOnlySpan<byte> hash)
    {
        Span<char> id = stackalloc char[ShortLength];
        for (int i = 0; i < id.Length; i++)
        {
            id[i] = Alphabet[hash[i] % Alphabet.Length];
        }

        return new string(id);
    }
}
