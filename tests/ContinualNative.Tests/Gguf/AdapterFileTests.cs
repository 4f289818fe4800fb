using ContinualNative.Engine;
using ContinualNative.Engine.Gguf;
using ContinualNative.TestModels;

namespace ContinualNative.Tests.Gguf;

public sealed class AdapterFileTests
{
    private static readonly TestModelOptions Small = new() { Layers = 1, Width = 32, Heads = 2, KvHeads = 1, FeedForward = 48, Context = 64 };

    [Theory]
    [InlineData("llama")]
    [InlineData("qwen2")]
    [InlineData("qwen3")]
    public void An_adapter_fits_its_model(string architecture)
    {
        TestModelOptions options = Small with { Architecture = architecture };
        AdapterFile adapter = Adapter(TestAdapter.Create(options, rank: 4, alpha: 12));
        adapter.CheckAgainst(Model(options));
        Assert.Equal(4, adapter.Rank);
        Assert.Equal(12f, adapter.Alpha);
        Assert.Equal(3f, adapter.Scale);
        Assert.Equal(7, adapter.TensorNames.Count);
        Assert.Contains("blk.0.ffn_down.weight", adapter.TensorNames);
    }

    [Fact]
    public void Embeddings_and_output_are_possible_only_when_they_are_two()
    {
        AdapterFile adapter = Adapter(TestAdapter.Create(Small, targets: ["embd", "output"]));
        adapter.CheckAgainst(Model(Small));
        AdapterFile embeddings = Adapter(TestAdapter.Create(Small, targets: ["embd"]));
        Assert.Contains("is the output matrix too", Refused(() => embeddings.CheckAgainst(Model(Small with { TiedEmbeddings = true }))));
    }

    [Fact]
    public void Another_base_model_is_refused_with_the_reason()
    {
        AdapterFile adapter = Adapter(TestAdapter.Create(Small));
        Assert.Contains("it is for 'llama', the model is 'qwen2'", Refused(() => adapter.CheckAgainst(Model(Small with { Architecture = "qwen2" }))));
        Assert.Contains("'blk.0.attn_q.weight' is 32 × 32, the model's is 64 × 64", Refused(() => adapter.CheckAgainst(Model(Small with { Width = 64 }))));
        Assert.Contains("'blk.0.ffn_gate.weight' is 32 × 48, the model's is 32 × 64", Refused(() => adapter.CheckAgainst(Model(Small with { FeedForward = 64 }))));
        AdapterFile deeper = Adapter(TestAdapter.Create(Small with { Layers = 2 }));
        Assert.Contains("'blk.1.attn_q.weight', which the model does not have", Refused(() => deeper.CheckAgainst(Model(Small))));
        Assert.All(
            (Action[])[() => deeper.CheckAgainst(Model(Small)), () => adapter.CheckAgainst(Model(Small with { Width = 64 }))],
            action => Assert.Contains("made for another base model", Refused(action)));
    }

    [Fact]
    public void A_model_is_not_an_adapter_and_an_adapter_not_a_model()
    {
        Assert.Contains("is a model, not an adapter", Refused(() => Adapter(TestModel.Create(Small))));
        Assert.Contains("is an adapter, not a model", Refused(() => ModelFile.Check(GgufFile.Read(GgufFileTests.Bytes(TestAdapter.Create(Small))))));
    }

    [Fact]
    public void Damaged_adapters_are_refused()
    {
        Assert.Contains("has 'x.lora_a' but not 'x.lora_b'", Refused(() => Adapter(With(w => Add(w, "x.lora_a", 8, 2)))));
        Assert.Contains("has 'x.lora_b' but not 'x.lora_a'", Refused(() => Adapter(With(w => Add(w, "x.lora_b", 2, 8)))));
        Assert.Contains("ranks (2 and 3) don't agree", Refused(() => Adapter(With(w => { Add(w, "x.lora_a", 8, 2); Add(w, "x.lora_b", 3, 8); }))));
        Assert.Contains("belongs to no LoRA", Refused(() => Adapter(With(w => Add(w, "blk.0.attn_q.weight", 8, 2)))));
        Assert.Contains("impossible name", Refused(() => Adapter(With(w => Add(w, "x.lora_b.lora_a", 2, 8)))));
        Assert.Contains("holds no LoRA tensors", Refused(() => Adapter(With(_ => { }))));
        Assert.Contains("is no matrix", Refused(() => Adapter(With(w => { Add(w, "x.lora_a", 8); Add(w, "x.lora_b", 1, 8); }))));
        Assert.Contains("can't multiply", Refused(() => Adapter(With(w =>
        {
            w.AddTensor("x.lora_a", GgmlType.I32, [8, 2], new byte[64]);
            Add(w, "x.lora_b", 2, 8);
        }))));
    }

