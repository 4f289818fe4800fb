using System.Collections.ObjectModel;

namespace ContinualNative.Core.Evaluation;

/// <summary>What the gate judges by: answers of champion and candidate to the same requests. An empty part is not checked: whoever needs it sees to it that it is there.</summary>
public sealed record GateInput
{
    /// <summary>Labelled requests that neither model was trained on, in the order in which they came; their choice must not depend on the answers.</summary>
    public required IReadOnlyList<PairedAnswer> Fresh { get; init; }

    /// <summary>The golden suites by name, as by task.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<PairedAnswer>> Golden { get; init; } = ReadOnlyDictionary<string, IReadOnlyList<PairedAnswer>>.Empty;

    /// <summary>
    /// Of earlier champions, which golden requests each had right when it passed (<see cref="GateVerdict.GoldenRight"/>). Without them every promotion may lose the tolerance anew, and ten of them ten times
    /// as much.
    /// </summary>
    public IReadOnlyList<IReadOnlyDictionary<string, bool>> EarlierGolden { get; init; } = [];

    /// <summary>Labelled requests of old slices, which the candidate was not trained on.</summary>
    public IReadOnlyList<PairedAnswer> Old { get; init; } = [];
}
