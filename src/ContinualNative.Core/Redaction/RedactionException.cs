namespace ContinualNative.Core.Redaction;

/// <summary>
/// A rule failed, so nobody knows whether the text holds what it looks for. The text must then be neither stored nor sent.
/// The message never quotes the text.
/// </summary>
public sealed class RedactionException : Exception
{
    /// <summary>Creates the failure.</summary>
    public RedactionException(string kind, string reason, Exception? inner = null)
        : base($"The redaction rule '{kind}' failed: {reason}. The text was neither stored nor sent; mend the rule or take it out.", inner)
    {
        Kind = kind;
    }

    /// <summary>The rule's <see cref="IRedactionRule.Kind"/>.</summary>
    public string Kind { get; }
}
