using System.Diagnostics;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;

namespace ContinualNative.Host.Benchmarking;

/// <summary>One streamed request as its client saw it.</summary>
/// <param name="FirstToken">From sending to the first text.</param>
/// <param name="Gaps">Between arrivals of text, in milliseconds.</param>
/// <param name="Tokens">Generated tokens, from the usage that the server states.</param>
/// <param name="CachedTokens">Prompt tokens that it took from its prefix cache.</param>
internal sealed record StreamTiming(TimeSpan FirstToken, IReadOnlyList<double> Gaps, int Tokens, int CachedTokens);

/// <summary>Sends streamed completions to an OpenAI-compatible server and times what arrives.</summary>
internal sealed class LoadClient : IDisposable
{
    private readonly HttpClient _http;
    private readonly string? _model;

    public LoadClient(Uri server, string? model, string? key)
    {
        _http = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 1024, UseProxy = false }) { BaseAddress = server, Timeout = Timeout.InfiniteTimeSpan };
        _model = model;
        if (key is not null)
        {
            _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        }
    }

    /// <summary>One greedy completion of <paramref name="tokens"/> tokens after a prompt of token ids. Throws <see cref="HttpRequestException"/> with the server's message.</summary>
    public async Task<StreamTiming> StreamAsync(int[] prompt, int tokens, CancellationToken cancellationToken, string? adapter = null, Action? onFirstToken = null)
    {
        using HttpRequestMessage request = new(HttpMethod.Post, "v1/completions") { Content = Body(prompt, tokens, adapter) };
        long sent = Stopwatch.GetTimestamp();
        using HttpResponseMessage response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        if (!response.IsSuccessStatusCode)
        {
            string error = await response.Content.ReadAsStringAsync(cancellationToken);
            throw new HttpRequestException($"the server answered {(int)response.StatusCode}: {error}");
        }
        await using Stream stream = await response.Content.ReadAsStreamAsync(cancellationToken);
        using StreamReader reader = new(stream, Encoding.UTF8);
        TimeSpan? first = null;
        List<double> gaps = new(tokens);
        long last = 0;
        int generated = 0;
        int cached = 0;
        while (await reader.ReadLineAsync(cancellationToken) is { } line)
        {
            if (!line.StartsWith("data: ", StringComparison.Ordinal) || line == "data: [DONE]")
            {
                continue;
            }
            long now = Stopwatch.GetTimestamp();
            if (line.Contains("\"usage\":{", StringComparison.Ordinal))
            {
                using JsonDocument json = JsonDocument.Parse(line.AsMemory(6));
                JsonElement usage = json.RootElement.GetProperty("usage");
                generated = usage.GetProperty("completion_tokens").GetInt32();
                if (usage.TryGetProperty("prompt_tokens_details", out JsonElement details) && details.TryGetProperty("cached_tokens", out JsonElement c))
                {
                    cached = c.GetInt32();
                }
            }
            else if (first is null)
            {
                first = Stopwatch.GetElapsedTime(sent, now);
                last = now;
                onFirstToken?.Invoke();
            }
            else
            {
                gaps.Add(Stopwatch.GetElapsedTime(last, now).TotalMilliseconds);
                last = now;
            }
        }
        return new StreamTiming(first ?? throw new HttpRequestException("the stream ended without any text"), gaps, generated, cached);
    }

    /// <summary>Posts JSON to an administration endpoint.</summary>
    public async Task PostAsync(string path, string? json, CancellationToken cancellationToken)
    {
        using StringContent? content = json is null ? null : new StringContent(json, Encoding.UTF8, "application/json");
        using HttpResponseMessage response = await _http.PostAsync(path, content, cancellationToken);
        if (!response.IsSuccessStatusCode)
        {
            throw new HttpRequestException($"{path} answered {(int)response.StatusCode}: {await response.Content.ReadAsStringAsync(cancellationToken)}");
        }
    }

    public void Dispose() => _http.Dispose();

    private ByteArrayContent Body(int[] prompt, int tokens, string? adapter)
    {
        using MemoryStream buffer = new();
        using (Utf8JsonWriter json = new(buffer))
        {
            json.WriteStartObject();
            if (_model is not null)
            {
                json.WriteString("model", adapter is null ? _model : $"{_model}@{adapter}");
            }
            json.WriteStartArray("prompt");
            foreach (int token in prompt)
            {
                json.WriteNumberValue(token);
            }
            json.WriteEndArray();
            json.WriteNumber("max_tokens", tokens);
            json.WriteNumber("temperature", 0);
            json.WriteBoolean("ignore_eos", true);
            json.WriteBoolean("stream", true);
            json.WriteStartObject("stream_options");
            json.WriteBoolean("include_usage", true);
            json.WriteEndObject();
            json.WriteEndObject();
        }
        ByteArrayContent content = new(buffer.ToArray());
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        return content;
    }
}
