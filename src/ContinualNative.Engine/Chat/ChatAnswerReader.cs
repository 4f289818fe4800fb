namespace ContinualNative.Engine.Chat;

/// <summary>Splits one answer, as it arrives, into text and the tool calls that its request allows. Not thread-safe.</summary>
public sealed class ChatAnswerReader
{
    private readonly ToolCallParser? _parser;
    private readonly bool _parallel;
    private readonly List<AnswerPart> _parts = [];

    internal ChatAnswerReader(ToolCallParser? parser, bool parallel)
    {
        _parser = parser;
        _parallel = parallel;
    }

    /// <summary>Calls handed out so far; above 0, an answer that stopped by itself has the finish reason <c>tool_calls</c>.</summary>
    public int Calls { get; private set; }

    /// <summary>Takes more of the answer. The list holds what it settles, in order, and is reused by the next call.</summary>
    public IReadOnlyList<AnswerPart> Append(string text)
    {
        _parts.Clear();
        if (_parser is not null)
        {
            return Allowed(_parser.Append(text));
        }
        if (text.Length > 0)
        {
            _parts.Add(AnswerPart.OfText(text));
        }
        return _parts;
    }

    /// <summary>Ends the answer: what was held back comes out.</summary>
    public IReadOnlyList<AnswerPart> Complete()
    {
        _parts.Clear();
        return _parser is null ? _parts : Allowed(_parser.Complete());
    }

    private List<AnswerPart> Allowed(IReadOnlyList<AnswerPart> parts)
    {
        foreach (AnswerPart part in parts)
        {
            if (part.Call is null)
            {
                _parts.Add(part);
            }
            else if (_parallel || Calls == 0)
            {
                Calls++;
                _parts.Add(part);
            }
        }
        return _parts;
    }
}
