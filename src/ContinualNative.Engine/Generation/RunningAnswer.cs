using System.Runtime.CompilerServices;

namespace ContinualNative.Engine.Generation;

/// <summary>One running answer. Dispose it to stop early; the sequence is freed at the engine's next step.</summary>
public sealed class RunningAnswer : IDisposable
{
    /// <summary>The chunks, as they become final. Ends normally for every finish reason but <see cref="FinishReason.Error"/>, which throws.</summary>
    public async IAsyncEnumerable<GenerationChunk> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await Task.Yield();
        yield break;
    }

    /// <summary>Completes with the end of the answer; throws <see cref="EngineException"/> when the engine failed.</summary>
    public Task<GenerationResult> Completion => throw new NotSupportedException();

    /// <summary>Completes when the answer has been admitted and its adapter is fixed; the adapter's id, or <c>base</c>.</summary>
    public Task<string> Admitted => throw new NotSupportedException();

    /// <inheritdoc/>
    public void Dispose() => throw new NotSupportedException();
}
