using System.Text.Json;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Evaluation;

/// <summary>The answers of an evaluation as JSONL, one line an example, in their order. It appears whole or not at all.</summary>
internal sealed class PredictionFile : IDisposable
{
    private readonly string _path;
    private readonly string _temporary;
    private FileStream? _stream;

    private PredictionFile(string path, string temporary, FileStream stream)
    {
        _path = path;
        _temporary = temporary;
        _stream = stream;
    }

    /// <summary>Makes sure that the file can be written, before there is anything to write. Throws <see cref="SettingException"/>.</summary>
    public static PredictionFile Create(string path)
    {
        string temporary = $"{path}.{Environment.ProcessId}.tmp";
        try
        {
            return Directory.Exists(path)
                ? throw new SettingException("predictions", $"'{path}' is a folder, not a file")
                : new PredictionFile(path, temporary, new FileStream(temporary, FileMode.Create, FileAccess.Write));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SettingException("predictions", $"'{path}' can't be written: {e.Message.TrimEnd('.')}");
        }
    }

    public void Write(IEnumerable<ExampleResult> results, JsonWriterOptions options)
    {
        FileStream stream = _stream!;
        using (Utf8JsonWriter json = new(stream, options))
        {
            foreach (ExampleResult result in results)
            {
                Write(json, result);
                json.Flush();
                json.Reset();
                stream.WriteByte((byte)'\n');
            }
        }
        stream.Dispose();
        _stream = null;
        File.Move(_temporary, _path, overwrite: true);
    }

    public void Dispose()
    {
        if (_stream is { } stream)
        {
            stream.Dispose();
            File.Delete(_temporary);
        }
    }

    private static void Write(Utf8JsonWriter json, ExampleResult result)
    {
        double loss = result.NegativeLogLikelihood / result.Encoded.TargetTokens;
        json.WriteStartObject();
        json.WriteNumber("line", result.Encoded.Example.Line);
        json.WriteString("id", result.Encoded.Example.Id);
        json.WriteString("target", result.Encoded.Example.Target);
        json.WriteString("prediction", result.Answer);
        if (result.Answer is not null)
        {
            json.WriteBoolean("exact", result.Exact);
            json.WriteString("finish_reason", result.Finish.ToString().ToLowerInvariant());
            json.WriteNumber("confidence", Math.Round(result.Confidence.Score, 6));
        }
        if (double.IsFinite(loss))
        {
            json.WriteNumber("loss", loss);
        }
        else
        {
            json.WriteNull("loss");
        }
        json.WriteNumber("tokens", result.Encoded.TargetTokens);
        json.WriteEndObject();
    }
}
