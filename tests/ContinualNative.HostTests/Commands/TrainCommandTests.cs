using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using ContinualNative.Engine.Gguf;
using ContinualNative.Host.Training;
using ContinualNative.Interop.Trainer;
using ContinualNative.TestModels;
using ContinualNative.Training;

namespace ContinualNative.HostTests.Commands;

public sealed class TrainCommandTests : IDisposable
{
    private static readonly string[] Words = ["red", "green", "blue", "small", "big", "old", "new", "cat", "dog", "tree", "house", "car", "boat", "river", "stone"];

    private readonly string _folder = Directory.CreateTempSubdirectory("continual-train-").FullName;
    private readonly string _model = TestModel.Get();

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("llama", "F32", "f32")]
    [InlineData("qwen2", "Q4_K_M", "auto")]
    [InlineData("qwen3", "Q8_0", "f32")]
    public async Task Eval_of_the_adapter_gives_the_loss_that_training_reported(string architecture, string quantization, string precision)
    {
        string model = TestModel.Get(architecture, quantization);
        string validation = Data("validation.jsonl", 12, seed: 2);
        string adapter = Path.Combine(_folder, "a.gguf");
        JsonElement trained = await TrainAsync("--model", model, "--data", Data("train.jsonl", 60), "--validation", validation, "--out", adapter, "--lr", "2e-3", "--precision", precision);
        Assert.Equal(adapter, trained.GetProperty("adapter").GetString());
        Assert.True(trained.GetProperty("parity").GetProperty("error").GetDouble() <= trained.GetProperty("parity").GetProperty("tolerance").GetDouble());
        JsonElement bare = await EvalAsync("--model", model, "--data", validation);
        JsonElement adapted = await EvalAsync("--model", model, "--data", validation, "--adapter", adapter);
        double before = trained.GetProperty("validations")[0].GetProperty("loss").GetDouble();
        double after = trained.GetProperty("validation_loss").GetDouble();
        TestContext.Current.TestOutputHelper?.WriteLine($"{architecture} {quantization}: trainer {before:R} and {after:R}, engine {Loss(bare):R} and {Loss(adapted):R}");
        Close(Loss(bare), before, 0.01);
        Close(Loss(adapted), after, 0.01);
        Assert.True(after < before / 1.5, $"{before} and {after}");
    }

    [Fact]
    public async Task Result_holds_what_was_done()
    {
        string data = Data("train.jsonl", 40);
        JsonElement json = await TrainAsync("--model", _model, "--data", data, "--out", Path.Combine(_folder, "a.gguf"), "--epochs", "2", "--validation-share", "0.1", "--no-parity-check", "--rank", "4", "--targets", "q,v");
        Assert.Equal((36, 4, 2), (Int("examples"), Int("validation_examples"), Int("epochs")));
        Assert.True(Int("steps") > 2 && Int("tokens") > Int("answer_tokens") && Int("answer_tokens") > 72);
        Assert.All((string[])["loss_first", "loss_last", "tokens_per_second", "seconds", "peak_bytes"], name => Assert.True(json.GetProperty(name).GetDouble() > 0, name));
        Assert.InRange(json.GetProperty("fill").GetDouble(), 0.5, 1);
        JsonElement memory = json.GetProperty("memory");
        Assert.InRange(memory.GetProperty("total").GetInt64() - ((string[])["parameters", "activations", "logits", "scratch"]).Sum(name => memory.GetProperty(name).GetInt64()), 0, 4096);
        Assert.Equal(JsonValueKind.Null, json.GetProperty("parity").ValueKind);
        AdapterFile adapter = AdapterFile.Read(Path.Combine(_folder, "a.gguf"));
        Assert.Equal(["blk.0.attn_q.weight", "blk.0.attn_v.weight", "blk.1.attn_q.weight", "blk.1.attn_v.weight"], adapter.TensorNames.Order());
        Assert.Equal(["a.gguf", "train.jsonl"], Directory.EnumerateFileSystemEntries(_folder).Select(static f => Path.GetFileName(f)).Order());

        int Int(string name) => json.GetProperty(name).GetInt32();
    }

    [Fact]
    public async Task Equal_seeds_give_equal_bytes()
    {
        string data = Data("train.jsonl", 20);
        byte[][] adapters = [await Adapter("1"), await Adapter("1"), await Adapter("2")];
        Assert.Equal(adapters[0], adapters[1]);
        Assert.NotEqual(adapters[0], adapters[2]);

        async Task<byte[]> Adapter(string seed)
        {
            string path = Path.Combine(_folder, "a.gguf");
            await TrainAsync("--model", _model, "--data", data, "--out", path, "--seed", seed, "--dropout", "0.1", "--no-parity-check", "--epochs", "1");
            return File.ReadAllBytes(path);
        }
    }

    [Fact]
    public async Task A_run_killed_at_random_moments_ends_with_the_bytes_of_one_that_was_not()
    {
        // Three kills here; CONTINUAL_KILLS=20 for a long look.
        int kills = int.Parse(Environment.GetEnvironmentVariable("CONTINUAL_KILLS") ?? "3", CultureInfo.InvariantCulture);
        string adapter = Path.Combine(_folder, "a.gguf");
        string state = adapter + ".checkpoint";
        string checkpoint = Path.Combine(state, "state.ckpt");
        string[] options = ["train", "--json", "--threads", "2", "--model", _model, "--data", Data("train.jsonl", 60), "--validation", Data("validation.jsonl", 6, 2), "--out", adapter,
            "--epochs", "30", "--batch-tokens", "128", "--seq-len", "64", "--dropout", "0.1", "--accumulate", "2", "--checkpoint-every", "0.1", "--no-parity-check"];
        Stopwatch watch = Stopwatch.StartNew();
        (int code, _, string error) = await ContinualProcess.RunAsync("", options);
        double seconds = watch.Elapsed.TotalSeconds;
        Assert.True(code == 0, error);
        byte[] expected = File.ReadAllBytes(adapter);
        File.Delete(adapter);

        Random random = new(5);
        int killed = 0;
        int resumed = 0;
        int compared = 0;
        for (bool ended = false; !ended || killed < kills;)
        {
            bool resume = File.Exists(checkpoint);
            resumed += resume ? 1 : 0;
            using ContinualProcess process = new(resume ? [.. options, "--resume"] : options);
            process.Input.Close();
            // On a busy machine every random moment may come before the first checkpoint: the last kill then waits for one.
            bool late = killed == kills - 1 && resumed == 0;
            if (killed < kills && await (late ? process.KillOnceAsync(() => File.Exists(checkpoint)) : process.KillAfterAsync(TimeSpan.FromSeconds(random.NextDouble() * seconds * 0.9))))
            {
                killed++;
                ended = false;
                // Whole or not at all.
                Assert.True(!File.Exists(adapter) || File.ReadAllBytes(adapter).SequenceEqual(expected));
                continue;
            }
            (code, _, error) = await process.EndAsync();
            Assert.True(code == 0, error);
            Assert.Equal(expected, File.ReadAllBytes(adapter));
            File.Delete(adapter);
            compared++;
            ended = true;
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"{killed} kills, {resumed} resumed, {compared} adapters compared");
        Assert.True(killed == kills && resumed > 0);
        Assert.False(Directory.Exists(state));
    }

    [Fact]
    public async Task An_interrupt_leaves_a_checkpoint_and_the_line_to_go_on_with()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "skipped: signals");
        string data = Data("train.jsonl", 60);
        string adapter = Path.Combine(_folder, "a b.gguf");
        string[] options = ["train", "--json", "--threads", "2", "--model", _model, "--data", data, "--out", adapter, "--epochs", "150", "--no-parity-check"];
        using ContinualProcess process = new(options);
        await ContinualProcess.UntilAsync(() => File.Exists(Path.Combine(adapter + ".checkpoint", "state.ckpt")), "a checkpoint");
        await Task.Delay(30, TestContext.Current.CancellationToken);
        using (Process kill = Process.Start("kill", ["-INT", process.Id.ToString(CultureInfo.InvariantCulture)]))
        {
            await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
        }
        (int code, string output, string error) = await process.EndAsync();
        Assert.Equal((1, ""), (code, output));
        Assert.Contains("interrupted after step ", error);
        Assert.Contains($"--out '{adapter}' --epochs 150 --no-parity-check --resume", error);
        Assert.False(File.Exists(adapter));

        (code, output, error) = await ContinualProcess.RunAsync("", options);
        Assert.Equal(2, code);
        Assert.Contains("--resume", error);
        (code, output, error) = await ContinualProcess.RunAsync("", [.. options, "--resume"]);
        Assert.True(code == 0, error);
        byte[] resumed = File.ReadAllBytes(adapter);
        await TrainAsync(options[4..]);
        Assert.Equal(File.ReadAllBytes(adapter), resumed);
    }

    [Fact]
    public async Task Peft_goes_out_and_in_and_gives_the_same_model()
    {
        string data = Data("train.jsonl", 30);
        string folder = Path.Combine(_folder, "peft");
        string gguf = Path.Combine(_folder, "a.gguf");
        string[] options = ["--model", _model, "--data", data, "--epochs", "1", "--no-parity-check"];
        await TrainAsync([.. options, "--out", folder, "--peft"]);
        await TrainAsync([.. options, "--out", gguf]);
        Assert.Equal(["adapter_config.json", "adapter_model.safetensors"], Directory.EnumerateFiles(folder).Select(static f => Path.GetFileName(f)).Order());
        // A learning rate of 0 writes what was read.
        string back = Path.Combine(_folder, "back.gguf");
        await TrainAsync([.. options, "--out", back, "--init", folder, "--lr", "0"]);
        Close(Loss(await EvalAsync("--model", _model, "--data", data, "--adapter", gguf)), Loss(await EvalAsync("--model", _model, "--data", data, "--adapter", back)), 1e-6);
        // A second time into the same folder.
        await TrainAsync([.. options, "--out", folder, "--peft"]);
    }

    [Fact]
    public async Task An_adapter_begun_with_is_checked_against_the_engine_and_trained_further()
    {
        string data = Data("train.jsonl", 30);
        string first = Path.Combine(_folder, "first.gguf");
        string second = Path.Combine(_folder, "second.gguf");
        string[] options = ["--model", _model, "--data", data, "--validation", data, "--lr", "2e-3", "--epochs", "2"];
        JsonElement one = await TrainAsync([.. options, "--out", first]);
        JsonElement two = await TrainAsync([.. options, "--out", second, "--init", first, "--anchor", "0.01"]);
        Assert.Equal("anchored", two.GetProperty("objective").GetString());
        Assert.Equal(2 * one.GetProperty("parity").GetProperty("tokens").GetInt32(), two.GetProperty("parity").GetProperty("tokens").GetInt32());
        Close(one.GetProperty("validation_loss").GetDouble(), two.GetProperty("validations")[0].GetProperty("loss").GetDouble(), 1e-4);
        Assert.True(two.GetProperty("validation_loss").GetDouble() < one.GetProperty("validation_loss").GetDouble());
    }

    [Fact]
    public async Task Pairs_are_trained_with_dpo()
    {
        string data = Path.Combine(_folder, "pairs.jsonl");
        File.WriteAllLines(data, Enumerable.Range(0, 20).Select(static i => JsonSerializer.Serialize(new
        {
            messages = new[] { new { role = "user", content = $"Which, {Words[i % 15]}?" }, new { role = "assistant", content = "this one" } },
            rejected = new { role = "assistant", content = "that one" },
        })));
        JsonElement json = await TrainAsync("--model", _model, "--data", data, "--out", Path.Combine(_folder, "a.gguf"), "--lr", "2e-3", "--epochs", "4");
        Assert.Equal("dpo", json.GetProperty("objective").GetString());
        Close(Math.Log(2), json.GetProperty("loss_first").GetDouble(), 1e-3);
        Assert.True(json.GetProperty("loss_last").GetDouble() < 0.6, $"{json}");
    }

    [Fact]
    public async Task Long_examples_are_cut_and_counted_and_weightless_ones_left_out()
    {
        string data = Path.Combine(_folder, "data.jsonl");
        string longText = string.Concat(Enumerable.Repeat("on and on ", 60));
        File.WriteAllLines(
            data,
            [
                Line(longText, "yes"),
                Line("Why?", longText),
                Line("What?", "so"),
                """{"prompt":"a b c","completion":" d","weight":0}""",
            ]);
        (int code, string output, string error) = await ContinualProcess.RunAsync("", "train", "--json", "--model", _model, "--data", data, "--out", Path.Combine(_folder, "a.gguf"), "--seq-len", "32", "--no-parity-check");
        Assert.True(code == 0, error);
        JsonElement json = JsonDocument.Parse(output).RootElement;
        Assert.Equal((3, 2, 1, 1), (json.GetProperty("examples").GetInt32(), json.GetProperty("prompts_cut").GetInt32(), json.GetProperty("answers_cut").GetInt32(), json.GetProperty("dropped").GetInt32()));
        Assert.Contains("longer than 32 tokens, 2 lost the front of their prompt and 1 the end of their answer; 1 without an answer or with weight 0 were left out", error);
    }

    [Fact]
    public async Task A_full_disk_is_told_before_the_first_step_and_leaves_nothing_half()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "skipped: no ulimit");
        string adapter = Path.Combine(_folder, "a.gguf");
        string data = Data("train.jsonl", 10);
        // A limit on the size of files: writes fail as they do on a full disk. The runtime's own memory files must not count.
        ProcessStartInfo start = new("bash", ["-c", "trap '' XFSZ; ulimit -f 200; exec \"$@\"", "bash", Path.Combine(AppContext.BaseDirectory, "continual"), "train", "--model", _model, "--data", data, "--out", adapter, "--no-parity-check"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["DOTNET_EnableWriteXorExecute"] = "0" },
        };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        string error = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(process.ExitCode == 1, $"exit {process.ExitCode}: {error}");
        Assert.Empty(await output);
        Assert.Contains("The checkpoint can't be written into", error);
        Assert.Contains("Free some space", error);
        Assert.Equal(["train.jsonl"], Directory.EnumerateFiles(_folder, "*", SearchOption.AllDirectories).Select(static f => Path.GetFileName(f)));
    }

    [Fact]
    public async Task A_text_for_people_holds_the_same_figures()
    {
        (int code, string output, string error) = await ContinualProcess.RunAsync("", "train", "--model", _model, "--data", Data("train.jsonl", 20), "--validation-share", "0.2", "--out", Path.Combine(_folder, "a.gguf"), "--epochs", "1");
        Assert.True(code == 0, error);
        Assert.Matches(@"loss         \d+\.\d{4} at first, \d+\.\d{4} at last, nats a token", output);
        Assert.Matches(@"validation   \d+\.\d{4} before, \d+\.\d{4} at best, after step \d+", output);
        Assert.Contains("parity with the engine: ", error);
        Assert.Contains("16 examples, 4 to validate on: ", error);
    }

    [Fact]
    public async Task Whatever_is_wrong_is_one_line_that_names_it()
    {
        string good = Data("good.jsonl", 5);
        string stranger = Path.Combine(_folder, "stranger.gguf");
        TestAdapter.Write(stranger, new TestModelOptions { Width = 512 });
        string small = TestModel.Get(new TestModelOptions { Context = 64 });
        await FailsAsync("--model: there is no file", "--model", Path.Combine(_folder, "none.gguf"));
        await FailsAsync("--model: ", "--model", good);
        await FailsAsync("bert", "--model", TestModel.Get("bert"));
        await FailsAsync("--data: there is no file", "--data", Path.Combine(_folder, "none.jsonl"));
        await FailsAsync("it holds no examples", "--data", Write("empty.jsonl"));
        await FailsAsync("nothing to train on: all 1 examples", "--data", Write("masked.jsonl", """{"prompt":"a b","completion":" c","weight":0}"""));
        await FailsAsync("line 2: the field 'completion' is missing", "--data", Write("bad.jsonl", """{"prompt":"a","completion":"b"}""", """{"prompt":"a"}"""));
        await FailsAsync("and some have none (line 2)", "--data", Write("mixed.jsonl", """{"prompt":"a","completion":"b","rejected":"c"}""", """{"prompt":"a","completion":"b"}"""));
        await FailsAsync("the same; there is nothing to prefer", "--data", Write("same.jsonl", """{"prompt":"a","completion":"b","rejected":"b"}"""));
        await FailsAsync("stranger.gguf", "--init", stranger);
        await FailsAsync("--init: ", "--init", stranger, "--no-parity-check");
        await FailsAsync("--out: 'a.bin' must end in .gguf", "--out", "a.bin");
        await FailsAsync("--out: there is no folder", "--out", Path.Combine(_folder, "no", "a.gguf"));
        await FailsAsync("--out: ", "--out", _folder, "--peft");
        await FailsAsync("--seq-len: 600 is more than a batch's 512 tokens", "--seq-len", "600");
        await FailsAsync("--seq-len: 128 is more than the 64 tokens that the model was trained for", "--model", small, "--seq-len", "128");
        await FailsAsync("--rank: 0 does not lie between", "--rank", "0");
        await FailsAsync("--targets: there is no layer 'x'", "--targets", "q,x");
        await FailsAsync("--precision: 'f64'", "--precision", "f64");
        await FailsAsync("--memory-budget: '1 elephant' is no size", "--memory-budget", "1 elephant");
        await FailsAsync("--memory-budget: the memory budget of 1048576 bytes is too small", "--memory-budget", "1MiB");
        await FailsAsync("--patience: ", "--patience", "2");
        await FailsAsync("no checkpoint in", "--resume");
        if (OperatingSystem.IsLinux())
        {
            // Not even root may.
            await FailsAsync("--out: the folder '/proc' can't be written into", "--out", "/proc/a.gguf");
        }

        async Task FailsAsync(string expected, params string[] options)
        {
            string[] defaults = ["--model", _model, "--data", good, "--out", Path.Combine(_folder, "a.gguf")];
            IEnumerable<string> missing = defaults.Chunk(2).Where(pair => !options.Contains(pair[0])).SelectMany(static pair => pair);
            (int code, string output, string error) = await ContinualProcess.RunAsync("", ["train", "--json", .. missing, .. options]);
            Assert.True(code == 2, $"exit {code}: {error}");
            Assert.Empty(output);
            Assert.Contains(expected, error);
            Assert.StartsWith("continual train: ", error.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1]);
            Assert.False(File.Exists(Path.Combine(_folder, "a.gguf")));
            Assert.False(Directory.Exists(Path.Combine(_folder, "a.gguf.checkpoint")));
        }
    }

    [Fact]
    public async Task Weights_that_are_not_numbers_are_found_before_the_first_step()
    {
        string broken = Path.Combine(_folder, "broken.gguf");
        File.Copy(_model, broken);
        GgufFile file = GgufFile.Read(broken);
        using (FileStream stream = new(broken, FileMode.Open, FileAccess.Write))
        {
            stream.Position = file.DataOffset + file.GetTensor("blk.0.attn_v.weight").Offset;
            stream.Write(BitConverter.GetBytes(float.NaN));
        }
        string data = Data("train.jsonl", 10);
        (int code, _, string error) = await ContinualProcess.RunAsync("", "train", "--model", broken, "--data", data, "--out", Path.Combine(_folder, "a.gguf"));
        Assert.Equal(1, code);
        Assert.Contains("NaN", error);
        Assert.Equal(["broken.gguf", "train.jsonl"], Directory.EnumerateFileSystemEntries(_folder).Select(static f => Path.GetFileName(f)).Order());
    }

    [Theory]
    [InlineData("Q8_0")]
    [InlineData("BF16")]
    public async Task Parity_check_refuses_a_model_that_is_another(string quantization)
    {
        // The engine's model and the trainer's differ by no more than rounding of the weights.
        TrainingPlan plan = TrainingPlan.Create(new TrainingOptions { SequenceLength = 64 }, [new TrainingExample { Tokens = [.. Enumerable.Range(400, 50)], From = 20 }]);
        ParityCheck check = await ParityCheck.ScoreAsync(plan, _model, 1024, null, 2, TestContext.Current.CancellationToken);
        using TrainableModelHandle same = TrainableModelHandle.Open(_model);
        using TrainableModelHandle other = TrainableModelHandle.Open(TestModel.Get("llama", quantization));
        TrainerOptions options = plan.ToTrainer() with { Precision = TrainingPrecision.F32 };
        using TrainerHandle right = TrainerHandle.Create(same, options);
        using TrainerHandle wrong = TrainerHandle.Create(other, options);
        bool imported = false;
        ParityResult result = check.Compare(right, TrainingPrecision.F32, () => imported = true, TestContext.Current.CancellationToken);
        Assert.True(imported && result.Error < 1e-5 && result.Tokens == 49, $"{result}");
        ParityException e = Assert.Throws<ParityException>(() => check.Compare(wrong, TrainingPrecision.F32, static () => { }, TestContext.Current.CancellationToken));
        TestContext.Current.TestOutputHelper?.WriteLine(e.Message);
        Assert.Contains("--no-parity-check", e.Message);
    }

    private static async Task<JsonElement> TrainAsync(params string[] options)
    {
        (int code, string output, string error) = await ContinualProcess.RunAsync("", ["train", "--json", "--threads", "1", .. options.Where(static o => o is not "--json")]);
        Assert.True(code == 0, error);
        return JsonDocument.Parse(output).RootElement;
    }

    private static async Task<JsonElement> EvalAsync(params string[] options)
    {
        (int code, string output, string error) = await ContinualProcess.RunAsync("", ["eval", "--json", "--threads", "1", "--max-tokens", "0", .. options]);
        Assert.True(code == 0, error);
        return JsonDocument.Parse(output).RootElement;
    }

    private static double Loss(JsonElement json) => json.GetProperty("loss").GetDouble();

    private static void Close(double expected, double actual, double relative) =>
        Assert.True(Math.Abs(actual - expected) <= relative * Math.Abs(expected), $"{actual:R} instead of {expected:R}");

    private static string Line(string question, string answer) =>
        JsonSerializer.Serialize(new { messages = new[] { new { role = "user", content = question }, new { role = "assistant", content = answer } } });

    // Two words to say in the other order.
    private string Data(string name, int count, int seed = 1)
    {
        Random random = new(seed);
        return Write(name, [.. Enumerable.Range(0, count).Select(_ =>
        {
            (string a, string b) = (Words[random.Next(Words.Length)], Words[random.Next(Words.Length)]);
            return Line($"Say {a} {b} backwards.", $"{b} {a}");
        })]);
    }

    private string Write(string name, params string[] lines)
    {
        string path = Path.Combine(_folder, name);
        File.WriteAllLines(path, lines);
        return path;
    }
}
