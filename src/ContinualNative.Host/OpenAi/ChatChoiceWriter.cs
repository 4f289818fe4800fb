using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Generation;
using ContinualNative.Engine.Models;
using ContinualNative.Host.Signal;

namespace ContinualNative.Host.OpenAi;

/// <summary>One choice of a streamed chat completion of the local model.</summary>
internal sealed class ChatChoiceWriter : ChoiceWriter
{
    private readonly ChatEvents _events;
    private readonly ChatRequest _request;
    private readonly ChatAnswerReader _reader;
    private readonly RouteNote _note;

    // Tokens whose text is held back (the beginning of what may be a tool call); they go out with the next event.
    private readonly List<TokenInfo> _waiting = [];
    private readonly Action<SseWriter> _writeWaiting;

    public ChatChoiceWriter(SseWriter sse, int index, Tokenizer tokenizer, ChatRequest request, ChatAnswerReader reader, RouteNote note)
        : base(sse, index)
    {
        _events = new ChatEvents(sse, index);
        _request = request;
        _reader = reader;
        _note = note;
        _writeWaiting = writer =>
        {
            writer.Json(((IReadOnlyList<TokenInfo>)_waiting, tokenizer), LogProbsJson.Write);
            _waiting.Clear();
        };
    }

    private Action<SseWriter>? LogProbs => _request.TopLogProbs >= 0 ? _writeWaiting : null;

    public override void Start() => _events.Start();

    public override void Write(GenerationChunk chunk)
    {
        if (_request.TopLogProbs >= 0)
        {
            _waiting.AddRange(chunk.Tokens);
        }
        WriteParts(_reader.Append(chunk.Text));
    }

    public override void End(GenerationResult result)
    {
        WriteParts(_reader.Complete());
        _events.End(
            ChatCompletions.FinishName(result.FinishReason, _events.Calls),
            _note with { Adapter = result.Adapter, Confidence = result.Confidence },
            RouteNote.Write,
            _waiting.Count > 0 ? LogProbs : null);
    }

    private void WriteParts(IReadOnlyList<AnswerPart> parts)
    {
        foreach (AnswerPart part in parts)
        {
            if (part.Call is { } call)
            {
                _events.Call(call, LogProbs);
            }
            else if (part.Text.Length > 0)
            {
                _events.Text(part.Text, LogProbs);
            }
        }
    }
}
