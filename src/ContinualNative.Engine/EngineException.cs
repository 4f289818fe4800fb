namespace ContinualNative.Engine;

/// <summary>What kind of failure an <see cref="EngineException"/> tells of; the HTTP layer maps each to a status.</summary>
public enum EngineError
{
    /// <summary>The request can't be served as it stands (HTTP 400).</summary>
    InvalidRequest,

    /// <summary>Prompt, or prompt and answer, longer than the context (HTTP 400, code <c>context_length_exceeded</c>).</summary>
    ContextLengthExceeded,

    /// <summary>No such model or adapter (HTTP 404).</summary>
    NotFound,

    /// <summary>An adapter of that id exists already (HTTP 409).</summary>
    Conflict,

    /// <summary>The queue is full (HTTP 429).</summary>
    Overloaded,

    /// <summary>The engine stops and takes no more requests (HTTP 503).</summary>
    ShuttingDown,

    /// <summary>The request's time ran out (HTTP 504 before the first byte).</summary>
    Timeout,

    /// <summary>A model or adapter file can't be used.</summary>
    BadFile,

    /// <summary>llama.cpp failed (HTTP 500).</summary>
    Internal,
}

/// <summary>A failure with a message that says what to do.</summary>
public sealed class EngineException : Exception
{
    /// <summary>Creates the failure; <paramref name="param"/> names the request field at fault, where one is.</summary>
    public EngineException(EngineError error, string message, string? param = null, Exception? inner = null)
        : base(message, inner)
    {
        Error = error;
        Param = param;
    }

    /// <summary>The kind of failure.</summary>
    public EngineError Error { get; }

    /// <summary>The request field at fault, or null.</summary>
    public string? Param { get; }
}
