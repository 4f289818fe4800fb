using System.Runtime.InteropServices;

namespace ContinualNative.Interop.Trainer;

// Mirrors of continual_native.h. Their layout is compared with the library's own (cn_struct_layout) in a test.

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct TrainableModelNative
{
    public int Layers;
    public int Width;
    public int FeedForward;
    public int Heads;
    public int KvHeads;
    public int HeadWidth;
    public int Vocabulary;
    public int Context;
    public int Tied;
    public long Parameters;
    public long WeightBytes;
    public fixed byte Architecture[64];
    public fixed byte Name[192];
}

[StructLayout(LayoutKind.Sequential)]
internal struct TrainerMemoryNative
{
    public long Total;
    public long Parameters;
    public long Activations;
    public long Logits;
    public long Scratch;
    public int StoredLayers;
    public int LogitRows;
}

[StructLayout(LayoutKind.Sequential)]
internal struct TrainerConfigNative
{
    public uint Size;
    public int Mode;
    public int Precision;
    public int Instructions;
    public int Threads;
    public int Scheduling;
    public int MaxTokens;
    public int MaxSequences;
    public int MaxLength;
    public int MaxTargets;
    public int TeacherTokens;
    public int UseReference;
    public long MemoryBudget;
    public int Rank;
    public float Alpha;
    public int RsLora;
    public float Dropout;
    public uint Targets;
    public float BRateRatio;
    public ulong Seed;
    public float LearningRate;
    public int WarmupSteps;
    public int TotalSteps;
    public float MinRateRatio;
    public float Beta1;
    public float Beta2;
    public float Epsilon;
    public float WeightDecay;
    public float ClipNorm;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct TrainingBatchNative
{
    public uint Size;
    public int Count;
    public int Sequences;
    public int Dpo;
    public int* Tokens;
    public int* Bounds;
    public int* Target;
    public float* Weight;
    public int* TeacherToken;
    public float* TeacherLogProb;
    public float* TeacherWeight;
    public float Anchor;
    public float DpoBeta;
}

[StructLayout(LayoutKind.Sequential)]
internal struct TrainingLossNative
{
    public double Loss;
    public double Weight;
    public double CrossEntropy;
    public double Distilled;
    public double Anchored;
    public int Rows;
    public int Correct;
    public int Preferred;
    public int Pairs;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct TrainingTensorNative
{
    public byte* Name;
    public int Type;
    public int Dimensions;
    public fixed long Shape[4];
    public nint Data;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct TrainingDeviceNative
{
    public long Memory;
    public long FreeMemory;
    public int Major;
    public int Minor;
    public int Multiprocessors;
    public fixed byte Name[192];
    public fixed byte Products[64];
}

[StructLayout(LayoutKind.Sequential)]
internal struct TrainingUpdateNative
{
    public long Step;
    public double GradientNorm;
    public double LearningRate;
    public int Skipped;
    public long SkippedTotal;
}

[StructLayout(LayoutKind.Sequential)]
internal struct SliceCostsNative
{
    public uint Size;
    public long Slices;
    public double Seconds;
    public double Longest;
    public double LayerForward;
    public double LayerBackward;
}
