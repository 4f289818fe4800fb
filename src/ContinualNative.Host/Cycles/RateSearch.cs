using System.Text.Json;
using ContinualNative.Training;

namespace ContinualNative.Host.Cycles;

/// <summary>One training with one learning rate.</summary>
/// <param name="LearningRate">After warm-up.</param>
/// <param name="Loss">On the examples that were held back, in nats a token, the lowest of its validations; null where none were.</param>
/// <param name="Seconds">Of training.</param>
/// <param name="Steps">Of AdamW.</param>
/// <param name="Tokens">Trained on.</param>
/// <param name="LossFirst">Of the first step, in nats a token.</param>
/// <param name="LossLast">Mean of the last steps.</param>
/// <param name="TokensPerSecond">While it computed.</param>
internal sealed record RateTrial(double LearningRate, double? Loss, double Seconds, int Steps, long Tokens, double LossFirst, double LossLast, double TokensPerSecond)
{
    public static RateTrial Of(double rate, TrainingResult result) => new(
        rate, double.IsFinite(result.BestLoss) ? result.BestLoss : null, result.Seconds, result.Steps, result.Tokens, Finite(result.FirstLoss), Finite(result.LastLoss), result.TokensPerSecond);

    // JSON has no other numbers.
    private static double Finite(double value) => double.IsFinite(value) ? value : 0;
}

/// <summary>
/// The bounded search of a cycle: trains with the usual learning rate, then with half and with double of it while time is left, and keeps the adapter that is best on a tenth of the examples that none of
/// them has learned from. Of what is finished nothing is trained again after a restart.
/// </summary>
/// <param name="folder">The cycle's folder.</param>
internal sealed class RateSearch(string folder)
{
    /// <summary>Share of the examples that decides.</summary>
    public const double ValidationShare = 0.1;

    private readonly string _file = Path.Combine(folder, "search.json");

    /// <summary>Trains; the best adapter lies at <paramref name="output"/> then. Throws what <paramref name="train"/> throws, and <see cref="IOException"/>.</summary>
    /// <param name="options">With the usual rate.</param>
    /// <param name="examples">All of them.</param>
    /// <param name="rates">In the order in which they are tried, one or more.</param>
    /// <param name="mostSeconds">For all trials together: none begins that would probably end later. 0: no limit.</param>
    /// <param name="output">Path of the adapter.</param>
    /// <param name="train">Trains by a plan into an adapter; goes on where it was cut off.</param>
    /// <returns>The best trial, its plan, and all trials.</returns>
    public async Task<(TrainingPlan Plan, RateTrial Best, IReadOnlyList<RateTrial> Trials)> RunAsync(
        TrainingOptions options, IReadOnlyList<TrainingExample> examples, IReadOnlyList<double> rates, int mostSeconds, string output, Func<TrainingPlan, string, Task<TrainingResult>> train)
    {
        TrainingPlan Plan(double rate) => TrainingPlan.Create(options with { LearningRate = rate, ValidationShare = ValidationShare }, examples);

        string key = Plan(rates[0]).DataHash;
        List<RateTrial> trials = Finished(key);
        for (int i = trials.Count; i < rates.Count; i++)
        {
            if (i > 0 && mostSeconds > 0 && trials.Sum(static t => t.Seconds) + trials.Max(static t => t.Seconds) > mostSeconds)
            {
                break;
            }
            trials.Add(RateTrial.Of(rates[i], await train(Plan(rates[i]), AdapterOf(i))));
            Keep(key, trials);
        }
        int chosen = Enumerable.Range(0, trials.Count).MinBy(i => trials[i].Loss ?? double.MaxValue);
        File.Copy(AdapterOf(chosen), output + ".part", overwrite: true);
        File.Move(output + ".part", output, overwrite: true);
        return (Plan(trials[chosen].LearningRate), trials[chosen], trials);
    }

    // Trials on other examples, as after an erasure, are none.
    private List<RateTrial> Finished(string key)
    {
        try
        {
            if (File.Exists(_file) && JsonSerializer.Deserialize<Record>(File.ReadAllBytes(_file), CycleJson.Options) is { Trials: { } trials } record && record.Key == key)
            {
                return [.. trials.TakeWhile((_, i) => File.Exists(AdapterOf(i)))];
            }
        }
        catch (JsonException)
        {
            // Cut off while it was written: its trainings are made again.
        }
        return [];
    }

    private void Keep(string key, List<RateTrial> trials)
    {
        File.WriteAllBytes(_file + ".part", JsonSerializer.SerializeToUtf8Bytes(new Record(key, trials), CycleJson.Options));
        File.Move(_file + ".part", _file, overwrite: true);
    }

    private string AdapterOf(int trial) => Path.Combine(folder, $"trial-{trial}.gguf");

    private sealed record Record(string Key, List<RateTrial> Trials);
}
