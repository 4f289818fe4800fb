namespace ContinualNative.Storage.Writing;

/// <summary>One thing for the writer's thread to do.</summary>
internal abstract class Write
{
    /// <summary>Whether somebody waits for it: it ends the gathering of a batch.</summary>
    public virtual bool Urgent => false;

    /// <summary>Whether it runs between transactions rather than in one.</summary>
    public virtual bool Alone => false;

    /// <summary>Does it, within the open transaction. May run again after a rollback.</summary>
    public abstract void Apply(WriterSession session);

    /// <summary>It is on disk.</summary>
    public virtual void Committed()
    {
    }

    /// <summary>It failed. Gives whether that was told to somebody; if not, and its surroundings are at fault, it may be tried again.</summary>
    public virtual bool Fail(Exception e) => false;
}

/// <summary>A record that nobody waits for.</summary>
internal sealed class RecordWrite(Action<WriterSession> apply) : Write
{
    public override void Apply(WriterSession session) => apply(session);
}

/// <summary>Something whose result somebody waits for.</summary>
internal sealed class AcknowledgedWrite<T>(Func<WriterSession, T> apply, bool alone = false) : Write
{
    // Continuations run elsewhere: the writer's thread is not theirs.
    private readonly TaskCompletionSource<T> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private T _result = default!;

    public override bool Urgent => true;

    public override bool Alone => alone;

    public Task<T> Task => _done.Task;

    public override void Apply(WriterSession session) => _result = apply(session);

    public override void Committed() => _done.TrySetResult(_result);

    public override bool Fail(Exception e)
    {
        _done.TrySetException(e);
        return true;
    }
}
