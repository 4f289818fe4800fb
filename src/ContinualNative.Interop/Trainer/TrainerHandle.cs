using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace ContinualNative.Interop.Trainer;

/// <summary>
/// A trainer on a model. One thread at a time; different trainers may run at once. Calls throw <see cref="TrainerException"/>; those that take a
/// <see cref="CancellationToken"/> stop within a slice of work (a part of a layer) and throw <see cref="OperationCanceledException"/>, with the
/// parameters as they were and the gathered gradients gone.
/// </summary>
public sealed unsafe class TrainerHandle : SafeHandle
{
    private readonly Stepping _stepping = new();
    private GCHandle _user;

    private TrainerHandle(nint trainer)
        : base(0, ownsHandle: true) => SetHandle(trainer);

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>
    /// Called between slices of work, on the thread that called the trainer, or null. It may wait, and so makes training step aside; true stops the
    /// call, which then throws (Cancelled). What it throws comes out of the call. An update, which has slices on a GPU, is made to its end whatever it says.
    /// </summary>
    public Func<bool>? Slice
    {
        get => _stepping.Slice;
        set => _stepping.Slice = value;
    }

    /// <summary>The memory plan that the trainer was made with.</summary>
    public TrainerMemory Memory
    {
        get
        {
            TrainerMemoryNative memory;
            TrainerNative.Check("cn_trainer_memory", TrainerNative.cn_trainer_memory(this, &memory));
            return Managed(memory);
        }
    }

    /// <summary>What a trainer of this kind would take, without making it. Throws Budget, Unsupported, Argument, or Device.</summary>
    public static TrainerMemory Plan(TrainableModelHandle model, TrainerOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        TrainerConfigNative config = options.ToNative();
        TrainerMemoryNative memory;
        if (options.Device is { } device)
        {
            TrainerNative.Check("cn_trainer_plan_on", TrainerNative.cn_trainer_plan_on(model, device, &config, &memory));
        }
        else
        {
            TrainerNative.Check("cn_trainer_plan", TrainerNative.cn_trainer_plan(model, &config, &memory));
        }
        return Managed(memory);
    }

