namespace ContinualNative.Interop.Llama;

/// <summary>llama.cpp refused or failed; the message says what, and quotes llama.cpp's own words where it gave any.</summary>
public sealed class LlamaException : Exception
{
    /// <summary>Creates the failure of <paramref name="operation"/>.</summary>
    public LlamaException(string operation, string message, int status = 0)
        : base(message)
    {
        Operation = operation;
        Status = status;
    }

    /// <summary>The function that failed.</summary>
    public string Operation { get; }

    /// <summary>Its status, or 0.</summary>
    public int Status { get; }
}

/// <summary>The engine's libraries are missing, of another version, or don't fit this machine; the message says what to do.</summary>
public sealed class LlamaLibraryException : Exception
{
    /// <summary>Creates the failure.</summary>
    public LlamaLibraryException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
