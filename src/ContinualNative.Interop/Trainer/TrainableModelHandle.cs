using System.Runtime.InteropServices;
using System.Text;
using ContinualNative.Interop.Llama;

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

    /// <summary>
    /// Lets trainers on a GPU, made from now on, use weights that the engine has there; what is on other devices is passed over, and copied when it is needed. When a trainer
    /// is made they are compared with the file by samples (Mismatch). <paramref name="weights"/> must come from the model at the same path, which must live as long as
    /// this model and its trainers.
    /// </summary>
    /// <returns>How many of the weights are on that GPU.</returns>
    public int Lend(int device, IReadOnlyList<LlamaWeight> weights)
    {
        ArgumentNullException.ThrowIfNull(weights);
        LlamaWeight[] there = [.. weights.Where(w => w.CudaDevice == device)];
        TrainingTensorNative[] tensors = new TrainingTensorNative[there.Length];
        nint[] names = new nint[there.Length];
        try
        {
            for (int i = 0; i < there.Length; i++)
            {
                names[i] = Marshal.StringToCoTaskMemUTF8(there[i].Name);
                ref TrainingTensorNative tensor = ref tensors[i];
                tensor.Name = (byte*)names[i];
                tensor.Type = there[i].Type;
                tensor.Dimensions = 4;
                tensor.Data = there[i].Data;
                for (int d = 0; d < 4; d++)
                {
                    tensor.Shape[d] = there[i].Shape[d];
                }
            }
            fixed (TrainingTensorNative* first = tensors)
            {
                TrainerNative.Check("cn_model_lend", TrainerNative.cn_model_lend(this, device, first, tensors.Length));
            }
        }
        finally
        {
            Array.ForEach(names, Marshal.FreeCoTaskMem);
        }
        return there.Length;
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
