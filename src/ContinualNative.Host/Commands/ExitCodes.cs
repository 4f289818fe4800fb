namespace ContinualNative.Host.Commands;

/// <summary>What the process's exit tells.</summary>
internal static class ExitCodes
{
    public const int Ok = 0;

    /// <summary>It was understood and could not be done.</summary>
    public const int Failed = 1;

    /// <summary>Wrong usage, or input that can't be used.</summary>
    public const int BadInput = 2;
}
