using System.Buffers;
using System.Text;
using ContinualNative.Engine.Models;

namespace ContinualNative.Engine.Chat;

/// <summary>
/// The texts that a model's tokenizer reads as control tokens, such as <c>&lt;|im_start|&gt;</c>. The contents of a chat must not be able to
/// write them: whoever can would end his own message and speak with another role.
/// </summary>
internal sealed class ControlTokens
{
    private readonly SearchValues<string> _search;
    private readonly string[] _texts;

    public ControlTokens(Tokenizer tokenizer)
    {
        HashSet<string> texts = new(StringComparer.Ordinal);
        for (int token = 0; token < tokenizer.VocabularySize; token++)
        {
            if (tokenizer.IsControl(token) || tokenizer.IsEnd(token))
            {
                string text = Encoding.UTF8.GetString(tokenizer.Bytes(token, showSpecial: true));
                if (text.Length > 1 && !string.IsNullOrWhiteSpace(text))
                {
                    texts.Add(text);
                }
            }
        }
        // The longest first: of two that begin at one place, the tokenizer takes it.
        _texts = [.. texts.OrderByDescending(static t => t.Length)];
        _search = SearchValues.Create(_texts, StringComparison.Ordinal);
    }

    /// <summary>Whether the text holds one.</summary>
    public bool AreIn(string? text) => text is not null && text.AsSpan().IndexOfAny(_search) >= 0;

    /// <summary>Where a control token's text begins in <paramref name="text"/> and how long it is, or (−1, 0).</summary>
    public (int Index, int Length) Find(ReadOnlySpan<char> text)
    {
        int index = text.IndexOfAny(_search);
        if (index >= 0)
        {
            foreach (string candidate in _texts)
            {
                if (text[index..].StartsWith(candidate, StringComparison.Ordinal))
                {
                    return (index, candidate.Length);
                }
            }
        }
        return (-1, 0);
    }
}
