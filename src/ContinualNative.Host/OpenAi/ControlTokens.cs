using System.Buffers;
using System.Text;
using ContinualNative.Engine.Models;

namespace ContinualNative.Host.OpenAi;

/// <summary>
/// The texts that a model's tokenizer reads as control tokens, such as <c>&lt;|im_start|&gt;</c>. A chat's messages must not be able to write
/// them: whoever can would end his own message and speak with another role.
/// </summary>
internal sealed class ControlTokens
{
    private readonly SearchValues<string> _search;
    private readonly string[] _texts;

    public ControlTokens(Tokenizer tokenizer)
    {
        List<string> texts = [];
        for (int token = 0; token < tokenizer.VocabularySize; token++)
        {
            if (tokenizer.IsControl(token))
            {
                string text = Encoding.UTF8.GetString(tokenizer.Bytes(token, showSpecial: true));
                if (text.Length > 1 && !string.IsNullOrWhiteSpace(text))
                {
                    texts.Add(text);
                }
            }
        }
        // The longest first: of two that begin at one place, the tokenizer takes it.
        _texts = [.. texts.Distinct().OrderByDescending(static t => t.Length)];
        _search = SearchValues.Create(_texts, StringComparison.Ordinal);
    }

    /// <summary>Where a control token's text begins in <paramref name="text"/> and how long it is, or (−1, 0).</summary>
    public (int Index, int Length) Find(ReadOnlySpan<char> text)
    {
        int index = text.IndexOfAny(_search);
        if (index < 0)
        {
            return (-1, 0);
        }
        foreach (string candidate in _texts)
        {
            if (text[index..].StartsWith(candidate, StringComparison.Ordinal))
            {
                return (index, candidate.Length);
            }
        }
        return (-1, 0);
    }
}
