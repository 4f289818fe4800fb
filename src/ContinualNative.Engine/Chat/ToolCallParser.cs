using System.Text;
using System.Text.Json;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Engine.Chat;

/// <summary>
/// Splits an answer that arrives in pieces into text and calls of tools. Holds back only what may still turn out to be a call. What looks like
/// a call but is none comes out as text: nothing is lost but the markers of real calls and the white space around them. One per answer, not thread-safe.
/// </summary>
public sealed class ToolCallParser
{
    internal const int MaxNameLength = 128;

    private static readonly string[] LlamaKeys = ["name", "type", "parameters", "arguments", "id", "function"];

    private readonly ToolCallFormat _format;
    private readonly Func<string> _newId;
    private readonly IReadOnlySet<string>? _toolNames;
    private readonly string? _marker;
    private readonly string? _closer;
    private readonly StringBuilder _pending = new();
    private readonly List<AnswerPart> _parts = [];

    private State _state = State.Start;
    private int _scanned; // within _pending: what the current state has looked at
    private int _bodyStart; // within _pending: where the call's JSON begins
    private string? _argsName; // the name before [ARGS]
    private JsonExtent _extent;
    private int _calls;

    /// <summary>Creates a parser.</summary>
    /// <param name="format">How the model writes calls; with <see cref="ToolCallFormat.None"/> everything is text.</param>
    /// <param name="newId">Makes the calls' ids, such as <c>() => ToolCallId.Random(format)</c>.</param>
    /// <param name="toolNames">
    /// The names of the tools. Where calls have no marker (Llama 3), an object that names none of them is text; marked calls keep any name, for
    /// the client to refuse. null: any name will do.
    /// </param>
    public ToolCallParser(ToolCallFormat format, Func<string> newId, IReadOnlySet<string>? toolNames = null)
    {
        ArgumentNullException.ThrowIfNull(newId);
        _format = format;
        _newId = newId;
        _toolNames = toolNames;
        (_marker, _closer) = format switch
        {
            ToolCallFormat.Hermes => ("<tool_call>", "</tool_call>"),
            ToolCallFormat.Llama3 => ("<|python_tag|>", null),
            ToolCallFormat.Mistral or ToolCallFormat.MistralArgs => ("[TOOL_CALLS]", null),
            _ => ((string?)null, (string?)null),
        };
    }

    private enum State
    {
        Start, // nothing but white space so far
        Text,
        Head, // past a marker, before the JSON
        Body, // in the JSON
        AfterCall, // the closing marker may come, or another call
    }

    /// <summary>How many calls have come so far.</summary>
    public int CallCount => _calls;

    /// <summary>Takes more of the answer. The list holds what it settles, in order, and is reused by the next call.</summary>
    public IReadOnlyList<AnswerPart> Append(ReadOnlySpan<char> delta)
    {
        _parts.Clear();
        if (_marker is null)
        {
            if (!delta.IsEmpty)
            {
                _parts.Add(AnswerPart.OfText(delta.ToString()));
            }

            return _parts;
        }

        _pending.Append(delta);
        Advance(final: false);
        return _parts;
    }

    /// <summary>Ends the answer: what was held back comes out. A call whose JSON is complete counts without its closing marker.</summary>
    public IReadOnlyList<AnswerPart> Complete()
    {
        _parts.Clear();
        if (_marker is not null)
        {
            Advance(final: true);
            string rest = Take(_pending.Length);
            if (_calls == 0 || _state == State.Text || !string.IsNullOrWhiteSpace(rest))
            {
                EmitText(rest);
            }
        }

        return _parts;
    }

    private void Advance(bool final)
    {
        while (_pending.Length > 0 && Step(final))
        {
        }
    }

    // One transition; false when more text is needed.
    private bool Step(bool final) => _state switch
    {
        State.Start or State.Text or State.AfterCall => FindMarker(final),
        State.Head => ReadHead(final),
        _ => ReadBody(final),
    };

