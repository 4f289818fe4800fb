using ContinualNative.Interop.Trainer;

namespace ContinualNative.Training;

/// <summary>
/// Goes through a plan: epochs of packed batches, validation, early stop, checkpoints. A run that is killed at any moment and resumed ends with the
/// same bytes as one that is not. One thread.
/// </summary>
public sealed class TrainingRun
{
    private readonly TrainableModelHandle _model;
    private readonly TrainerHandle _trainer;
    private readonly TrainingPlan _plan;
    private readonly CheckpointFolder _folder;
    private readonly TimeProvider _time;
    private readonly BatchBuffer _buffer;
    private RunState _state;
    private List<int[]> _batches = [];
    private int _packedEpoch = -1;
    private long _begun;
    private long _lastCheckpoint;
    private double _secondsBefore;
    private TimeSpan _trainingTime;
    private long _tokensHere;
    private int _checkpointFailures;
    private string? _checkpointFailure;

    /// <summary>Prepares a run.</summary>
    /// <param name="model">The model that the trainer was made on.</param>
    /// <param name="trainer">A trainer made with <see cref="TrainingPlan.ToTrainer"/>, holding the parameters to begin with.</param>
    /// <param name="plan">What to do.</param>
    /// <param name="folder">Where checkpoints go.</param>
    /// <param name="initial">What tells the adapter to begin with from others (a hash), or empty for none.</param>
    /// <param name="time">The clock of checkpoints and rates.</param>
    public TrainingRun(TrainableModelHandle model, TrainerHandle trainer, TrainingPlan plan, CheckpointFolder folder, string initial = "", TimeProvider? time = null)
    {
        ArgumentNullException.ThrowIfNull(plan);
        _model = model;
        _trainer = trainer;
        _plan = plan;
        _folder = folder;
        _time = time ?? TimeProvider.System;
        _buffer = new BatchBuffer(plan.Options.BatchTokens, plan.MaxSequences);
        _state = new RunState { Options = plan.Options.Significant(), Data = plan.DataHash, Validation = plan.ValidationHash, Initial = initial };
    }

    /// <summary>
    /// Trains to the end, and leaves the best parameters (the last, without validation data) in the trainer. Throws
    /// <see cref="TrainingException"/>, <see cref="TrainerException"/>, and on cancellation <see cref="TrainingInterruptedException"/> with a checkpoint written.
    /// </summary>
    public TrainingResult Run(bool resume, IProgress<TrainingProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        _folder.MustSuit(resume);
        if (resume)
        {
            Resume();
        }
        else
        {
            if (_plan.ToTrainer().UseReference)
            {
                _trainer.SetReference();
            }
            // Before the first step rather than after an hour: whoever has no room for a checkpoint should know now.
            _folder.Write(_trainer, _state);
        }
        _begun = _lastCheckpoint = _time.GetTimestamp();
        _secondsBefore = _state.Seconds;
        try
        {
            Loop(progress, cancellationToken);
        }
        catch (OperationCanceledException e)
        {
            WriteState();
            throw new TrainingInterruptedException(_state.Steps, _plan.Steps, _folder.Path, e, cancellationToken);
        }
        ThrowIfModelChanged();
        if (_state.BestStep >= 0)
        {
            _trainer.LoadParameters(_folder.Best);
        }
        return Result();
    }

    private void Loop(IProgress<TrainingProgress>? progress, CancellationToken cancellationToken)
    {
        while (true)
        {
            if (IsValidationDue())
            {
                Validate(cancellationToken);
                Checkpoint();
            }
            if (_state.StoppedEarly || _state.Epoch == _plan.Options.Epochs)
            {
                return;
            }
            TrainingUpdate update = Step(cancellationToken);
            progress?.Report(Progress(update));
            if (_time.GetElapsedTime(_lastCheckpoint) >= _plan.Options.CheckpointEvery)
            {
                Checkpoint();
            }
        }
    }

    private bool IsValidationDue() =>
        _plan.Validation.Count > 0 && _state.ValidatedAt != _state.Steps
        && (_state.Batch == 0 || (_plan.Options.ValidationEvery > 0 && _state.Steps % _plan.Options.ValidationEvery == 0));

    private TrainingUpdate Step(CancellationToken cancellationToken)
    {
        ThrowIfModelChanged();
        if (_packedEpoch != _state.Epoch)
        {
            _batches = _plan.Pack(_state.Epoch);
            _packedEpoch = _state.Epoch;
        }
        long begun = _time.GetTimestamp();
        TrainingOptions options = _plan.Options;
        int end = Math.Min(_state.Batch + options.Accumulate, _batches.Count);
        TrainingLoss loss = default;
        int tokens = 0;
        for (int batch = _state.Batch; batch < end; batch++)
        {
            _buffer.Fill(_plan.Train, _batches[batch]);
            tokens += _buffer.Count;
            // Not asked between batches: a call that stops drops what was gathered, and then the step is done again as a whole.
            loss += _trainer.Accumulate(_buffer.Batch((float)options.Anchor, _plan.IsDpo ? (float)options.DpoBeta : 0), cancellationToken);
        }
        TrainingUpdate update = _trainer.Update();
        // From here on the step has happened.
        _state.Steps++;
        _state.Batch = end;
        if (end == _batches.Count)
        {
            _state.Batch = 0;
            _state.Epoch++;
        }
        _state.Tokens += tokens;
        _state.Targets += loss.Rows;
        _state.Correct += loss.Correct;
        _state.SkippedInARow = update.Skipped ? _state.SkippedInARow + 1 : 0;
        _state.Skipped += update.Skipped ? 1 : 0;
        _tokensHere += tokens;
        _trainingTime += _time.GetElapsedTime(begun);
        double mean = loss.Weight > 0 ? loss.Loss / loss.Weight : 0;
        if (!update.Skipped)
        {
            _state.AddLoss(mean);
        }
        if (_state.SkippedInARow >= options.MostSkipped)
        {
            throw new TrainingException(TrainingError.NotFinite,
                $"The gradient was not finite {_state.SkippedInARow} steps in a row (loss {mean:0.####} at step {_state.Steps}). Lower --lr, check the examples' weights, and make sure that the model's weights hold no NaN (continual eval gives a loss then).");
        }
        return update;
    }

