using System.Globalization;
using System.Text;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Host.Chatting;

/// <summary>One chat: history, commands, and the rule that the oldest turns go when the context is full. One caller at a time, but for <see cref="Interrupt"/>.</summary>
internal sealed class ChatSession
{
    private const string Help = """
        A line is a message; end it with \ to go on in the next. Begin with // to send a text that begins with /.
        /system TEXT   set the system message (without TEXT: remove it)
        /clear         forget the chat
        /retry         answer the last message again
        /adapter ID    let another adapter answer (base: none)
        /save FILE     save the chat
        /load FILE     go on with a saved chat
        /stats         figures of this session
        /exit          leave
        Ctrl-C stops an answer, and leaves when there is none.
        """;

    private readonly IChatBackend _backend;
    private readonly ChatScreen _screen;
    private readonly ChatSettings _settings;
    private readonly List<ChatMessage> _messages = [];
    private readonly Lock _gate = new();
    private CancellationTokenSource? _answering;
    private ChatMessage? _system;
    private int _retries;
    private int _answers;
    private long _tokens;
    private long _promptTokens;
    private long _cachedTokens;
    private double _seconds;
    private long _timedTokens;
    private bool _saidRaw;

    public ChatSession(IChatBackend backend, ChatScreen screen, ChatSettings settings, string? system)
    {
        _backend = backend;
        _screen = screen;
        _settings = settings;
        SetSystem(system);
    }

    /// <summary>Whether an answer failed.</summary>
    public bool Failed { get; private set; }

    /// <summary>The chat so far, the system message first where there is one.</summary>
    public IReadOnlyList<ChatMessage> Messages => _system is null ? [.. _messages] : [_system, .. _messages];

    /// <summary>Stops the answer that is being given; false when there is none.</summary>
    public bool Interrupt()
    {
        lock (_gate)
        {
            _answering?.Cancel();
            return _answering is not null;
        }
    }

    /// <summary>Handles one line of input; false when the user wants to leave.</summary>
    public async Task<bool> HandleAsync(string input)
    {
        string text = input.Trim();
        if (text.Length == 0)
        {
            return true;
        }
        try
        {
            if (text.StartsWith('/') && !text.StartsWith("//", StringComparison.Ordinal))
            {
                int space = text.IndexOf(' ');
                return await CommandAsync(space < 0 ? text : text[..space], space < 0 ? "" : text[(space + 1)..].Trim());
            }
            _messages.Add(new ChatMessage { Role = "user", Content = text.StartsWith("//", StringComparison.Ordinal) ? text[1..] : _backend.IsChat ? text : input });
            _retries = 0;
            await AnswerAsync();
        }
        catch (ChatFailedException e)
        {
            Fail(e.Message);
        }
        return true;
    }

    private async Task<bool> CommandAsync(string command, string argument)
    {
        switch (command)
        {
            case "/help" or "/?":
                _screen.Info(Help);
                break;
            case "/exit" or "/quit":
                return false;
            case "/system":
                SetSystem(argument);
                _screen.Info(_system is null ? "No system message." : "System message set.");
                break;
            case "/clear":
                _messages.Clear();
                _screen.Info("Forgotten.");
                break;
            case "/retry":
                await RetryAsync();
                break;
            case "/adapter":
                Require(argument, "/adapter ID");
                _screen.Info(await _backend.UseAdapterAsync(argument, CancellationToken.None));
                break;
            case "/save":
                Require(argument, "/save FILE");
                ChatFile.Save(argument, Messages);
                _screen.Info($"Saved {Messages.Count} messages to {argument}.");
                break;
            case "/load":
                Require(argument, "/load FILE");
                Load(argument);
                break;
            case "/stats":
                _screen.Info(Statistics());
                break;
            default:
                throw new ChatFailedException($"There is no command {command}; /help lists them. To send a text that begins with /, write //.");
        }
        return true;
    }

    private async Task RetryAsync()
    {
        int last = _messages.FindLastIndex(static m => m.Role == "user");
        if (last < 0)
        {
            throw new ChatFailedException("There is nothing to answer again.");
        }
        _messages.RemoveRange(last + 1, _messages.Count - last - 1);
        _retries++;
        await AnswerAsync();
    }