    private bool FindMarker(bool final)
    {
        string text = _pending.ToString();
        int start = 0;
        while (start < text.Length && char.IsWhiteSpace(text[start]))
        {
            start++;
        }

        if (_state == State.AfterCall)
        {
            string? skip = _closer ?? (_format == ToolCallFormat.Llama3 ? ";" : null);
            if (skip is not null && text.AsSpan(start).StartsWith(skip, StringComparison.Ordinal))
            {
                Take(start + skip.Length);
                _state = _closer is null ? State.AfterCall : State.Start;
                return true;
            }

            if (skip is not null && !final && skip.AsSpan().StartsWith(text.AsSpan(start), StringComparison.Ordinal))
            {
                return false;
            }
        }

        if (_format == ToolCallFormat.Llama3 && _state != State.Text && start < text.Length && text[start] == '{')
        {
            Enter(State.Body, start, start);
            return true;
        }

        int marker = text.IndexOf(_marker!, StringComparison.Ordinal);
        if (marker >= 0)
        {
            // White space before a call stays with it until it is known to be one.
            int end = marker;
            while (end > 0 && char.IsWhiteSpace(text[end - 1]))
            {
                end--;
            }

            EmitText(Take(end));
            Enter(State.Head, marker - end + _marker!.Length, 0);
            return true;
        }

        if (final)
        {
            return false;
        }

        int held = HeldBack(text);
        if (held < text.Length)
        {
            _state = State.Text;
            EmitText(Take(text.Length - held));
        }

        return false;
    }

    // The longest end of the text that may still grow into white space and a marker.
    private int HeldBack(string text)
    {
        int partial = 0;
        for (int length = Math.Min(_marker!.Length - 1, text.Length); length > 0; length--)
        {
            if (text.AsSpan(text.Length - length).SequenceEqual(_marker.AsSpan(0, length)))
            {
                partial = length;
                break;
            }
        }

        int start = text.Length - partial;
        while (start > 0 && char.IsWhiteSpace(text[start - 1]))
        {
            start--;
        }

        return text.Length - start;
    }

    private void Enter(State state, int scanned, int bodyStart)
    {
        _state = state;
        _scanned = scanned;
        _bodyStart = bodyStart;
        _argsName = null;
        _extent = default;
    }

    private bool ReadHead(bool final)
    {
        int position = _scanned;
        while (position < _pending.Length && char.IsWhiteSpace(_pending[position]))
        {
            position++;
        }

        if (position == _pending.Length)
        {
            return final && Reject();
        }

        if (_format == ToolCallFormat.Mistral || (_format == ToolCallFormat.MistralArgs && _pending[position] == '['))
        {
            return Open('[', position);
        }

        return _format == ToolCallFormat.MistralArgs ? ReadArgsHead(position, final) : Open('{', position);
    }

    private bool Open(char bracket, int position)
    {
        if (_pending[position] != bracket)
        {
            return Reject();
        }

        Enter(State.Body, position, position);
        return true;
    }

    // name[ARGS]{ or name[CALL_ID]id[ARGS]{
    private bool ReadArgsHead(int position, bool final)
    {
        const string Args = "[ARGS]";
        const string CallId = "[CALL_ID]";
        string head = _pending.ToString(position, Math.Min(_pending.Length - position, 2 * MaxNameLength + Args.Length + CallId.Length + 8));
        int nameEnd = NameEnd(head, 0);
        int next = nameEnd;
        if (nameEnd is 0 or > MaxNameLength)
        {
            return Reject();
        }

        if (head.AsSpan(next).StartsWith(CallId, StringComparison.Ordinal))
        {
            next = NameEnd(head, next + CallId.Length);
        }

        ReadOnlySpan<char> rest = head.AsSpan(next);
        if (rest.StartsWith(Args, StringComparison.Ordinal))
        {
            next += Args.Length;
            while (next < head.Length && char.IsWhiteSpace(head[next]))
            {
                next++;
            }

            if (next < head.Length)
            {
                if (!Open('{', position + next))
                {
                    return false;
                }

                _argsName = _state == State.Body ? head[..nameEnd] : null;
                return true;
            }
        }
        else if (!Args.AsSpan().StartsWith(rest, StringComparison.Ordinal) && !(next == nameEnd && CallId.AsSpan().StartsWith(rest, StringComparison.Ordinal)))
        {
            return Reject();
        }

        return final && Reject();
    }

    internal static bool IsBareName(string name) => name.Length is > 0 and <= MaxNameLength && NameEnd(name, 0) == name.Length;

    private static int NameEnd(string text, int start)
    {
        int end = start;
        while (end < text.Length && (char.IsAsciiLetterOrDigit(text[end]) || text[end] is '_' or '-' or '.'))
        {
            end++;
        }

        return end;
    }

    private bool ReadBody(bool final)
    {
        foreach (ReadOnlyMemory<char> chunk in Chunks(_scanned))
        {
            _scanned += _extent.Feed(chunk.Span);
            if (_extent.Done || _extent.Failed)
            {
                break;
            }
        }

        // Without a marker any answer in JSON would be held back to its end; its first key tells sooner.
        if (_format == ToolCallFormat.Llama3 && FirstKeyIsForeign())
        {
            return Reject();
        }

        if (_extent.Done)
        {
            return Accept(_pending.ToString(_bodyStart, _scanned - _bodyStart)) || Reject();
        }

        return (_extent.Failed || final) && Reject();
    }

