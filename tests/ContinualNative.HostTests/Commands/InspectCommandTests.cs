using System.CommandLine;
using System.Text.Json;
using ContinualNative.Engine.Gguf;
using ContinualNative.Host.Commands;
using ContinualNative.TestModels;

namespace ContinualNative.HostTests.Commands;

public sealed class InspectCommandTests : IDisposable
{
    private static readonly TestModelOptions Small = new() { Architecture = "qwen2", Width = 64, FeedForward = 96, Context = 128 };

    private readonly string _folder = Directory.CreateTempSubdirectory("inspect").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    [Fact]
    public void Json_tells_what_the_model_is()
    {
        string path = Write(TestModel.Create(Small));
        (int code, string output, string error) = Run(path, "--json", "--tensors", "--template");
        Assert.Equal(0, code);
        Assert.Empty(error);
        JsonElement json = JsonDocument.Parse(output).RootElement;
        Assert.Equal("model", json.GetProperty("kind").GetString());
        Assert.Equal("qwen2", json.GetProperty("architecture").GetString());
        Assert.Equal(2, json.GetProperty("layers").GetInt32());
        Assert.Equal(64, json.GetProperty("width").GetInt32());
        Assert.Equal(4, json.GetProperty("heads").GetInt32());
        Assert.Equal(2, json.GetProperty("kv_heads").GetInt32());
        Assert.Equal(128, json.GetProperty("context_length").GetInt32());
        GgufFile file = GgufFile.Read(path);
        Assert.Equal(file.Parameters, json.GetProperty("parameters").GetInt64());
        Assert.Equal(file.Tensors.Count, json.GetProperty("tensors").GetArrayLength());
        Assert.Equal(new FileInfo(path).Length, json.GetProperty("bytes").GetInt64());
        Assert.Equal(file.TensorBytes, json.GetProperty("types").EnumerateArray().Sum(t => t.GetProperty("bytes").GetInt64()));
        JsonElement vocabulary = json.GetProperty("vocabulary");
        Assert.Equal("<|im_end|>", vocabulary.GetProperty("special_tokens").GetProperty("eos").GetProperty("text").GetString());
        Assert.True(json.GetProperty("chat_template").GetProperty("tools").GetBoolean());
        Assert.Equal(TestTemplates.ChatMlTools, json.GetProperty("chat_template").GetProperty("source").GetString());
        Assert.Equal(JsonValueKind.Null, json.GetProperty("problem").ValueKind);
        Assert.Equal(5, json.GetProperty("metadata").GetProperty("tokenizer.ggml.tokens").GetProperty("first").GetArrayLength());
    }

    [Fact]
    public void Text_holds_the_same_facts_in_unbroken_lines()
    {
        string path = Write(TestModel.Create(Small with { ChatTemplate = TestTemplates.ChatMl }));
        (int code, string output, _) = Run(path, "--tensors");
        Assert.Equal(0, code);
        string[] lines = output.Split('\n');
        Assert.Contains(lines, l => l.Contains("architecture") && l.Contains("qwen2"));
        Assert.Contains(lines, l => l.Contains("chat template") && l.Contains("without tools"));
        Assert.Contains(lines, l => l.Contains("blk.1.ffn_down.weight") && l.Contains("f32") && l.Contains("96 × 64"));
        Assert.DoesNotContain('\u001b', output);
        (_, string shown, _) = Run(path, "--template");
        Assert.Contains(TestTemplates.ChatMl, shown);
    }

    [Fact]
    public void An_adapter_is_shown_with_rank_and_targets()
    {
        string path = Write(TestAdapter.Create(Small, rank: 4, alpha: 8, targets: ["q", "down"]));
        (int code, string output, _) = Run(path, "--json");
        Assert.Equal(0, code);
        JsonElement json = JsonDocument.Parse(output).RootElement;
        Assert.Equal("adapter", json.GetProperty("kind").GetString());
        JsonElement adapter = json.GetProperty("adapter");
        Assert.Equal(4, adapter.GetProperty("rank").GetInt32());
        Assert.Equal(2, adapter.GetProperty("scale").GetDouble());
        Assert.Equal(["attn_q", "ffn_down"], adapter.GetProperty("targets").EnumerateArray().Select(t => t.GetString()));
        Assert.Contains("rank", Run(path).Output);
    }

    [Fact]
    public void Hostile_text_reaches_neither_terminal_nor_markup()
    {
        GgufWriter writer = TestModel.Create(Small);
        writer.Set("general.name", "[red]x[/] \u001b[2J\u202e evil\r\n" + string.Concat(Enumerable.Repeat("😀", 100)));
        writer.Set("odd", GgufArray.Of([GgufArray.Of<double>([double.NaN, 1])]));
        writer.Set("nan", float.NaN);
        string path = Write(writer);
        (int code, string output, _) = Run(path);
        Assert.Equal(0, code);
        Assert.Contains("[red]x[/]", output);
        Assert.DoesNotContain('\u001b', output);
        Assert.DoesNotContain('\u202e', output);
        Assert.Equal("NaN", JsonDocument.Parse(Run(path, "--json").Output).RootElement.GetProperty("metadata").GetProperty("nan").GetString());
    }

    [Fact]
    public void A_file_that_the_engine_would_refuse_is_shown_with_the_reason()
    {
        GgufWriter writer = TestModel.Create(Small);
        writer.Set("qwen2.block_count", 9999u);
        writer.Set("general.architecture", "qwen2");
        string path = Write(writer);
        (int code, string output, string error) = Run(path, "--json");
        Assert.Equal(0, code);
        Assert.Contains("expected 1 to 512", JsonDocument.Parse(output).RootElement.GetProperty("problem").GetString());
        Assert.Contains("the engine would refuse", error);
    }

    [Fact]
    public void Bad_files_exit_with_2_and_one_line()
    {
        string text = Path.Combine(_folder, "text.gguf");
        File.WriteAllText(text, "no model\nat all");
        string truncated = Write(TestModel.Create(Small));
        File.WriteAllBytes(truncated, File.ReadAllBytes(truncated)[..100_000]);
        foreach (string path in (string[])[text, truncated, Path.Combine(_folder, "missing.gguf"), _folder])
        {
            (int code, string output, string error) = Run(path, "--json");
            Assert.Equal(2, code);
            Assert.Empty(output);
            Assert.StartsWith("error: " + path, error);
            Assert.Single(error.TrimEnd().Split('\n'));
        }
    }

    private string Write(GgufWriter writer)
    {
        string path = Path.Combine(_folder, $"{Guid.NewGuid():N}.gguf");
        writer.Write(path, cancellationToken: TestContext.Current.CancellationToken);
        return path;
    }

    private static (int Code, string Output, string Error) Run(params string[] arguments)
    {
        StringWriter output = new();
        StringWriter error = new();
        int code = InspectCommand.Create().Parse(arguments).Invoke(new InvocationConfiguration { Output = output, Error = error });
        return (code, output.ToString(), error.ToString());
    }
}