    private async Task AnswerAsync()
    {
        StringBuilder answer = new();
        AnswerStats stats = new();
        using CancellationTokenSource cancel = new();
        lock (_gate)
        {
            _answering = cancel;
        }
        bool stopped = false;
        try
        {
            await StreamAsync(answer, stats, cancel.Token);
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            stopped = true;
        }
        catch (Exception)
        {
            if (answer.Length == 0)
            {
                // The message that nobody answered would make every later chat one turn out of step.
                _messages.RemoveAt(_messages.Count - 1);
            }
            throw;
        }
        finally
        {
            lock (_gate)
            {
                _answering = null;
            }
            if (answer.Length > 0)
            {
                _messages.Add(new ChatMessage { Role = "assistant", Content = answer.ToString() });
                _screen.EndAnswer();
            }
        }
        if (stopped && answer.Length == 0)
        {
            _messages.RemoveAt(_messages.Count - 1);
        }
        Count(stats);
        if (!stopped && answer.Length == 0)
        {
            _messages.Add(new ChatMessage { Role = "assistant", Content = "" });
            _screen.EndAnswer();
        }
        _screen.Figures(Describe(stats, stopped));
    }

    private async Task StreamAsync(StringBuilder answer, AnswerStats stats, CancellationToken cancellationToken)
    {
        // A fixed seed would give the same answer to every retry.
        ChatSettings settings = _settings.Seed is { } seed ? _settings with { Seed = unchecked(seed + (ulong)_retries) } : _settings;
        while (true)
        {
            // A model in this process says at once that it has no template, a server at its first answer.
            bool last = !HasOlderTurns();
            SayRaw();
            try
            {
                await foreach (string text in _backend.AnswerAsync(Messages, settings, spacious: !last, stats, cancellationToken))
                {
                    answer.Append(text);
                    _screen.Answer(text);
                }
                SayRaw();
                return;
            }
            catch (ContextFullException e) when (answer.Length == 0)
            {
                if (last)
                {
                    throw new ChatFailedException($"{e.Message} Shorten the message{(_system is null ? "" : " or the system message")}, or use a larger context (--ctx).", e);
                }
                DropOldestTurn();
            }
        }
    }

    private bool HasOlderTurns() => _messages.FindIndex(1, static m => m.Role == "user") > 0;

    private void DropOldestTurn()
    {
        _messages.RemoveRange(0, _messages.FindIndex(1, static m => m.Role == "user"));
        _screen.Notice("The context is full: the oldest turn was dropped.");
    }

    private void SayRaw()
    {
        if (!_backend.IsChat && !_saidRaw)
        {
            _saidRaw = true;
            _screen.Notice("This model has no chat template: each message is continued as plain text, without what came before.");
        }
    }

    private void SetSystem(string? text) => _system = string.IsNullOrWhiteSpace(text) ? null : new ChatMessage { Role = "system", Content = text };

    private void Load(string path)
    {
        List<ChatMessage> messages = ChatFile.Load(path);
        SetSystem(messages is [{ Role: "system" } first, ..] ? first.Content : null);
        _messages.Clear();
        _messages.AddRange(messages.Where(static m => m.Role != "system"));
        // A chat that ends with a question is answered by /retry.
        _screen.Info($"Loaded {messages.Count} messages from {path}.{(_messages is [.., { Role: "user" }] ? " /retry answers the last." : "")}");
    }

    private void Fail(string message)
    {
        Failed = true;
        _screen.Failure(message);
    }

    private void Count(AnswerStats stats)
    {
        _answers++;
        _tokens += stats.Tokens;
        _promptTokens += stats.PromptTokens;
        _cachedTokens += stats.CachedTokens;
        if (stats.Rate is { } rate)
        {
            _seconds += (stats.Tokens - 1) / rate;
            _timedTokens += stats.Tokens - 1;
        }
    }

    private string Statistics()
    {
        string rate = _seconds > 0 ? (_timedTokens / _seconds).ToString("0.0", CultureInfo.InvariantCulture) + " tokens/s" : "no rate yet";
        return $"{_backend.Description}\n{_answers} answers, {_tokens} tokens, {rate}; {_promptTokens} prompt tokens, {_cachedTokens} of them from the cache; {Messages.Count} messages in the chat";
    }

    private static string Describe(AnswerStats stats, bool stopped)
    {
        List<string> parts = [$"{stats.Tokens} tokens"];
        if (stats.Rate is { } rate)
        {
            parts.Add(string.Create(CultureInfo.InvariantCulture, $"{rate:0.0} tokens/s"));
        }
        if (stats.Confidence is { } confidence)
        {
            parts.Add(string.Create(CultureInfo.InvariantCulture, $"confidence {confidence:0.00}"));
        }
        if (stopped)
        {
            parts.Add("stopped");
        }
        else if (stats.Cut)
        {
            parts.Add("cut at the limit");
        }
        return string.Join(" · ", parts);
    }

    private static void Require(string argument, string usage)
    {
        if (argument.Length == 0)
        {
            throw new ChatFailedException($"Something is missing: {usage}");
        }
    }
}
