using System.Net;
using System.Text;
using System.Text.Json;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.Frontier.Simulation;
using ContinualNative.Host.Serving;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace ContinualNative.HostTests.Frontier;

/// <summary>A server on a free port that ends with the test: the simulated frontier, or one that does what a test says.</summary>
internal sealed class TestEndpoint : IAsyncDisposable
{
    private readonly WebApplication _app;
    private int _requests;

    private TestEndpoint(WebApplication app) => _app = app;

    /// <summary>The base URL, as an endpoint's option.</summary>
    public string Url => ServerBuilder.AddressOf(_app).GetLeftPart(UriPartial.Authority) + "/v1";

    public SimulatedModel Model => _app.Services.GetRequiredService<SimulatedModel>();

    /// <summary>Requests that came to a server of <see cref="ServeAsync"/>.</summary>
    public int Requests => Volatile.Read(ref _requests);

    public static Task<TestEndpoint> SimulateAsync(params SimulatedRelease[] releases) => SimulateAsync(new SimulatedFrontierOptions { Knowledge = Knowledge(8), Releases = releases.Length > 0 ? releases : [new SimulatedRelease { Name = "sim-1" }] });

    public static async Task<TestEndpoint> SimulateAsync(SimulatedFrontierOptions options)
    {
        TestEndpoint endpoint = new(SimulatedFrontier.Build(options));
        await endpoint._app.StartAsync(TestContext.Current.CancellationToken);
        return endpoint;
    }

    public static async Task<TestEndpoint> ServeAsync(RequestDelegate handle)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(static kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        TestEndpoint endpoint = new(builder.Build());
        endpoint._app.Run(http =>
        {
            Interlocked.Increment(ref endpoint._requests);
            return handle(http);
        });
        await endpoint._app.StartAsync(TestContext.Current.CancellationToken);
        return endpoint;
    }

    /// <summary>Answers every request with these events.</summary>
    public static Task<TestEndpoint> EventsAsync(params string[] events) => ServeAsync(async http =>
    {
        http.Response.ContentType = "text/event-stream";
        foreach (string one in events)
        {
            await SendAsync(http, $"data: {one}\n\n");
        }
    });

    /// <summary>Answers every request with this body.</summary>
    public static Task<TestEndpoint> JsonAsync(string body, int status = 200) => ServeAsync(http =>
    {
        http.Response.StatusCode = status;
        http.Response.ContentType = "application/json";
        return http.Response.WriteAsync(body);
    });

    public static async Task SendAsync(HttpContext http, string text)
    {
        await http.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(text), http.RequestAborted);
        await http.Response.Body.FlushAsync(http.RequestAborted);
    }

    public static string Chunk(string delta, string finish = "null") =>
        $$"""{"id":"x","object":"chat.completion.chunk","created":1,"model":"m-7","choices":[{"index":0,"delta":{{delta}},"finish_reason":{{finish}}}]}""";

    public static string Completion(string message, string finish = "stop", string usage = ""","usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12}""") =>
        $$"""{"id":"x","object":"chat.completion","created":1,"model":"m-7","choices":[{"index":0,"message":{{message}},"finish_reason":"{{finish}}"}]{{usage}}}""";

    public static string Saying(string text) => Completion($$"""{"role":"assistant","content":{{JsonSerializer.Serialize(text)}}}""");

    /// <summary>Question 0 … and their answers.</summary>
    public static SimulatedKnowledge Knowledge(int prompts)
    {
        SimulatedKnowledge knowledge = new();
        for (int i = 0; i < prompts; i++)
        {
            knowledge.Add($"Question {i}?", $"the answer is {i}", []);
        }
        return knowledge;
    }

    /// <summary>An endpoint's options, with times that no test reaches by itself.</summary>
    public FrontierEndpointOptions Options(string name = "a", int retries = 0) => At(Url, name) with { Retries = retries };

    public static FrontierEndpointOptions At(string url, string name = "a") => new()
    {
        Name = name,
        Url = url,
        Model = "some-model",
        Prices = new(2, 1, 8),
        TrainingAllowed = true,
        FirstByteTimeout = TimeSpan.FromMinutes(1),
        Timeout = TimeSpan.FromMinutes(1),
        Retries = 0,
    };

    public async ValueTask DisposeAsync()
    {
        using CancellationTokenSource atOnce = new(TimeSpan.Zero);
        try
        {
            await _app.StopAsync(atOnce.Token);
        }
        catch (OperationCanceledException)
        {
            // Handlers that hang are part of some tests.
        }
        await _app.DisposeAsync();
    }
}
