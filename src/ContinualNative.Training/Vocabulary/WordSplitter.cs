namespace ContinualNative.Training.Vocabulary;

/// <summary>
/// Splits text into the words within which byte pairs are merged, by GPT-2's pattern as llama.cpp applies it (<c>tokenizer.ggml.pre</c> "gpt-2"):
/// <c>'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+</c>.
/// </summary>
internal static class WordSplitter
{
    /// <summary>Length in bytes of the first word of a text that is not empty. What follows the word is looked at, what stands before it never matters.</summary>
    public static int FirstWord(ReadOnlySpan<byte> text)
    {
        if (Contraction(text) is > 0 and int contraction)
        {
            return contraction;
        }
        int at = text[0] == ' ' && text.Length > 1 ? 1 : 0;
        (CharacterClass kind, int bytes) = CharacterClasses.First(text[at..]);
        if (kind == CharacterClass.Space)
        {
            return Spaces(text);
        }
        at += bytes;
        while (at < text.Length)
        {
            (CharacterClass next, bytes) = CharacterClasses.First(text[at..]);
            if (next != kind)
            {
                break;
            }
            at += bytes;
        }
        return at;
    }

    private static int Contraction(ReadOnlySpan<byte> text) =>
        text[0] != '\'' ? 0
        : text.Length > 1 && text[1] is (byte)'s' or (byte)'t' or (byte)'m' or (byte)'d' ? 2
        : text.Length > 2 && (text[1], text[2]) is ((byte)'r', (byte)'e') or ((byte)'v', (byte)'e') or ((byte)'l', (byte)'l') ? 3
        : 0;

    // A run of white space leaves its last character to the word behind it.
    private static int Spaces(ReadOnlySpan<byte> text)
    {
        int at = 0;
        int last = 0;
        while (at < text.Length)
        {
            (CharacterClass kind, int bytes) = CharacterClasses.First(text[at..]);
            if (kind != CharacterClass.Space)
            {
                return last > 0 ? last : at;
            }
            last = at;
            at += bytes;
        }
        return at;
    }
}