    [Fact]
    public void Metadata_that_would_abort_llama_cpp_is_refused()
    {
        Assert.Contains("'general.type' is u32", Refused(() => Adapter(Edited("general.type", GgufValue.Of(1u)))));
        Assert.Contains("'general.architecture' is u32", Refused(() => Adapter(Edited("general.architecture", GgufValue.Of(1u)))));
        Assert.Contains("'adapter.type' is bool", Refused(() => Adapter(Edited("adapter.type", GgufValue.Of(true)))));
        Assert.Contains("only 'lora'", Refused(() => Adapter(Edited("adapter.type", GgufValue.Of("control_vector")))));
        Assert.Contains("expected a finite f32", Refused(() => Adapter(Edited("adapter.lora.alpha", GgufValue.Of(16u)))));
        Assert.Contains("expected a finite f32", Refused(() => Adapter(Edited("adapter.lora.alpha", GgufValue.Of(float.NaN)))));
        Assert.Contains("aLoRA", Refused(() => Adapter(Edited("adapter.alora.invocation_tokens", GgufValue.Of(GgufArray.Of<uint>([1]))))));
    }

    [Fact]
    public void Random_damage_is_refused_or_harmless()
    {
        byte[] bytes = TestAdapter.ToBytes(Small, rank: 2);
        GgufFile model = Model(Small);
        int head = (int)GgufFile.Read(new MemoryStream(bytes)).DataOffset;
        Random random = new(3);
        for (int round = 0; round < 5_000; round++)
        {
            byte[] damaged = [.. bytes];
            for (int flips = random.Next(1, 4); flips > 0; flips--)
            {
                damaged[random.Next(head)] = (byte)random.Next(256);
            }
            try
            {
                AdapterFile adapter = AdapterFile.Read(new MemoryStream(damaged));
                adapter.CheckAgainst(model);
                Assert.True(adapter.Rank > 0);
            }
            catch (EngineException e)
            {
                Assert.Equal(EngineError.BadFile, e.Error);
            }
        }
    }

    [Fact]
    public void Merging_adds_the_scaled_product()
    {
        string folder = Directory.CreateTempSubdirectory("gguf").FullName;
        try
        {
            string model = Path.Combine(folder, "m.gguf");
            string adapter = Path.Combine(folder, "a.gguf");
            string merged = Path.Combine(folder, "merged.gguf");
            GgufWriter writer = new();
            writer.Set("general.architecture", "llama");
            writer.AddTensor("blk.0.x.weight", [3, 2], new float[] { 1, 2, 3, 4, 5, 6 });
            writer.AddTensor("other.weight", [2], new float[] { 7, 8 });
            writer.Write(model, cancellationToken: TestContext.Current.CancellationToken);
            GgufWriter lora = With(w =>
            {
                // A has two rows of three, B two rows of two: outputs × rank.
                w.AddTensor("blk.0.x.weight.lora_a", [3, 2], new float[] { 1, 0, -1, 2, 1, 0 });
                w.AddTensor("blk.0.x.weight.lora_b", [2, 2], new float[] { 1, 10, 0, -1 });
            });
            lora.Set("adapter.lora.alpha", 4f);
            lora.Write(adapter, cancellationToken: TestContext.Current.CancellationToken);
            TestAdapter.Merge(model, adapter, merged);

            GgufFile file = GgufFile.Read(merged);
            byte[] bytes = new byte[24];
            using FileStream stream = File.OpenRead(merged);
            file.ReadTensor(stream, file.GetTensor("blk.0.x.weight"), bytes);
            // B·A = [[21, 10, -1], [-2, -1, 0]], times 4 ÷ 2.
            Assert.Equal([43f, 22f, 1f, 0f, 3f, 6f], System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(bytes).ToArray());
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    private static GgufFile Model(TestModelOptions options) => GgufFile.Read(GgufFileTests.Bytes(TestModel.Create(options)), "model.gguf");

    private static AdapterFile Adapter(GgufWriter writer) => AdapterFile.Read(GgufFileTests.Bytes(writer), "a.gguf");

    private static GgufWriter Edited(string key, GgufValue value)
    {
        GgufWriter writer = TestAdapter.Create(Small);
        writer.Set(key, value);
        return writer;
    }

    private static GgufWriter With(Action<GgufWriter> add)
    {
        GgufWriter writer = new();
        writer.Set("general.type", "adapter");
        writer.Set("general.architecture", "llama");
        writer.Set("adapter.type", "lora");
        writer.Set("adapter.lora.alpha", 1f);
        add(writer);
        return writer;
    }

    private static void Add(GgufWriter writer, string name, params long[] shape) =>
        writer.AddTensor(name, shape, new float[shape.Aggregate(1L, (a, b) => a * b)]);

    private static string Refused(Action action)
    {
        EngineException e = Assert.Throws<EngineException>(action);
        Assert.Equal(EngineError.BadFile, e.Error);
        return e.Message;
    }
}
