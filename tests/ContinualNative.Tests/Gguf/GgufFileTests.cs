using System.Buffers.Binary;
using System.Text;
using ContinualNative.Engine;
using ContinualNative.Engine.Gguf;

namespace ContinualNative.Tests.Gguf;

public sealed class GgufFileTests
{
    [Fact]
    public void Every_value_type_survives_a_round_trip()
    {
        GgufWriter writer = new();
        writer.Set("u8", (byte)200);
        writer.Set("i8", (sbyte)-100);
        writer.Set("u16", (ushort)60000);
        writer.Set("i16", (short)-30000);
        writer.Set("u32", 4_000_000_000u);
        writer.Set("i32", -2_000_000_000);
        writer.Set("u64", ulong.MaxValue);
        writer.Set("i64", long.MinValue);
        writer.Set("f32", 1.5f);
        writer.Set("f64", Math.PI);
        writer.Set("yes", true);
        writer.Set("no", false);
        writer.Set("text", "naïve 😀\n");
        writer.Set("empty", "");
        writer.Set("strings", GgufArray.Of(["a", "", "ж😀"]));
        writer.Set("floats", GgufArray.Of<float>([1f, -2f, float.NaN]));
        writer.Set("bools", GgufArray.Of<bool>([true, false, true]));
        writer.Set("longs", GgufArray.Of<long>([long.MaxValue, 0]));
        writer.Set("nothing", GgufArray.Of<int>([]));
        writer.Set("nested", GgufArray.Of([GgufArray.Of<int>([1, 2]), GgufArray.Of(["x"]), GgufArray.Of(Array.Empty<GgufArray>())]));
        GgufFile file = GgufFile.Read(Bytes(writer));

        Assert.Equal(writer.Metadata.Keys, file.Metadata.Keys);
        foreach ((string key, GgufValue value) in writer.Metadata)
        {
            Assert.Equal(value.Type, file.Metadata[key].Type);
            if (value.Value is not GgufArray)
            {
                Assert.Equal(value.Value, file.Metadata[key].Value);
            }
        }
        GgufArray strings = file.GetArray("strings", GgufValueType.String);
        Assert.Equal(["a", "", "ж😀"], Enumerable.Range(0, strings.Count).Select(strings.GetString));
        Assert.Equal([1f, -2f, float.NaN], file.GetArray("floats", GgufValueType.Float32).AsSpan<float>().ToArray());
        GgufArray bools = file.GetArray("bools", GgufValueType.Bool);
        Assert.Equal([true, false, true], Enumerable.Range(0, 3).Select(i => bools[i]));
        Assert.Equal([long.MaxValue, 0L], file.GetArray("longs", GgufValueType.Int64).AsSpan<long>().ToArray());
        Assert.Equal(0, file.GetArray("nothing", GgufValueType.Int32).Count);
        GgufArray nested = file.GetArray("nested", GgufValueType.Array);
        Assert.Equal(2, ((GgufArray)nested[0])[1]);
        Assert.Equal("x", ((GgufArray)nested[1]).GetString(0));
        Assert.Equal(0, ((GgufArray)nested[2]).Count);
    }

    [Theory]
    [InlineData(32)]
    [InlineData(64)]
    [InlineData(4096)]
    public void Tensors_come_back_with_shape_place_and_bytes(int alignment)
    {
        GgufWriter writer = new(alignment);
        float[] values = [1, 2, 3, 4, 5, 6];
        byte[] blocks = [.. Enumerable.Range(0, 144 * 3).Select(i => (byte)i)];
        writer.AddTensor("a", [3, 2], values);
        writer.AddTensor("b", GgmlType.Q4_K, [256, 3], blocks);
        writer.AddTensor("c", GgmlType.F16, [1, 1, 5, 1], new byte[10]);
        MemoryStream stream = Bytes(writer);
        GgufFile file = GgufFile.Read(stream);

        Assert.Equal(alignment, file.Alignment);
        Assert.Equal(["a", "b", "c"], file.Tensors.Select(t => t.Name));
        Assert.All(file.Tensors, t => Assert.Equal(0, (file.DataOffset + t.Offset) % alignment));
        Assert.Equal(6 + 768 + 5, file.Parameters);
        Assert.Equal(24 + 432 + 10, file.TensorBytes);
        GgufTensor b = file.GetTensor("b");
        Assert.Equal(GgmlType.Q4_K, b.Type);
        Assert.Equal([256L, 3L], b.Shape);
        byte[] read = new byte[b.Bytes];
        file.ReadTensor(stream, b, read);
        Assert.Equal(blocks, read);
    }

