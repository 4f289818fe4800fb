using System.Runtime.InteropServices;
using System.Text;

namespace ContinualNative.Interop.Trainer;

/// <summary>A GGUF file, mapped for training. Trainers keep it alive by themselves, so it may be disposed before them. Thread-safe.</summary>
public sealed unsafe class TrainableModelHandle : SafeHandle
{
    private TrainableModelHandle(nint model)
        : base(0, ownsHandle: true) => SetHandle(model);

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>What the model is.</summary>
    public TrainableModelInfo Info
    {
        get
        {
            TrainableModelNative info;
            TrainerNative.Check("cn_model_describe", TrainerNative.cn_model_describe(this, &info));
            return new TrainableModelInfo(
                Text(info.Architecture, 64),
                Text(info.Name, 192),
                info.Layers,
                info.Width,
                info.FeedForward,
                info.Heads,
                info.KvHeads,
                info.HeadWidth,
                info.Vocabulary,
                info.Context,
                info.Tied != 0,
                info.Parameters,
                info.WeightBytes);
        }
    }

    /// <summary>Whether the file was replaced, truncated or written to since it was opened.</summary>
    public bool HasChanged
    {
        get
        {
            int changed;
            TrainerNative.Check("cn_model_changed", TrainerNative.cn_model_changed(this, &changed));
            return changed != 0;
        }
    }

    /// <summary>Maps a file and reads its description. Throws <see cref="TrainerException"/> (File, Unsupported).</summary>
    public static TrainableModelHandle Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        TrainerNative.EnsureLoaded();
        nint model;
        TrainerNative.Check("cn_model_open", TrainerNative.cn_model_open(path, &model));
        return new TrainableModelHandle(model);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        TrainerNative.cn_model_free(handle);
        return true;
    }

    private static string Text(byte* text, int capacity)
    {
        ReadOnlySpan<byte> bytes = new(text, capacity);
        int end = bytes.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? bytes : bytes[..end]);
    }
}
