using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using ContinualNative.Host.Http;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.Frontier.Simulation;

/// <summary>
/// A frontier model that is none: an OpenAI-compatible endpoint which answers out of a file, as well and as reliably as its current release says.
/// <c>/sim/release</c>, <c>/sim/failures</c> and <c>/sim/state</c> steer and watch it. Everything it does follows from its seed and the requests' order.
/// </summary>
internal static class SimulatedFrontier
{
    private static readonly int[] RefusalMix = [429, 500, 503];

    /// <summary>Builds the server; it listens once started. Its <see cref="SimulatedModel"/> is a service.</summary>
    public static WebApplication Build(SimulatedFrontierOptions options)
    {
        if (options.Releases.Count == 0)
        {
            throw new SettingException("releases", "there must be at least one release");
        }
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "continual-frontier", EnvironmentName = Environments.Production });
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(options.Listen);
            kestrel.AddServerHeader = false;
        });
        builder.Services.AddRoutingCore();
        builder.Services.AddSingleton(options);
        builder.Services.AddSingleton<SimulatedModel>();
        WebApplication app = builder.Build();
        app.Use(next => http => GuardAsync(http, next, options.Key));
        app.UseRouting();
        app.MapPost("/v1/chat/completions", ChatAsync);
        app.MapGet("/v1/models", ModelsAsync);
        app.MapPost("/sim/release", ReleaseAsync);
        app.MapPost("/sim/failures", FailuresAsync);
        app.MapGet("/sim/state", StateAsync);
        return app;
    }

    private static async Task GuardAsync(HttpContext http, RequestDelegate next, string? key)
    {
        try
        {
            if (key is not null && !CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(http.Request.Headers.Authorization.ToString()), Encoding.UTF8.GetBytes("Bearer " + key)))
            {
                throw new ApiException(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided.");
            }
            await next(http);
            if (!http.Response.HasStarted && ApiErrors.FromStatus(http) is { } error)
            {
                await ApiErrors.WriteAsync(http, error);
            }
        }
        catch (SettingException e)
        {
            await ApiErrors.WriteAsync(http, ApiException.WrongValue(e.Key, e.Message));
        }
        catch (Exception e) when (!http.Response.HasStarted && !http.RequestAborted.IsCancellationRequested)
        {
            await ApiErrors.WriteAsync(http, ApiErrors.From(e));
        }
        catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested)
        {
            // The client has gone.
        }
    }

    private static async Task ChatAsync(HttpContext http)
    {
        SimulatedModel model = http.RequestServices.GetRequiredService<SimulatedModel>();
        SimulatedFrontierOptions options = http.RequestServices.GetRequiredService<SimulatedFrontierOptions>();
        SimulatedChat chat;
        using (JsonDocument body = await RequestBody.ReadObjectAsync(http))
        {
            chat = SimulatedChat.Parse(body.RootElement);
        }
        (long number, SimulatedRelease release, SimulatedFailures failures, SimulatedFate fate) = model.Next();
        if (fate == SimulatedFate.Refused)
        {
            await RefuseAsync(http, failures, number);
            return;
        }
        await WaitAsync(model.Latency(release, number) + (fate == SimulatedFate.Slow ? failures.SlowDelay : TimeSpan.Zero));
        if (fate == SimulatedFate.Nonsense)
        {
            await BabbleAsync(http, chat.Stream, number);
            return;
        }
        SimulatedAnswer answer = model.Answer(chat, release, number, empty: fate == SimulatedFate.Empty);
        TimeSpan pause = release.TokensPerSecond > 0 ? TimeSpan.FromSeconds(1 / release.TokensPerSecond) : TimeSpan.Zero;
        if (chat.Stream)
        {
            await StreamAsync(http, chat, answer, fate == SimulatedFate.Cut, WaitAsync, pause);
            return;
        }
        // A whole answer takes as long as a streamed one.
        await WaitAsync(pause * answer.CompletionTokens);
        if (fate == SimulatedFate.Cut)
        {
            await CutWholeAsync(http, answer);
            return;
        }
        await JsonOut.WriteAsync(http, answer, static (json, a) => a.Write(json));

        Task WaitAsync(TimeSpan time) => time > TimeSpan.Zero ? Task.Delay(time, options.Time, http.RequestAborted) : Task.CompletedTask;
    }

    private static async Task StreamAsync(HttpContext http, SimulatedChat chat, SimulatedAnswer answer, bool cut, Func<TimeSpan, Task> wait, TimeSpan pause)
    {
        if (cut && answer.Pieces.Count == 1)
        {
            string only = answer.Pieces[0];
            answer = answer with { Pieces = [only[..((only.Length + 1) / 2)], only[((only.Length + 1) / 2)..]] };
        }
        int until = cut ? (answer.Pieces.Count + 1) / 2 : answer.Pieces.Count + 1;
        http.Response.ContentType = "text/event-stream; charset=utf-8";
        for (int i = -1; i < until; i++)
        {
            int piece = i;
            await SendAsync(json => answer.WritePiece(json, piece, chat.IncludeUsage));
            if (i >= 0 && i < answer.Pieces.Count)
            {
                await wait(pause);
            }
        }
        // Decision: a stream that is cut ends as if a proxy in between had given up, without a last word. A reset connection may
        // overtake what was sent before it, and then no two runs would be alike.
        if (cut)
        {
            return;
        }
        if (chat.IncludeUsage)
        {
            await SendAsync(answer.WriteTotals);
        }
        await http.Response.Body.WriteAsync("data: [DONE]\n\n"u8.ToArray(), http.RequestAborted);

        async Task SendAsync(Action<Utf8JsonWriter> write)
        {
            ArrayBufferWriter<byte> buffer = new(512);
            buffer.Write("data: "u8);
            using (Utf8JsonWriter json = new(buffer, JsonOut.Options))
            {
                write(json);
            }
            buffer.Write("\n\n"u8);
            await http.Response.Body.WriteAsync(buffer.WrittenMemory, http.RequestAborted);
            await http.Response.Body.FlushAsync(http.RequestAborted);
        }
    }

    private static async Task RefuseAsync(HttpContext http, SimulatedFailures failures, long number)
    {
        int status = failures.RefuseStatus != 0 ? failures.RefuseStatus : RefusalMix[number % RefusalMix.Length];
        if (failures.RetryAfter is { } wait)
        {
            http.Response.Headers.RetryAfter = $"{Math.Ceiling(wait.TotalSeconds)}";
            http.Response.Headers["retry-after-ms"] = $"{wait.TotalMilliseconds:0}";
        }
        await ApiErrors.WriteAsync(http, status == 429
            ? new ApiException(429, "requests", "rate_limit_exceeded", "Rate limit reached. Please try again later.")
            : new ApiException(status, status < 500 ? "invalid_request_error" : "server_error", status < 500 ? "simulated_refusal" : "simulated_failure", "The simulated frontier refuses this request."));
    }

    private static async Task BabbleAsync(HttpContext http, bool stream, long number)
    {
        (string type, string body) = (number % 3) switch
        {
            0 => ("text/html", "<html><body><h1>502 Bad Gateway</h1></body></html>"),
            1 => ("application/json", "{\"ok\":true}"),
            _ => ("application/json", "{\"id\":\"x\",\"choices\":[{\"index\":0,\"mess"),
        };
        http.Response.ContentType = stream && type != "text/html" ? "text/event-stream" : type;
        await http.Response.WriteAsync(stream && type != "text/html" ? $"data: {body}\n\n" : body, http.RequestAborted);
    }

    private static async Task CutWholeAsync(HttpContext http, SimulatedAnswer answer)
    {
        ArrayBufferWriter<byte> buffer = new(512);
        using (Utf8JsonWriter json = new(buffer, JsonOut.Options))
        {
            answer.Write(json);
        }
        http.Response.ContentType = "application/json";
        http.Response.ContentLength = buffer.WrittenCount;
        await http.Response.Body.WriteAsync(buffer.WrittenMemory[..(buffer.WrittenCount / 2)], http.RequestAborted);
        await http.Response.Body.FlushAsync(http.RequestAborted);
        http.Abort();
    }

    private static Task ModelsAsync(HttpContext http)
    {
        SimulatedModel model = http.RequestServices.GetRequiredService<SimulatedModel>();
        return JsonOut.WriteAsync(http, model, static (json, m) =>
        {
            json.WriteStartObject();
            json.WriteString("object", "list");
            json.WriteStartArray("data");
            foreach (SimulatedRelease release in m.Releases)
            {
                json.WriteStartObject();
                json.WriteString("id", release.Name);
                json.WriteString("object", "model");
                json.WriteNumber("created", 0);
                json.WriteString("owned_by", "simulation");
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    private static async Task ReleaseAsync(HttpContext http)
    {
        SimulatedModel model = http.RequestServices.GetRequiredService<SimulatedModel>();
        using (JsonDocument body = await RequestBody.ReadObjectAsync(http))
        {
            SettingReader fields = new(body.RootElement, "release");
            string? name = fields.Text("name");
            fields.End();
            if (!model.Choose(name))
            {
                throw ApiException.WrongValue("name", $"There is no release '{JsonIn.Short(name!)}'; there are {string.Join(", ", model.Releases.Select(static r => r.Name))}.");
            }
        }
        await StateAsync(http);
    }

    private static async Task FailuresAsync(HttpContext http)
    {
        SimulatedModel model = http.RequestServices.GetRequiredService<SimulatedModel>();
        using (JsonDocument body = await RequestBody.ReadObjectAsync(http))
        {
            SettingReader fields = new(body.RootElement, "failures");
            bool reset = fields.Flag("reset") ?? false;
            int requests = fields.Whole("for_requests") ?? int.MaxValue;
            SimulatedFailures failures = SimulatedFailures.Read(fields, new SimulatedFailures());
            fields.End();
            if (requests < 1)
            {
                throw fields.Wrong("for_requests", "it must be at least 1");
            }
            model.Fail(reset ? null : failures, requests == int.MaxValue ? long.MaxValue : requests);
        }
        await StateAsync(http);
    }

    private static Task StateAsync(HttpContext http) =>
        JsonOut.WriteAsync(http, http.RequestServices.GetRequiredService<SimulatedModel>().State(), static (json, s) =>
        {
            json.WriteStartObject();
            json.WriteString("release", s.Release);
            json.WriteBoolean("failures_overridden", s.FailuresOverridden);
            json.WriteNumber("requests", s.Requests);
            foreach (SimulatedFate fate in Enum.GetValues<SimulatedFate>())
            {
                json.WriteNumber(fate.ToString().ToLowerInvariant(), s.Count(fate));
            }
            json.WriteNumber("unknown_prompts", s.UnknownPrompts);
            json.WriteNumber("prompt_tokens", s.PromptTokens);
            json.WriteNumber("cached_tokens", s.CachedTokens);
            json.WriteNumber("completion_tokens", s.CompletionTokens);
            json.WriteNumber("charged_usd", s.Charged.Dollars);
            json.WriteStartObject("by_release");
            foreach ((string release, long count) in s.ByRelease)
            {
                json.WriteNumber(release, count);
            }
            json.WriteEndObject();
            json.WriteEndObject();
        });
}
