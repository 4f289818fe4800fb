using System.Text;
using ContinualNative.Engine;
using ContinualNative.Engine.Generation;
using ContinualNative.TestModels;

namespace ContinualNative.NativeTests.Robustness;

/// <summary>Requests at and beyond the limits.</summary>
public sealed class RequestTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_embedding_model_refuses_to_generate_and_embeds()
    {
        await using InferenceEngine engine = await TestEngines.LoadAsync("bert");
        int[] tokens = engine.Tokens("hello world");

        EngineException error = Assert.Throws<EngineException>(() => engine.Generate(TestEngines.Greedy(tokens, 4), Cancel));
        Assert.Equal(EngineError.InvalidRequest, error.Error);
        Assert.Contains("embeddings only", error.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<EngineException>(() => engine.ScoreAsync(tokens, 1, cancellationToken: Cancel));

        float[][] vectors = await Task.WhenAll(Enumerable.Range(0, 6).Select(i => engine.EmbedAsync(engine.Tokens(i % 2 == 0 ? "hello world" : "good night"), Cancel)));
        Assert.All(vectors, v => Assert.Equal(1, Math.Sqrt(v.Sum(static x => (double)x * x)), 5));
        Assert.Equal(vectors[0], vectors[4]);
        Assert.NotEqual(vectors[0], vectors[1]);
        EngineException tooLong = await Assert.ThrowsAsync<EngineException>(() => engine.EmbedAsync(new int[engine.MaxEmbeddingTokens + 1], Cancel));
        Assert.Equal(EngineError.ContextLengthExceeded, tooLong.Error);
        Assert.Throws<EngineException>(() => { _ = engine.EmbedAsync(ReadOnlyMemory<int>.Empty, Cancel); });
    }

    [Fact]
    public async Task Prompts_that_cannot_be_are_refused_at_once()
    {
        await using InferenceEngine engine = await TestEngines.LoadAsync("llama", static o => o with { ContextLength = 64 });
        int size = engine.Model.VocabularySize;
        Throws(EngineError.ContextLengthExceeded, "64", r => r with { Prompt = new int[64] });
        Throws(EngineError.ContextLengthExceeded, "64", r => r with { Prompt = new int[100_000] });
        Throws(EngineError.InvalidRequest, "empty", r => r with { Prompt = ReadOnlyMemory<int>.Empty });
        Throws(EngineError.InvalidRequest, $"{size}", r => r with { Prompt = new[] { 1, size } });
        Throws(EngineError.InvalidRequest, "-1", r => r with { Prompt = new[] { -1 } });
        Throws(EngineError.InvalidRequest, "max_tokens", r => r with { MaxTokens = 0 });
        Throws(EngineError.InvalidRequest, "max_tokens", r => r with { MaxTokens = -5 });
        Throws(EngineError.InvalidRequest, "top_logprobs", r => r with { TopLogProbs = 21 });
        Throws(EngineError.InvalidRequest, "temperature", r => r with { Sampling = new SamplingOptions { Temperature = float.NaN } });
        Throws(EngineError.InvalidRequest, "top_p", r => r with { Sampling = new SamplingOptions { TopP = 1.1f } });
        Throws(EngineError.InvalidRequest, "top_k", r => r with { Sampling = new SamplingOptions { TopK = -1 } });
        Throws(EngineError.InvalidRequest, "min_p", r => r with { Sampling = new SamplingOptions { MinP = 1.1f } });
        Throws(EngineError.InvalidRequest, "presence_penalty", r => r with { Sampling = new SamplingOptions { PresencePenalty = 2.1f } });
        Throws(EngineError.InvalidRequest, "repeat_penalty", r => r with { Sampling = new SamplingOptions { RepeatPenalty = 0 } });
        // A token outside the vocabulary would reach past the row of logits on the engine's thread.
        Throws(EngineError.InvalidRequest, "logit_bias", r => r with { Sampling = new SamplingOptions { LogitBias = new Dictionary<int, float> { [size] = 1 } } });
        Throws(EngineError.InvalidRequest, "logit_bias", r => r with { Sampling = new SamplingOptions { LogitBias = new Dictionary<int, float> { [-1] = 1 } } });
        Throws(EngineError.InvalidRequest, "logit_bias", r => r with { Sampling = new SamplingOptions { LogitBias = new Dictionary<int, float> { [1] = float.NaN } } });
        Throws(EngineError.InvalidRequest, "logit_bias", r => r with { Sampling = new SamplingOptions { LogitBias = new Dictionary<int, float> { [1] = float.PositiveInfinity } } });
        Throws(EngineError.NotFound, "nobody", r => r with { Adapter = "nobody" });
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => engine.ScoreAsync(new[] { 1, 2 }, 0, cancellationToken: Cancel));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => engine.ScoreAsync(new[] { 1, 2 }, 2, cancellationToken: Cancel));
        Assert.Equal(63, (await engine.RunAsync(TestEngines.Greedy(new int[63], 5), Cancel)).Result.PromptTokens);

        void Throws(EngineError kind, string word, Func<GenerationRequest, GenerationRequest> change)
        {
            EngineException error = Assert.Throws<EngineException>(() => engine.Generate(change(TestEngines.Greedy([1, 2, 3], 4))));
            Assert.Equal(kind, error.Error);
            Assert.Contains(word, error.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("root")]
    [InlineData("root ::= missing")]
    [InlineData("other ::= \"a\"")]
    [InlineData("root ::= root \"a\"")]
    [InlineData("root ::= \"a")]
    [InlineData("root ::= [")]
    [InlineData("root ::= \"a\"{100000}")]
    public async Task A_grammar_that_is_none_is_refused(string grammar)
    {
        await using InferenceEngine engine = await TestEngines.LoadAsync("llama");
        EngineException error = Assert.Throws<EngineException>(() => engine.Generate(TestEngines.Greedy([1, 2], 4) with { Grammar = grammar }, Cancel));
        Assert.Equal((EngineError.InvalidRequest, "grammar"), (error.Error, error.Param));
        Assert.Throws<EngineException>(() => engine.CheckGrammar(grammar));
        Assert.Equal(4, (await engine.RunAsync(TestEngines.Greedy([1, 2], 4), Cancel)).Result.CompletionTokens);
    }

    [Fact]
    public async Task A_grammar_that_would_exhaust_llama_cpp_is_refused()
    {
        await using InferenceEngine engine = await TestEngines.LoadAsync("llama");
        foreach (string grammar in (string[])["root ::= " + new string('(', 60_000) + "\"a\"" + new string(')', 60_000), "root ::= " + string.Concat(Enumerable.Repeat("(((((((((\"a\"{99}){99}){99}){99}){99}", 3))])
        {
            EngineException error = Assert.Throws<EngineException>(() => engine.CheckGrammar(grammar));
            Assert.Equal(EngineError.InvalidRequest, error.Error);
        }
    }

    [Fact]
    public async Task Nothing_allowed_is_an_error_and_the_engine_goes_on()
    {
        await using InferenceEngine engine = await TestEngines.LoadAsync("qwen2");
        Dictionary<int, float> all = Enumerable.Range(0, engine.Model.VocabularySize).ToDictionary(static t => t, static _ => -100f);
        // The grammar wants an "x", and the bias forbids every token that begins with one.
        Dictionary<int, float> x = all.Keys.Where(t => engine.Tokenizer.Bytes(t).StartsWith("x"u8)).ToDictionary(static t => t, static _ => -100f);
        foreach (GenerationRequest request in (GenerationRequest[])
        [
            TestEngines.Greedy([1, 2], 4) with { Sampling = new SamplingOptions { LogitBias = all } },
            TestEngines.Greedy([1, 2], 4) with { Sampling = new SamplingOptions { Temperature = 0, LogitBias = all } },
            TestEngines.Greedy([1, 2], 4) with { Sampling = new SamplingOptions { LogitBias = x }, Grammar = "root ::= \"xy\"" },
        ])
        {
            EngineException error = await Assert.ThrowsAsync<EngineException>(() => engine.RunAsync(request, Cancel));
            Assert.Equal(EngineError.InvalidRequest, error.Error);
            Assert.Contains("forbids them all", error.Message, StringComparison.Ordinal);
        }
        await engine.UntilIdleAsync();
        Assert.Equal(4, (await engine.RunAsync(TestEngines.Greedy([1, 2], 4), Cancel)).Result.CompletionTokens);
    }

    [Fact]
    public async Task Huge_max_tokens_end_where_the_context_ends()
    {
        await using InferenceEngine engine = await TestEngines.LoadAsync("llama", static o => o with { ContextLength = 80 });
        foreach (int? most in (int?[])[int.MaxValue, null, 81])
        {
            (_, _, GenerationResult result) = await engine.RunAsync(TestEngines.Greedy(engine.Tokens("hello world"), 1) with { MaxTokens = most, IgnoreEnd = true }, Cancel);
            Assert.Equal(FinishReason.Length, result.FinishReason);
            Assert.Equal(80, result.PromptTokens + result.CompletionTokens);
        }
    }

    [Fact]
    public async Task A_stop_text_ends_the_answer_wherever_it_lies()
    {
        await using InferenceEngine engine = await TestEngines.LoadAsync("qwen2", TestEngines.Exact);
        GenerationRequest request = TestEngines.Greedy(engine.Tokens("tell me a story"), 24) with { Sampling = new SamplingOptions { Seed = 11 } };
        string text = (await engine.RunAsync(request, Cancel)).Text;
        Assert.True(text.Length > 20);
        // Every place and several lengths: within a token, across one seam, across several.
        for (int at = 0; at < text.Length - 2; at += 3)
        {
            foreach (int length in (int[])[1, 2, 5, 11])
            {
                string stop = text.Substring(at, Math.Min(length, text.Length - at));
                if (!stop.EnumerateRunes().SequenceEqual(Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(stop)).EnumerateRunes()) || stop.Contains('\uFFFD', StringComparison.Ordinal))
                {
                    // Half of a character: no text that a caller could send.
                    continue;
                }
                (string cut, _, GenerationResult result) = await engine.RunAsync(request with { Stop = ["never said", stop] }, Cancel);
                Assert.Equal(text[..text.IndexOf(stop, StringComparison.Ordinal)], cut);
                Assert.Equal((FinishReason.Stop, stop), (result.FinishReason, result.StopText));
            }
        }
    }

    [Fact]
    public async Task Characters_made_of_byte_tokens_arrive_whole()
    {
        await using InferenceEngine engine = await TestEngines.LoadAsync("llama");
        // None of these is in the vocabulary: the model has to write them byte by byte.
        const string Text = "ʘ🌵ⵣ𐍈ő";
        Assert.All(Text.EnumerateRunes(), r => Assert.True(engine.Tokenizer.Encode(r.ToString(), addSpecial: false, parseSpecial: false).Length > 1));
        using RunningAnswer answer = engine.Generate(TestEngines.Greedy(engine.Tokens("hello"), 60) with { Grammar = $"root ::= \"{Text}\"" }, Cancel);
        StringBuilder all = new();
        int pieces = 0;
        await foreach (GenerationChunk chunk in answer.ReadAllAsync(Cancel))
        {
            Assert.DoesNotContain('\uFFFD', chunk.Text);
            all.Append(chunk.Text);
            pieces += chunk.TokenCount;
        }
        Assert.Equal(Text, all.ToString());
        Assert.True(pieces >= Encoding.UTF8.GetByteCount(Text) - 4, $"only {pieces} tokens");
        // Cut off in the middle of a character: what is unfinished is dropped, not garbled.
        for (int tokens = 1; tokens < 16; tokens++)
        {
            string cut = (await engine.RunAsync(TestEngines.Greedy(engine.Tokens("hello"), tokens) with { Grammar = $"root ::= \"{Text}\"" }, Cancel)).Text;
            Assert.StartsWith(cut, Text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Equal_prompts_at_once_are_computed_once()
    {
        await using InferenceEngine engine = await TestEngines.LoadAsync("qwen2", static o => o with { Parallel = 8 });
        int[] prompt = engine.Tokens(string.Join(' ', Enumerable.Repeat("the river and the stone", 20)));
        long before = engine.Statistics.PromptTokens;

        RunningAnswer[] answers = [.. Enumerable.Range(0, 8).Select(i => engine.Generate(new GenerationRequest { Prompt = prompt, MaxTokens = 6, Sampling = new SamplingOptions { Seed = (ulong)i } }, Cancel))];
        (string Text, List<TokenInfo> Tokens, GenerationResult Result)[] results = await Task.WhenAll(answers.Select(static a => a.CollectAsync()));

        Assert.Equal(7, results.Count(r => r.Result.CachedTokens == prompt.Length - 1));
        Assert.Equal(prompt.Length + 7, engine.Statistics.PromptTokens - before);
        Assert.True(results.Select(static r => r.Text).Distinct().Count() > 1);
    }

    [Fact]
    public async Task A_prompt_that_is_to_be_computed_whole_takes_nothing_from_the_cache()
    {
        await using InferenceEngine engine = await TestEngines.LoadAsync("qwen2");
        GenerationRequest request = TestEngines.Greedy(engine.Tokens(string.Join(' ', Enumerable.Repeat("the river and the stone", 20))), 6);
        await engine.RunAsync(request, Cancel);
        await engine.UntilIdleAsync();
        (_, _, GenerationResult found) = await engine.RunAsync(request, Cancel);
        await engine.UntilIdleAsync();
        long before = engine.Statistics.PromptTokens;
        (_, _, GenerationResult whole) = await engine.RunAsync(request with { ComputeWholePrompt = true }, Cancel);

        Assert.Equal(request.Prompt.Length - 1, found.CachedTokens);
        Assert.Equal(0, whole.CachedTokens);
        Assert.Equal(request.Prompt.Length, engine.Statistics.PromptTokens - before);
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("qwen2")]
    [InlineData("qwen3")]
    public async Task Log_probabilities_are_those_of_scoring(string architecture)
    {
        await using InferenceEngine engine = await TestEngines.LoadAsync(architecture, TestEngines.Exact);
        int[] prompt = engine.Tokens("the garden in the morning");
        (_, List<TokenInfo> tokens, GenerationResult result) = await engine.RunAsync(
            new GenerationRequest { Prompt = prompt, MaxTokens = 20, TopLogProbs = 5, IgnoreEnd = true, Sampling = new SamplingOptions { Seed = 3, Temperature = 1.3f, FrequencyPenalty = 1, RepeatPenalty = 1.2f } }, Cancel);

        float[] scores = await engine.ScoreAsync((int[])[.. prompt, .. tokens.Select(static t => t.Token)], prompt.Length, cancellationToken: Cancel);

        // Computed token by token and all at once: the same sums by other kernels; measured at most 2e-3 apart.
        Assert.Equal(20, tokens.Count);
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(tokens[i].LogProb, scores[i], 1e-2);
            Assert.Equal(5, tokens[i].Top.Count);
            Assert.All(tokens[i].Top.Zip(tokens[i].Top.Skip(1)), static p => Assert.True(p.First.LogProb >= p.Second.LogProb));
            if (tokens[i].Top.FirstOrDefault(t => t.Token == tokens[i].Token) is { Token: > 0 } same)
            {
                Assert.Equal(tokens[i].LogProb, same.LogProb, 1e-5);
            }
            Assert.True(tokens[i].Top[0].LogProb >= tokens[i].LogProb - 1e-5);
        }
        Assert.Equal(scores.Average(), result.Confidence.MeanLogProb, 1e-2);
        Assert.Equal(scores.Min(), result.Confidence.MinLogProb, 1e-2);
    }

    [Fact]
    public async Task A_seed_gives_the_same_text_again()
    {
        await using InferenceEngine engine = await TestEngines.LoadAsync("qwen3", TestEngines.Exact);
        string[] texts = new string[6];
        for (int seed = 0; seed < 6; seed++)
        {
            GenerationRequest request = new() { Prompt = engine.Tokens("hello"), MaxTokens = 16, Sampling = new SamplingOptions { Seed = (ulong)seed } };
            texts[seed] = (await engine.RunAsync(request, Cancel)).Text;
            Assert.Equal(texts[seed], (await engine.RunAsync(request, Cancel)).Text);
        }
        Assert.Equal(6, texts.Distinct().Count());
    }

    [Fact]
    public async Task Broken_bytes_become_replacement_characters_and_never_broken_text()
    {
        // Here the model chooses raw bytes and control tokens as often as anything.
        await using InferenceEngine engine = await TestEngines.LoadAsync(new TestModelOptions { LoudSpecials = true });
        for (int seed = 0; seed < 10; seed++)
        {
            using RunningAnswer answer = engine.Generate(new GenerationRequest { Prompt = engine.Tokens("hello"), MaxTokens = 60, TopLogProbs = 0, IgnoreEnd = true, Sampling = new SamplingOptions { Seed = (ulong)seed, Temperature = 2 } }, Cancel);
            (string text, List<TokenInfo> tokens, _) = await answer.CollectAsync();
            byte[] bytes = [.. tokens.SelectMany(t => engine.Tokenizer.Bytes(t.Token).ToArray())];
            string expected = Encoding.UTF8.GetString(bytes);
            // An unfinished character at the very end is dropped.
            Assert.True(text == expected || text + "\uFFFD" == expected, $"seed {seed}");
        }
    }
}
