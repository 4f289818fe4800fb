namespace ContinualNative.Core.Evaluation;

/// <summary>A data file that can't be used; the message names the file, the line and the field.</summary>
public sealed class ExampleFormatException : Exception
{
    /// <summary>Creates the failure. <paramref name="line"/> is 0 when the whole file is at fault.</summary>
    public ExampleFormatException(string file, int line, string reason, Exception? inner = null)
        : base(line == 0 ? $"{file}: {reason}." : $"{file}, line {line}: {reason}.", inner)
    {
        Line = line;
    }

    /// <summary>The line at fault, from 1; 0 for the whole file.</summary>
    public int Line { get; }
}
