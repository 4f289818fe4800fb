using OpenAI.Chat;

namespace ContinualNative.Host.Frontier;

/// <summary>A streamed answer whose first piece has come. One reader.</summary>
internal sealed class FrontierStream(FrontierCall call, IAsyncEnumerable<StreamingChatCompletionUpdate> pieces) : IAsyncDisposable
{
    private readonly IAsyncEnumerator<StreamingChatCompletionUpdate> _pieces = pieces.GetAsyncEnumerator(CancellationToken.None);
    private string _text = "";
    private FrontierAnswer? _answer;
    private int _step;

    /// <summary>Reads up to the first text, or to the end of an answer that has none: tool calls, or a refusal without words.</summary>
    public async Task StartAsync()
    {
        try
        {
            if (await ReadTextAsync())
            {
                call.Begin();
            }
            else
            {
                _answer = call.Complete();
            }
        }
        catch (Exception e)
        {
            throw call.Fail(e);
        }
    }

    /// <summary>The next chunk, null after the last. Throws <see cref="FrontierException"/> when the answer breaks off or is none.</summary>
    public async Task<FrontierChunk?> NextAsync()
    {
        if (_text.Length > 0)
        {
            FrontierChunk chunk = new() { Text = _text };
            _text = "";
            return chunk;
        }
        try
        {
            if (_answer is null && await ReadTextAsync())
            {
                FrontierChunk chunk = new() { Text = _text };
                _text = "";
                return chunk;
            }
            _answer ??= call.Complete();
        }
        catch (Exception e)
        {
            throw call.Fail(e);
        }
        _step = _step == 0 && _answer.ToolCalls.Count == 0 ? 1 : _step;
        return _step++ switch
        {
            0 => new FrontierChunk { ToolCalls = _answer.ToolCalls },
            1 => new FrontierChunk { Answer = _answer },
            _ => null,
        };
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            await _pieces.DisposeAsync();
        }
        finally
        {
            call.Dispose();
        }
    }

    private async Task<bool> ReadTextAsync()
    {
        while (await _pieces.MoveNextAsync())
        {
            _text = call.Parts.Add(_pieces.Current);
            if (_text.Length > 0)
            {
                return true;
            }
        }
        return false;
    }
}
