using System.Text.Json;
using ContinualNative.Engine;
using ContinualNative.TestModels;

namespace ContinualNative.HostTests.Commands;

public sealed class EvalCommandTests : IDisposable
{
    private static readonly TestModelOptions Options = new() { Context = 256 };

    private readonly string _folder = Directory.CreateTempSubdirectory("continual-eval-").FullName;
    private readonly string _model = TestModel.Get(Options);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Loss_is_the_weighted_mean_over_the_tokens_that_the_template_makes_of_the_answer()
    {
        (string Prompt, string Target, double Weight)[] texts =
        [
            ("<|im_start|>user\nWhat is it?<|im_end|>\n<|im_start|>assistant\n", "a small thing<|im_end|>", 1),
            ("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nAgain?<|im_end|>\n<|im_start|>assistant\n", "yes<|im_end|>", 2.5),
            ("<|im_start|>user\nAgain?<|im_end|>\n<|im_start|>assistant\n", "never<|im_end|>", 0),
            ("one two three", " four five", 1),
        ];
        string data = Write(
            "data.jsonl",
            """{"messages":[{"role":"user","content":"What is it?"},{"role":"assistant","content":"a small thing"}]}""",
            """{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Again?"},{"role":"assistant","content":"yes"}],"weight":2.5}""",
            """{"messages":[{"role":"user","content":"Again?"},{"role":"assistant","content":"never"}],"weight":0}""",
            "",
            """{"prompt":"one two three","completion":" four five","id":7,"note":"mine"}""");
        double sum = 0;
        double weights = 0;
        int tokens = 0;
        await using (InferenceEngine engine = await InferenceEngine.LoadAsync(new EngineOptions { ModelPath = _model, Threads = 2 }, cancellationToken: TestContext.Current.CancellationToken))
        {
            foreach ((string prompt, string target, double weight) in texts)
            {
                int from = engine.Tokenizer.Encode(prompt, addSpecial: true, parseSpecial: true).Length;
                int[] all = engine.Tokenizer.Encode(prompt + target, addSpecial: true, parseSpecial: true);
                sum -= weight * (await engine.ScoreAsync(all, from, cancellationToken: TestContext.Current.CancellationToken)).Sum(static p => (double)p);
                weights += weight * (all.Length - from);
                tokens += all.Length - from;
            }
        }

        JsonElement json = await EvalAsync("--model", _model, "--data", data, "--parallel", "3");

        Assert.Equal(4, json.GetProperty("examples").GetInt32());
        Assert.Equal(tokens, json.GetProperty("tokens").GetInt32());
        Close(sum / weights, json.GetProperty("loss").GetDouble(), 1e-3);
        Close(Math.Exp(json.GetProperty("loss").GetDouble()), json.GetProperty("perplexity").GetDouble(), 1e-9);
        Assert.Equal(_model, json.GetProperty("model").GetString());
        Assert.Equal(JsonValueKind.Null, json.GetProperty("adapter").ValueKind);
        Assert.True(json.GetProperty("seconds").GetDouble() > 0);
    }

    [Fact]
    public async Task An_adapter_gives_the_loss_of_the_merged_model()
    {
        string adapter = Path.Combine(_folder, "a.gguf");
        string merged = Path.Combine(_folder, "merged.gguf");
        TestAdapter.Write(adapter, Options);
        TestAdapter.Merge(_model, adapter, merged);
        string data = Write("data.jsonl", """{"messages":[{"role":"user","content":"What is it?"},{"role":"assistant","content":"a small thing"}]}""");

        double bare = Loss(await EvalAsync("--model", _model, "--data", data, "--max-tokens", "0"));
        double adapted = Loss(await EvalAsync("--model", _model, "--adapter", adapter, "--data", data, "--max-tokens", "0"));
        double expected = Loss(await EvalAsync("--model", merged, "--data", data, "--max-tokens", "0"));

        Close(expected, adapted, 1e-3);
        Assert.True(Math.Abs(adapted - bare) > 0.01, $"the adapter changes nothing: {bare}, {adapted}");
    }

    [Fact]
    public async Task Choices_bound_the_answers_and_exact_match_counts_those_that_are_the_target()
    {
        string choices = Write("choices.txt", "alpha", "  beta  ", "", "gamma ray");
        string[] questions = ["Which?", "And now?", "Once more?", "At last?"];
        string data = Write("data.jsonl", [.. questions.Select(q => Line(q, "alpha"))]);
        string predictions = Path.Combine(_folder, "predictions.jsonl");
        string[] options = ["--model", _model, "--choices", choices, "--predictions", predictions];
        await EvalAsync([.. options, "--data", data]);
        string[] answers = [.. File.ReadAllLines(predictions).Select(static l => JsonDocument.Parse(l).RootElement.GetProperty("prediction").GetString()!)];
        Assert.Equal(questions.Length, answers.Length);
        Assert.All(answers, static a => Assert.Contains(a, (string[])["alpha", "beta", "gamma ray"]));

        JsonElement right = await EvalAsync([.. options, "--data", Write("right.jsonl", [.. questions.Zip(answers, Line)])]);
        JsonElement half = await EvalAsync([.. options, "--data", Write("half.jsonl", [.. questions.Zip(answers, static (q, a) => (q, a)).Select(static (p, i) => Line(p.q, i % 2 == 0 ? p.a : p.a == "beta" ? "alpha" : "beta"))])]);

        Assert.Equal(1, right.GetProperty("exact_match").GetDouble());
        Assert.Equal(0.5, half.GetProperty("exact_match").GetDouble());
        Assert.Equal([true, false, true, false], File.ReadAllLines(predictions).Select(static l => JsonDocument.Parse(l).RootElement.GetProperty("exact").GetBoolean()));
    }

