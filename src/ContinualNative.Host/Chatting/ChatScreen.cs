using Spectre.Console;

namespace ContinualNative.Host.Chatting;

/// <summary>
/// Where a chat is read and shown. On a terminal: prompts, notices and figures around the answers. Elsewhere: answers alone on the output,
/// notices and failures on the error stream, nothing else.
/// </summary>
internal sealed class ChatScreen(TextReader input, TextWriter output, TextWriter error, bool terminal)
{
    private readonly IAnsiConsole _console = AnsiConsole.Create(new AnsiConsoleSettings
    {
        Ansi = terminal ? AnsiSupport.Detect : AnsiSupport.No,
        Out = new AnsiConsoleOutput(output),
    });

    public bool IsTerminal => terminal;

    /// <summary>One message: lines that end with a backslash go on in the next. Null at the end of the input.</summary>
    public string? ReadMessage()
    {
        Prompt("›");
        string? message = input.ReadLine();
        while (message is not null && message.EndsWith('\\'))
        {
            Prompt("…");
            string? next = input.ReadLine();
            message = message[..^1] + "\n" + next;
            if (next is null)
            {
                break;
            }
        }
        return message;
    }

    /// <summary>A piece of an answer, at once. What a terminal would obey is not sent to one.</summary>
    public void Answer(string text)
    {
        output.Write(terminal ? Harmless(text) : text);
        output.Flush();
    }

    public void EndAnswer()
    {
        output.WriteLine();
        output.Flush();
    }

    /// <summary>Something beside the chat that the user should know.</summary>
    public void Notice(string text)
    {
        if (terminal)
        {
            _console.MarkupLine($"[yellow]{Markup.Escape(Harmless(text))}[/]");
        }
        else
        {
            error.WriteLine(text);
        }
    }

    /// <summary>What a command answers.</summary>
    public void Info(string text)
    {
        if (terminal)
        {
            _console.MarkupLine($"[grey]{Markup.Escape(Harmless(text))}[/]");
        }
        else
        {
            error.WriteLine(text);
        }
    }

    /// <summary>Figures of an answer: on a terminal only.</summary>
    public void Figures(string text)
    {
        if (terminal)
        {
            _console.MarkupLine($"[dim]{Markup.Escape(text)}[/]");
            _console.WriteLine();
        }
    }

    public void Failure(string text)
    {
        if (terminal)
        {
            _console.MarkupLine($"[red]{Markup.Escape(Harmless(text))}[/]");
        }
        else
        {
            error.WriteLine($"continual chat: {text.ReplaceLineEndings(" ")}");
        }
    }

    internal static string Harmless(string text) => string.Create(text.Length, text, static (span, text) =>
    {
        for (int i = 0; i < span.Length; i++)
        {
            char c = text[i];
            span[i] = char.IsControl(c) && c is not ('\n' or '\t') ? '\uFFFD' : c;
        }
    });

    private void Prompt(string sign)
    {
        if (terminal)
        {
            _console.Markup($"[bold aqua]{sign}[/] ");
        }
    }
}
