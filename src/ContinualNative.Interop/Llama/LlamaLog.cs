using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace ContinualNative.Interop.Llama;

/// <summary>Levels of llama.cpp's log.</summary>
public enum LlamaLogLevel
{
    /// <summary>Details for those who debug llama.cpp.</summary>
    Debug = 1,

    /// <summary>What it does.</summary>
    Info = 2,

    /// <summary>Something is odd.</summary>
    Warning = 3,

    /// <summary>Something failed.</summary>
    Error = 4,
}

/// <summary>llama.cpp's log: one process-wide sink, and a capture of errors per thread so that a failure can quote its cause.</summary>
public static unsafe class LlamaLog
{
    [ThreadStatic] private static StringBuilder? _line;
    [ThreadStatic] private static LlamaLogLevel _lineLevel;
    [ThreadStatic] private static List<string>? _captured;
    private static volatile Action<LlamaLogLevel, string>? _sink;

    /// <summary>Where whole lines go; null: nowhere. Called on llama.cpp's threads; exceptions are swallowed.</summary>
    public static Action<LlamaLogLevel, string>? Sink
    {
        get => _sink;
        set => _sink = value;
    }

    internal static void Install()
    {
        LlamaNative.llama_log_set(&OnLog, null);
        LlamaNative.ggml_set_abort_callback(&OnAbort);
    }

    /// <summary>Starts collecting warnings and errors that llama.cpp logs on this thread.</summary>
    internal static void BeginCapture() => _captured = [];

    /// <summary>Ends the collection; the last few lines as one text, empty when there were none.</summary>
    internal static string EndCapture()
    {
        FlushLine();
        List<string> lines = _captured ?? [];
        _captured = null;
        return string.Join("; ", lines.TakeLast(3));
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnLog(int level, byte* text, void* userData)
    {
        try
        {
            // 0 is text without a level, 5 continues the line before; a line may come in several pieces.
            string piece = LlamaNative.Text(text);
            StringBuilder line = _line ??= new StringBuilder();
            if (level is >= 1 and <= 4)
            {
                FlushLine();
                _lineLevel = (LlamaLogLevel)level;
            }
            else if (level == 0 && line.Length == 0)
            {
                _lineLevel = LlamaLogLevel.Info;
            }
            line.Append(piece);
            if (piece.EndsWith('\n'))
            {
                FlushLine();
            }
        }
        catch (Exception)
        {
            // Decision: an exception that crossed into native code would end the process; a lost log line does not.
        }
    }

    private static void FlushLine()
    {
        StringBuilder? line = _line;
        if (line is null || line.Length == 0)
        {
            return;
        }
        string text = line.ToString().TrimEnd();
        line.Clear();
        if (text.Length == 0)
        {
            return;
        }
        if (_lineLevel >= LlamaLogLevel.Warning && _captured is { Count: < 100 } captured)
        {
            captured.Add(text);
        }
        _sink?.Invoke(_lineLevel, text);
    }

    // ggml aborts the process right after this: say why, whatever the log is set to.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnAbort(byte* message)
    {
        try
        {
            Console.Error.WriteLine("llama.cpp met an impossible state and ends the process: " + LlamaNative.Text(message));
            Console.Error.Flush();
        }
        catch (Exception)
        {
            // As above.
        }
    }
}
