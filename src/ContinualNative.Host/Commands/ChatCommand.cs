using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;
using ContinualNative.Host.Chatting;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual chat</c>: a chat on the terminal, with a model in this process or a running server.</summary>
internal static class ChatCommand
{
    private const string Name = "chat";

    public static Command Create()
    {
        Option<string> model = new("--model") { Description = "The GGUF model; with --url, the model's name there (default: the first one served).", HelpName = "FILE|NAME" };
        Option<string> url = new("--url") { Description = "Talk to a server with the OpenAI API instead, such as http://127.0.0.1:8080/v1.", HelpName = "URL" };
        Option<string> keyEnv = new("--key-env") { Description = "The environment variable that holds the server's API key.", HelpName = "VAR" };
        Option<string> adapter = new("--adapter") { Description = "A GGUF LoRA adapter; with --url, an adapter's id there.", HelpName = "FILE|ID" };
        Option<string> system = new("--system") { Description = "The system message.", HelpName = "TEXT" };
        Option<float?> temperature = new("--temperature") { Description = "0: always the likeliest token (default: the engine's or server's, 1 in OpenAI's API).", HelpName = "T" };
        Option<int?> maxTokens = new("--max-tokens") { Description = "Most tokens of an answer (default: what the context leaves).", HelpName = "N" };
        Option<ulong?> seed = new("--seed") { Description = "The same seed gives the same chat.", HelpName = "N" };
        Option<int> ctx = new("--ctx") { Description = "The context, in tokens (default: the model's own, at most 4096).", HelpName = "N" };
        Option<int> threads = new("--threads") { Description = "Threads that compute (default: one per physical core).", HelpName = "N" };
        Option<int> gpuLayers = new("--gpu-layers") { Description = "Layers to put on the GPU; -1: all (default: 0).", HelpName = "N" };
        Option<string> template = new("--chat-template") { Description = "A Jinja chat template to use instead of the model's own.", HelpName = "FILE" };
        Command command = new(Name, "Chat with a model on the terminal. Without a terminal: one message a line in, the answers out.")
        {
            model, url, keyEnv, adapter, system, temperature, maxTokens, seed, ctx, threads, gpuLayers, template,
        };
        command.SetAction(parsed => CommandRun.GuardAsync(Name, async () =>
        {
            ChatSettings settings = new(parsed.GetValue(temperature), parsed.GetValue(maxTokens), parsed.GetValue(seed));
            CheckSettings(settings);
            using CancellationTokenSource leave = new();
            using Signals signals = new(leave);
            IChatBackend backend;
            try
            {
                if (parsed.GetValue(url) is { } address)
                {
                    backend = await ConnectAsync(address, parsed.GetValue(keyEnv), parsed.GetValue(model), leave.Token);
                    if (parsed.GetValue(adapter) is { } id)
                    {
                        await backend.UseAdapterAsync(id, leave.Token);
                    }
                }
                else
                {
                    ServeOptions options = new()
                    {
                        Model = parsed.GetValue(model) ?? throw new SettingException("model", "it is missing; pass --model FILE.gguf, or --url for a running server"),
                        Adapter = parsed.GetValue(adapter),
                        ChatTemplate = parsed.GetValue(template),
                        Ctx = parsed.GetValue(ctx),
                        Threads = parsed.GetValue(threads),
                        GpuLayers = parsed.GetValue(gpuLayers),
                        Parallel = 1,
                    };
                    backend = await LoadAsync(options, leave.Token);
                }
            }
            catch (ChatFailedException e)
            {
                return CommandRun.Fail(Name, e.Message, ExitCodes.Failed);
            }
            await using (backend)
            {
                return await RunAsync(backend, settings, parsed.GetValue(system), signals, leave.Token);
            }
        }));
        return command;
    }

    private static async Task<int> RunAsync(IChatBackend backend, ChatSettings settings, string? system, Signals signals, CancellationToken leave)
    {
        bool terminal = !Console.IsInputRedirected && !Console.IsOutputRedirected;
        ChatScreen screen = new(Console.In, Console.Out, Console.Error, terminal);
        ChatSession session = new(backend, screen, settings, system);
        signals.Session = session;
        if (terminal)
        {
            screen.Info($"{backend.Description}\n/help lists the commands; Ctrl-C stops an answer, and leaves when there is none.");
        }
        while (!leave.IsCancellationRequested)
        {
            // Reading from a console can't be cancelled; the thread is left behind when the user leaves.
            Task<string?> reading = Task.Factory.StartNew(screen.ReadMessage, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            if (await Task.WhenAny(reading, Task.Delay(Timeout.Infinite, leave)) != reading)
            {
                Console.Out.WriteLine();
                break;
            }
            if (await reading is not { } input || !await session.HandleAsync(input))
            {
                break;
            }
        }
        return session.Failed && !terminal ? ExitCodes.Failed : ExitCodes.Ok;
    }

    private static async Task<IChatBackend> LoadAsync(ServeOptions options, CancellationToken cancellationToken)
    {
        options.Validate();
        string? template = options.ChatTemplate is { } file ? await File.ReadAllTextAsync(file, cancellationToken) : null;
        InferenceEngine engine = await CommandRun.LoadAsync(options, cancellationToken);
        try
        {
            return engine.Model.CanGenerate
                ? new EngineChat(engine, new ChatPromptBuilder(engine, template))
                : throw new EngineException(EngineError.InvalidRequest, $"'{options.Model}' ({engine.Model.Architecture}) makes embeddings only and can't chat. Name a generating model.");
        }
        catch
        {
            await engine.DisposeAsync();
            throw;
        }
    }

    private static async Task<IChatBackend> ConnectAsync(string address, string? keyVariable, string? model, CancellationToken cancellationToken)
    {
        if (!Uri.TryCreate(address, UriKind.Absolute, out Uri? url) || url.Scheme is not ("http" or "https") || url.Query.Length > 0)
        {
            throw new SettingException("url", $"'{address}' is not an address; it must look like http://127.0.0.1:8080/v1");
        }
        string? key = keyVariable is null ? null : ServerAccess.KeyIn(keyVariable);
        return await HttpChat.ConnectAsync(url, key, model, cancellationToken);
    }

    private static void CheckSettings(ChatSettings settings)
    {
        if (settings.Temperature is { } temperature && temperature is not (>= 0 and <= 100))
        {
            throw new SettingException("temperature", string.Create(CultureInfo.InvariantCulture, $"{temperature} does not lie between 0 and 100"));
        }
        if (settings.MaxTokens is < 1)
        {
            throw new SettingException("max-tokens", $"{settings.MaxTokens} is less than 1");
        }
    }

    /// <summary>An interrupt stops the answer; without one, and for a termination, it is time to leave.</summary>
    private sealed class Signals : IDisposable
    {
        private readonly CancellationTokenSource _leave;
        private readonly PosixSignalRegistration _interrupt;
        private readonly PosixSignalRegistration _terminate;

        public Signals(CancellationTokenSource leave)
        {
            _leave = leave;
            _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context =>
            {
                context.Cancel = true;
                if (Session?.Interrupt() != true)
                {
                    _leave.Cancel();
                }
            });
            _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context =>
            {
                context.Cancel = true;
                Session?.Interrupt();
                _leave.Cancel();
            });
        }

        public ChatSession? Session { get; set; }

        public void Dispose()
        {
            _interrupt.Dispose();
            _terminate.Dispose();
        }
    }
}
