using System.CommandLine;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using ContinualNative.Core.Economics;
using ContinualNative.Core.Traffic;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.Frontier.Simulation;
using ContinualNative.Host.Serving;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;

namespace ContinualNative.Host.Commands;

/// <summary><c>continual frontier simulate|check</c>: a stand-in for a frontier model, and a look at a real one.</summary>
internal static class FrontierCommand
{
    private const string Name = "frontier";

    public static Command Create() => new(Name, "Simulate a frontier model, or check that one answers.") { Simulate(), Check() };

    private static Command Simulate()
    {
        Option<string> data = new("--data") { Description = "What it knows, as JSONL: {\"prompt\", \"answer\", \"wrong\": [...]} or examples as for 'eval'.", HelpName = "FILE", Required = true };
        Option<string> listen = new("--listen") { Description = "Address to listen on (default: http://127.0.0.1:8090; port 0: any free one).", HelpName = "URL", DefaultValueFactory = static _ => "http://127.0.0.1:8090" };
        Option<string> releases = new("--releases") { Description = "Its releases as JSON: a list of {\"name\", \"quality\", \"after\", \"latency_ms\", \"prices\", \"refuse_rate\", ...} (default: one, sim-1, that answers all it knows right).", HelpName = "FILE" };
        Option<long> seed = new("--seed") { Description = "Decides what it gets wrong and when it fails (default: 0).", HelpName = "N" };
        Option<string> unknown = new("--knowledge-default") { Description = "The answer to prompts that it does not know.", HelpName = "TEXT" };
        Option<string> keyEnv = new("--key-env") { Description = "Environment variable with the key to ask for (default: none is asked for).", HelpName = "NAME" };
        Option<bool> json = new("--json") { Description = "One JSON line on standard output once it listens." };
        Command command = new("simulate", "An OpenAI-compatible endpoint that answers from a file, with releases of rising quality, latencies, prices and failures. POST /sim/release and /sim/failures steer it, GET /sim/state shows its counts.")
        {
            data, listen, releases, seed, unknown, keyEnv, json,
        };
        command.SetAction((parsed, cancel) => CommandRun.GuardAsync("frontier simulate", async () =>
        {
            ListenEndpoint endpoint = new ServeOptions { Listen = parsed.GetValue(listen)! }.Endpoint();
            SimulatedFrontierOptions options = new()
            {
                Knowledge = SimulatedKnowledge.ReadFile(parsed.GetValue(data)!),
                Seed = unchecked((ulong)parsed.GetValue(seed)),
                Listen = new IPEndPoint(endpoint.Address, endpoint.Port),
                Key = parsed.GetValue(keyEnv) is { } variable ? Variable("key-env", variable) : null,
            };
            options = parsed.GetValue(releases) is { } file ? options with { Releases = SimulatedRelease.ReadFile(file) } : options;
            options = parsed.GetValue(unknown) is { } text ? options with { UnknownAnswer = text } : options;
            return await SimulateAsync(options, parsed.GetValue(listen)!, parsed.GetValue(json), cancel);
        }));
        return command;
    }

    private static async Task<int> SimulateAsync(SimulatedFrontierOptions options, string listen, bool json, CancellationToken cancellationToken)
    {
        await using WebApplication app = SimulatedFrontier.Build(options);
        try
        {
            await app.StartAsync(cancellationToken);
        }
        catch (Exception e) when (e is IOException or SocketException or AddressInUseException)
        {
            return CommandRun.Fail("frontier simulate", $"cannot listen on {listen}: {e.Message} Choose another port with --listen.", ExitCodes.Failed);
        }
        string address = ServerBuilder.AddressOf(app).GetLeftPart(UriPartial.Authority);
        await Console.Error.WriteLineAsync($"Listening on {address}/v1 ({options.Knowledge.Count} prompts known, {options.Releases.Count} releases)");
        if (json)
        {
            CommandRun.WriteJson(writer =>
            {
                writer.WriteString("listening", address);
                writer.WriteString("url", address + "/v1");
                writer.WriteString("release", app.Services.GetRequiredService<SimulatedModel>().Current.Name);
                writer.WriteNumber("pid", Environment.ProcessId);
            });
        }
        try
        {
            await Task.Delay(Timeout.Infinite, cancellationToken);
        }
        catch (OperationCanceledException)
        {
            // Interrupted: the way that it ends.
        }
        using CancellationTokenSource atOnce = new(TimeSpan.FromSeconds(1));
        await app.StopAsync(atOnce.Token);
        return ExitCodes.Ok;
    }

