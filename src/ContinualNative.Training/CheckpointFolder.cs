using ContinualNative.Interop.Trainer;

namespace ContinualNative.Training;

/// <summary>Where a run keeps its state: <c>state.ckpt</c> and, with validation, <c>best.params</c>.</summary>
public sealed class CheckpointFolder
{
    /// <summary>Names the folder; nothing is touched.</summary>
    public CheckpointFolder(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        Path = System.IO.Path.GetFullPath(path);
    }

    /// <summary>The folder.</summary>
    public string Path { get; }

    /// <summary>Whether a run can be gone on with.</summary>
    public bool Exists => File.Exists(State);

    internal string State => System.IO.Path.Combine(Path, "state.ckpt");

    internal string Best => System.IO.Path.Combine(Path, "best.params");

    /// <summary>Throws <see cref="TrainingException"/> unless a run may begin or be resumed here, as asked.</summary>
    public void MustSuit(bool resume)
    {
        if (resume && !Exists)
        {
            throw new TrainingException(TrainingError.Checkpoint, $"There is no checkpoint in '{Path}' to resume from. Start without --resume, or name the folder with --checkpoint.");
        }
        if (!resume && Exists)
        {
            throw new TrainingException(TrainingError.Checkpoint, $"'{Path}' holds the checkpoint of a run that has not ended. Go on with it by adding --resume, or delete the folder to start anew.");
        }
    }

    /// <summary>After a finished run: takes its files away, and the folder where nothing else is in it.</summary>
    public void Clear()
    {
        // The state first: without it, what is left means nothing.
        File.Delete(State);
        if (!Directory.Exists(Path))
        {
            return;
        }
        File.Delete(Best);
        // A process that was killed may have left a file half written beside the whole one.
        File.Delete(State + ".part");
        File.Delete(Best + ".part");
        if (!Directory.EnumerateFileSystemEntries(Path).Any())
        {
            Directory.Delete(Path);
        }
    }

    internal void Write(TrainerHandle trainer, RunState state) => Guard(() => trainer.SaveCheckpoint(State, state.ToBytes()));

    internal void WriteBest(TrainerHandle trainer) => Guard(() => trainer.SaveParameters(Best));

    private void Guard(Action write)
    {
        try
        {
            Directory.CreateDirectory(Path);
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or TrainerException { Status: TrainerStatus.File })
        {
            throw new TrainingException(TrainingError.CheckpointNotWritten, $"The checkpoint can't be written into '{Path}': {e.Message.TrimEnd('.')}. Free some space there, or name another folder with --checkpoint.", "checkpoint", e);
        }
    }
}