    private IEnumerable<ReadOnlyMemory<char>> Chunks(int from)
    {
        int position = 0;
        foreach (ReadOnlyMemory<char> chunk in _pending.GetChunks())
        {
            int skip = Math.Clamp(from - position, 0, chunk.Length);
            position += chunk.Length;
            if (skip < chunk.Length)
            {
                yield return chunk[skip..];
            }
        }
    }

    private bool FirstKeyIsForeign()
    {
        const int Window = 32;
        ReadOnlySpan<char> body = _pending.ToString(_bodyStart, Math.Min(_pending.Length - _bodyStart, Window)).AsSpan(1).TrimStart();
        if (body.IsEmpty)
        {
            return false;
        }

        if (body[0] != '"')
        {
            return true;
        }

        body = body[1..];
        int end = body.IndexOf('"');
        foreach (string key in LlamaKeys)
        {
            if (end >= 0 ? body[..end].SequenceEqual(key) : key.AsSpan().StartsWith(body, StringComparison.Ordinal))
            {
                return false;
            }
        }

        return true;
    }

    // Turns the JSON into calls; false when it isn't one.
    private bool Accept(string json)
    {
        List<(string Name, string Arguments)> calls = [];
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            if (_argsName is not null)
            {
                calls.Add((_argsName, json));
            }
            else if (document.RootElement.ValueKind == JsonValueKind.Array)
            {
                foreach (JsonElement element in document.RootElement.EnumerateArray())
                {
                    if (!TryRead(element, out (string, string) call))
                    {
                        return false;
                    }

                    calls.Add(call);
                }
            }
            else if (TryRead(document.RootElement, out (string, string) call))
            {
                calls.Add(call);
            }
        }
        catch (JsonException)
        {
            return false;
        }
        catch (ArgumentException)
        {
            return false; // half a surrogate pair
        }

        if (calls.Count == 0)
        {
            return false;
        }

        Take(_scanned);
        foreach ((string name, string arguments) in calls)
        {
            _parts.Add(new AnswerPart(string.Empty, new ToolCall(_newId(), name, arguments), _calls++));
        }

        _state = State.AfterCall;
        return true;
    }

    private bool TryRead(JsonElement element, out (string Name, string Arguments) call)
    {
        call = default;
        if (element.ValueKind != JsonValueKind.Object)
        {
            return false;
        }

        if (element.TryGetProperty("function", out JsonElement function) && function.ValueKind == JsonValueKind.Object)
        {
            element = function;
        }

        if (!element.TryGetProperty("name", out JsonElement name) || name.ValueKind != JsonValueKind.String || name.GetString() is not { Length: > 0 } text)
        {
            return false;
        }

        if (_format == ToolCallFormat.Llama3 && _toolNames is not null && !_toolNames.Contains(text))
        {
            return false;
        }

        string arguments = "{}";
        if (element.TryGetProperty("arguments", out JsonElement value) || element.TryGetProperty("parameters", out value))
        {
            switch (value.ValueKind)
            {
                case JsonValueKind.Object:
                    arguments = value.GetRawText();
                    break;
                case JsonValueKind.String when IsObject(value.GetString()!):
                    arguments = value.GetString()!; // some models write the JSON as a string, as the OpenAI API does
                    break;
                case JsonValueKind.Null:
                    break;
                default:
                    return false;
            }
        }
        else if (_format == ToolCallFormat.Llama3)
        {
            return false; // {"name": "Ann"} is an answer
        }

        call = (text, arguments);
        return true;
    }

    private static bool IsObject(string text)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            return document.RootElement.ValueKind == JsonValueKind.Object;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    // No call after all: its opening is text, and the search goes on behind it.
    private bool Reject()
    {
        int white = 0;
        while (white < _pending.Length && char.IsWhiteSpace(_pending[white]))
        {
            white++;
        }

        bool marked = _pending.Length >= white + _marker!.Length && _pending.ToString(white, _marker.Length) == _marker;
        _state = State.Text;
        EmitText(Take(marked ? white + _marker.Length : white + 1));
        return true;
    }

    private string Take(int length)
    {
        string text = _pending.ToString(0, length);
        _pending.Remove(0, length);
        return text;
    }

    private void EmitText(string text)
    {
        if (text.Length == 0)
        {
            return;
        }

        // Parts of one text that a rejected marker cut apart go out together.
        if (_parts.Count > 0 && _parts[^1].Call is null)
        {
            _parts[^1] = AnswerPart.OfText(_parts[^1].Text + text);
        }
        else
        {
            _parts.Add(AnswerPart.OfText(text));
        }
    }
}
