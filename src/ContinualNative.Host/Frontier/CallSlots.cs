namespace ContinualNative.Host.Frontier;

/// <summary>
/// The calls that may run at once at one endpoint. Escalations come first: teaching never takes the last free slot of several, and no slot while an
/// escalation waits. Within a purpose, first come, first served. Thread-safe.
/// </summary>
internal sealed class CallSlots(int capacity, TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly LinkedList<TaskCompletionSource<bool>> _escalations = new();
    private readonly LinkedList<TaskCompletionSource<bool>> _lessons = new();
    private int _running;

    public int Running
    {
        get
        {
            lock (_gate)
            {
                return _running;
            }
        }
    }

    public int Waiting
    {
        get
        {
            lock (_gate)
            {
                return _escalations.Count + _lessons.Count;
            }
        }
    }

    /// <summary>Takes a slot, waiting at most <paramref name="wait"/>; false when none came free. Whoever got true calls <see cref="Leave"/> once.</summary>
    public async Task<bool> EnterAsync(FrontierPurpose purpose, TimeSpan wait, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        LinkedList<TaskCompletionSource<bool>> queue = purpose == FrontierPurpose.Teaching ? _lessons : _escalations;
        LinkedListNode<TaskCompletionSource<bool>> place;
        lock (_gate)
        {
            if (queue.Count == 0 && IsFreeFor(purpose))
            {
                _running++;
                return true;
            }
            if (wait <= TimeSpan.Zero)
            {
                return false;
            }
            place = queue.AddLast(new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously));
        }
        try
        {
            return await place.Value.Task.WaitAsync(wait, time, cancellationToken);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            bool granted;
            lock (_gate)
            {
                // The slot may have been handed over while the wait ended; then it is ours.
                granted = place.List is null;
                if (!granted)
                {
                    queue.Remove(place);
                    // A lesson may have waited only because this escalation did.
                    Grant();
                }
            }
            if (e is TimeoutException)
            {
                return granted;
            }
            if (granted)
            {
                Leave();
            }
            throw;
        }
    }

    public void Leave()
    {
        lock (_gate)
        {
            _running--;
            Grant();
        }
    }

    private bool IsFreeFor(FrontierPurpose purpose) =>
        purpose == FrontierPurpose.Escalation ? _running < capacity : _escalations.Count == 0 && _running < Math.Max(1, capacity - 1);

    private void Grant()
    {
        while (_escalations.First is { } next && IsFreeFor(FrontierPurpose.Escalation))
        {
            Hand(_escalations, next);
        }
        while (_lessons.First is { } next && IsFreeFor(FrontierPurpose.Teaching))
        {
            Hand(_lessons, next);
        }
    }

    private void Hand(LinkedList<TaskCompletionSource<bool>> queue, LinkedListNode<TaskCompletionSource<bool>> next)
    {
        _running++;
        queue.Remove(next);
        next.Value.SetResult(true);
    }
}