    private static Command Check()
    {
        Option<string> url = new("--url") { Description = "The endpoint's base URL, such as https://api.example.com/v1.", HelpName = "URL", Required = true };
        Option<string> model = new("--model") { Description = "The model to ask for.", HelpName = "NAME", Required = true };
        Option<string> keyEnv = new("--key-env") { Description = "Environment variable that holds the key (default: none is sent).", HelpName = "NAME" };
        Option<string> priceIn = new("--price-in") { Description = "US dollars per million prompt tokens, to reckon the question's price.", HelpName = "USD" };
        Option<string> priceOut = new("--price-out") { Description = "US dollars per million tokens of answers.", HelpName = "USD" };
        Option<string> timeout = new("--timeout") { Description = "Longest time to wait (default: 30).", HelpName = "SECONDS" };
        Option<string> maxTokensField = new("--max-tokens-field") { Description = "max_completion_tokens (default), or max_tokens for older servers.", HelpName = "FIELD" };
        Option<bool> json = new("--json") { Description = "One JSON object on standard output." };
        Command command = new("check", "Ask a frontier endpoint one tiny question, and tell which model answered, how fast and for how much.")
        {
            url, model, keyEnv, priceIn, priceOut, timeout, maxTokensField, json,
        };
        command.SetAction((parsed, cancel) => CommandRun.GuardAsync("frontier check", async () =>
        {
            decimal prompt = Amount("price-in", parsed.GetValue(priceIn));
            TimeSpan time = parsed.GetValue(timeout) is { } seconds ? TimeSpan.FromSeconds((double)Amount("timeout", seconds)) : TimeSpan.FromSeconds(30);
            FrontierEndpointOptions endpoint = new()
            {
                Name = Name,
                Url = parsed.GetValue(url)!,
                Model = parsed.GetValue(model)!,
                KeyEnv = parsed.GetValue(keyEnv),
                Prices = new TokenPrices(prompt, prompt, Amount("price-out", parsed.GetValue(priceOut))),
                FirstByteTimeout = time,
                Timeout = time,
                MaxTokensField = parsed.GetValue(maxTokensField) ?? "max_completion_tokens",
            };
            return await CheckAsync(endpoint, parsed.GetValue(json), cancel);
        }));
        return command;
    }

    private static async Task<int> CheckAsync(FrontierEndpointOptions endpoint, bool json, CancellationToken cancellationToken)
    {
        using FrontierClient client = new(new FrontierOptions { Endpoints = [endpoint] }, NullLogger<FrontierClient>.Instance);
        FrontierRequest question = new()
        {
            Messages = [new ChatMessage { Role = "user", Content = "Say yes." }],
            MaxTokens = 256,
        };
        FrontierAnswer answer;
        try
        {
            answer = await client.CompleteAsync(question, FrontierPurpose.Escalation, cancellationToken);
        }
        catch (FrontierException e)
        {
            return CommandRun.Fail("frontier check", e.Message, e.Kind == FrontierErrorKind.Rejected ? ExitCodes.BadInput : ExitCodes.Failed);
        }
        if (json)
        {
            CommandRun.WriteJson(writer =>
            {
                writer.WriteString("url", endpoint.Url);
                writer.WriteString("asked_for", endpoint.Model);
                writer.WriteString("model", answer.Model);
                writer.WriteNumber("latency_ms", Math.Round(answer.Latency.TotalMilliseconds, 1));
                writer.WriteNumber("prompt_tokens", answer.PromptTokens);
                writer.WriteNumber("cached_tokens", answer.CachedTokens);
                writer.WriteNumber("completion_tokens", answer.CompletionTokens);
                writer.WriteBoolean("usage_estimated", answer.UsageEstimated);
                writer.WriteNumber("cost_usd", answer.Cost.Dollars);
                writer.WriteString("finish_reason", answer.FinishReason);
            });
            return ExitCodes.Ok;
        }
        Console.Out.WriteLine($"model    {answer.Model}{(answer.Model == endpoint.Model ? "" : $" (asked for {endpoint.Model})")}");
        Console.Out.WriteLine($"latency  {answer.Latency.TotalMilliseconds:0} ms");
        Console.Out.WriteLine($"tokens   {answer.PromptTokens} of the prompt ({answer.CachedTokens} cached), {answer.CompletionTokens} of the answer{(answer.UsageEstimated ? " (estimated: the endpoint does not say)" : "")}");
        Console.Out.WriteLine($"price    {answer.Cost}");
        return ExitCodes.Ok;
    }

    private static string Variable(string option, string name) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : throw new SettingException(option, $"the environment variable '{name}' is not set");

    private static decimal Amount(string option, string? text) =>
        text is null ? 0
        : decimal.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out decimal amount) && amount is >= 0 and <= 1_000_000 ? amount
        : throw new SettingException(option, $"'{text}' is not a number from 0 to 1000000");
}
