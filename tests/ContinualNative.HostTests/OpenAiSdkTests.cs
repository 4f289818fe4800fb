using System.ClientModel;
using System.ClientModel.Primitives;
using System.Text.Json;
using OpenAI;
using OpenAI.Chat;
using OpenAI.Embeddings;
using OpenAI.Models;

namespace ContinualNative.HostTests;

/// <summary>The official .NET client against the real server.</summary>
public sealed class OpenAiSdkTests(SharedServer shared) : IClassFixture<SharedServer>
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    private OpenAIClient Client => new(new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(shared.Server.BaseAddress, "v1"), RetryPolicy = new ClientRetryPolicy(0) });

    private ChatClient Chat => Client.GetChatClient("tiny");

    [Fact]
    public async Task Chats()
    {
        ChatCompletion answer = await Chat.CompleteChatAsync([new SystemChatMessage("Be brief."), new UserChatMessage("Hello")], new ChatCompletionOptions { MaxOutputTokenCount = 10, Temperature = 0 }, Cancelled);
        Assert.Equal(ChatMessageRole.Assistant, answer.Role);
        Assert.Equal(answer.Usage.InputTokenCount + answer.Usage.OutputTokenCount, answer.Usage.TotalTokenCount);
        Assert.True(answer.FinishReason is ChatFinishReason.Stop or ChatFinishReason.Length);
    }

    [Fact]
    public async Task Streams_the_same_text()
    {
        ChatCompletionOptions options = new() { MaxOutputTokenCount = 10, Temperature = 0 };
        ChatCompletion whole = await Chat.CompleteChatAsync([new UserChatMessage("Hello again")], options, Cancelled);
        string text = "";
        int tokens = 0;
        await foreach (StreamingChatCompletionUpdate update in Chat.CompleteChatStreamingAsync([new UserChatMessage("Hello again")], new ChatCompletionOptions { MaxOutputTokenCount = 10, Temperature = 0 }, Cancelled))
        {
            text += string.Concat(update.ContentUpdate.Select(p => p.Text));
            tokens = update.Usage?.OutputTokenCount ?? tokens;
        }
        Assert.Equal(whole.Content[0].Text, text);
        Assert.Equal(whole.Usage.OutputTokenCount, tokens);
    }

    [Fact]
    public async Task Calls_a_tool_and_takes_its_answer()
    {
        ChatTool tool = ChatTool.CreateFunctionTool("paint", "Paints.", BinaryData.FromString("""{"type":"object","properties":{"colour":{"enum":["red","blue"]}},"required":["colour"],"additionalProperties":false}"""));
        List<ChatMessage> messages = [new UserChatMessage("Paint it.")];
        ChatCompletionOptions options = new() { Tools = { tool }, ToolChoice = ChatToolChoice.CreateFunctionChoice("paint"), MaxOutputTokenCount = 200, AllowParallelToolCalls = false };
        ChatCompletion answer = await Chat.CompleteChatAsync(messages, options, Cancelled);
        ChatToolCall call = Assert.Single(answer.ToolCalls);
        Assert.Equal((ChatFinishReason.ToolCalls, "paint"), (answer.FinishReason, call.FunctionName));
        using JsonDocument arguments = JsonDocument.Parse(call.FunctionArguments);
        Assert.Contains(arguments.RootElement.GetProperty("colour").GetString(), (string[])["red", "blue"]);
        messages.Add(new AssistantChatMessage(answer));
        messages.Add(new ToolChatMessage(call.Id, "done"));
        ChatCompletion next = await Chat.CompleteChatAsync(messages, new ChatCompletionOptions { Tools = { tool }, ToolChoice = ChatToolChoice.CreateNoneChoice(), MaxOutputTokenCount = 5 }, Cancelled);
        Assert.Empty(next.ToolCalls);
    }

    [Fact]
    public async Task Obeys_a_json_schema()
    {
        ChatCompletionOptions options = new()
        {
            MaxOutputTokenCount = 200,
            ResponseFormat = ChatResponseFormat.CreateJsonSchemaFormat("answer", BinaryData.FromString("""{"type":"object","properties":{"yes":{"type":"boolean"}},"required":["yes"],"additionalProperties":false}"""), jsonSchemaIsStrict: true),
        };
        ChatCompletion answer = await Chat.CompleteChatAsync([new UserChatMessage("Yes?")], options, Cancelled);
        using JsonDocument json = JsonDocument.Parse(answer.Content[0].Text);
        Assert.True(json.RootElement.GetProperty("yes").ValueKind is JsonValueKind.True or JsonValueKind.False);
    }

    [Fact]
    public async Task Tells_log_probabilities()
    {
        ChatCompletion answer = await Chat.CompleteChatAsync([new UserChatMessage("Hi")], new ChatCompletionOptions { MaxOutputTokenCount = 4, Temperature = 0, IncludeLogProbabilities = true, TopLogProbabilityCount = 2 }, Cancelled);
        Assert.All(answer.ContentTokenLogProbabilities, t => Assert.Equal(2, t.TopLogProbabilities.Count));
        Assert.NotEmpty(answer.ContentTokenLogProbabilities);
    }

    [Fact]
    public async Task Embeds()
    {
        EmbeddingClient client = Client.GetEmbeddingClient("tiny");
        OpenAIEmbeddingCollection vectors = await client.GenerateEmbeddingsAsync(["one", "two"], cancellationToken: Cancelled);
        Assert.Equal(2, vectors.Count);
        ReadOnlyMemory<float> vector = vectors[1].ToFloats();
        Assert.Equal(256, vector.Length);
        Assert.Equal(1, vector.ToArray().Sum(v => v * v), 3);
    }

    [Fact]
    public async Task Lists_models_and_understands_errors()
    {
        OpenAIModelCollection models = await Client.GetOpenAIModelClient().GetModelsAsync(Cancelled);
        Assert.Contains(models, m => m.Id == "tiny");
        ClientResultException e = await Assert.ThrowsAsync<ClientResultException>(() => Client.GetChatClient("none").CompleteChatAsync([new UserChatMessage("x")], cancellationToken: Cancelled));
        Assert.Equal(404, e.Status);
        Assert.Contains("none", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cancels_a_stream()
    {
        using CancellationTokenSource cancel = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (StreamingChatCompletionUpdate update in Chat.CompleteChatStreamingAsync([new UserChatMessage("Go on")], new ChatCompletionOptions { MaxOutputTokenCount = 400 }, cancel.Token))
            {
                await cancel.CancelAsync();
            }
        });
        for (int i = 0; i < 100 && shared.Server.Engine.Statistics.Running > 0; i++)
        {
            await Task.Delay(50, Cancelled);
        }
        Assert.Equal(0, shared.Server.Engine.Statistics.Running);
    }

    [Fact]
    public async Task Retries_after_429()
    {
        await using ContinualServer server = await ContinualServer.StartAsync(shared.Files.Llama, "--parallel", "1", "--queue", "1");
        OpenAIClient client = new(new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(server.BaseAddress, "v1"), RetryPolicy = new ClientRetryPolicy(20) });
        ClientResult<ChatCompletion>[] answers = await Task.WhenAll(Enumerable.Range(0, 6).Select(i => client.GetChatClient("tiny").CompleteChatAsync([new UserChatMessage($"Number {i}")], new ChatCompletionOptions { MaxOutputTokenCount = 30 }, Cancelled)));
        Assert.Equal(6, answers.Length);
        Assert.True(server.Engine.Statistics.Refused > 0, "No request was refused, so nothing was retried.");
    }
}
