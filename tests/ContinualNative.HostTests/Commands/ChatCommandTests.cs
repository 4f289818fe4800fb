using System.Diagnostics;
using System.Text.Json;
using ContinualNative.TestModels;

namespace ContinualNative.HostTests.Commands;

public sealed class ChatCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("continual-chat-").FullName;
    private readonly string _model = TestModel.Get("qwen2");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Lines_in_answers_out()
    {
        string saved = Path.Combine(_folder, "chat.jsonl");
        string[] options = ["chat", "--model", _model, "--threads", "1", "--seed", "7", "--max-tokens", "12", "--system", "Be kind."];
        (int code, string output, string error) = await ContinualProcess.RunAsync($"first\\\nline\n\nsecond\n/save {saved}\n/exit\nnever\n", options);

        Assert.True(code == 0, error);
        (string Role, string Content)[] messages = Messages(saved);
        Assert.Equal(["system", "user", "assistant", "user", "assistant"], messages.Select(static m => m.Role));
        Assert.Equal(["Be kind.", "first\nline", "second"], messages.Where(static m => m.Role != "assistant").Select(static m => m.Content));
        // Nothing but the answers.
        Assert.Equal(string.Concat(messages.Where(static m => m.Role == "assistant").Select(static m => m.Content + Environment.NewLine)), output);
        Assert.DoesNotContain('\u001b', output + error);
        (_, string again, _) = await ContinualProcess.RunAsync("first\\\nline\nsecond\n", options);
        Assert.Equal(output, again);
    }

    [Fact]
    public async Task A_server_gives_the_same_answers()
    {
        string[] common = ["--temperature", "0", "--max-tokens", "16", "--system", "Be kind."];
        (int here, string local, string localError) = await ContinualProcess.RunAsync("hello\nand you?\n", ["chat", "--model", _model, "--threads", "1", .. common]);
        await using ContinualServer server = await ContinualServer.StartAsync(_model, "--parallel", "2", "--ctx", "512");
        (int there, string remote, string error) = await ContinualProcess.RunAsync("hello\nand you?\n/adapter nobody\nx\n/stats\n", ["chat", "--url", new Uri(server.BaseAddress, "/v1").ToString(), .. common]);

        Assert.True(here == 0, localError);
        // The two lengths of context round nothing differently: greedy text is equal. The last message fails, and says so.
        Assert.Equal(local, remote);
        Assert.Equal(1, there);
        Assert.Contains("@nobody answers.", error);
        Assert.Contains(ContinualProcess.WithoutProgress(error), static l => l.StartsWith("continual chat: The server answered 404: ", StringComparison.Ordinal) && l.Contains("nobody", StringComparison.Ordinal));
        Assert.Contains("2 answers", error);
    }

    [Fact]
    public async Task The_oldest_turns_go_when_the_context_is_full()
    {
        string saved = Path.Combine(_folder, "chat.jsonl");
        string input = string.Concat(Enumerable.Range(0, 8).Select(static i => $"message {i} {string.Concat(Enumerable.Repeat("and so on ", 6))}\n"));
        (int code, _, string error) = await ContinualProcess.RunAsync($"{input}/save {saved}\n", "chat", "--model", _model, "--ctx", "160", "--max-tokens", "20", "--threads", "1", "--system", "Be kind.");

        Assert.True(code == 0, error);
        Assert.Contains("the oldest turn was dropped", error);
        (string Role, string Content)[] messages = Messages(saved);
        Assert.Equal("system", messages[0].Role);
        Assert.Equal("user", messages[1].Role);
        Assert.Contains(messages, static m => m.Content.StartsWith("message 7", StringComparison.Ordinal));
        Assert.DoesNotContain(messages, static m => m.Content.StartsWith("message 0", StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_interrupt_stops_the_answer_and_the_next_one_leaves()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "skipped: signals are sent with kill");
        string saved = Path.Combine(_folder, "chat.jsonl");
        using ContinualProcess chat = new("chat", "--model", TestModel.Get(new TestModelOptions { Context = 4096 }), "--threads", "1", "--seed", "1");
        await chat.Input.WriteLineAsync("go on for long");
        await chat.Input.FlushAsync(TestContext.Current.CancellationToken);
        await ContinualProcess.UntilAsync(() => chat.Output.Length > 20, "the answer begins");
        await InterruptAsync(chat);
        await chat.Input.WriteLineAsync($"/save {saved}");
        await chat.Input.FlushAsync(TestContext.Current.CancellationToken);
        await ContinualProcess.UntilAsync(() => chat.Error.Contains("Saved 2 messages", StringComparison.Ordinal), "the chat is saved");
        await InterruptAsync(chat);
        (int code, _, string error) = await chat.EndAsync();

        Assert.True(code == 0, error);
        Assert.InRange(Messages(saved)[1].Content.Length, 1, 12_000);
    }

    [Fact]
    public async Task Without_a_template_texts_are_continued_and_that_is_said()
    {
        string model = ContinualProcess.SharedFile("models/stories260K/stories260K-f32.gguf");
        string[] greedy = ["--threads", "1", "--temperature", "0", "--max-tokens", "12"];
        (int code, string output, string error) = await ContinualProcess.RunAsync("Once upon a time\nOnce upon a time\n", ["chat", "--model", model, .. greedy]);

        Assert.True(code == 0, error);
        string[] answers = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(2, answers.Length);
        Assert.StartsWith(", there was a little girl", answers[0]);
        Assert.Equal(answers[0], answers[1]);
        Assert.Single(ContinualProcess.WithoutProgress(error));
        Assert.Contains("no chat template", error);

        await using ContinualServer server = await ContinualServer.StartAsync(model);
        (code, string remote, error) = await ContinualProcess.RunAsync("Once upon a time\n/retry\n", ["chat", "--url", server.BaseAddress.ToString(), .. greedy[2..]]);
        Assert.True(code == 0, error);
        Assert.Equal(output, remote);
        Assert.Contains("no chat template", error);
    }

    [Fact]
    public async Task A_template_from_a_file_replaces_the_model_s()
    {
        string template = Path.Combine(_folder, "template.jinja");
        File.WriteAllText(template, "{{ raise_exception('never with this one') }}");
        (int code, string output, string error) = await ContinualProcess.RunAsync("one two\n", "chat", "--model", _model, "--threads", "1", "--chat-template", template);
        Assert.Equal(1, code);
        Assert.Empty(output);
        Assert.Contains("never with this one", error);
    }

    [Fact]
    public async Task Whatever_is_wrong_is_one_line_that_names_it()
    {
        await FailsAsync(2, "--model: it is missing");
        await FailsAsync(2, "--temperature", "--model", _model, "--temperature", "-1");
        await FailsAsync(2, "--url: 'nowhere' is not an address", "--url", "nowhere");
        await FailsAsync(2, "'CONTINUAL_TEST_KEY' is not set", "--url", "http://127.0.0.1:9/v1", "--key-env", "CONTINUAL_TEST_KEY");
        await FailsAsync(1, "can't be reached", "--url", "http://127.0.0.1:9/v1");
        await FailsAsync(2, "embeddings only", "--model", TestModel.Get("bert"));
        (int code, _, string error) = await ContinualProcess.RunAsync("/dance\n", "chat", "--model", _model);
        Assert.Equal(1, code);
        Assert.Contains("There is no command /dance", error);
    }

    private static async Task FailsAsync(int expectedCode, string expected, params string[] options)
    {
        (int code, string output, string error) = await ContinualProcess.RunAsync("", ["chat", .. options]);
        Assert.True(code == expectedCode, $"exit {code}: {error}");
        Assert.Empty(output);
        Assert.Contains(expected, error);
        Assert.Single(ContinualProcess.WithoutProgress(error));
    }

    private static async Task InterruptAsync(ContinualProcess process)
    {
        using Process kill = Process.Start("kill", ["-INT", process.Id.ToString()]);
        await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
    }

    private static (string Role, string Content)[] Messages(string path)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(path));
        return [.. document.RootElement.GetProperty("messages").EnumerateArray().Select(static m => (m.GetProperty("role").GetString()!, m.GetProperty("content").GetString()!))];
    }
}
