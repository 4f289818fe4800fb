namespace ContinualNative.Training.Vocabulary;

/// <summary>What the splitting of text into words asks of a character.</summary>
internal enum CharacterClass : byte
{
    /// <summary>Punctuation, symbols, marks, controls, what is not assigned, and bytes that form no character.</summary>
    Other,

    /// <summary>Unicode category L.</summary>
    Letter,

    /// <summary>Unicode category N.</summary>
    Number,

    /// <summary>White space.</summary>
    Space,
}
