using System.Runtime.CompilerServices;
using ContinualNative.Core.Redaction;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Frontier;

namespace ContinualNative.Host.Signal;

/// <summary>A part of a frontier's stream, with its client's own values put back.</summary>
internal readonly record struct FrontierPart(string Text, IReadOnlyList<ToolCall> Calls);

/// <summary>A frontier's answer on its way to the client: placeholders become values again, also where one is cut by the border of two parts.</summary>
internal sealed class EscalatedStream(IAsyncEnumerator<FrontierChunk> chunks, string model, RedactionSession? session, Action<FrontierAnswer> whole) : IAsyncDisposable
{
    private readonly RestoringStream? _restorer = session?.NewRestorer();
    private FrontierChunk? _first;
    private string? _choice;

    /// <summary>The model that answers, as far as is known: the one that is asked for, until an answer names another.</summary>
    public string Model => Answer?.Model ?? model;

    /// <summary>The whole answer as the endpoint gave it; null until the stream has ended.</summary>
    public FrontierAnswer? Answer { get; private set; }

    /// <summary>
    /// Waits for the first part; throws <see cref="FrontierException"/> when none comes. Where the answer must be one of given texts, all of it is awaited, since
    /// only the whole tells whether it is.
    /// </summary>
    public async Task OpenAsync(IReadOnlyList<string>? choices)
    {
        if (choices is null)
        {
            if (!await chunks.MoveNextAsync())
            {
                throw new FrontierException(FrontierErrorKind.Nonsense, "", "The endpoint's stream held no answer.");
            }
            _first = chunks.Current;
            Note(_first);
            return;
        }
        string text = "";
        while (await chunks.MoveNextAsync())
        {
            text += chunks.Current.Text;
            Note(chunks.Current);
        }
        string answer = session is null ? text : session.Restore(text);
        _choice = FrontierRequests.RequireChoice(answer, choices, Answer?.Endpoint ?? "");
        if (Answer is not null)
        {
            whole(Answer with { Text = _choice });
        }
    }

    /// <summary>The parts, the first included. Throws <see cref="FrontierException"/> when the answer breaks off.</summary>
    public async IAsyncEnumerable<FrontierPart> ReadAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        if (_choice is not null)
        {
            yield return new FrontierPart(_choice, []);
            yield break;
        }
        FrontierChunk? chunk = _first;
        while (chunk is not null)
        {
            yield return new FrontierPart(_restorer?.Append(chunk.Text) ?? chunk.Text, session is null ? chunk.ToolCalls : [.. chunk.ToolCalls.Select(c => c with { Arguments = session.Restore(c.Arguments) })]);
            cancellationToken.ThrowIfCancellationRequested();
            chunk = Answer is null && await chunks.MoveNextAsync() ? chunks.Current : null;
            if (chunk is not null)
            {
                Note(chunk);
            }
        }
        if (_restorer?.Complete() is { Length: > 0 } rest)
        {
            yield return new FrontierPart(rest, []);
        }
        if (Answer is null)
        {
            throw new FrontierException(FrontierErrorKind.CutOff, "", "The endpoint's stream ended before its answer did.");
        }
    }

    public ValueTask DisposeAsync() => chunks.DisposeAsync();

    private void Note(FrontierChunk chunk)
    {
        if (chunk.Answer is { } answer)
        {
            Answer = answer;
            whole(answer);
        }
    }
}
