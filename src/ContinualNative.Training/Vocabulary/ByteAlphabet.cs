namespace ContinualNative.Training.Vocabulary;

/// <summary>
/// How byte-level vocabularies spell bytes as characters (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2, in
/// GPT-2's encoding): a byte that is a visible character of Latin-1 stands for itself, the others are U+0100 onwards in their order.
/// </summary>
internal static class ByteAlphabet
{
    private const int FirstStandIn = 256;

    private static readonly char[] Characters = Build();
    private static readonly byte[] Bytes = Invert();

    /// <summary>The spelling of some bytes.</summary>
    public static string Spell(ReadOnlySpan<byte> bytes)
    {
        Span<char> text = bytes.Length <= 256 ? stackalloc char[bytes.Length] : new char[bytes.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            text[i] = Characters[bytes[i]];
        }
        return new string(text);
    }

    /// <summary>The bytes of a spelling, or null when a character stands for none.</summary>
    public static byte[]? Read(string spelling)
    {
        byte[] bytes = new byte[spelling.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            char c = spelling[i];
            if (c >= Bytes.Length || Characters[Bytes[c]] != c)
            {
                return null;
            }
            bytes[i] = Bytes[c];
        }
        return bytes;
    }

    private static char[] Build()
    {
        char[] characters = new char[256];
        int next = FirstStandIn;
        for (int b = 0; b < 256; b++)
        {
            // U+00AD, the soft hyphen, is not visible.
            bool visible = b is (>= '!' and <= '~') or (>= 0xA1 and not 0xAD);
            characters[b] = visible ? (char)b : (char)next++;
        }
        return characters;
    }

    private static byte[] Invert()
    {
        byte[] bytes = new byte[Characters.Max() + 1];
        for (int b = 0; b < 256; b++)
        {
            bytes[Characters[b]] = (byte)b;
        }
        return bytes;
    }
}
