using ContinualNative.Interop.Trainer;
using ContinualNative.Training;

namespace ContinualNative.Host.Training;

/// <summary>All that a finished <c>continual train</c> can tell.</summary>
internal sealed record TrainOutcome(
    string Adapter,
    TrainingPlan Plan,
    TrainingResult Result,
    TrainerMemory Memory,
    TrainingPrecision Precision,
    ParityResult? Parity,
    long PeakBytes,
    long? PeakAnonymousBytes);
