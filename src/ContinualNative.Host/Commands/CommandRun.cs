using System.Text.Encodings.Web;
using System.Text.Json;
using ContinualNative.Core.Evaluation;
using ContinualNative.Engine;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Training;
using ContinualNative.Interop.Llama;
using ContinualNative.Interop.Trainer;
using ContinualNative.Storage;
using ContinualNative.Training;

namespace ContinualNative.Host.Commands;

/// <summary>What commands share: errors as one line, JSON as one object.</summary>
internal static class CommandRun
{
    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Runs a command; every failure becomes one line on standard error and an exit code.</summary>
    public static async Task<int> GuardAsync(string command, Func<Task<int>> run)
    {
        try
        {
            return await run();
        }
        catch (OperationCanceledException)
        {
            return Fail(command, "interrupted.", ExitCodes.Failed);
        }
        catch (Exception e) when (e is SettingException or ExampleFormatException || e is EngineException { Error: not (EngineError.Internal or EngineError.ShuttingDown or EngineError.Overloaded or EngineError.Timeout) })
        {
            return Fail(command, e.Message, ExitCodes.BadInput);
        }
        catch (Exception e) when (e is TrainerException { Status: TrainerStatus.Argument or TrainerStatus.Unsupported or TrainerStatus.Mismatch or TrainerStatus.Budget }
            or TrainingException { Error: TrainingError.BadOption or TrainingError.BadData or TrainingError.Checkpoint })
        {
            return Fail(command, e is TrainingException { Error: TrainingError.BadOption, Option: { } option } ? $"--{option}: {e.Message}." : e.Message, ExitCodes.BadInput);
        }
        catch (StoreException e)
        {
            return Fail(command, e.Message, e.Error is StoreError.Damaged or StoreError.NewerVersion or StoreError.WrongKey ? ExitCodes.BadInput : ExitCodes.Failed);
        }
        catch (Exception e) when (e is TrainerException or TrainingException or ParityException or EngineException or LlamaException or LlamaLibraryException or IOException or UnauthorizedAccessException or HttpRequestException)
        {
            return Fail(command, e.Message, ExitCodes.Failed);
        }
    }

    /// <summary>Tells of a failure.</summary>
    public static int Fail(string command, string message, int exit)
    {
        Console.Error.WriteLine($"continual {command}: {message.ReplaceLineEndings(" ")}");
        return exit;
    }

    /// <summary>A text of somebody else for the terminal: it must not move the cursor of whoever reads it.</summary>
    public static string Printable(string text) => string.Concat(text.Select(static c => char.IsControl(c) && c is not ('\n' or '\t') ? '\uFFFD' : c));

    /// <summary>Makes the folder of an option where there is none, and tries whether it takes a file: before the work, not after it. Throws <see cref="SettingException"/>.</summary>
    public static void MakeFolder(string option, string path)
    {
        try
        {
            Directory.CreateDirectory(path);
            string probe = Path.Combine(path, $".probe.{Guid.NewGuid():N}");
            File.WriteAllBytes(probe, [0]);
            File.Delete(probe);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SettingException(option, $"'{path}' is no folder that can be made and written into ({e.Message.TrimEnd('.')}); name another one");
        }
    }

    /// <summary>One JSON object on standard output.</summary>
    public static void WriteJson(Action<Utf8JsonWriter> write)
    {
        using Stream output = Console.OpenStandardOutput();
        using (Utf8JsonWriter json = new(output, Relaxed))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }
        output.WriteByte((byte)'\n');
    }

    /// <summary>A number, or null where JSON has none for it.</summary>
    public static void WriteFinite(this Utf8JsonWriter json, string name, double value)
    {
        if (double.IsFinite(value))
        {
            json.WriteNumber(name, value);
        }
        else
        {
            json.WriteNull(name);
        }
    }

    /// <summary>Loads a model, with progress.</summary>
    public static Task<InferenceEngine> LoadAsync(ServeOptions options, CancellationToken cancellationToken) =>
        ConsoleProgress.RunAsync("loading the model", "%", 100, progress =>
            InferenceEngine.LoadAsync(options.ToEngine(), progress: new Percent(progress), cancellationToken: cancellationToken));

    private sealed class Percent(IProgress<double> progress) : IProgress<float>
    {
        public void Report(float value) => progress.Report(value * 100);
    }
}
