using ContinualNative.Engine;
using ContinualNative.Engine.Generation;
using ContinualNative.Interop.Llama;
using ContinualNative.TestModels;

namespace ContinualNative.NativeTests.Robustness;

/// <summary>Queues, time, cancellation and the end.</summary>
public sealed class LifecycleTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    // Long enough that no test sees its end by itself.
    private static TestModelOptions Long => new() { Architecture = "qwen2", Context = 8192 };

    [Fact]
    public async Task A_full_queue_refuses_and_recovers()
    {
        await using InferenceEngine engine = await LoadLongAsync(static o => o with { Parallel = 1, QueueCapacity = 2 });
        using RunningAnswer running = engine.Generate(Endless(engine), Cancel);
        await running.Admitted;
        using RunningAnswer first = engine.Generate(Short(engine), Cancel);
        using RunningAnswer second = engine.Generate(Short(engine), Cancel);
        EngineException error = Assert.Throws<EngineException>(() => engine.Generate(Short(engine), Cancel));
        Assert.Equal(EngineError.Overloaded, error.Error);
        await Assert.ThrowsAsync<EngineException>(() => engine.ScoreAsync(new[] { 1, 2, 3 }, 1, cancellationToken: Cancel));
        Assert.Equal(2, engine.Statistics.Refused);

        running.Dispose();

        Assert.Equal(FinishReason.Length, (await first.CollectAsync()).Result.FinishReason);
        Assert.Equal(FinishReason.Length, (await second.CollectAsync()).Result.FinishReason);
        Assert.Equal(FinishReason.Length, (await engine.RunAsync(Short(engine), Cancel)).Result.FinishReason);
        Assert.Equal(FinishReason.Cancelled, (await running.Completion).FinishReason);
    }

    [Fact]
    public async Task Time_runs_out_before_and_after_the_first_token()
    {
        await using InferenceEngine engine = await LoadLongAsync(static o => o with { Parallel = 1 });
        (string text, _, GenerationResult result) = await engine.RunAsync(Endless(engine) with { Timeout = TimeSpan.FromMilliseconds(400) }, Cancel);
        Assert.Equal(FinishReason.Timeout, result.FinishReason);
        Assert.True(text.Length > 0 && result.CompletionTokens > 0);

        using RunningAnswer running = engine.Generate(Endless(engine), Cancel);
        await running.Admitted;
        using RunningAnswer waiting = engine.Generate(Short(engine) with { Timeout = TimeSpan.FromMilliseconds(50) }, Cancel);
        EngineException error = await Assert.ThrowsAsync<EngineException>(() => waiting.CollectAsync());
        Assert.Equal(EngineError.Timeout, error.Error);
        Assert.Equal(EngineError.Timeout, (await Assert.ThrowsAsync<EngineException>(() => waiting.Admitted)).Error);
        Assert.False(running.Completion.IsCompleted);
        Assert.Equal((1, 0), (engine.Statistics.Running, engine.Statistics.Queued));
    }

    [Fact]
    public async Task Cancelling_works_before_admission_during_the_prompt_and_during_the_answer()
    {
        await using InferenceEngine engine = await LoadLongAsync(static o => o with { Parallel = 2, BatchTokens = 16, PrefillChunk = 16, PrefixCache = false });
        int[] longPrompt = new int[8000];
        Array.Fill(longPrompt, engine.Tokens("stone")[^1]);

        using RunningAnswer decoding = engine.Generate(Endless(engine), Cancel);
        await foreach (GenerationChunk chunk in decoding.ReadAllAsync(Cancel))
        {
            break;
        }
        // 500 steps of 16 tokens: it is in the middle of them for a long while.
        using RunningAnswer prefilling = engine.Generate(TestEngines.Greedy(longPrompt, 5), Cancel);
        await prefilling.Admitted;
        long computed = engine.Statistics.PromptTokens;
        await TestEngines.UntilAsync(() => engine.Statistics.PromptTokens > computed + 32, "the prompt is being computed");
        using CancellationTokenSource cancel = new();
        using RunningAnswer waiting = engine.Generate(Short(engine), cancel.Token);
        await TestEngines.UntilAsync(() => engine.Statistics.Queued == 1, "the third waits");

        await cancel.CancelAsync();
        Assert.Equal((FinishReason.Cancelled, 0), Ended(await waiting.Completion));
        prefilling.Dispose();
        Assert.Equal((FinishReason.Cancelled, 0), Ended(await prefilling.Completion));
        Assert.True(engine.Statistics.PromptTokens < 8000);
        Assert.False(decoding.Completion.IsCompleted);
        decoding.Dispose();
        Assert.Equal(FinishReason.Cancelled, (await decoding.Completion).FinishReason);
        await engine.UntilIdleAsync();
        Assert.Equal(0, engine.Statistics.KvTokensUsed);
        Assert.Equal(3, engine.Statistics.Cancelled);
        // What was cancelled once may be disposed of again.
        decoding.Dispose();
        Assert.Equal(FinishReason.Length, (await engine.RunAsync(Short(engine), Cancel)).Result.FinishReason);

        using CancellationTokenSource score = new();
        Task<float[]> scored = engine.ScoreAsync(longPrompt, 1, cancellationToken: score.Token);
        await score.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => scored);
        await engine.UntilIdleAsync();

        static (FinishReason, int) Ended(GenerationResult r) => (r.FinishReason, r.CompletionTokens);
    }

    [Fact]
    public async Task An_engine_that_ends_leaves_nobody_waiting()
    {
        for (int round = 0; round < 4; round++)
        {
            InferenceEngine engine = await LoadLongAsync(static o => o with { Parallel = 3 });
            List<Task> all = [];
            for (int i = 0; i < 8; i++)
            {
                RunningAnswer answer = engine.Generate(Endless(engine), Cancel);
                all.Add(answer.CollectAsync());
                all.Add(answer.Completion);
            }
            all.Add(engine.ScoreAsync(Enumerable.Repeat(5, 4000).ToArray(), 1, cancellationToken: Cancel));
            all.Add(engine.EmbedAsync(Enumerable.Repeat(5, 500).ToArray(), Cancel));
            Task drain = engine.DrainAsync(Cancel);
            if (round > 0)
            {
                await Task.Delay(round * 40, Cancel);
            }
            await Task.WhenAll(engine.DisposeAsync().AsTask(), engine.DisposeAsync().AsTask()).WaitAsync(TimeSpan.FromSeconds(30), Cancel);

            foreach (Task task in all)
            {
                Exception? error = await Record.ExceptionAsync(() => task.WaitAsync(TimeSpan.FromSeconds(30), Cancel));
                Assert.True(error is null or EngineException { Error: EngineError.ShuttingDown }, $"{error}");
            }
            await drain.WaitAsync(TimeSpan.FromSeconds(30), Cancel);
            Assert.ThrowsAny<ObjectDisposedException>(() => engine.Generate(Short(engine), Cancel));
            await engine.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_draining_engine_finishes_what_runs_and_takes_nothing_new()
    {
        await using InferenceEngine engine = await LoadLongAsync(static o => o with { Parallel = 1 });
        RunningAnswer[] answers = [.. Enumerable.Range(0, 3).Select(_ => engine.Generate(Short(engine), Cancel))];
        Task drain = engine.DrainAsync(Cancel);
        Assert.Equal(EngineError.ShuttingDown, Assert.Throws<EngineException>(() => engine.Generate(Short(engine), Cancel)).Error);
        await drain.WaitAsync(TimeSpan.FromSeconds(30), Cancel);
        foreach (RunningAnswer answer in answers)
        {
            Assert.True(answer.Completion.IsCompletedSuccessfully);
            Assert.Equal(FinishReason.Length, (await answer.CollectAsync()).Result.FinishReason);
        }
    }

    [Fact]
    public async Task Submitting_and_cancelling_while_it_ends_throws_only_what_it_says()
    {
        for (int round = 0; round < 6; round++)
        {
            InferenceEngine engine = await TestEngines.LoadAsync("llama", static o => o with { Parallel = 2, QueueCapacity = 8 });
            GenerationRequest request = Short(engine);
            using Barrier barrier = new(3);
            Task[] callers = [.. Enumerable.Range(0, 2).Select(_ => Task.Run(() =>
            {
                barrier.SignalAndWait();
                for (int i = 0; i < 300; i++)
                {
                    try
                    {
                        using RunningAnswer answer = engine.Generate(request, Cancel);
                    }
                    catch (EngineException e) when (e.Error is EngineError.ShuttingDown or EngineError.Overloaded)
                    {
                    }
                    catch (ObjectDisposedException)
                    {
                        return;
                    }
                }
            }))];
            barrier.SignalAndWait(Cancel);
            await Task.Delay(round, Cancel);
            await engine.DisposeAsync();
            await Task.WhenAll(callers).WaitAsync(TimeSpan.FromSeconds(30), Cancel);
        }
    }

    [Fact]
    public void Native_handles_may_be_disposed_in_any_order_and_twice()
    {
        string path = TestModel.Get("qwen2");
        byte[] bytes = TestAdapter.ToBytes(new TestModelOptions { Architecture = "qwen2" });
        // model, context, adapter: every order.
        foreach (int[] order in (int[][])[[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
        {
            LlamaModelHandle model = LlamaModelHandle.Load(path);
            LlamaContextHandle context = LlamaContextHandle.Create(model, new LlamaContextOptions { KvTokens = 64, MaxSequences = 1, MaxOutputs = 1, BatchTokens = 16, Threads = 1 });
            LlamaAdapterHandle adapter = LlamaAdapterHandle.Load(model, bytes);
            context.SetAdapter(adapter);
            using LlamaBatch batch = new(16);
            batch.Add(5, 0, 0, output: true);
            Assert.Equal(0, context.Decode(batch));
            IDisposable[] handles = [model, context, adapter];
            foreach (int i in order)
            {
                handles[i].Dispose();
                handles[i].Dispose();
            }
            Assert.True(model.IsClosed && context.IsClosed && adapter.IsClosed);
            Assert.Throws<ObjectDisposedException>(() => model.TrainedContext);
            Assert.Throws<ObjectDisposedException>(() => context.KvTokens);
            Assert.Throws<ObjectDisposedException>(() => model.Vocabulary.Bos);
        }
        // A context outlives its model's handle: the model itself lives as long.
        LlamaModelHandle early = LlamaModelHandle.Load(path);
        using LlamaContextHandle late = LlamaContextHandle.Create(early, new LlamaContextOptions { KvTokens = 64, MaxSequences = 1, MaxOutputs = 1, BatchTokens = 16, Threads = 1 });
        early.Dispose();
        using LlamaBatch one = new(1);
        one.Add(5, 0, 0, output: true);
        Assert.Equal(0, late.Decode(one));
        Assert.DoesNotContain(late.Logits(0).ToArray(), float.IsNaN);
        using LlamaThreadpool pool = new(1, 0);
        pool.Dispose();
    }

    [Fact]
    public async Task Adapters_may_go_while_their_answers_run()
    {
        TestModelOptions model = Long;
        await using InferenceEngine engine = await TestEngines.LoadAsync(model, static o => TestEngines.Exact(o) with { ContextLength = 8192, KvTokens = 16384 });
        byte[] bytes = TestAdapter.ToBytes(model);
        await engine.Adapters.LoadAsync("a", bytes, Cancel);
        GenerationRequest request = TestEngines.Greedy(engine.Tokens("hello world"), 40) with { Adapter = "a", IgnoreEnd = true };
        // The beginning tells which weights answer; further on, company in the cache may round otherwise.
        string expected = (await engine.RunAsync(request, Cancel)).Text[..12];

        using RunningAnswer running = engine.Generate(request, Cancel);
        await running.Admitted;
        engine.Adapters.Unload("a");
        Assert.Equal(EngineError.NotFound, Assert.Throws<EngineException>(() => engine.Generate(request, Cancel)).Error);
        // Another under the same id, with other weights, does not disturb the one that runs.
        await engine.Adapters.LoadAsync("a", TestAdapter.ToBytes(model, seed: 9), Cancel);
        string other = (await engine.RunAsync(request, Cancel)).Text;

        Assert.StartsWith(expected, (await running.CollectAsync()).Text, StringComparison.Ordinal);
        Assert.False(other.StartsWith(expected, StringComparison.Ordinal));
        engine.Adapters.Promote("a");
        Assert.Equal(EngineError.Conflict, Assert.Throws<EngineException>(() => engine.Adapters.Unload("a")).Error);
        Assert.StartsWith(other[..12], (await engine.RunAsync(request with { Adapter = null }, Cancel)).Text, StringComparison.Ordinal);
        engine.Adapters.Promote(null);
        engine.Adapters.Unload("a");
    }

    private static Task<InferenceEngine> LoadLongAsync(Func<EngineOptions, EngineOptions> change) =>
        TestEngines.LoadAsync(Long, o => change(o with { ContextLength = 8192, KvTokens = 8192 * 3 }));

    private static GenerationRequest Endless(InferenceEngine engine) => new() { Prompt = engine.Tokens("tell me a long story"), IgnoreEnd = true, MaxTokens = 8000, Sampling = new SamplingOptions { Seed = 1 } };

    private static GenerationRequest Short(InferenceEngine engine) => TestEngines.Greedy(engine.Tokens("hello"), 3) with { IgnoreEnd = true };
}
