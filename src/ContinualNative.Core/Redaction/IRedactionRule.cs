namespace ContinualNative.Core.Redaction;

/// <summary>
/// Finds what must not leave the machine or reach the disk. One instance is called from many threads at once, and must find the same in
/// equal texts: placeholders are told apart by what was found.
/// </summary>
/// <remarks>
/// Decision: redaction fails closed. A rule that throws, or that reports a range outside of the text, ends in a
/// <see cref="RedactionException"/>, and the caller neither stores nor sends the text. Passing over a broken rule would leak without a trace.
/// </remarks>
public interface IRedactionRule
{
    /// <summary>
    /// What it finds, as its placeholders call it (<c>BADGE</c> gives <c>[BADGE_1]</c>): at most 24 capital letters, digits and single
    /// underscores, beginning with a letter.
    /// </summary>
    string Kind { get; }

    /// <summary>Adds the ranges of <paramref name="text"/> to redact, in any order; they may overlap each other and those of other rules.</summary>
    void Find(ReadOnlySpan<char> text, ICollection<RedactionRange> found);
}

/// <summary>A part of a text, in UTF-16 units.</summary>
public readonly record struct RedactionRange(int Start, int Length);
