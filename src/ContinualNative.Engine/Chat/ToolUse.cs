namespace ContinualNative.Engine.Chat;

/// <summary>Whether an answer may, must or must not call tools.</summary>
public enum ToolUse
{
    /// <summary>The model decides.</summary>
    Auto,

    /// <summary>The tools are not shown to the model.</summary>
    None,

    /// <summary>The answer is made of calls, by a grammar.</summary>
    Required,
}
