using ContinualNative.Engine;
using ContinualNative.Engine.ChatClient;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers a model with its chat client.</summary>
public static class ContinualNativeServiceCollectionExtensions
{
    /// <summary>
    /// Registers one model: <see cref="InferenceEngine"/> (loads when the host starts, drains when it stops), <see cref="IChatClient"/> and
    /// <see cref="IEmbeddingGenerator{TInput, TEmbedding}"/> of string and float vectors, all singletons. Options are checked when the host starts.
    /// Without a host the model loads at the first use.
    /// </summary>
    public static IServiceCollection AddContinualNative(this IServiceCollection services, Action<ContinualNativeOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configure);
        services.AddOptions<ContinualNativeOptions>().Configure(configure).ValidateOnStart();
        return Add(services);
    }

    /// <summary>The same with the options of a configuration section; keys are the names of <see cref="ContinualNativeOptions"/>' properties.</summary>
    public static IServiceCollection AddContinualNative(this IServiceCollection services, IConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configuration);
        services.AddOptions<ContinualNativeOptions>().Configure(o => OptionsReader.Read(configuration, o)).ValidateOnStart();
        return Add(services);
    }

    private static IServiceCollection Add(IServiceCollection services)
    {
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<ContinualNativeOptions>, OptionsValidator>());
        services.TryAddSingleton(static s => new EngineService(s.GetRequiredService<IOptions<ContinualNativeOptions>>(), s.GetService<ILoggerFactory>(), s.GetService<TimeProvider>()));
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, EngineService>(static s => s.GetRequiredService<EngineService>()));
        services.TryAddSingleton(static s => s.GetRequiredService<EngineService>().Loaded
            ?? throw new InvalidOperationException("The engine has not loaded yet: it loads when the host starts. Use IChatClient, which waits for it, or ask for InferenceEngine later."));
        services.TryAddSingleton(static s =>
        {
            EngineService engine = s.GetRequiredService<EngineService>();
            return new ContinualChatClient(engine.GetAsync, () => engine.Loaded, () => engine.ModelName, engine.Time);
        });
        services.TryAddSingleton(static s =>
        {
            EngineService engine = s.GetRequiredService<EngineService>();
            return new ContinualEmbeddingGenerator(engine.GetAsync, () => engine.Loaded, () => engine.ModelName, engine.Time);
        });
        services.TryAddSingleton<IChatClient>(static s => s.GetRequiredService<ContinualChatClient>());
        services.TryAddSingleton<IEmbeddingGenerator<string, Embedding<float>>>(static s => s.GetRequiredService<ContinualEmbeddingGenerator>());
        return services;
    }

    private sealed class OptionsValidator : IValidateOptions<ContinualNativeOptions>
    {
        public ValidateOptionsResult Validate(string? name, ContinualNativeOptions options)
        {
            try
            {
                options.Validate();
                return ValidateOptionsResult.Success;
            }
            catch (ArgumentException e)
            {
                return ValidateOptionsResult.Fail(e.Message);
            }
        }
    }
}
