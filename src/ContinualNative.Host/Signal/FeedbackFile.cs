using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using System.Text.Json;
using ContinualNative.Core.Evaluation;
using ContinualNative.Host.Http;

namespace ContinualNative.Host.Signal;

/// <summary>Reports of outcomes as JSONL, which can be read as often as one likes.</summary>
internal sealed class FeedbackFile
{
    /// <summary>Longest line in bytes: more than the longest correction takes.</summary>
    public const int MaxLineBytes = 8 << 20;

    private readonly Func<Stream> _open;

    private FeedbackFile(string name, Func<Stream> open)
    {
        Name = name;
        _open = open;
    }

    /// <summary>How messages call it.</summary>
    public string Name { get; }

    /// <summary>A file, or standard input for <c>-</c>, which is read to its end. Throws <see cref="ExampleFormatException"/> when it can't be read.</summary>
    public static async Task<FeedbackFile> OpenAsync(string path, CancellationToken cancellationToken)
    {
        if (path == "-")
        {
            MemoryStream all = new();
            await using Stream input = Console.OpenStandardInput();
            await input.CopyToAsync(all, cancellationToken);
            return new FeedbackFile("standard input", () => new MemoryStream(all.GetBuffer(), 0, (int)all.Length, writable: false));
        }
        FeedbackFile file = new(path, () => Open(path));
        (await Task.Run(file._open, cancellationToken)).Dispose();
        return file;
    }

    /// <summary>All reports with their lines, from 1. Throws <see cref="ExampleFormatException"/> that names the line and the field.</summary>
    public async IAsyncEnumerable<(int Line, FeedbackFields Fields)> ReadAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using Stream stream = _open();
        PipeReader reader = PipeReader.Create(stream, new StreamPipeReaderOptions(bufferSize: 64 << 10, leaveOpen: true));
        int line = 0;
        bool ended = false;
        while (!ended)
        {
            ReadResult read;
            try
            {
                read = await reader.ReadAsync(cancellationToken);
            }
            catch (IOException e)
            {
                throw new ExampleFormatException(Name, line, $"it can't be read on: {e.Message.TrimEnd('.')}", e);
            }
            ReadOnlySequence<byte> left = read.Buffer;
            ended = read.IsCompleted;
            while (TryTake(ref left, ended, out byte[]? bytes))
            {
                line++;
                if (!bytes.AsSpan().Trim(" \t\r"u8).IsEmpty)
                {
                    yield return (line, Parse(bytes, line));
                }
            }
            if (left.Length > MaxLineBytes)
            {
                throw new ExampleFormatException(Name, line + 1, $"the line is longer than {MaxLineBytes >> 20} MiB; is this JSONL, with one report a line?");
            }
            reader.AdvanceTo(left.Start, left.End);
        }
        await reader.CompleteAsync();
    }

    private static bool TryTake(ref ReadOnlySequence<byte> left, bool ended, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out byte[]? line)
    {
        if (left.PositionOf((byte)'\n') is { } end)
        {
            line = left.Slice(0, end).ToArray();
            left = left.Slice(left.GetPosition(1, end));
            return true;
        }
        if (ended && !left.IsEmpty)
        {
            line = left.ToArray();
            left = left.Slice(left.End);
            return true;
        }
        line = null;
        return false;
    }

    private FeedbackFields Parse(byte[] bytes, int line)
    {
        try
        {
            using JsonDocument document = RequestBody.Parse(bytes);
            return FeedbackFields.Parse(document.RootElement);
        }
        catch (ApiException e)
        {
            // The parser is that of the endpoint, whose messages speak of a request.
            string reason = e.Message.Replace("The request's body", "it", StringComparison.Ordinal).TrimEnd('.');
            throw new ExampleFormatException(Name, line, reason, e);
        }
    }

    private static FileStream Open(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1, FileOptions.SequentialScan | FileOptions.Asynchronous);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ExampleFormatException(path, 0, "there is no such file; check the path", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ExampleFormatException(path, 0, Directory.Exists(path) ? "that is a folder; name a .jsonl file in it" : $"it can't be read: {e.Message.TrimEnd('.')}", e);
        }
    }
}
