namespace ContinualNative.Core;

/// <summary>An option of redaction, tasks or teaching that cannot be used; the message begins with its key.</summary>
public sealed class PolicyOptionException : Exception
{
    /// <summary>Creates the failure.</summary>
    /// <param name="key">The option as its user wrote it, with its place: <c>tasks[2].pass_mark</c>.</param>
    /// <param name="reason">What is wrong with it and what to do, as the rest of a sentence without its full stop.</param>
    /// <param name="inner">The cause, where there is one.</param>
    public PolicyOptionException(string key, string reason, Exception? inner = null)
        : base($"'{key}': {reason}.", inner)
    {
        Key = key;
    }

    /// <summary>The option at fault.</summary>
    public string Key { get; }
}