    [Fact]
    public void Writing_to_a_path_is_atomic()
    {
        string folder = Directory.CreateTempSubdirectory("gguf").FullName;
        try
        {
            string path = Path.Combine(folder, "m.gguf");
            GgufWriter good = new();
            good.AddTensor("t", [2], new float[] { 1, 2 });
            good.Write(path, cancellationToken: TestContext.Current.CancellationToken);
            byte[] before = File.ReadAllBytes(path);

            GgufWriter fails = new();
            fails.AddTensor("t", GgmlType.F32, [1 << 20], stream =>
            {
                stream.Write(new byte[1 << 20]);
                throw new IOException("disk full");
            });
            Assert.Throws<IOException>(() => fails.Write(path, cancellationToken: TestContext.Current.CancellationToken));
            GgufWriter lies = new();
            lies.AddTensor("t", GgmlType.F32, [4], stream => stream.Write(new byte[15]));
            Assert.Throws<InvalidOperationException>(() => lies.Write(path, cancellationToken: TestContext.Current.CancellationToken));
            using CancellationTokenSource cancelled = new();
            cancelled.Cancel();
            Assert.Throws<OperationCanceledException>(() => good.Write(path, null, cancelled.Token));

            Assert.Equal(before, File.ReadAllBytes(path));
            Assert.Equal([path], Directory.GetFiles(folder));
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    [Fact]
    public void Every_truncation_is_an_engine_error()
    {
        byte[] bytes = Sample();
        for (int length = 0; length < bytes.Length; length++)
        {
            EngineException e = Assert.Throws<EngineException>(() => GgufFile.Read(new MemoryStream(bytes, 0, length), "m.gguf"));
            Assert.Equal(EngineError.BadFile, e.Error);
            Assert.StartsWith("m.gguf ", e.Message);
        }
        Assert.Equal(2, GgufFile.Read(new MemoryStream(bytes)).Tensors.Count);
    }

    [Fact]
    public void Random_damage_never_gives_anything_but_an_engine_error_and_never_allocates_much()
    {
        byte[] bytes = Sample();
        Random random = new(7);
        int refused = 0;
        for (int round = 0; round < 20_000; round++)
        {
            byte[] damaged = [.. bytes];
            for (int flips = random.Next(1, 6); flips > 0; flips--)
            {
                damaged[random.Next(damaged.Length)] = random.Next(3) == 0 ? (byte)0xff : (byte)random.Next(256);
            }
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                GgufFile file = GgufFile.Read(new MemoryStream(damaged));
                ModelFile.Check(file);
            }
            catch (EngineException e)
            {
                Assert.Equal(EngineError.BadFile, e.Error);
                refused++;
            }
            // The reader's own buffer is 64 KiB.
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
        }
        Assert.True(refused > 10_000, $"only {refused} were refused");
    }

    [Theory]
    [InlineData("hello, this is text", "it begins with 'hell'", "convert the model to GGUF first")]
    [InlineData("PK\u0003\u0004aaaaaaaaaaaaaaaaaaaaaaaaaaa", "it begins with 0x504B0304", "zip or PyTorch")]
    [InlineData("<!DOCTYPE html><html></html>", "web page", "download the file itself")]
    [InlineData("version https://git-lfs", "Git LFS pointer", "git lfs pull")]
    public void What_is_not_a_gguf_is_named(string content, string says, string hint)
    {
        EngineException e = Assert.Throws<EngineException>(() => GgufFile.Read(new MemoryStream(Encoding.Latin1.GetBytes(content)), "x"));
        Assert.Contains("not a GGUF file", e.Message);
        Assert.Contains(says, e.Message);
        Assert.Contains(hint, e.Message);
    }

    [Fact]
    public void Missing_files_and_folders_are_named()
    {
        Assert.Contains("does not exist", Assert.Throws<EngineException>(() => GgufFile.Read("no/such/file.gguf")).Message);
        Assert.Contains("is a folder", Assert.Throws<EngineException>(() => GgufFile.Read(Path.GetTempPath())).Message);
    }

    [Fact]
    public void A_truncated_file_says_how_much_is_missing()
    {
        byte[] bytes = Sample();
        EngineException e = Assert.Throws<EngineException>(() => GgufFile.Read(new MemoryStream(bytes, 0, bytes.Length - 1), "m.gguf"));
        Assert.Contains($"tensor blk.0.ffn_up.weight needs bytes up to {bytes.Length} but the file has {bytes.Length - 1}", e.Message);
        Assert.Contains("download or copy it again", e.Message);
    }

    [Theory]
    [InlineData(1u, "GGUF version 1")]
    [InlineData(4u, "GGUF version 4")]
    [InlineData(0u, "GGUF version 0")]
    [InlineData(0x03000000u, "big-endian")]
    public void Other_versions_are_refused(uint version, string says)
    {
        Head head = new Head().U32(version).U64(0).U64(0);
        Assert.Contains(says, Refused(head));
    }

    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData(1UL << 62)]
    [InlineData(1_000_000UL)]
    public void Hostile_counts_cost_nothing(ulong count)
    {
        string key = "a key";
        Head[] heads =
        [
            new Head().U32(3).U64(count).U64(0),
            new Head().U32(3).U64(0).U64(count),
            new Head().U32(3).U64(0).U64(1).U64(count),
            new Head().U32(3).U64(0).U64(1).Text(key).U32(8).U64(count),
            new Head().U32(3).U64(0).U64(1).Text(key).U32(9).U32(4).U64(count),
            new Head().U32(3).U64(0).U64(1).Text(key).U32(9).U32(8).U64(count),
            new Head().U32(3).U64(0).U64(1).Text(key).U32(9).U32(9).U64(count),
            new Head().U32(3).U64(0).U64(1).Text(key).U32(9).U32(8).U64(1).U64(count),
            new Head().U32(3).U64(1).U64(0).U64(count),
        ];
        foreach (Head head in heads)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Refused(head.Zeros(256));
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 512 * 1024);
        }
    }

    [Fact]
    public void Arrays_nested_without_end_are_refused()
    {
        Head head = new Head().U32(3).U64(0).U64(1).Text("deep").U32(9);
        for (int i = 0; i < 100_000; i++)
        {
            head.U32(9).U64(1);
        }
        Assert.Contains("nests arrays", Refused(head));
    }

    [Fact]
    public void Unknown_value_types_empty_and_double_keys_are_refused()
    {
        Assert.Contains("unknown value type 13", Refused(new Head().U32(3).U64(0).U64(1).Text("k").U32(13).U64(0)));
        Assert.Contains("empty key", Refused(new Head().U32(3).U64(0).U64(1).Text("").U32(4).U32(0).U64(0)));
        Assert.Contains("'k' appears twice", Refused(new Head().U32(3).U64(0).U64(2).Text("k").U32(4).U32(1).Text("k").U32(4).U32(1)));
        Assert.Contains("not UTF-8", Refused(new Head().U32(3).U64(0).U64(1).U64(2).Raw(0xC3, 0x28).U32(4).U32(1)));
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(48u)]
    [InlineData(0x80000000u)]
    public void Alignments_that_are_no_power_of_two_are_refused(uint alignment) =>
        Assert.Contains("power of two", Refused(new Head().U32(3).U64(0).U64(1).Text("general.alignment").U32(4).U32(alignment)));

    [Fact]
    public void An_alignment_of_another_type_is_refused() =>
        Assert.Contains("power of two", Refused(new Head().U32(3).U64(0).U64(1).Text("general.alignment").U32(10).U64(32)));

    [Theory]
    [InlineData(5, new ulong[] { 1, 1, 1, 1, 1 }, 0u, "5 dimensions")]
    [InlineData(1, new ulong[] { 0 }, 0u, "must be positive")]
    [InlineData(1, new ulong[] { ulong.MaxValue }, 0u, "must be positive")]
    [InlineData(2, new ulong[] { 1UL << 32, 1UL << 31 }, 0u, "overflows")]
    [InlineData(4, new ulong[] { 1UL << 16, 1UL << 16, 1UL << 16, 1UL << 16 }, 0u, "overflows")]
    [InlineData(2, new ulong[] { 1UL << 31, 1UL << 31 }, 0u, "overflows")]
    [InlineData(1, new ulong[] { 1UL << 40 }, 0u, "needs bytes up to")]
    [InlineData(1, new ulong[] { 1UL << 60 }, 0u, "needs bytes up to")]
    [InlineData(1, new ulong[] { 32 }, 4u, "has type 4")]
    [InlineData(1, new ulong[] { 32 }, 43u, "has type 43")]
    [InlineData(1, new ulong[] { 32 }, uint.MaxValue, "has type 4294967295")]
    [InlineData(1, new ulong[] { 33 }, 8u, "blocks of 32")]
    [InlineData(2, new ulong[] { 32, 8 }, 12u, "blocks of 256")]
    public void Impossible_tensors_are_refused(uint dimensions, ulong[] shape, uint type, string says)
    {
        Head head = new Head().U32(3).U64(1).U64(0).Text("t").U32(dimensions);
        foreach (ulong dimension in shape)
        {
            head.U64(dimension);
        }
        Assert.Contains(says, Refused(head.U32(type).U64(0).Zeros(2000)));
    }

    [Theory]
    [InlineData(32UL)]
    [InlineData(1UL)]
    [InlineData(ulong.MaxValue)]
    public void Tensors_that_are_not_one_after_the_other_are_refused(ulong offset) =>
        Refused(new Head().U32(3).U64(1).U64(0).Text("t").U32(1).U64(8).U32(0).U64(offset).Zeros(2000));

    [Fact]
    public void Double_and_overlong_tensor_names_are_refused()
    {
        Head twice = new Head().U32(3).U64(2).U64(0);
        twice.Text("t").U32(1).U64(8).U32(0).U64(0).Text("t").U32(1).U64(8).U32(0).U64(32).Zeros(200);
        Assert.Contains("'t' appears twice", Refused(twice));
        Assert.Contains("at most 63", Refused(new Head().U32(3).U64(1).U64(0).Text(new string('n', 64)).U32(1).U64(8).U32(0).U64(0).Zeros(200)));
        Assert.Contains("zero byte", Refused(new Head().U32(3).U64(1).U64(0).Text("a\0b").U32(1).U64(8).U32(0).U64(0).Zeros(200)));
    }

    [Fact]
    public void Getters_name_the_key_and_what_it_is()
    {
        GgufWriter writer = new();
        writer.Set("n", 5L);
        writer.Set("minus", -1);
        writer.Set("s", "x");
        GgufFile file = GgufFile.Read(Bytes(writer), "m");
        Assert.Equal(5u, file.GetUInt32("n"));
        Assert.Null(file.FindUInt32("missing"));
        Assert.Contains("m has no metadata entry 'missing'", Assert.Throws<EngineException>(() => file.GetString("missing")).Message);
        Assert.Contains("'minus' is i32, expected a whole number from 0", Assert.Throws<EngineException>(() => file.GetUInt32("minus")).Message);
        Assert.Contains("'s' is string, expected an array of i32", Assert.Throws<EngineException>(() => file.FindArray("s", GgufValueType.Int32)).Message);
    }

    [Fact]
    public void Reading_starts_where_the_stream_stands()
    {
        byte[] bytes = Sample();
        MemoryStream stream = new([.. new byte[100], .. bytes]) { Position = 100 };
        GgufFile file = GgufFile.Read(stream);
        Assert.Equal(bytes.Length, file.Length);
        Assert.Equal(2, file.Tensors.Count);
    }

    [Fact]
    public void A_vocabulary_of_150000_tokens_is_read_without_a_string_for_each()
    {
        GgufWriter writer = new();
        writer.Set("tokens", GgufArray.Of(Enumerable.Range(0, 150_000).Select(i => $"token{i}")));
        MemoryStream stream = Bytes(writer);
        long before = GC.GetAllocatedBytesForCurrentThread();
        GgufFile file = GgufFile.Read(stream);
        // The text is 1.5 MB and the ends 0.6 MB; growing by doubling costs at most three times that. Strings alone would be 6 MB more.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 8_000_000);
        Assert.Equal("token149999", file.GetArray("tokens", GgufValueType.String).GetString(149_999));
    }

    internal static MemoryStream Bytes(GgufWriter writer)
    {
        MemoryStream stream = new();
        writer.Write(stream);
        stream.Position = 0;
        return stream;
    }

    /// <summary>A small file with something of everything, whose last tensor ends with the file.</summary>
    private static byte[] Sample()
    {
        GgufWriter writer = new();
        writer.Set("general.architecture", "llama");
        writer.Set("llama.block_count", 1u);
        writer.Set("tokenizer.ggml.model", "llama");
        writer.Set("tokenizer.ggml.tokens", GgufArray.Of(["<unk>", "<s>", "</s>", "a", "b"]));
        writer.Set("tokenizer.ggml.scores", GgufArray.Of<float>([0, 0, 0, -1, -2]));
        writer.Set("nested", GgufArray.Of([GgufArray.Of<byte>([1, 2, 3])]));
        writer.Set("flag", true);
        writer.AddTensor("token_embd.weight", [8, 5], new float[40]);
        writer.AddTensor("blk.0.ffn_up.weight", GgmlType.Q8_0, [32, 16], new byte[34 * 16]);
        return Bytes(writer).ToArray();
    }

    private static string Refused(Head head)
    {
        EngineException e = Assert.Throws<EngineException>(() => GgufFile.Read(new MemoryStream(head.ToArray()), "m"));
        Assert.Equal(EngineError.BadFile, e.Error);
        return e.Message;
    }

    /// <summary>Writes heads that no writer would.</summary>
    private sealed class Head
    {
        private readonly List<byte> _bytes = [.. "GGUF"u8];

        public Head U32(uint value)
        {
            byte[] bytes = new byte[4];
            BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
            return Raw(bytes);
        }

        public Head U64(ulong value)
        {
            byte[] bytes = new byte[8];
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
            return Raw(bytes);
        }

        public Head Text(string value) => U64((ulong)Encoding.UTF8.GetByteCount(value)).Raw(Encoding.UTF8.GetBytes(value));

        public Head Zeros(int count) => Raw(new byte[count]);

        public Head Raw(params byte[] bytes)
        {
            _bytes.AddRange(bytes);
            return this;
        }

        public byte[] ToArray() => [.. _bytes];
    }
}
