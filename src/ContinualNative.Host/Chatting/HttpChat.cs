using System.Diagnostics;
using System.Net.Http.Headers;
using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Encodings.Web;
using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Host.Chatting;

/// <summary>Chats with a server that speaks OpenAI's API, over server-sent events. Owns its HTTP client.</summary>
internal sealed class HttpChat : IChatBackend
{
    private static readonly JsonWriterOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly HttpClient _client;
    private readonly Uri _base;
    private string _model;
    private bool _logProbs = true;
    private bool _usage = true;

    private HttpChat(HttpClient client, Uri url, string model)
    {
        _client = client;
        _base = url;
        _model = model;
    }

    public string Description => $"{_model} at {_base.GetLeftPart(UriPartial.Path).TrimEnd('/')}";

    public bool IsChat { get; private set; } = true;

    /// <summary>
    /// Connects, and asks for the models served when <paramref name="model"/> is null. Throws <see cref="ChatFailedException"/>.
    /// </summary>
    /// <param name="url">Such as <c>http://127.0.0.1:8080/v1</c>; an address without a path gets <c>/v1</c>.</param>
    /// <param name="key">The API key, or null.</param>
    /// <param name="model">The model's name, or null for the first one served.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public static async Task<HttpChat> ConnectAsync(Uri url, string? key, string? model, CancellationToken cancellationToken)
    {
        string path = url.AbsolutePath == "/" ? "/v1/" : url.AbsolutePath.TrimEnd('/') + "/";
        HttpClient client = new() { Timeout = Timeout.InfiniteTimeSpan };
        if (key is not null)
        {
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        }
        HttpChat chat = new(client, new Uri(url, path), model ?? "");
        try
        {
            if (model is null)
            {
                await chat.FindModelAsync(cancellationToken);
            }
            return chat;
        }
        catch
        {
            client.Dispose();
            throw;
        }
    }

    public async IAsyncEnumerable<string> AnswerAsync(IReadOnlyList<ChatMessage> messages, ChatSettings settings, bool spacious, AnswerStats stats, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using HttpResponseMessage response = await SendAsync(messages, settings, cancellationToken);
        await using Stream body = await response.Content.ReadAsStreamAsync(cancellationToken);
        await using IAsyncEnumerator<SseItem<string>> events = SseParser.Create(body).EnumerateAsync(cancellationToken).GetAsyncEnumerator(cancellationToken);
        StreamFigures figures = new(stats);
        bool done = false;
        while (!done && await NextAsync(events, cancellationToken))
        {
            string data = events.Current.Data;
            done = data == "[DONE]";
            if (!done && figures.Read(data) is { Length: > 0 } text)
            {
                yield return text;
            }
        }
        if (!done)
        {
            throw new ChatFailedException("The server ended the stream in the middle of the answer. Ask again with /retry.");
        }
    }

    public Task<string> UseAdapterAsync(string adapter, CancellationToken cancellationToken)
    {
        if (adapter != ModelAddress.Base && !ModelAddress.IsValidAdapterId(adapter))
        {
            throw new ChatFailedException($"'{adapter}' is no adapter's id. Name one that the server has loaded; it does not read files of this machine.");
        }
        _model = new ModelAddress(ModelAddress.Parse(_model).Model, adapter).ToString();
        return Task.FromResult($"{_model} answers.");
    }

