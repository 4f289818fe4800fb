using System.Diagnostics;
using ContinualNative.Engine;
using ContinualNative.Engine.Generation;
using ContinualNative.Host.Training;
using ContinualNative.Interop.Trainer;

namespace ContinualNative.Host.Benchmarking;

/// <summary>How to measure serving and training at once.</summary>
internal sealed record SharingOptions
{
    public required string Model { get; init; }

    /// <summary>Streams that run at once.</summary>
    public required int Streams { get; init; }

    public required int PromptTokens { get; init; }

    public required int AnswerTokens { get; init; }

    /// <summary>Between two answers of a stream.</summary>
    public required TimeSpan Pause { get; init; }

    public required int Repeats { get; init; }

    public required int Threads { get; init; }

    /// <summary>How long each of the three runs of a round takes, at least.</summary>
    public required TimeSpan Phase { get; init; }

    /// <summary>Tokens of a training step.</summary>
    public required int TrainTokens { get; init; }

    public int GpuLayers { get; init; }

    /// <summary>The GPU that trains; null: the CPU, at idle priority.</summary>
    public int? Device { get; init; }
}

/// <summary>
/// Serving alone, training alone, and both in one process on one copy of the weights, by turns. Training goes on without end: it steps aside for requests by idle priority on the CPU, and by slices on a GPU.
/// </summary>
internal sealed class SharingRun(SharingOptions options, Action<string> progress)
{
    private const int SequenceLength = 128;

    private readonly Random _random = new(11);
    private int _vocabulary;
    private double _slicesOfStep;

    private enum Phase
    {
        Serving,
        Training,
        Both,
    }

    /// <summary>Measures. Throws <see cref="EngineException"/>, <see cref="TrainerException"/>.</summary>
    public async Task<SharingRow> RunAsync(CancellationToken cancellationToken)
    {
        progress($"serving and training at once: loading {options.Model}");
        await using InferenceEngine engine = await InferenceEngine.LoadAsync(
            new EngineOptions
            {
                ModelPath = options.Model,
                Parallel = options.Streams,
                ContextLength = Math.Max(512, options.PromptTokens + options.AnswerTokens),
                Threads = options.Threads,
                ThreadPoll = 0,
                GpuLayers = options.GpuLayers,
                PrefixCache = false,
            },
            cancellationToken: cancellationToken);
        using TrainableModelHandle weights = TrainableModelHandle.Open(options.Model);
        if (options.Device is { } device)
        {
            weights.Lend(device, engine.Weights());
        }
        _vocabulary = weights.Info.Vocabulary;
        using TrainerHandle trainer = TrainerHandle.Create(weights, new TrainerOptions
        {
            Device = options.Device,
            Threads = options.Threads,
            Idle = true,
            MaxTokens = options.TrainTokens,
            MaxSequences = options.TrainTokens / SequenceLength + 1,
            MaxLength = Math.Min(SequenceLength, options.TrainTokens),
            LearningRate = 1e-5f,
        });
        trainer.Slice = ServingFirst.On(engine, cancellationToken);
        Dictionary<Phase, Measured> all = Enum.GetValues<Phase>().ToDictionary(static p => p, static _ => new Measured());
        List<double> serving = [], training = [], waiting = [];
        for (int round = -1; round < options.Repeats; round++)
        {
            Dictionary<Phase, Measured> one = [];
            // By turns, and who goes first by turns too.
            foreach (Phase phase in (Phase[])(round % 2 == 0 ? [Phase.Serving, Phase.Both, Phase.Training] : [Phase.Training, Phase.Both, Phase.Serving]))
            {
                one[phase] = await MeasureAsync(phase, engine, trainer, cancellationToken);
                if (round >= 0)
                {
                    all[phase].Add(one[phase]);
                }
            }
            if (round < 0)
            {
                // The first round compiles code and learns what slices take.
                trainer.RestartSliceCosts();
                continue;
            }
            serving.Add(Ratio(one[Phase.Both].Served, one[Phase.Serving].Served));
            training.Add(Ratio(one[Phase.Both].Trained, one[Phase.Training].Trained));
            waiting.Add(Ratio(Figures.Quantile(one[Phase.Both].Gaps, 0.99), Figures.Quantile(one[Phase.Serving].Gaps, 0.99)));
            progress($"serving and training at once, {round + 1} of {options.Repeats}: serving {serving[^1]:F2}, training {training[^1]:F2} of alone, p99 between tokens {waiting[^1]:F2} times");
        }
        SliceCosts costs = trainer.SliceCosts;
        return new SharingRow
        {
            Streams = options.Streams,
            TrainTokens = options.TrainTokens,
            Device = options.Device is { } number ? TrainingDevice.Of(number).Name : null,
            ServingAlone = all[Phase.Serving].Served,
            ServingBoth = all[Phase.Both].Served,
            ServingRatio = Figures.Median(serving),
            TrainingAlone = all[Phase.Training].Trained,
            TrainingBoth = all[Phase.Both].Trained,
            TrainingRatio = Figures.Median(training),
            InterTokenMedianAloneMs = Figures.Median(all[Phase.Serving].Gaps),
            InterTokenMedianBothMs = Figures.Median(all[Phase.Both].Gaps),
            InterTokenP99AloneMs = Figures.Quantile(all[Phase.Serving].Gaps, 0.99),
            InterTokenP99BothMs = Figures.Quantile(all[Phase.Both].Gaps, 0.99),
            InterTokenP99Ratio = Figures.Median(waiting),
            LongestSliceMs = costs.Longest.TotalMilliseconds,
            LayerForwardMs = costs.LayerForward.TotalMilliseconds,
            LayerBackwardMs = costs.LayerBackward.TotalMilliseconds,
        };
    }

