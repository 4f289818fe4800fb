namespace ContinualNative.Engine.Models;

/// <summary>Text to tokens and back, by the model's own vocabulary. Thread-safe.</summary>
public sealed class Tokenizer
{
    /// <summary>Size of the vocabulary.</summary>
    public int VocabularySize => throw new NotSupportedException();

    /// <summary>
    /// Tokens of <paramref name="text"/>. <paramref name="addSpecial"/> puts the model's beginning-of-sequence token in front where it wants one;
    /// <paramref name="parseSpecial"/> reads control tokens written in the text as such.
    /// </summary>
    public int[] Encode(string text, bool addSpecial, bool parseSpecial) => throw new NotSupportedException();

    /// <summary>Text of the tokens; bytes that form no character become U+FFFD. Control tokens appear only with <paramref name="showSpecial"/>.</summary>
    public string Decode(ReadOnlySpan<int> tokens, bool showSpecial = false) => throw new NotSupportedException();

    /// <summary>The bytes that a token stands for; empty for control tokens unless <paramref name="showSpecial"/>.</summary>
    public ReadOnlySpan<byte> Bytes(int token, bool showSpecial = false) => throw new NotSupportedException();

    /// <summary>Whether the token ends a generation.</summary>
    public bool IsEnd(int token) => throw new NotSupportedException();
}
