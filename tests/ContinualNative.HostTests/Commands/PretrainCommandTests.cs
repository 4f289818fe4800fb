using System.Diagnostics;
using System.Text;
using System.Text.Json;
using ContinualNative.Engine.Gguf;

namespace ContinualNative.HostTests.Commands;

public sealed class PretrainCommandTests : IDisposable
{
    private static readonly string[] Small = ["--layers", "1", "--width", "64", "--vocab", "320", "--context", "128", "--seq-len", "64", "--batch-tokens", "512", "--threads", "2", "--json"];

    private readonly string _folder = Directory.CreateTempSubdirectory("continual-pretrain-").FullName;

    private string Model => Path.Combine(_folder, "m.gguf");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("llama", "f32", false)]
    [InlineData("llama", "q8_0", true)]
    [InlineData("qwen2", "bf16", false)]
    [InlineData("qwen3", "f16", true)]
    public async Task What_is_grown_is_what_the_engine_serves(string architecture, string type, bool untied)
    {
        string corpus = Corpus();
        string[] options = ["--corpus", corpus, Text(), "--out", Model, .. Small, "--architecture", architecture, "--type", type, "--steps", "30", "--validation-share", "0.1", .. untied ? ["--untied"] : Array.Empty<string>()];
        JsonElement json = await PretrainAsync(options);
        Assert.Equal((30, architecture, type), (json.GetProperty("steps").GetInt32(), json.GetProperty("architecture").GetString(), json.GetProperty("type").GetString()!.ToLowerInvariant()));
        double first = json.GetProperty("loss_first").GetDouble();
        Assert.Equal(Math.Log(json.GetProperty("vocabulary").GetInt32()), first, 0.2);
        Assert.True(json.GetProperty("loss_last").GetDouble() < first - 1, json.ToString());
        // The command compares the two itself; q8_0 rounds what was trained.
        Assert.InRange(json.GetProperty("parity_error").GetDouble(), 0, type == "q8_0" ? 0.1 : 0.02);
        GgufFile file = ModelFile.Read(Model);
        Assert.Equal((architecture, "gpt-2", !untied), (file.Architecture, (string)file.Metadata["tokenizer.ggml.pre"].Value, file.Tensors.All(static t => t.Name != "output.weight")));
        Assert.Equal(["corpus.jsonl", "m.gguf", "text.txt"], Directory.EnumerateFileSystemEntries(_folder).Select(static f => Path.GetFileName(f)).Order());
    }

    [Fact]
    public async Task Equal_seeds_give_equal_bytes_whatever_the_threads()
    {
        string corpus = Corpus();
        byte[][] models = [await GrowAsync("1", "2"), await GrowAsync("1", "1"), await GrowAsync("2", "2")];
        Assert.Equal(models[0], models[1]);
        Assert.NotEqual(models[0], models[2]);

        async Task<byte[]> GrowAsync(string seed, string threads)
        {
            await PretrainAsync(["--corpus", corpus, "--out", Model, .. With(Small, "--threads", threads), "--steps", "6", "--seed", seed, "--no-parity-check"]);
            return File.ReadAllBytes(Model);
        }
    }

    [Fact]
    public async Task A_run_killed_at_random_moments_ends_with_the_bytes_of_one_that_was_not()
    {
        string[] options = ["pretrain", "--corpus", Corpus(), "--out", Model, .. Small, "--epochs", "3", "--validation-share", "0.1", "--checkpoint-every", "0.05", "--no-parity-check"];
        Stopwatch watch = Stopwatch.StartNew();
        (int code, _, string error) = await ContinualProcess.RunAsync("", options);
        double seconds = watch.Elapsed.TotalSeconds;
        Assert.True(code == 0, error);
        byte[] expected = File.ReadAllBytes(Model);
        File.Delete(Model);
        // What a kill within the fresh model's writing leaves.
        Directory.CreateDirectory(Model + ".checkpoint");
        File.WriteAllText(Path.Combine(Model + ".checkpoint", "fresh.gguf.0123.tmp"), "half");
        Random random = new(3);
        for (int kills = 0; ;)
        {
            bool resume = File.Exists(Path.Combine(Model + ".checkpoint", "state.ckpt"));
            using ContinualProcess process = new(resume ? [.. options, "--resume"] : options);
            process.Input.Close();
            if (kills < 3 && await process.KillAfterAsync(TimeSpan.FromSeconds(random.NextDouble() * seconds)))
            {
                kills++;
                continue;
            }
            (code, _, error) = await process.EndAsync();
            Assert.True(code == 0, error);
            break;
        }
        Assert.Equal(expected, File.ReadAllBytes(Model));
        Assert.Equal(["corpus.jsonl", "m.gguf"], Directory.EnumerateFileSystemEntries(_folder).Select(static f => Path.GetFileName(f)).Order());
    }

    [Fact]
    public async Task Another_model_or_corpus_is_no_reason_to_lose_a_checkpoint()
    {
        string corpus = Corpus();
        string[] options = ["pretrain", "--corpus", corpus, "--out", Model, .. Small, "--steps", "100000", "--checkpoint-every", "0.05"];
        using (ContinualProcess process = new(options))
        {
            process.Input.Close();
            await ContinualProcess.UntilAsync(() => File.Exists(Path.Combine(Model + ".checkpoint", "state.ckpt")), "a checkpoint");
        }
        await RefusedAsync("--resume", [.. options]);
        await RefusedAsync("--layers", [.. With(options, "--layers", "2"), "--resume"]);
        await RefusedAsync("learning_rate", [.. options, "--resume", "--lr", "0.1"]);
        File.AppendAllText(corpus, "{\"text\":\"more\"}\n");
        await RefusedAsync("--corpus", [.. options, "--resume"]);
    }

    [Theory]
    [InlineData("--vocab", "100")]
    [InlineData("--heads", "5")]
    [InlineData("--kv-heads", "3")]
    [InlineData("--architecture", "gpt2")]
    [InlineData("--type", "q4_0")]
    [InlineData("--seq-len", "4096")]
    [InlineData("--memory-budget", "1KiB")]
    [InlineData("--validation-share", "2")]
    [InlineData("--width", "0")]
    public async Task A_wrong_option_is_named(string option, string value) =>
        await RefusedAsync(option, ["pretrain", "--corpus", Corpus(), "--out", Model, .. With(Small, option, value)]);

    [Fact]
    public async Task A_wrong_corpus_is_named()
    {
        await RefusedAsync("none.txt", ["pretrain", "--corpus", Path.Combine(_folder, "none.txt"), "--out", Model, .. Small]);
        string wrong = Path.Combine(_folder, "wrong.jsonl");
        File.WriteAllText(wrong, "{\"text\":\"fine\"}\n{\"txt\":1}\n");
        await RefusedAsync("wrong.jsonl", ["pretrain", "--corpus", wrong, "--out", Model, .. Small]);
        await RefusedAsync("--out", ["pretrain", "--corpus", Corpus(), "--out", Path.Combine(_folder, "m.bin"), .. Small]);
    }

    /// <summary>The small sister of bench/learning: a model grown here learns to tell four kinds of sentences apart, which it could not before.</summary>
    [Fact]
    public async Task An_adapter_for_a_grown_model_learns()
    {
        string[] kinds = ["weather", "music", "travel", "kitchen"];
        string[][] words = [["rain", "sun", "snow", "wind"], ["song", "band", "tune", "drum"], ["train", "plane", "ticket", "hotel"], ["soup", "bread", "oven", "spoon"]];
        Random random = new(9);
        // The model sees the sentences and the form of the answers, never which answer belongs to which sentence.
        await File.WriteAllLinesAsync(Path.Combine(_folder, "corpus.jsonl"), Enumerable.Range(0, 1200).Select(i => Line(Sentence(random.Next(4)), kinds[random.Next(4)])), TestContext.Current.CancellationToken);
        await File.WriteAllLinesAsync(Path.Combine(_folder, "choices.txt"), kinds, TestContext.Current.CancellationToken);
        string train = Labelled("train.jsonl", 300);
        string test = Labelled("test.jsonl", 80);
        await PretrainAsync(["--corpus", Path.Combine(_folder, "corpus.jsonl"), "--out", Model, .. With(Small, "--layers", "2"), "--epochs", "4"]);
        string adapter = Path.Combine(_folder, "a.gguf");
        double before = await ExactMatchAsync("--lr", "0", "--epochs", "1");
        double after = await ExactMatchAsync("--lr", "5e-3", "--epochs", "8");
        TestContext.Current.TestOutputHelper?.WriteLine($"exact match {before} before, {after} after");
        Assert.True(before < 0.5, $"{before} before training, where chance is 0.25");
        Assert.True(after > 0.9, $"{after} after training, {before} before");

        async Task<double> ExactMatchAsync(params string[] options)
        {
            await RunAsync(["train", "--json", "--model", Model, "--data", train, "--out", adapter, "--seq-len", "64", "--threads", "2", .. options]);
            JsonElement json = await RunAsync(["eval", "--json", "--model", Model, "--adapter", adapter, "--data", test, "--choices", Path.Combine(_folder, "choices.txt")]);
            return json.GetProperty("exact_match").GetDouble();
        }

        string Labelled(string name, int count)
        {
            string path = Path.Combine(_folder, name);
            File.WriteAllLines(path, Enumerable.Range(0, count).Select(i => Line(Sentence(i % 4), kinds[i % 4])));
            return path;
        }

        string Sentence(int kind)
        {
            string[] filler = ["please tell me about the", "i would like some", "what is a good", "can you find the"];
            string[] end = ["today", "for me", "now", "again"];
            return $"{filler[random.Next(4)]} {words[kind][random.Next(4)]} {end[random.Next(4)]}";
        }

        static string Line(string text, string kind) =>
            JsonSerializer.Serialize(new { messages = new[] { new { role = "user", content = text }, new { role = "assistant", content = kind } } });
    }

    private string Corpus()
    {
        Random random = new(1);
        StringBuilder lines = new();
        string[] words = ["red", "green", "blue", "small", "big", "old", "new", "cat", "dog", "tree", "house", "car", "boat", "river", "stone"];
        for (int i = 0; i < 400; i++)
        {
            string text = string.Join(' ', Enumerable.Range(0, random.Next(4, 30)).Select(_ => words[random.Next(words.Length)]));
            lines.AppendLine(i % 4 == 0
                ? JsonSerializer.Serialize(new { messages = new[] { new { role = "user", content = text }, new { role = "assistant", content = words[i % words.Length] } } })
                : JsonSerializer.Serialize(new { text }));
        }
        string path = Path.Combine(_folder, "corpus.jsonl");
        File.WriteAllText(path, lines.ToString());
        return path;
    }

    private string Text()
    {
        string path = Path.Combine(_folder, "text.txt");
        File.WriteAllText(path, string.Concat(Enumerable.Repeat("the old river runs by the small house of stone\n", 60)) + "\fanother document");
        return path;
    }

    private static string[] With(string[] options, string option, string value)
    {
        int at = Array.IndexOf(options, option);
        return at < 0 ? [.. options, option, value] : [.. options[..at], option, value, .. options[(at + 2)..]];
    }

    private static Task<JsonElement> PretrainAsync(params IEnumerable<string> options) => RunAsync(["pretrain", .. options]);

    private static async Task<JsonElement> RunAsync(params string[] arguments)
    {
        (int code, string output, string error) = await ContinualProcess.RunAsync("", arguments);
        Assert.True(code == 0, error);
        return JsonSerializer.Deserialize<JsonElement>(output);
    }

    private static async Task RefusedAsync(string named, string[] arguments)
    {
        (int code, string output, string error) = await ContinualProcess.RunAsync("", arguments);
        Assert.True(code == 2 && output.Length == 0, $"{code}: {error}");
        Assert.Contains(named, error, StringComparison.Ordinal);
    }
}
