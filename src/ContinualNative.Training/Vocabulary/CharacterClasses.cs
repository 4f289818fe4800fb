using System.Globalization;
using System.Text;

namespace ContinualNative.Training.Vocabulary;

/// <summary>The class of every character, as llama.cpp v0.5.0 has it.</summary>
internal static class CharacterClasses
{
    // Decision: llama.cpp's tables are of Unicode 15.1 and .NET's are newer. What they call letters and numbers was not assigned then, and llama.cpp counts it
    // among the others; so must we, or a vocabulary would be learned on other words than it is used on. A test compares the two on every
    // character and shows what to add here when .NET moves on.
    private static readonly (int First, int Last)[] LaterThanLlama =
    [
        (0x1C89, 0x1C8A), (0xA7CB, 0xA7CD), (0xA7DA, 0xA7DC), (0x105C0, 0x105F3), (0x10D40, 0x10D65), (0x10D6F, 0x10D85), (0x10EC2, 0x10EC4),
        (0x11380, 0x11389), (0x1138B, 0x1138B), (0x1138E, 0x1138E), (0x11390, 0x113B5), (0x113B7, 0x113B7), (0x113D1, 0x113D1), (0x113D3, 0x113D3),
        (0x116D0, 0x116E3), (0x11BC0, 0x11BE0), (0x11BF0, 0x11BF9), (0x13460, 0x143FA), (0x16100, 0x1611D), (0x16130, 0x16139), (0x16D40, 0x16D6C),
        (0x16D70, 0x16D79), (0x18CFF, 0x18CFF), (0x1CCF0, 0x1CCF9), (0x1E5D0, 0x1E5ED), (0x1E5F0, 0x1E5FA),
    ];

    private static readonly CharacterClass[] Table = Build();

    /// <summary>The first character of a text that is not empty: its class, and its length in bytes. A byte that begins none is one of its own.</summary>
    public static (CharacterClass Class, int Bytes) First(ReadOnlySpan<byte> text)
    {
        byte first = text[0];
        if (first < 0x80)
        {
            return (Table[first], 1);
        }
        return Rune.DecodeFromUtf8(text, out Rune rune, out int bytes) == System.Buffers.OperationStatus.Done
            ? (Table[rune.Value], bytes)
            : (CharacterClass.Other, 1);
    }

    private static CharacterClass[] Build()
    {
        CharacterClass[] table = new CharacterClass[0x110000];
        for (int c = 0; c < table.Length; c++)
        {
            table[c] = CharUnicodeInfo.GetUnicodeCategory(c) switch
            {
                <= UnicodeCategory.OtherLetter => CharacterClass.Letter,
                UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => CharacterClass.Number,
                _ => Rune.IsValid(c) && Rune.IsWhiteSpace(new Rune(c)) ? CharacterClass.Space : CharacterClass.Other,
            };
        }
        foreach ((int first, int last) in LaterThanLlama)
        {
            table.AsSpan(first..(last + 1)).Clear();
        }
        return table;
    }
}