    private static double Ratio(double a, double b) => b > 0 ? a / b : 0;

    private async Task<Measured> MeasureAsync(Phase phase, InferenceEngine engine, TrainerHandle trainer, CancellationToken cancellationToken)
    {
        Measured measured = new();
        long begun = Stopwatch.GetTimestamp();
        bool IsOver() => Stopwatch.GetElapsedTime(begun) >= options.Phase;
        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        // Training alone ends with a whole step after the time is over, beside requests with them.
        Task steps = phase == Phase.Serving ? Task.CompletedTask : Task.Factory.StartNew(
            () => Train(trainer, measured, phase == Phase.Training ? IsOver : static () => false, stop.Token), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        try
        {
            if (phase != Phase.Training)
            {
                await ServeAsync(engine, measured, begun, IsOver, cancellationToken);
            }
        }
        finally
        {
            // Nothing that training uses may go before it has ended; alone it ends by itself, or by the caller's token.
            if (phase != Phase.Training)
            {
                await stop.CancelAsync();
            }
            await steps;
        }
        cancellationToken.ThrowIfCancellationRequested();
        return measured;
    }

    private async Task ServeAsync(InferenceEngine engine, Measured measured, long begun, Func<bool> isOver, CancellationToken cancellationToken)
    {
        StreamResult[] streams = await Task.WhenAll(Enumerable.Range(0, options.Streams).Select(i => Task.Run(() => StreamAsync(engine, isOver, i, cancellationToken), cancellationToken)));
        measured.ServedTokens = streams.Sum(static s => s.Tokens);
        measured.ServingSeconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        measured.Gaps.AddRange(streams.SelectMany(static s => s.Gaps));
    }

    private async Task<StreamResult> StreamAsync(InferenceEngine engine, Func<bool> isOver, int number, CancellationToken cancellationToken)
    {
        StreamResult result = new();
        Random random = new(number);
        // Not all at the same moment.
        await Task.Delay(options.Pause * random.NextDouble(), cancellationToken);
        do
        {
            int[] prompt = Tokens(random, _vocabulary, options.PromptTokens);
            using RunningAnswer answer = engine.Generate(new GenerationRequest { Prompt = prompt, MaxTokens = options.AnswerTokens, IgnoreEnd = true, Sampling = new SamplingOptions { Temperature = 0 } }, cancellationToken);
            long last = 0;
            await foreach (GenerationChunk chunk in answer.ReadAllAsync(cancellationToken))
            {
                long now = Stopwatch.GetTimestamp();
                if (last != 0)
                {
                    result.Gaps.Add(Stopwatch.GetElapsedTime(last, now).TotalMilliseconds);
                }
                last = now;
                result.Tokens += chunk.TokenCount;
            }
            await Task.Delay(options.Pause, cancellationToken);
        }
        while (!isOver());
        return result;
    }

    private void Train(TrainerHandle trainer, Measured measured, Func<bool> isOver, CancellationToken stop)
    {
        int length = Math.Min(SequenceLength, options.TrainTokens);
        int[] bounds = [.. Enumerable.Range(0, (options.TrainTokens + length - 1) / length).Select(i => i * length), options.TrainTokens];
        float[] weight = new float[options.TrainTokens];
        Array.Fill(weight, 1f);
        long begun = Stopwatch.GetTimestamp();
        long before = trainer.SliceCosts.Slices, whole = before;
        int steps = 0;
        try
        {
            do
            {
                int[] tokens = Tokens(_random, _vocabulary, options.TrainTokens);
                TrainingBatch batch = new() { Tokens = tokens, Bounds = bounds, Target = [.. tokens.Skip(1), tokens[0]], Weight = weight };
                trainer.Accumulate(batch, stop);
                trainer.Update();
                steps++;
                whole = trainer.SliceCosts.Slices;
            }
            while (!isOver() && !stop.IsCancellationRequested);
        }
        catch (OperationCanceledException)
        {
            // The requests are over; the step that was stopped counts by its slices.
        }
        measured.TrainingSeconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        _slicesOfStep = steps > 0 ? (double)(whole - before) / steps : _slicesOfStep;
        double part = _slicesOfStep > 0 ? Math.Min(1, (trainer.SliceCosts.Slices - whole) / _slicesOfStep) : 0;
        measured.TrainedTokens = options.TrainTokens * (steps + part);
    }

    private static int[] Tokens(Random random, int vocabulary, int count)
    {
        int[] tokens = new int[count];
        for (int i = 0; i < count; i++)
        {
            tokens[i] = random.Next(vocabulary / 4, vocabulary / 2);
        }
        return tokens;
    }

    private sealed class StreamResult
    {
        public List<double> Gaps { get; } = [];

        public int Tokens { get; set; }
    }

    private sealed class Measured
    {
        public List<double> Gaps { get; } = [];

        public double ServedTokens { get; set; }

        public double ServingSeconds { get; set; }

        public double TrainedTokens { get; set; }

        public double TrainingSeconds { get; set; }

        /// <summary>Tokens a second.</summary>
        public double Served => ServingSeconds > 0 ? ServedTokens / ServingSeconds : 0;

        public double Trained => TrainingSeconds > 0 ? TrainedTokens / TrainingSeconds : 0;

        public void Add(Measured other)
        {
            Gaps.AddRange(other.Gaps);
            ServedTokens += other.ServedTokens;
            ServingSeconds += other.ServingSeconds;
            TrainedTokens += other.TrainedTokens;
            TrainingSeconds += other.TrainingSeconds;
        }
    }
}
