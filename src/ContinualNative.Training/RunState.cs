using System.Text.Json;
using System.Text.Json.Serialization;

namespace ContinualNative.Training;

/// <summary>What a checkpoint keeps beside the trainer's own state: where in the data the run is, what it has seen, and what it must agree with.</summary>
internal sealed class RunState
{
    private const int CurrentFormat = 1;
    private const int RecentSteps = 20;

    private static readonly JsonSerializerOptions Json = new() { NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals };

    public int Format { get; set; } = CurrentFormat;

    /// <summary>Options that change the result.</summary>
    public SortedDictionary<string, string> Options { get; set; } = [];

    /// <summary>SHA-256 of the training data, of the validation data, and of the adapter that the run began with (empty for none).</summary>
    public string Data { get; set; } = "";

    public string Validation { get; set; } = "";

    public string Initial { get; set; } = "";

    public int Epoch { get; set; }

    /// <summary>The next batch of the epoch.</summary>
    public int Batch { get; set; }

    /// <summary>Steps done, skipped ones counted.</summary>
    public int Steps { get; set; }

    public int Skipped { get; set; }

    public int SkippedInARow { get; set; }

    public long Tokens { get; set; }

    public long Targets { get; set; }

    public long Correct { get; set; }

    public double Seconds { get; set; }

    public double FirstLoss { get; set; } = double.NaN;

    /// <summary>The mean losses of the last steps, the newest last.</summary>
    public List<double> Recent { get; set; } = [];

    /// <summary>The step after which the last validation was; −1: none yet.</summary>
    public int ValidatedAt { get; set; } = -1;

    public List<ValidationPoint> Validations { get; set; } = [];

    public double BestLoss { get; set; } = double.PositiveInfinity;

    public int BestStep { get; set; } = -1;

    /// <summary>Validations since the best.</summary>
    public int WithoutBest { get; set; }

    public bool StoppedEarly { get; set; }

    [JsonIgnore]
    public double RecentLoss => Recent.Count == 0 ? double.NaN : Recent.Average();

    public void AddLoss(double loss)
    {
        if (double.IsNaN(FirstLoss))
        {
            FirstLoss = loss;
        }
        if (Recent.Count == RecentSteps)
        {
            Recent.RemoveAt(0);
        }
        Recent.Add(loss);
    }

    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, Json);

    /// <summary>Reads what <see cref="ToBytes"/> wrote; throws <see cref="TrainingException"/> (Checkpoint) for anything else.</summary>
    public static RunState Read(ReadOnlySpan<byte> json, string folder)
    {
        try
        {
            RunState? state = JsonSerializer.Deserialize<RunState>(json, Json);
            if (state is { Format: CurrentFormat, Epoch: >= 0, Batch: >= 0, Steps: >= 0 })
            {
                return state;
            }
        }
        catch (JsonException)
        {
            // Told below.
        }
        throw new TrainingException(TrainingError.Checkpoint, $"The checkpoint in '{folder}' was not written by this version's training; delete the folder and start anew.");
    }

    /// <summary>Throws <see cref="TrainingException"/> (Checkpoint) naming what differs from the run that <paramref name="now"/> describes.</summary>
    public void MustAgreeWith(RunState now, string folder)
    {
        List<string> differences = [];
        foreach ((string option, string value) in now.Options)
        {
            string? before = Options.GetValueOrDefault(option);
            if (before != value)
            {
                differences.Add($"--{option} is {value} and was {before ?? "not there"}");
            }
        }
        differences.AddRange(Options.Where(o => !now.Options.ContainsKey(o.Key)).Select(static o => $"--{o.Key} is not there and was {o.Value}"));
        AddIf(Data != now.Data, "the training examples (--data or --corpus, the chat template or the vocabulary) differ");
        AddIf(Validation != now.Validation, "the validation examples differ");
        AddIf(Initial != now.Initial, "what the run began with (the adapter of --init, or the fresh model) differs");
        if (differences.Count > 0)
        {
            throw new TrainingException(TrainingError.Checkpoint,
                $"The run in '{folder}' can't be gone on with: {string.Join("; ", differences)}. Give the same again, or delete the folder to start anew.");
        }

        void AddIf(bool differs, string what)
        {
            if (differs)
            {
                differences.Add(what);
            }
        }
    }
}

/// <summary>The mean loss on the validation examples after some steps.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Loss">In nats a token, or a pair.</param>
public sealed record ValidationPoint(int Step, double Loss);
