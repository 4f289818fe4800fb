using ContinualNative.Core.Redaction;

namespace ContinualNative.Host.Signal;

/// <summary>
/// The newest redaction sessions that redacted something, by request, in memory only and for a limited time: a correction that comes while they last gets the
/// placeholders of the conversation that it corrects. Thread-safe.
/// </summary>
internal sealed class RecentSessions(int capacity, TimeSpan keep, TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, RedactionSession> _sessions = new(StringComparer.Ordinal);
    private readonly Queue<(string Id, long At)> _order = new();

    public void Add(string id, RedactionSession session)
    {
        lock (_gate)
        {
            Trim(_sessions.Count - capacity + 1);
            if (_sessions.TryAdd(id, session))
            {
                _order.Enqueue((id, time.GetTimestamp()));
            }
        }
    }

    public RedactionSession? Find(string id)
    {
        lock (_gate)
        {
            Trim(0);
            return _sessions.GetValueOrDefault(id);
        }
    }

    /// <summary>Forgets all of them: they hold what was redacted.</summary>
    public void Clear()
    {
        lock (_gate)
        {
            _sessions.Clear();
            _order.Clear();
        }
    }

    private void Trim(int surplus)
    {
        while (_order.TryPeek(out (string Id, long At) oldest) && (surplus-- > 0 || time.GetElapsedTime(oldest.At) > keep))
        {
            _sessions.Remove(oldest.Id);
            _order.Dequeue();
        }
    }
}
