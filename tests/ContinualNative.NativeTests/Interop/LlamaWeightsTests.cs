using System.Runtime.InteropServices;
using ContinualNative.Engine.Gguf;
using ContinualNative.Interop.Llama;
using ContinualNative.Interop.Trainer;
using ContinualNative.TestModels;

namespace ContinualNative.NativeTests.Interop;

public sealed class LlamaWeightsTests
{
    [Theory]
    [InlineData("llama", "F32", false)]
    [InlineData("llama", "Q4_K_M", true)]
    [InlineData("qwen2", "Q8_0", true)]
    [InlineData("qwen3", "Q5_K_M", false)]
    public void One_decode_shows_every_weight_where_it_lies(string architecture, string quantization, bool tied)
    {
        string path = TestModel.Get(new TestModelOptions { Architecture = architecture, TiedEmbeddings = tied }, quantization);
        using LlamaModelHandle model = LlamaModelHandle.Load(path, repackWeights: false);
        Dictionary<string, LlamaWeight> weights = LlamaWeights.Of(model).ToDictionary(static w => w.Name);
        GgufFile file = GgufFile.Read(path);
        using FileStream bytes = File.OpenRead(path);
        foreach (GgufTensor tensor in file.Tensors)
        {
            Assert.True(weights.Remove(tensor.Name, out LlamaWeight? weight), tensor.Name);
            Assert.Equal((int)tensor.Type, weight.Type);
            Assert.StartsWith("CPU", weight.Buffer);
            Assert.Null(weight.CudaDevice);
            byte[] expected = new byte[weight.Bytes];
            file.ReadTensor(bytes, tensor, expected);
            byte[] there = new byte[weight.Bytes];
            Marshal.Copy(weight.Data, there, 0, there.Length);
            Assert.True(expected.AsSpan().SequenceEqual(there), tensor.Name);
        }
        Assert.Empty(weights);
    }

    [Fact]
    public void A_cuda_device_is_told_by_its_memory()
    {
        Assert.Equal(1, In("CUDA1").CudaDevice);
        Assert.Null(In("CUDA_Host").CudaDevice);
        Assert.Null(In("CUDA0_Split").CudaDevice);
        Assert.Null(In("CPU_REPACK").CudaDevice);
        static LlamaWeight In(string buffer) => new("w", 0, [1, 1, 1, 1], 1, 4, buffer);
    }

    [Fact]
    public void What_is_not_on_the_gpu_is_not_lent_and_a_trainer_without_one_says_why()
    {
        string path = TestModel.Get("llama", "Q8_0");
        using LlamaModelHandle engine = LlamaModelHandle.Load(path, repackWeights: false);
        using TrainableModelHandle model = TrainableModelHandle.Open(path);
        Assert.Equal(0, model.Lend(0, LlamaWeights.Of(engine)));
        if (TrainingDevice.Count() > 0)
        {
            Assert.Skip("skipped: this machine has a GPU");
        }
        TrainerException refused = Assert.Throws<TrainerException>(() => TrainerHandle.Create(model, new TrainerOptions { Device = 0 }));
        Assert.Equal(TrainerStatus.Device, refused.Status);
        Assert.Contains("driver", refused.Message, StringComparison.Ordinal);
        Assert.Equal(TrainerStatus.Device, Assert.Throws<TrainerException>(() => TrainerHandle.Plan(model, new TrainerOptions { Device = 0 })).Status);
        Assert.Equal(TrainerStatus.Device, Assert.Throws<TrainerException>(() => TrainingDevice.Of(0)).Status);
    }
}