    /// <summary>Makes a trainer. B starts at zero, so that the untrained adapter changes nothing.</summary>
    public static TrainerHandle Create(TrainableModelHandle model, TrainerOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        TrainerConfigNative config = options.ToNative();
        nint trainer;
        if (options.Device is { } device)
        {
            TrainerNative.Check("cn_trainer_create_on", TrainerNative.cn_trainer_create_on(model, device, &config, &trainer));
        }
        else
        {
            TrainerNative.Check("cn_trainer_create", TrainerNative.cn_trainer_create(model, &config, &trainer));
        }
        TrainerHandle handle = new(trainer);
        try
        {
            handle._user = GCHandle.Alloc(handle._stepping);
            TrainerNative.Check("cn_trainer_set_slice", TrainerNative.cn_trainer_set_slice(handle, &OnSlice, GCHandle.ToIntPtr(handle._user)));
            if (options.SliceLimit is { } limit)
            {
                TrainerNative.Check("cn_trainer_set_slice_limit", TrainerNative.cn_trainer_set_slice_limit(handle, limit.TotalSeconds));
            }
            return handle;
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>Forward and backward; gradients are added to those of earlier batches since the last update.</summary>
    public TrainingLoss Accumulate(in TrainingBatch batch, CancellationToken cancellationToken = default)
    {
        TrainingLossNative loss = default;
        Run("cn_trainer_accumulate", batch, &loss, null, evaluate: false, cancellationToken);
        return Managed(loss);
    }

    /// <summary>Forward only, without dropout. <paramref name="logProbs"/>, if not empty, gets one float a token: its target's log-probability, 0 where there is none.</summary>
    public TrainingLoss Evaluate(in TrainingBatch batch, Span<float> logProbs = default, CancellationToken cancellationToken = default)
    {
        if (!logProbs.IsEmpty && logProbs.Length < batch.Tokens.Length)
        {
            throw new ArgumentException($"{logProbs.Length} floats can't hold the log-probabilities of {batch.Tokens.Length} tokens.", nameof(logProbs));
        }
        TrainingLossNative loss = default;
        fixed (float* p = logProbs)
        {
            Run("cn_trainer_evaluate", batch, &loss, p, evaluate: true, cancellationToken);
        }
        return Managed(loss);
    }

    /// <summary>One step of AdamW on the mean gradient of what was accumulated.</summary>
    public TrainingUpdate Update()
    {
        TrainingUpdateNative update = default;
        _stepping.Thrown = null;
        TrainerNative.Check("cn_trainer_update", TrainerNative.cn_trainer_update(this, &update));
        _stepping.Thrown?.Throw();
        return new TrainingUpdate(update.Step, update.GradientNorm, update.LearningRate, update.Skipped != 0, update.SkippedTotal);
    }

    /// <summary>What slices took, since the trainer was made or <see cref="RestartSliceCosts"/>.</summary>
    public SliceCosts SliceCosts
    {
        get
        {
            SliceCostsNative costs = new() { Size = (uint)sizeof(SliceCostsNative) };
            TrainerNative.Check("cn_trainer_slice_costs", TrainerNative.cn_trainer_slice_costs(this, &costs));
            return new SliceCosts(costs.Slices, Of(costs.Seconds), Of(costs.Longest), Of(costs.LayerForward), Of(costs.LayerBackward));

            static TimeSpan Of(double seconds) => TimeSpan.FromSeconds(seconds);
        }
    }

    /// <summary>Counts <see cref="SliceCosts"/> anew.</summary>
    public void RestartSliceCosts() => TrainerNative.Check("cn_trainer_set_slice", TrainerNative.cn_trainer_set_slice(this, &OnSlice, GCHandle.ToIntPtr(_user)));

    /// <summary>The current parameters become the reference of the anchor and of DPO.</summary>
    public void SetReference() => TrainerNative.Check("cn_trainer_set_reference", TrainerNative.cn_trainer_set_reference(this));

    /// <summary>Keeps the current parameters aside in a file.</summary>
    public void SaveParameters(string path) => TrainerNative.Check("cn_trainer_save_parameters", TrainerNative.cn_trainer_save_parameters(this, path));

    /// <summary>Takes parameters back from a file.</summary>
    public void LoadParameters(string path) => TrainerNative.Check("cn_trainer_load_parameters", TrainerNative.cn_trainer_load_parameters(this, path));

    /// <summary>Writes everything that the next step depends on, and the caller's own <paramref name="data"/>, whole or not at all. Between updates only.</summary>
    public void SaveCheckpoint(string path, ReadOnlySpan<byte> data)
    {
        fixed (byte* p = data)
        {
            TrainerNative.Check("cn_trainer_save_checkpoint", TrainerNative.cn_trainer_save_checkpoint(this, path, p, data.Length));
        }
    }

    /// <summary>Goes on as if never interrupted; gives the data saved with it. Throws Mismatch for another model or other options.</summary>
    public byte[] LoadCheckpoint(string path)
    {
        byte[] data = new byte[64 << 10];
        while (true)
        {
            long size;
            fixed (byte* p = data)
            {
                TrainerNative.Check("cn_trainer_load_checkpoint", TrainerNative.cn_trainer_load_checkpoint(this, path, p, data.Length, &size));
            }
            if (size <= data.Length)
            {
                return data[..(int)size];
            }
            data = new byte[size];
        }
    }

    /// <summary>Writes the adapter: as GGUF where the path ends in <c>.gguf</c>, else as a folder in PEFT's form, whose config names <paramref name="baseModel"/>.</summary>
    public void ExportAdapter(string path, string? baseModel = null) =>
        TrainerNative.Check("cn_trainer_export_adapter", TrainerNative.cn_trainer_export_adapter(this, path, baseModel));

    /// <summary>Takes parameters from an adapter in either form; its rank may be lower than the trainer's. Throws Mismatch naming what does not fit.</summary>
    public void ImportAdapter(string path) => TrainerNative.Check("cn_trainer_import_adapter", TrainerNative.cn_trainer_import_adapter(this, path));

    /// <summary>Full-parameter mode: writes the model file again with the trained weights in a ggml type (F32 0, F16 1, Q8_0 8, BF16 30).</summary>
    public void ExportModel(string path, int type) => TrainerNative.Check("cn_trainer_export_model", TrainerNative.cn_trainer_export_model(this, path, type));

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        TrainerNative.cn_trainer_free(handle);
        if (_user.IsAllocated)
        {
            _user.Free();
        }
        return true;
    }

    private void Run(string operation, in TrainingBatch batch, TrainingLossNative* loss, float* logProbs, bool evaluate, CancellationToken cancellationToken)
    {
        int count = batch.Tokens.Length;
        if (batch.Bounds.Length < 2 || batch.Target.Length != count || batch.Weight.Length != count)
        {
            throw new ArgumentException($"A batch of {count} tokens needs as many targets ({batch.Target.Length}) and weights ({batch.Weight.Length}), and a bound more than sequences ({batch.Bounds.Length}).", nameof(batch));
        }
        if (!batch.TeacherToken.IsEmpty && (batch.TeacherLogProb.Length != batch.TeacherToken.Length || batch.TeacherWeight.Length != count || batch.TeacherToken.Length % count != 0))
        {
            throw new ArgumentException("A teacher's tokens and log-probabilities come as k a row each, with one weight a row.", nameof(batch));
        }
        fixed (int* tokens = batch.Tokens)
        fixed (int* bounds = batch.Bounds)
        fixed (int* target = batch.Target)
        fixed (float* weight = batch.Weight)
        fixed (int* teacherToken = batch.TeacherToken)
        fixed (float* teacherLogProb = batch.TeacherLogProb)
        fixed (float* teacherWeight = batch.TeacherWeight)
        {
            TrainingBatchNative native = new()
            {
                Size = (uint)sizeof(TrainingBatchNative),
                Count = count,
                Sequences = batch.Bounds.Length - 1,
                Dpo = batch.DpoBeta > 0 ? 1 : 0,
                Tokens = tokens,
                Bounds = bounds,
                Target = target,
                Weight = weight,
                TeacherToken = teacherToken,
                TeacherLogProb = teacherLogProb,
                TeacherWeight = teacherToken is null ? null : teacherWeight,
                Anchor = batch.Anchor,
                DpoBeta = batch.DpoBeta,
            };
            _stepping.Cancel = cancellationToken;
            _stepping.Thrown = null;
            int status;
            try
            {
                status = evaluate ? TrainerNative.cn_trainer_evaluate(this, &native, loss, logProbs) : TrainerNative.cn_trainer_accumulate(this, &native, loss);
            }
            finally
            {
                _stepping.Cancel = default;
            }
            if (status != 0)
            {
                if (status == (int)TrainerStatus.Cancelled)
                {
                    _stepping.Thrown?.Throw();
                    cancellationToken.ThrowIfCancellationRequested();
                }
                throw TrainerNative.Failure(operation, status);
            }
        }
    }

    private static TrainingLoss Managed(in TrainingLossNative loss) =>
        new(loss.Loss, loss.Weight, loss.CrossEntropy, loss.Distilled, loss.Anchored, loss.Rows, loss.Correct, loss.Preferred, loss.Pairs);

    private static TrainerMemory Managed(in TrainerMemoryNative memory) =>
        new(memory.Total, memory.Parameters, memory.Activations, memory.Logits, memory.Scratch, memory.StoredLayers, memory.LogitRows);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnSlice(nint user)
    {
        // Nothing may be thrown into C++: what the callback throws is kept, stops the call, and is thrown again behind it.
        try
        {
            return GCHandle.FromIntPtr(user).Target is Stepping stepping && stepping.Stop() ? 1 : 0;
        }
        catch (Exception)
        {
            return 1;
        }
    }

    // Apart from the handle, which the GCHandle would otherwise keep from ever being finalized.
    private sealed class Stepping
    {
        public Func<bool>? Slice { get; set; }

        public CancellationToken Cancel { get; set; }

        public ExceptionDispatchInfo? Thrown { get; set; }

        public bool Stop()
        {
            if (Cancel.IsCancellationRequested)
            {
                return true;
            }
            try
            {
                return Slice?.Invoke() ?? false;
            }
            catch (Exception e)
            {
                Thrown = ExceptionDispatchInfo.Capture(e);
                return true;
            }
        }
    }
}
