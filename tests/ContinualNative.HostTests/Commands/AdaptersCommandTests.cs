using System.Text;
using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.Core.Evaluation;
using ContinualNative.Engine.Gguf;
using ContinualNative.Storage;
using ContinualNative.TestModels;

namespace ContinualNative.HostTests.Commands;

public sealed class AdaptersCommandTests : IDisposable
{
    private static readonly TestModelOptions Options = new();

    private readonly TestStore _store = new();
    private readonly string _model = TestModel.Get(Options);

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    private string Shelf => Path.Combine(_store.Folder, "adapters");

    public void Dispose() => _store.Dispose();

    [Fact]
    public async Task An_adapter_goes_in_and_comes_out_byte_for_byte()
    {
        await _store.FillAsync();
        byte[] bytes = TestAdapter.ToBytes(Options);
        JsonElement imported = (await OkAsync("adapters", "import", _store.Write("mine.gguf", bytes), "--model", _model, "--note", "by hand")).GetProperty("adapter");
        Assert.Equal(("mine", "imported", "candidate", 8, "by hand"), (Text(imported, "id"), Text(imported, "origin"), Text(imported, "status"), imported.GetProperty("rank").GetInt32(), Text(imported, "note")));
        Assert.Equal(["mine.gguf"], Directory.GetFiles(Shelf).Select(Path.GetFileName));
        // The same file once more changes nothing, and puts a lost one back.
        File.Delete(Path.Combine(Shelf, "mine.gguf"));
        await OkAsync("adapters", "import", Path.Combine(_store.Folder, "mine.gguf"), "--model", _model);
        string copy = Path.Combine(_store.Folder, "copy.gguf");
        await OkAsync("adapters", "export", "mine", "--out", copy);
        Assert.Equal(bytes, File.ReadAllBytes(copy));
        JsonElement list = await OkAsync("adapters", "list");
        Assert.Equal(("base", "mine"), (Text(list, "champion"), Text(list.GetProperty("adapters")[0], "id")));
        (int code, string output, string error) = await _store.RunAsync("adapters", "list");
        Assert.True(code == 0, error);
        Assert.Contains("mine ", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("llama", null)]
    [InlineData("qwen3", "q,v,down")]
    public async Task Peft_comes_out_and_goes_in_with_the_same_numbers(string architecture, string? targets)
    {
        await _store.FillAsync();
        TestModelOptions options = new() { Architecture = architecture };
        string model = TestModel.Get(options);
        string source = _store.Write("a.gguf", TestAdapter.ToBytes(options, rank: 4, alpha: 12, targets: targets?.Split(',')));
        await OkAsync("adapters", "import", source, "--model", model);
        string folder = Path.Combine(_store.Folder, "peft-form");
        await OkAsync("adapters", "export", "a", "--out", folder, "--peft", "--model", model);
        Assert.Equal(["adapter_config.json", "adapter_model.safetensors"], Directory.GetFiles(folder).Select(Path.GetFileName).Order());
        JsonElement back = (await OkAsync("adapters", "import", folder, "--model", model)).GetProperty("adapter");
        Assert.Equal(("peft-form", 4), (Text(back, "id"), back.GetProperty("rank").GetInt32()));
        string written = Path.Combine(Shelf, "peft-form.gguf");
        Assert.Equal(Numbers(source), Numbers(written));
        Assert.Equal(12, AdapterFile.Read(written).Alpha);
    }

    [Fact]
    public async Task What_is_imported_is_known_to_a_server_as_its_own_model_s_and_answers_after_an_offline_promotion()
    {
        await _store.FillAsync();
        await OkAsync("adapters", "import", _store.Write("a1.gguf", TestAdapter.ToBytes(Options)), "--model", _model);
        await OkAsync("adapters", "import", _store.Write("a2.gguf", TestAdapter.ToBytes(Options, seed: 2)), "--model", _model);
        Assert.Equal("a1", Text((await OkAsync("adapters", "promote", "a1", "--offline")).GetProperty("promotion"), "champion"));
        Assert.Equal(1, (await _store.RunAsync("adapters", "promote", "a1", "--offline")).Code);
        await OkAsync("adapters", "promote", "a2", "--offline");
        JsonElement back = (await OkAsync("adapters", "rollback", "--offline")).GetProperty("promotion");
        Assert.Equal(("a1", "a2", "manual_rollback"), (Text(back, "champion"), Text(back, "previous"), Text(back, "reason")));
        await using ContinualServer server = await ContinualServer.StartAsync(_model, "--ctx", "256", "--data", _store.Folder);
        await ContinualProcess.UntilAsync(() => server.Engine.Adapters.Champion == "a1", "the champion of the store");
        Assert.Equal(server.State.Model.Fingerprint, server.Signal.Store!.Adapter("a1")!.Model);

        // And through the running server.
        string url = server.BaseAddress.ToString();
        (int code, string output, string error) = await ContinualProcess.RunAsync("", "adapters", "promote", "a2", "--url", url);
        Assert.True(code == 0, error);
        Assert.Equal("'a2' is champion in place of 'a1'.", output.Trim());
        Assert.Equal("a2", server.Engine.Adapters.Champion);
        (code, output, error) = await ContinualProcess.RunAsync("", "adapters", "rollback", "--url", url, "--json");
        Assert.True(code == 0, error);
        Assert.Equal("a1", Text(JsonDocument.Parse(output).RootElement.GetProperty("promotion"), "champion"));
        (code, _, error) = await ContinualProcess.RunAsync("", "adapters", "promote", "nobody", "--url", url);
        Assert.Equal(2, code);
        Assert.Contains("no adapter 'nobody'", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Show_tells_the_verdict_with_slices_and_examples_the_training_and_the_parents()
    {
        await _store.FillAsync();
        await using (TrafficStore store = _store.Open())
        {
            CycleRecord cycle = await store.BeginCycleAsync(CycleTrigger.Labels, "40 new labels", ModelAddress.Base, static id => $"c{id}", Cancelled);
            await store.RecordAdapterAsync("c1", "first", [TestStore.Local, TestStore.Up], Cancelled);
            await store.SaveDatasetAsync(cycle.Id, "hash", "{}", [Example(TestStore.Local), Example(TestStore.Up)], Cancelled);
            await store.SaveAdapterAsync(new AdapterRecord { Id = "c1", Parent = "first", Origin = AdapterOrigin.Trained, At = DateTimeOffset.UtcNow, Model = "fp", File = "c1.gguf", Hash = "abc", Rank = 8, Cycle = cycle.Id }, Cancelled);
            await store.AdvanceCycleAsync(cycle.Id, CycleState.Curating, CycleState.Training, "curate", """{"fresh":2,"replay":0,"pairs":0}""", "", 5, Cancelled);
            await store.AdvanceCycleAsync(cycle.Id, CycleState.Training, CycleState.Evaluating, "train", """{"examples":2,"pairs":1,"steps":7,"loss_first":2.5,"loss_last":0.5,"seconds":3,"tokens_per_second":100,"rank":8,"learning_rate":0.0002,"epochs":3,"anchor":0.1,"parent":"first"}""", cancellationToken: Cancelled);
            GateVerdict verdict = new()
            {
                Decision = GateDecision.Reject,
                Checks = [new GateCheck("backward", GateDecision.Reject, "greeting 2026-W45", -0.2, -0.02, 30, "It has forgotten greetings.", [TestStore.Up])],
                ChampionRight = 0.5,
                CandidateRight = 0.6,
                Fresh = 40,
                Evidence = 3,
                Summary = "It has forgotten 'greeting 2026-W45'.",
            };
            await store.SaveEvaluationAsync(cycle.Id, "c1", "gate", DateTimeOffset.UtcNow, GateVerdictJson.Write(verdict), Cancelled);
            await store.AdvanceCycleAsync(cycle.Id, CycleState.Evaluating, CycleState.Rejected, "evaluate", GateVerdictJson.Write(verdict), verdict.Summary, cancellationToken: Cancelled);
        }
        (int code, string output, string error) = await _store.RunAsync("adapters", "show", "c1");
        Assert.True(code == 0, error);
        Assert.All(
            (string[])["c1 <- first <- base", "learned from 2 requests", "loss 2.500 to 0.500", "gate of cycle 1", "reject", "greeting 2026-W45", "It has forgotten greetings.", TestStore.Up, "champion 50.0", "-0.02"],
            part => Assert.Contains(part, output, StringComparison.Ordinal));
        JsonElement json = await OkAsync("adapters", "show", "c1");
        Assert.Equal("backward", Text(json.GetProperty("evaluations")[0].GetProperty("result").GetProperty("checks")[0], "name"));
        Assert.Equal((2, "rejected"), (json.GetProperty("requests").GetInt32(), Text(json.GetProperty("cycle"), "state")));
        // The same of the cycle.
        (_, string cycleText, _) = await _store.RunAsync("cycle", "status", "1");
        Assert.Contains("Cycle 1: rejected", cycleText, StringComparison.Ordinal);
        Assert.Contains("It has forgotten greetings.", cycleText, StringComparison.Ordinal);
        Assert.Equal("rejected", Text((await OkAsync("cycle", "status")).GetProperty("cycles")[0], "state"));

        static Core.Curation.CuratedExample Example(string id) => new() { RequestId = id, Task = "greeting", Slice = "greeting 2026-W45", Source = Core.Curation.ExampleSource.Teacher, Weight = 1 };
    }

    [Fact]
    public async Task What_can_not_be_imported_leaves_nothing_behind()
    {
        await _store.FillAsync();
        byte[] whole = TestAdapter.ToBytes(Options);
        await FailsAsync(2, "truncated", "import", _store.Write("cut.gguf", whole[..^1]), "--model", _model);
        await FailsAsync(2, "other base model", "import", _store.Write("wide.gguf", TestAdapter.ToBytes(Options with { Width = 512 })), "--model", _model);
        await FailsAsync(2, "not an adapter", "import", _model, "--model", _model, "--id", "x");
        await FailsAsync(2, "--model", "import", _store.Write("whole.gguf", whole));
        await FailsAsync(2, "there is no", "import", Path.Combine(_store.Folder, "nothing.gguf"), "--model", _model);
        await FailsAsync(2, "adapter_config.json", "import", Path.GetDirectoryName(_model)!, "--model", _model, "--id", "x");
        await FailsAsync(2, "--id", "import", Path.Combine(_store.Folder, "whole.gguf"), "--model", _model, "--id", "base");
        foreach ((string config, byte[] weights, string part) in ((string, byte[], string)[])
            [
                ("[]", [], "configuration"),
                ("""{"r":8,"lora_alpha":16}""", [1, 2, 3], "truncated"),
                ("""{"r":8,"lora_alpha":16}""", [255, 255, 255, 255, 255, 255, 255, 255, 1], "truncated"),
                ("""{"r":8,"lora_alpha":16}""", SafeTensors("""{"x.lora_A.weight":7}"""), "no LoRA"),
                ("""{"r":8,"lora_alpha":16}""", SafeTensors("""{"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight":{"shape":[]}}"""), "damaged"),
                ("""{"r":8,"lora_alpha":16}""", SafeTensors("""{"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight":{"dtype":"F32","shape":[8,256],"data_offsets":[0,8192]}}"""), "adapter_model.safetensors"),
            ])
        {
            string folder = Directory.CreateDirectory(Path.Combine(_store.Folder, "hostile")).FullName;
            File.WriteAllText(Path.Combine(folder, "adapter_config.json"), config);
            File.WriteAllBytes(Path.Combine(folder, "adapter_model.safetensors"), weights);
            await FailsAsync(2, part, "import", folder, "--model", _model);
        }
        Assert.True(!Directory.Exists(Shelf) || Directory.GetFileSystemEntries(Shelf).Length == 0);
        await OkAsync("adapters", "import", Path.Combine(_store.Folder, "whole.gguf"), "--model", _model, "--id", "taken");
        await FailsAsync(2, "another adapter 'taken'", "import", _store.Write("other.gguf", TestAdapter.ToBytes(Options, seed: 2)), "--model", _model, "--id", "taken");
        // 'first' was trained, and its file is not here to compare with.
        await FailsAsync(2, "another adapter 'first'", "import", Path.Combine(_store.Folder, "other.gguf"), "--model", _model, "--id", "first");
        Assert.Equal(["taken.gguf"], Directory.GetFileSystemEntries(Shelf).Select(Path.GetFileName));
        await using TrafficStore store = _store.Open();
        Assert.Equal(["taken", "first"], store.Adapters().Select(static a => a.Id));
    }

    [Fact]
    public async Task A_data_folder_that_takes_no_file_keeps_its_store_as_it_was()
    {
        await _store.FillAsync();
        File.WriteAllText(Shelf, "a file in the place of the folder");
        await FailsAsync(1, "adapters", "import", _store.Write("a.gguf", TestAdapter.ToBytes(Options)), "--model", _model);
        await using TrafficStore store = _store.Open();
        Assert.Null(store.Adapter("a"));
    }

    [Fact]
    public async Task Wrong_usage_is_told_and_promotes_nothing()
    {
        await _store.FillAsync();
        await FailsAsync(2, "no adapter 'nobody'", "show", "nobody");
        await FailsAsync(2, "no adapter 'nobody'", "export", "nobody", "--out", Path.Combine(_store.Folder, "x.gguf"));
        await FailsAsync(2, "--peft", "export", "first", "--out", Path.Combine(_store.Folder, "x"));
        await FailsAsync(2, "no adapter 'nobody'", "promote", "nobody", "--offline");
        // Its file was never recorded.
        await FailsAsync(2, "first", "promote", "first", "--offline");
        await FailsAsync(1, "nothing to roll back to", "rollback", "--offline");
        await FailsAsync(2, "--url", "promote", "first", "--offline", "--url", "http://127.0.0.1:1");
        await FailsAsync(2, "continual serve", "promote", "first", "--url", "http://127.0.0.1:1");
        await FailsAsync(2, "--url", "rollback", "--url", "nonsense");
        await using TrafficStore store = _store.Open();
        Assert.Empty(store.Promotions(10));
    }

    private static byte[] SafeTensors(string header)
    {
        byte[] text = Encoding.UTF8.GetBytes(header);
        return [.. BitConverter.GetBytes((ulong)text.Length), .. text];
    }

    private static SortedDictionary<string, string> Numbers(string path)
    {
        GgufFile file = AdapterFile.Read(path).File;
        byte[] bytes = File.ReadAllBytes(path);
        SortedDictionary<string, string> numbers = new(StringComparer.Ordinal);
        foreach (GgufTensor tensor in file.Tensors)
        {
            numbers[tensor.Name] = Convert.ToHexString(bytes.AsSpan((int)(file.DataOffset + tensor.Offset), (int)tensor.Bytes));
        }
        return numbers;
    }

    private static string? Text(JsonElement of, string name) => of.GetProperty(name).GetString();

    private async Task<JsonElement> OkAsync(params string[] arguments)
    {
        (int code, string output, string error) = await _store.RunAsync([.. arguments, "--json"]);
        Assert.True(code == 0, error);
        return JsonDocument.Parse(output).RootElement;
    }

    private async Task FailsAsync(int expected, string part, params string[] arguments)
    {
        (int code, string output, string error) = await _store.RunAsync(["adapters", .. arguments]);
        Assert.True(code == expected, $"{string.Join(' ', arguments)}: {code} {error}");
        Assert.Empty(output);
        Assert.Contains(part, error, StringComparison.Ordinal);
    }
}
