using System.Text;

namespace ContinualNative.Engine.Generation;

/// <summary>
/// Turns the bytes of tokens into final text: whole characters only, nothing that could still be the beginning of a stop text,
/// and nothing from a stop text on. Bytes that can't form a character become U+FFFD; a character left unfinished at the end is dropped.
/// </summary>
internal sealed class TextAssembler
{
    private static ReadOnlySpan<byte> Replacement => [0xEF, 0xBF, 0xBD];

    private readonly byte[][] _stops;
    private readonly int _longestStop;
    private byte[] _pending;
    private int _length;

    /// <param name="stops">Texts that end the answer.</param>
    /// <param name="longestToken">Bytes of the vocabulary's longest token; sizes the buffer.</param>
    public TextAssembler(IReadOnlyList<string> stops, int longestToken)
    {
        _stops = [.. stops.Where(static s => s.Length > 0).Select(Encoding.UTF8.GetBytes)];
        _longestStop = _stops.Length == 0 ? 0 : _stops.Max(static s => s.Length);
        // What is held back (a stop text less a byte, an unfinished character), a token, and room for its bytes to be replaced.
        _pending = new byte[Math.Max(64, _longestStop + 4 + (3 * Math.Max(longestToken, 1)))];
    }

    /// <summary>The stop text that was met, or null.</summary>
    public string? Stopped { get; private set; }

    /// <summary>Takes a token's bytes; hands final text to <paramref name="sink"/>. True when a stop text is complete.</summary>
    public bool Append(ReadOnlySpan<byte> bytes, RunningAnswer sink)
    {
        if (_length + (bytes.Length * 3) > _pending.Length)
        {
            Array.Resize(ref _pending, (_length + (bytes.Length * 3)) * 2);
        }
        int added = _length;
        bytes.CopyTo(_pending.AsSpan(_length));
        _length += bytes.Length;

        // A stop text that these bytes complete begins at most its length before them.
        int from = Math.Max(0, added - _longestStop + 1);
        ReadOnlySpan<byte> text = _pending.AsSpan(0, _length);
        int earliest = -1;
        foreach (byte[] stop in _stops)
        {
            int at = text[from..].IndexOf(stop);
            if (at >= 0 && (earliest < 0 || from + at < earliest))
            {
                earliest = from + at;
                Stopped = null;
            }
            if (at >= 0 && from + at == earliest)
            {
                Stopped ??= Encoding.UTF8.GetString(stop);
            }
        }
        if (earliest >= 0)
        {
            Emit(earliest, final: true, sink, finishes: false);
            _length = 0;
            return true;
        }
        Emit(_length - HeldForStop(text), final: false, sink);
        return false;
    }

    /// <summary>Hands over what was held back; no more bytes will come.</summary>
    public void Complete(RunningAnswer sink)
    {
        Emit(_length, final: true, sink);
        _length = 0;
    }

    // Longest end of the text that is the beginning of a stop text.
    private int HeldForStop(ReadOnlySpan<byte> text)
    {
        int held = 0;
        foreach (byte[] stop in _stops)
        {
            for (int n = Math.Min(stop.Length - 1, text.Length); n > held; n--)
            {
                if (text[^n..].SequenceEqual(stop.AsSpan(0, n)))
                {
                    held = n;
                    break;
                }
            }
        }
        return held;
    }

    // What comes next can finish a character, unless a stop text stands there: then its beginning is as broken as anywhere in the text.
    private void Emit(int limit, bool final, RunningAnswer sink, bool finishes = true)
    {
        ReadOnlySpan<byte> text = _pending.AsSpan(0, limit);
        int done = 0;
        while (done < text.Length)
        {
            ReadOnlySpan<byte> rest = text[done..];
            int valid = ValidLength(rest, out int invalid);
            if (valid > 0)
            {
                sink.PushText(rest[..valid]);
                done += valid;
                continue;
            }
            if (invalid == 0)
            {
                // An unfinished character: wait for the rest of it, or drop it at the end.
                if (final)
                {
                    if (!finishes)
                    {
                        sink.PushText(Replacement);
                    }
                    done = text.Length;
                }
                break;
            }
            sink.PushText(Replacement);
            done += invalid;
        }
        _pending.AsSpan(done, _length - done).CopyTo(_pending);
        _length -= done;
    }

    // Bytes at the start that are whole characters; when there are none, the bytes that can't be one (0: unfinished).
    private static int ValidLength(ReadOnlySpan<byte> bytes, out int invalid)
    {
        invalid = 0;
        int at = 0;
        while (at < bytes.Length)
        {
            int ascii = System.Text.Ascii.IsValid(bytes[at]) ? 1 : 0;
            if (ascii == 1)
            {
                at++;
                continue;
            }
            System.Buffers.OperationStatus status = Rune.DecodeFromUtf8(bytes[at..], out _, out int consumed);
            if (status == System.Buffers.OperationStatus.Done)
            {
                at += consumed;
                continue;
            }
            if (at == 0 && status == System.Buffers.OperationStatus.InvalidData)
            {
                invalid = consumed;
            }
            break;
        }
        return at;
    }
}