    private void Validate(CancellationToken cancellationToken)
    {
        ThrowIfModelChanged();
        TrainingLoss total = default;
        foreach (int[] batch in _plan.ValidationBatches)
        {
            _buffer.Fill(_plan.Validation, batch);
            total += _trainer.Evaluate(_buffer.Batch(0, _plan.IsDpo ? (float)_plan.Options.DpoBeta : 0), default, cancellationToken);
        }
        double loss = total.Loss / total.Weight;
        if (!double.IsFinite(loss))
        {
            throw new TrainingException(TrainingError.NotFinite,
                $"The validation loss after step {_state.Steps} is {loss}. {(_state.Steps == 0 ? "The model's weights, or the adapter to begin with, hold NaN or infinity." : "Lower --lr.")}");
        }
        _state.Validations.Add(new ValidationPoint(_state.Steps, loss));
        if (loss < _state.BestLoss)
        {
            _folder.WriteBest(_trainer);
            _state.BestLoss = loss;
            _state.BestStep = _state.Steps;
            _state.WithoutBest = 0;
        }
        else
        {
            _state.WithoutBest++;
            _state.StoppedEarly = _plan.Options.Patience > 0 && _state.WithoutBest >= _plan.Options.Patience;
        }
        _state.ValidatedAt = _state.Steps;
    }

    private void Resume()
    {
        RunState now = _state;
        RunState saved = RunState.Read(_trainer.LoadCheckpoint(_folder.State), _folder.Path);
        saved.MustAgreeWith(now, _folder.Path);
        if (saved.BestStep >= 0 && !File.Exists(_folder.Best))
        {
            throw new TrainingException(TrainingError.Checkpoint, $"The best parameters so far are missing from '{_folder.Path}' (best.params). Delete the folder and start anew.");
        }
        _state = saved;
    }

    // A full disk is no reason to throw hours of training away: the checkpoint before stays whole, and the next one may find room again.
    private void Checkpoint()
    {
        try
        {
            WriteState();
        }
        catch (TrainingException e) when (e.Error == TrainingError.CheckpointNotWritten)
        {
            _checkpointFailures++;
            _checkpointFailure = e.Message;
        }
        _lastCheckpoint = _time.GetTimestamp();
    }

    private void WriteState()
    {
        _state.Seconds = Seconds();
        _folder.Write(_trainer, _state);
    }

    private double Seconds() => _secondsBefore + _time.GetElapsedTime(_begun).TotalSeconds;

    private void ThrowIfModelChanged()
    {
        if (_model.HasChanged)
        {
            throw new TrainingException(TrainingError.ModelChanged,
                $"The model's file was replaced or written to while it was trained on, so what was learned may fit neither. Put the file back as it was and resume from the checkpoint in '{_folder.Path}', or delete that folder and start anew.", "model");
        }
    }

    private double TokensPerSecond() => _trainingTime > TimeSpan.Zero ? _tokensHere / _trainingTime.TotalSeconds : 0;

    private TrainingProgress Progress(TrainingUpdate update)
    {
        double rate = TokensPerSecond();
        return new TrainingProgress(
            _state.Steps,
            _plan.Steps,
            Math.Min(_state.Epoch + 1, _plan.Options.Epochs),
            _plan.Options.Epochs,
            _state.RecentLoss,
            update.LearningRate,
            update.GradientNorm,
            rate,
            rate > 0 ? TimeSpan.FromSeconds(Math.Min((_plan.Tokens - _state.Tokens) / rate, 1e9)) : TimeSpan.Zero,
            _state.Skipped,
            _state.Validations.Count > 0 ? _state.Validations[^1].Loss : double.NaN);
    }

    private TrainingResult Result() => new()
    {
        Steps = _state.Steps,
        Skipped = _state.Skipped,
        Tokens = _state.Tokens,
        Targets = _state.Targets,
        Accuracy = _state.Targets > 0 ? (double)_state.Correct / _state.Targets : double.NaN,
        FirstLoss = _state.FirstLoss,
        LastLoss = _state.RecentLoss,
        Validations = _state.Validations,
        BestStep = _state.BestStep >= 0 ? _state.BestStep : _state.Steps,
        BestLoss = _state.BestStep >= 0 ? _state.BestLoss : double.NaN,
        StoppedEarly = _state.StoppedEarly,
        Seconds = Seconds(),
        TokensPerSecond = TokensPerSecond(),
        CheckpointFailures = _checkpointFailures,
        CheckpointFailure = _checkpointFailure,
    };
}