    [Fact]
    public async Task A_greedy_answer_of_a_real_model_is_its_target()
    {
        string model = ContinualProcess.SharedFile("models/stories260K/stories260K-f32.gguf");
        string data = Write(
            "data.jsonl",
            """{"prompt":"Once upon a time","completion":", there was a little girl named Lily. She loved to play outside in the park."}""",
            """{"prompt":"The big dog","completion":" was happy."}""");

        JsonElement json = await EvalAsync("--model", model, "--data", data);

        Assert.Equal(0.5, json.GetProperty("exact_match").GetDouble());
        Assert.InRange(Loss(json), 0.2, 1);
    }

    [Fact]
    public async Task Examples_longer_than_the_context_are_named_or_counted()
    {
        string data = Write("data.jsonl", Line("Which?", "alpha"), Line(string.Concat(Enumerable.Repeat("on and on ", 100)), "beta"), Line("What?", "gamma"));
        string[] options = ["--model", _model, "--data", data, "--ctx", "64", "--max-tokens", "0"];

        (int code, string output, string error) = await ContinualProcess.RunAsync("", ["eval", .. options]);
        Assert.Equal(2, code);
        Assert.Empty(output);
        Assert.Contains("data.jsonl, line 2: it has ", error);
        Assert.Contains("--skip-long", error);
        JsonElement json = await EvalAsync([.. options, "--skip-long"]);
        Assert.Equal(2, json.GetProperty("examples").GetInt32());
        Assert.Equal(1, json.GetProperty("skipped").GetInt32());
        Assert.Equal(JsonValueKind.Null, json.GetProperty("exact_match").ValueKind);
    }

    [Fact]
    public async Task A_text_for_people_holds_the_same_figures()
    {
        string data = Write("data.jsonl", Line("Which?", "alpha"));
        JsonElement json = await EvalAsync("--model", _model, "--data", data);
        (int code, string output, _) = await ContinualProcess.RunAsync("", "eval", "--model", _model, "--data", data);
        Assert.Equal(0, code);
        Assert.Contains(FormattableString.Invariant($"loss         {Loss(json):0.000}"), output);
    }

    [Fact]
    public async Task Whatever_is_wrong_is_one_line_that_names_it()
    {
        string good = Write("good.jsonl", Line("Which?", "alpha"));
        string bert = TestModel.Get("bert");
        string stranger = Path.Combine(_folder, "stranger.gguf");
        TestAdapter.Write(stranger, new TestModelOptions { Width = 512 });
        await FailsAsync("bad.jsonl, line 2: the field 'completion' is missing", "--model", _model, "--data", Write("bad.jsonl", """{"prompt":"a","completion":"b"}""", """{"prompt":"a"}"""));
        await FailsAsync("--model: there is no file", "--model", Path.Combine(_folder, "none.gguf"), "--data", good);
        await FailsAsync("none.jsonl: there is no such file", "--model", _model, "--data", Path.Combine(_folder, "none.jsonl"));
        await FailsAsync("good.jsonl, line 1: the target is none of the choices", "--model", _model, "--data", good, "--choices", Write("choices.txt", "beta"));
        await FailsAsync("twice.txt, line 3: this is the choice of line 1 again", "--model", _model, "--data", good, "--choices", Write("twice.txt", "a", "b", "a"));
        await FailsAsync("embeddings only", "--model", bert, "--data", good);
        await FailsAsync("stranger.gguf", "--model", _model, "--adapter", stranger, "--data", good);
        await FailsAsync("--parallel: 0 does not lie between", "--model", _model, "--data", good, "--parallel", "0");
        await FailsAsync("--predictions", "--model", _model, "--data", good, "--predictions", _folder);
        await FailsAsync("--ctx", "--model", _model, "--data", good, "--ctx", "5000");
    }

    private static async Task FailsAsync(string expected, params string[] options)
    {
        (int code, string output, string error) = await ContinualProcess.RunAsync("", ["eval", "--json", .. options]);
        Assert.True(code == 2, $"exit {code}: {error}");
        Assert.Empty(output);
        Assert.Contains(expected, error);
        Assert.Single(ContinualProcess.WithoutProgress(error));
    }

    private static async Task<JsonElement> EvalAsync(params string[] options)
    {
        (int code, string output, string error) = await ContinualProcess.RunAsync("", ["eval", "--json", "--threads", "1", .. options]);
        Assert.True(code == 0, error);
        return JsonDocument.Parse(output).RootElement;
    }

    private static double Loss(JsonElement json) => json.GetProperty("loss").GetDouble();

    private static void Close(double expected, double actual, double relative) =>
        Assert.True(Math.Abs(actual - expected) <= relative * Math.Abs(expected), $"{actual:R} instead of {expected:R}");

    private static string Line(string question, string answer) =>
        JsonSerializer.Serialize(new { messages = new[] { new { role = "user", content = question }, new { role = "assistant", content = answer } } });

    private string Write(string name, params string[] lines)
    {
        string path = Path.Combine(_folder, name);
        File.WriteAllLines(path, lines);
        return path;
    }
}