    public ValueTask DisposeAsync()
    {
        _client.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task FindModelAsync(CancellationToken cancellationToken)
    {
        using HttpResponseMessage response = await RequestAsync(new HttpRequestMessage(HttpMethod.Get, new Uri(_base, "models")), cancellationToken);
        string body = await response.Content.ReadAsStringAsync(cancellationToken);
        if (!response.IsSuccessStatusCode)
        {
            throw Failure(response, body);
        }
        try
        {
            using JsonDocument document = JsonDocument.Parse(body);
            _model = document.RootElement.GetProperty("data").EnumerateArray().First().GetProperty("id").GetString() ?? "";
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new ChatFailedException($"{new Uri(_base, "models")} lists no models as OpenAI's API does. Is the address right (it usually ends with /v1)? Otherwise name the model with --model.", e);
        }
    }

    // Servers that know no log-probabilities or no usage in streams are asked again without.
    private async Task<HttpResponseMessage> SendAsync(IReadOnlyList<ChatMessage> messages, ChatSettings settings, CancellationToken cancellationToken)
    {
        while (true)
        {
            HttpRequestMessage request = new(HttpMethod.Post, new Uri(_base, IsChat ? "chat/completions" : "completions"))
            {
                Content = new ByteArrayContent(Body(messages, settings)) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } },
            };
            HttpResponseMessage response = await RequestAsync(request, cancellationToken);
            if (response.IsSuccessStatusCode)
            {
                return response;
            }
            using (response)
            {
                string body = await response.Content.ReadAsStringAsync(cancellationToken);
                (string message, string? param, string? code) = Error(body);
                if (code == "context_length_exceeded")
                {
                    throw new ContextFullException(message);
                }
                if (IsChat && code == "no_chat_template")
                {
                    IsChat = false;
                }
                else if (_logProbs && (int)response.StatusCode is 400 or 422 && (param == "logprobs" || message.Contains("logprobs", StringComparison.Ordinal)))
                {
                    _logProbs = false;
                }
                else if (_usage && (int)response.StatusCode is 400 or 422 && (param?.StartsWith("stream_options", StringComparison.Ordinal) == true || message.Contains("stream_options", StringComparison.Ordinal)))
                {
                    _usage = false;
                }
                else
                {
                    throw Failure(response, body);
                }
            }
        }
    }

    private byte[] Body(IReadOnlyList<ChatMessage> messages, ChatSettings settings)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, Relaxed))
        {
            json.WriteStartObject();
            json.WriteString("model", _model);
            if (IsChat)
            {
                ChatFile.WriteMessages(json, messages);
            }
            else
            {
                json.WriteString("prompt", messages[^1].Content);
            }
            json.WriteBoolean("stream", true);
            if (_usage)
            {
                json.WriteStartObject("stream_options");
                json.WriteBoolean("include_usage", true);
                json.WriteEndObject();
            }
            if (_logProbs && IsChat)
            {
                json.WriteBoolean("logprobs", true);
            }
            if (settings.Temperature is { } temperature)
            {
                json.WriteNumber("temperature", temperature);
            }
            if (settings.MaxTokens is { } most)
            {
                json.WriteNumber("max_tokens", most);
            }
            if (settings.Seed is { } seed)
            {
                json.WriteNumber("seed", seed);
            }
            json.WriteEndObject();
        }
        return stream.ToArray();
    }

    private async Task<HttpResponseMessage> RequestAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        try
        {
            return await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        }
        catch (HttpRequestException e)
        {
            throw new ChatFailedException($"{_base.GetLeftPart(UriPartial.Authority)} can't be reached: {e.Message.TrimEnd('.')}. Does the server run, and is the address right?", e);
        }
        finally
        {
            request.Dispose();
        }
    }

    private static async Task<bool> NextAsync(IAsyncEnumerator<SseItem<string>> events, CancellationToken cancellationToken)
    {
        try
        {
            return await events.MoveNextAsync();
        }
        catch (Exception e) when (e is IOException or HttpRequestException && !cancellationToken.IsCancellationRequested)
        {
            throw new ChatFailedException("The connection broke in the middle of the answer. Ask again with /retry.", e);
        }
    }

    private static ChatFailedException Failure(HttpResponseMessage response, string body)
    {
        (string message, _, _) = Error(body);
        string what = message.Length > 0 ? message : "it gave no reason";
        return new ChatFailedException($"The server answered {(int)response.StatusCode}: {what}{((int)response.StatusCode == 401 ? " (name the variable that holds your key with --key-env)" : "")}");
    }

    private static (string Message, string? Param, string? Code) Error(string body)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(body);
            JsonElement error = document.RootElement.GetProperty("error");
            return (Text(error, "message") ?? "", Text(error, "param"), Text(error, "code"));
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            return (body.Length > 200 ? body[..200] : body, null, null);
        }

        static string? Text(JsonElement error, string name) => error.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
    }

    private sealed class StreamFigures(AnswerStats stats)
    {
        private long _first;
        private double _logProb;
        private int _counted;

        /// <summary>The text of one event, its figures noted. Throws <see cref="ChatFailedException"/> for an error within the stream.</summary>
        public string Read(string data)
        {
            try
            {
                using JsonDocument document = JsonDocument.Parse(data);
                JsonElement root = document.RootElement;
                if (root.TryGetProperty("error", out JsonElement error))
                {
                    throw new ChatFailedException($"The server failed in the middle of the answer: {(error.TryGetProperty("message", out JsonElement message) ? message.GetString() : "it gave no reason")}");
                }
                if (root.TryGetProperty("usage", out JsonElement usage) && usage.ValueKind == JsonValueKind.Object)
                {
                    ReadUsage(usage);
                }
                return root.TryGetProperty("choices", out JsonElement choices) && choices.GetArrayLength() > 0 ? ReadChoice(choices[0]) : "";
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
            {
                throw new ChatFailedException("The server sent an event that is no JSON of OpenAI's shape. Is the address right?", e);
            }
        }

        private string ReadChoice(JsonElement choice)
        {
            string text = "";
            if (choice.TryGetProperty("text", out JsonElement raw) && raw.ValueKind == JsonValueKind.String)
            {
                text = raw.GetString()!;
            }
            else if (choice.TryGetProperty("delta", out JsonElement delta) && delta.TryGetProperty("content", out JsonElement content) && content.ValueKind == JsonValueKind.String)
            {
                text = content.GetString()!;
            }
            if (text.Length > 0)
            {
                _first = _first == 0 ? Stopwatch.GetTimestamp() : _first;
                stats.Tokens++;
            }
            if (choice.TryGetProperty("logprobs", out JsonElement logProbs) && logProbs.ValueKind == JsonValueKind.Object
                && logProbs.TryGetProperty("content", out JsonElement tokens) && tokens.ValueKind == JsonValueKind.Array)
            {
                foreach (JsonElement token in tokens.EnumerateArray())
                {
                    _logProb += token.GetProperty("logprob").GetDouble();
                    _counted++;
                }
                stats.Confidence = _counted > 0 ? Math.Exp(_logProb / _counted) : null;
            }
            if (choice.TryGetProperty("finish_reason", out JsonElement finish) && finish.ValueKind == JsonValueKind.String)
            {
                stats.Cut = finish.GetString() == "length";
            }
            SetRate();
            return text;
        }

        private void ReadUsage(JsonElement usage)
        {
            stats.PromptTokens = usage.TryGetProperty("prompt_tokens", out JsonElement prompt) ? prompt.GetInt32() : 0;
            stats.Tokens = usage.TryGetProperty("completion_tokens", out JsonElement completion) ? completion.GetInt32() : stats.Tokens;
            if (usage.TryGetProperty("prompt_tokens_details", out JsonElement details) && details.ValueKind == JsonValueKind.Object && details.TryGetProperty("cached_tokens", out JsonElement cached))
            {
                stats.CachedTokens = cached.GetInt32();
            }
            SetRate();
        }

        private void SetRate()
        {
            double seconds = _first == 0 ? 0 : Stopwatch.GetElapsedTime(_first).TotalSeconds;
            stats.Rate = stats.Tokens > 1 && seconds > 0 ? (stats.Tokens - 1) / seconds : null;
        }
    }
}
