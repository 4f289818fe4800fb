using System.Text;

namespace ContinualNative.Core.Redaction;

/// <summary>
/// Restores an answer that comes in pieces. It holds back only the end of a piece that may be the beginning of a placeholder, at most
/// 64 characters. The joined results equal <see cref="RedactionSession.Restore(string)"/> of the joined pieces of a text that is not JSON. One
/// thread at a time.
/// </summary>
public sealed class RestoringStream
{
    private readonly RedactionSession _session;
    private readonly bool _json;
    private readonly StringBuilder _result = new();
    private string _held = "";

    internal RestoringStream(RedactionSession session, bool json)
    {
        _session = session;
        _json = json;
    }

    /// <summary>How many characters are held back.</summary>
    public int Held => _held.Length;

    /// <summary>Takes the next piece; returns what can be sent, which may be empty.</summary>
    public string Append(string delta)
    {
        ArgumentNullException.ThrowIfNull(delta);
        return Restore(delta, final: false);
    }

    /// <summary>The text is over: returns the rest.</summary>
    public string Complete() => Restore("", final: true);

    private string Restore(string delta, bool final)
    {
        string text = _held.Length == 0 ? delta : _held + delta;
        _result.Clear();
        int done = _session.Restore(text, _result, final, _json);
        _held = text[done..];
        return _result.ToString();
    }
}
