using System.Text;
using System.Text.Json;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Host.OpenAi;

/// <summary>The events of one choice of a streamed chat completion, whichever model it comes from.</summary>
internal sealed class ChatEvents(SseWriter sse, int index)
{
    private int _calls;

    /// <summary>Calls written so far.</summary>
    public int Calls => _calls;

    /// <summary>Before anything else.</summary>
    public void Start()
    {
        Begin();
        sse.Raw("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null"u8);
        EndDelta(null);
        sse.Raw("null}]}"u8);
        sse.EndEvent();
    }

    /// <param name="text">Not empty.</param>
    /// <param name="logProbs">Writes the value of <c>logprobs</c>; null: there is none.</param>
    public void Text(string text, Action<SseWriter>? logProbs = null)
    {
        Begin();
        sse.Raw("\"content\":"u8);
        sse.Text(text);
        EndDelta(logProbs);
        sse.Raw("null}]}"u8);
        sse.EndEvent();
    }

    public void Call(ToolCall call, Action<SseWriter>? logProbs = null)
    {
        Begin();
        sse.Raw("\"tool_calls\":["u8);
        sse.Json((call, _calls++), static (json, c) => ChatCompletions.WriteCall(json, c.call, c.Item2));
        sse.Raw("]"u8);
        EndDelta(logProbs);
        sse.Raw("null}]}"u8);
        sse.EndEvent();
    }

    /// <summary>The last event.</summary>
    public void End<T>(string finish, T note, Action<Utf8JsonWriter, T> continual, Action<SseWriter>? logProbs = null)
    {
        Begin();
        EndDelta(logProbs);
        sse.Raw("\""u8);
        sse.Raw(Encoding.UTF8.GetBytes(finish));
        sse.Raw("\"}],\"continual\":"u8);
        sse.Json(note, continual);
        sse.Raw("}"u8);
        sse.EndEvent();
    }

    // ... [{"index":0,"delta":{
    private void Begin()
    {
        sse.BeginEvent();
        sse.Raw("[{\"index\":"u8);
        sse.Number(index);
        sse.Raw(",\"delta\":{"u8);
    }

    // },"logprobs":...,"finish_reason":
    private void EndDelta(Action<SseWriter>? logProbs)
    {
        sse.Raw("},\"logprobs\":"u8);
        if (logProbs is null)
        {
            sse.Raw("null"u8);
        }
        else
        {
            logProbs(sse);
        }
        sse.Raw(",\"finish_reason\":"u8);
    }
}
