using System.CommandLine;
using System.Net.Sockets;
using System.Text.Json;
using ContinualNative.Core.Access;
using ContinualNative.Engine;
using ContinualNative.Host.Serving;
using ContinualNative.Storage;
using Microsoft.AspNetCore.Connections;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual serve</c>: the server.</summary>
internal static class ServeCommand
{
    public static Command Create()
    {
        Option<string> config = new("--config") { Description = "Settings as JSON (default: continual.json in the working folder, where there is one).", HelpName = "FILE" };
        Command command = new("serve", "Serve a GGUF model with the OpenAI API. Every setting can also stand in continual.json (\"gpuLayers\": 20) or the environment (CONTINUAL__GPU_LAYERS=20); flags win.");
        ServeSettings.AddTo(command);
        command.Options.Add(config);
        command.SetAction((parsed, _) => RunAsync(parsed, parsed.GetValue(config)));
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, string? configPath)
    {
        WebApplication app;
        ServeOptions options;
        try
        {
            options = ServeSettings.Read(parsed, configPath, Environment.GetEnvironmentVariables());
            options.Validate();
            app = ServerBuilder.Build(options, ownsProcess: true);
        }
        catch (Exception e) when (e is SettingException or ApiKeyStoreException)
        {
            return Fail(e.Message, ExitCodes.BadInput);
        }
        catch (StoreException e)
        {
            return Fail(e.Message, e.Error is StoreError.Locked or StoreError.DiskFull or StoreError.Failed ? ExitCodes.Failed : ExitCodes.BadInput);
        }
        await using (app)
        {
            try
            {
                await app.StartAsync();
            }
            catch (Exception e) when (e is IOException or SocketException or AddressInUseException)
            {
                string reason = e is AddressInUseException || e.InnerException is AddressInUseException ? "the port is in use; stop the other program or choose another port with --listen" : e.Message;
                return Fail($"Cannot listen on {options.Listen}: {reason}.", ExitCodes.Failed);
            }
            Uri address = ServerBuilder.AddressOf(app);
            await Console.Error.WriteLineAsync($"Listening on {address} (loading the model)");
            ServerState state = app.Services.GetRequiredService<ServerState>();
            Task stopped = app.WaitForShutdownAsync();
            int exit = ExitCodes.Ok;
            try
            {
                if (await Task.WhenAny(state.Ready, stopped) == state.Ready)
                {
                    ServedModel model = await state.Ready;
                    if (options.Json)
                    {
                        WriteStarted(address, model.Engine.Model.Name);
                    }
                }
            }
            catch (OperationCanceledException)
            {
                // Interrupted while loading.
            }
            catch (Exception e)
            {
                exit = Fail($"Cannot load {options.Model}: {e.Message}", e is EngineException { Error: not EngineError.Internal } ? ExitCodes.BadInput : ExitCodes.Failed);
            }
            await stopped;
            return exit;
        }
    }

    private static void WriteStarted(Uri address, string model)
    {
        using Stream output = Console.OpenStandardOutput();
        using (Utf8JsonWriter json = new(output))
        {
            json.WriteStartObject();
            json.WriteString("listening", address.GetLeftPart(UriPartial.Authority));
            json.WriteString("model", model);
            json.WriteNumber("pid", Environment.ProcessId);
            json.WriteEndObject();
        }
        output.WriteByte((byte)'\n');
    }

    private static int Fail(string message, int exit)
    {
        Console.Error.WriteLine($"continual serve: {message}");
        return exit;
    }
}
