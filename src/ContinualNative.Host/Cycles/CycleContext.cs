using ContinualNative.Core.Curation;
using ContinualNative.Core.Cycles;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;
using ContinualNative.Storage;

namespace ContinualNative.Host.Cycles;

/// <summary>What the stages of a cycle work with.</summary>
internal sealed record CycleContext
{
    public required SignalHub Hub { get; init; }

    public required ServedModel Model { get; init; }

    public required TrafficStore Store { get; init; }

    public required AdapterShelf Shelf { get; init; }

    public required ServeOptions Serve { get; init; }

    public required CycleOptions Options { get; init; }

    public required CurationOptions Curation { get; init; }

    public required ILogger Logger { get; init; }

    /// <summary>Told what is being done.</summary>
    public required Action<CycleProgress> Report { get; init; }

    /// <summary>What stages wait with between two looks at the traffic.</summary>
    public required Func<CancellationToken, Task> Pause { get; init; }

    public DateTimeOffset Now => Hub.Time.GetUtcNow();
}
