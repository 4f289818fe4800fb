using ContinualNative.Interop.Trainer;
using ContinualNative.Training;

namespace ContinualNative.Host.Training;

/// <summary>All that a finished <c>continual pretrain</c> can tell.</summary>
internal sealed record PretrainOutcome(
    string Model,
    int Vocabulary,
    long Parameters,
    int Documents,
    TrainingPlan Plan,
    TrainingResult Result,
    TrainerMemory Memory,
    TrainingPrecision Precision,
    ParityResult? Parity,
    long PeakBytes,
    long? PeakAnonymousBytes);
