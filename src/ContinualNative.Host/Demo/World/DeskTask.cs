namespace ContinualNative.Host.Demo.World;

/// <summary>What the desk's model is asked to do; each has a system prompt of its own.</summary>
internal enum DeskTask
{
    /// <summary>A message about a product: its intent and product line, as JSON.</summary>
    Triage,

    /// <summary>A question about the shop's terms: topic and value, in one line.</summary>
    Policy,
}
