namespace ContinualNative.Engine.Chat;

/// <summary>Finds where a JSON object or array that arrives in pieces ends, looking at each character once.</summary>
internal struct JsonExtent
{
    private const int MaxDepth = 64;

    private int _depth;
    private ulong _braces; // bit d: the bracket at depth d is a brace
    private bool _inString;
    private bool _escaped;

    /// <summary>True once a bracket closed that none of its kind opened, or nothing opened where it must.</summary>
    public bool Failed { get; private set; }

    /// <summary>True once the value is complete.</summary>
    public bool Done { get; private set; }

    /// <summary>Takes characters until the value is complete or can't become one; returns how many it took.</summary>
    public int Feed(ReadOnlySpan<char> text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            Feed(text[i]);
            if (Done || Failed)
            {
                return i + 1;
            }
        }

        return text.Length;
    }

    private void Feed(char c)
    {
        if (_inString)
        {
            if (_escaped)
            {
                _escaped = false;
            }
            else if (c == '\\')
            {
                _escaped = true;
            }
            else if (c == '"')
            {
                _inString = false;
            }

            return;
        }

        switch (c)
        {
            case '{' or '[':
                if (_depth == MaxDepth)
                {
                    Failed = true;
                    return;
                }

                ulong bit = 1UL << _depth++;
                _braces = c == '{' ? _braces | bit : _braces & ~bit;
                break;
            case '}' or ']':
                if (_depth == 0 || (_braces >> (_depth - 1) & 1) == 1 != (c == '}'))
                {
                    Failed = true;
                    return;
                }

                Done = --_depth == 0;
                break;
            case '"' when _depth > 0:
                _inString = true;
                break;
            default:
                Failed = _depth == 0;
                break;
        }
    }
}
