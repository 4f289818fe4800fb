using ContinualNative.Engine;
using ContinualNative.Engine.ChatClient;
using ContinualNative.TestModels;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace ContinualNative.NativeTests.ChatClient;

/// <summary><c>services.AddContinualNative</c> in a host.</summary>
public sealed class HostingTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_host_loads_the_model_answers_and_drains()
    {
        using IHost host = Host.CreateDefaultBuilder()
            .ConfigureServices(static services => services.AddContinualNative(static o =>
            {
                o.ModelPath = TestModel.Get("qwen2");
                o.ModelName = "mine";
                o.Threads = 1;
                o.ThreadPoll = 0;
            }))
            .Build();
        IChatClient early = host.Services.GetRequiredService<IChatClient>();
        Assert.Throws<InvalidOperationException>(() => host.Services.GetRequiredService<InferenceEngine>());
        await host.StartAsync(Cancel);

        InferenceEngine engine = host.Services.GetRequiredService<InferenceEngine>();
        Assert.Same(engine, early.GetService<InferenceEngine>());
        Assert.Equal("mine", early.GetService<ChatClientMetadata>()!.DefaultModelId);
        Task<ChatResponse> running = early.GetResponseAsync("hello", new ChatOptions { Temperature = 0, MaxOutputTokens = 200, ModelId = "mine" }, Cancel);
        await TestEngines.UntilAsync(() => engine.Statistics.Running == 1, "the answer runs");
        GeneratedEmbeddings<Embedding<float>> vectors = await host.Services.GetRequiredService<IEmbeddingGenerator<string, Embedding<float>>>().GenerateAsync(["hello"], cancellationToken: Cancel);
        Assert.Equal(engine.Model.EmbeddingLength, vectors[0].Vector.Length);

        // Stopping lets the answer finish.
        Task stopping = host.StopAsync(Cancel);
        ChatResponse answer = await running;
        await stopping;

        Assert.True(answer.Usage!.OutputTokenCount > 0);
        Assert.Contains(answer.FinishReason, (ChatFinishReason?[])[ChatFinishReason.Stop, ChatFinishReason.Length]);
        EngineException error = await Assert.ThrowsAsync<EngineException>(() => early.GetResponseAsync("hello", cancellationToken: Cancel));
        Assert.Equal(EngineError.ShuttingDown, error.Error);
    }

    [Fact]
    public async Task Answers_that_outlast_the_drain_time_are_ended()
    {
        using IHost host = Host.CreateDefaultBuilder()
            .ConfigureServices(static services => services.AddContinualNative(static o =>
            {
                o.ModelPath = TestModel.Get(new TestModelOptions { Architecture = "qwen2", Context = 4096 });
                o.Threads = 1;
                o.DrainTimeout = TimeSpan.FromMilliseconds(50);
            }))
            .Build();
        await host.StartAsync(Cancel);
        InferenceEngine engine = host.Services.GetRequiredService<InferenceEngine>();
        Dictionary<int, float> endless = Enumerable.Range(0, engine.Tokenizer.VocabularySize).Where(engine.Tokenizer.IsEnd).ToDictionary(static t => t, static _ => -100f);
        Task<ChatResponse> running = host.Services.GetRequiredService<IChatClient>().GetResponseAsync("hello", new ChatOptions { AdditionalProperties = new() { ["logit_bias"] = endless } }, Cancel);
        await TestEngines.UntilAsync(() => engine.Statistics.Running == 1, "the answer runs");

        await host.StopAsync(Cancel).WaitAsync(TimeSpan.FromSeconds(20), Cancel);

        EngineException error = await Assert.ThrowsAsync<EngineException>(() => running);
        Assert.Equal(EngineError.ShuttingDown, error.Error);
    }

    [Theory]
    [InlineData("ModelPath", "", "ModelPath is missing")]
    [InlineData("Parallel", "0", "Parallel is 0")]
    [InlineData("Parallel", "many", "Model:Parallel is 'many'; it must be a whole number")]
    [InlineData("PrefixCacheShare", "1.5", "PrefixCacheShare is 1.5")]
    [InlineData("PrefixCacheMemory", "-1", "PrefixCacheMemory is -1")]
    [InlineData("PrefixCacheMemory", "1GiB", "Model:PrefixCacheMemory is '1GiB'; it must be a whole number of bytes")]
    [InlineData("RequestTimeout", "-00:00:01", "RequestTimeout is -00:00:01")]
    [InlineData("PrefixCache", "maybe", "Model:PrefixCache is 'maybe'; it must be true or false")]
    [InlineData("Paralell", "2", "Model:Paralell: there is no such setting")]
    public async Task A_wrong_setting_stops_the_start_and_is_named(string key, string value, string message)
    {
        IConfiguration configuration = new ConfigurationBuilder()
            .AddInMemoryCollection([new("Model:ModelPath", "model.gguf")])
            .AddInMemoryCollection([new($"Model:{key}", value)])
            .Build();
        using IHost host = Host.CreateDefaultBuilder().ConfigureServices(services => services.AddContinualNative(configuration.GetSection("Model"))).Build();

        OptionsValidationException error = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync(Cancel));

        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_option_of_the_engine_can_be_set_by_code_and_by_configuration()
    {
        foreach (System.Reflection.PropertyInfo option in typeof(EngineOptions).GetProperties())
        {
            System.Reflection.PropertyInfo? ours = typeof(ContinualNativeOptions).GetProperty(option.Name);
            Assert.True(ours is not null, $"ContinualNativeOptions lacks {option.Name}.");
            // A value that is not the default, in code and as text.
            object value = option.Name == "PrefixCacheShare" ? 0.75 : Type.GetTypeCode(Nullable.GetUnderlyingType(option.PropertyType) ?? option.PropertyType) switch
            {
                TypeCode.String => "text",
                TypeCode.Int32 => 17,
                TypeCode.Int64 => 1L << 33,
                TypeCode.Boolean => !(bool)ours.GetValue(new ContinualNativeOptions())!,
                _ => TimeSpan.FromSeconds(9),
            };
            ContinualNativeOptions byCode = new();
            ours.SetValue(byCode, value);
            IConfiguration configuration = new ConfigurationBuilder().AddInMemoryCollection([new(option.Name, string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{value}"))]).Build();
            ContinualNativeOptions byText = new();
            OptionsReader.Read(configuration, byText);

            Assert.Equal(value, option.GetValue(byCode.ToEngineOptions()));
            Assert.Equal(value, option.GetValue(byText.ToEngineOptions()));
            Assert.Equal(option.Name == "ModelPath" ? "" : option.GetValue(new EngineOptions { ModelPath = "" }), option.GetValue(new ContinualNativeOptions().ToEngineOptions()));
        }
    }

    [Fact]
    public async Task Configuration_sets_the_options_and_a_missing_file_stops_the_start()
    {
        IConfiguration configuration = new ConfigurationBuilder()
            .AddInMemoryCollection([new("modelpath", TestModel.Get("llama")), new("ContextLength", "128"), new("Parallel", "3"), new("Threads", "1"), new("RequestTimeout", "00:01:00")])
            .Build();
        await using (ServiceProvider services = new ServiceCollection().AddContinualNative(configuration).BuildServiceProvider())
        {
            // Without a host the first use loads the model.
            ChatResponse answer = await services.GetRequiredService<IChatClient>().GetResponseAsync("hello", new ChatOptions { MaxOutputTokens = 3 }, Cancel);
            Assert.True(answer.Usage!.OutputTokenCount <= 3);
            EngineOptions options = services.GetRequiredService<InferenceEngine>().Options;
            Assert.Equal((128, 3, 1, TimeSpan.FromMinutes(1)), (options.ContextLength, options.Parallel, options.Threads, options.RequestTimeout));
        }
        using IHost host = Host.CreateDefaultBuilder().ConfigureServices(static services => services.AddContinualNative(static o => o.ModelPath = "there-is-no-such-model.gguf")).Build();
        EngineException error = await Assert.ThrowsAsync<EngineException>(() => host.StartAsync(Cancel));
        Assert.Equal(EngineError.BadFile, error.Error);
        Assert.Contains("there-is-no-such-model.gguf", error.Message, StringComparison.Ordinal);
    }
}
