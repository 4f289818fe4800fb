using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Host.Http;

namespace ContinualNative.Host.OpenAi;

/// <summary>A prompt or an embedding's input: text, or tokens.</summary>
internal readonly record struct TextOrTokens(string? Text, int[]? Tokens)
{
    /// <summary>Most inputs in one request.</summary>
    public const int MaxInputs = 2048;

    /// <summary>A string, an array of strings, an array of token ids, or an array of such arrays.</summary>
    public static List<TextOrTokens> ReadList(JsonElement value, string param)
    {
        List<TextOrTokens> list = [];
        if (value.ValueKind == JsonValueKind.String)
        {
            list.Add(new TextOrTokens(value.GetString(), null));
            return list;
        }
        if (value.ValueKind != JsonValueKind.Array)
        {
            throw ApiException.WrongType(param, "a string, an array of strings or an array of tokens", JsonKind.Of(value));
        }
        int length = value.GetArrayLength();
        if (length == 0)
        {
            throw ApiException.WrongValue(param, $"Invalid '{param}': it is empty.");
        }
        if (value[0].ValueKind == JsonValueKind.Number)
        {
            list.Add(new TextOrTokens(null, ReadTokens(value, param)));
            return list;
        }
        if (length > MaxInputs)
        {
            throw ApiException.WrongValue(param, $"Invalid '{param}': it holds {length} inputs, and at most {MaxInputs} are allowed.");
        }
        int i = 0;
        foreach (JsonElement item in value.EnumerateArray())
        {
            string at = $"{param}[{i++}]";
            list.Add(item.ValueKind switch
            {
                JsonValueKind.String => new TextOrTokens(item.GetString(), null),
                JsonValueKind.Array => new TextOrTokens(null, ReadTokens(item, at)),
                _ => throw ApiException.WrongType(at, "a string or an array of tokens", JsonKind.Of(item)),
            });
        }
        return list;
    }

    private static int[] ReadTokens(JsonElement value, string param)
    {
        int[] tokens = new int[value.GetArrayLength()];
        int i = 0;
        foreach (JsonElement token in value.EnumerateArray())
        {
            tokens[i] = (int)JsonIn.Whole(token, $"{param}[{i}]", 0, int.MaxValue);
            i++;
        }
        return tokens;
    }
}

/// <summary>A body of <c>POST /v1/completions</c>.</summary>
internal sealed class CompletionRequest : GenerationFields
{
    /// <summary>Most answers of one request: prompts times choices.</summary>
    public const int MaxAnswers = 128;

    /// <summary>OpenAI's own default for this endpoint.</summary>
    public const int DefaultMaxTokens = 16;

    public List<TextOrTokens> Prompts { get; private set; } = [];

    public bool Echo { get; private set; }

    /// <summary>Reads a request; throws <see cref="ApiException"/> naming the field that is wrong, unknown or unsupported.</summary>
    public static CompletionRequest Parse(JsonElement root)
    {
        CompletionRequest request = new() { MaxTokens = DefaultMaxTokens };
        bool streamOptions = false;
        foreach (JsonProperty field in root.EnumerateObject())
        {
            string name = field.Name;
            JsonElement value = field.Value;
            if (value.IsNull() && name is not "prompt" && IsKnown(name))
            {
                continue;
            }
            switch (name)
            {
                case "prompt":
                    request.Prompts = TextOrTokens.ReadList(value, name);
                    break;
                case "max_tokens":
                    request.MaxTokens = (int)JsonIn.Whole(value, name, 0, int.MaxValue);
                    break;
                case "logprobs":
                    request.TopLogProbs = (int)JsonIn.Whole(value, name, 0, MaxTopLogProbs);
                    break;
                case "echo":
                    request.Echo = JsonIn.Flag(value, name);
                    break;
                case "best_of":
                    if (JsonIn.Whole(value, name, 1, int.MaxValue) > 1)
                    {
                        throw ApiException.Unsupported(name, "Unsupported value: 'best_of' must be 1. Ask for 'n' choices with 'logprobs' and pick one.");
                    }
                    break;
                case "suffix":
                    throw ApiException.Unsupported(name, "Unsupported parameter: 'suffix'. Put the model's own fill-in-the-middle tokens into 'prompt'.");
                case "stream_options":
                    streamOptions = true;
                    request.TryRead(name, value);
                    break;
                default:
                    if (!request.TryRead(name, value))
                    {
                        throw ApiException.Unknown(JsonIn.Short(name));
                    }
                    break;
            }
        }
        if (request.Prompts.Count == 0)
        {
            throw ApiException.Missing("prompt");
        }
        if (request.Prompts.Count * request.Choices > MaxAnswers)
        {
            throw ApiException.WrongValue("prompt", $"Invalid 'prompt': {request.Prompts.Count} prompts with {request.Choices} choices each are more than {MaxAnswers} answers; send several requests.");
        }
        if (request.MaxTokens == 0 && !request.Echo)
        {
            throw ApiException.WrongValue("max_tokens", "Invalid 'max_tokens': 0 goes with 'echo': true only.");
        }
        if (request.Echo && request.TopLogProbs > 0)
        {
            throw ApiException.Unsupported("logprobs", "Unsupported value: with 'echo', 'logprobs' must be 0 (log-probabilities of the tokens themselves, without alternatives).");
        }
        if (request.Grammar is not null && request.GuidedChoice is not null)
        {
            throw ApiException.WrongValue("guided_choice", "Invalid 'guided_choice': it can't be combined with 'grammar'; an answer obeys one constraint.");
        }
        request.Check(streamOptions);
        return request;
    }

    private static bool IsKnown(string name) => name is "model" or "n" or "stream" or "stream_options" or "temperature" or "top_p" or "top_k" or "min_p"
        or "presence_penalty" or "frequency_penalty" or "repeat_penalty" or "seed" or "logit_bias" or "stop" or "route" or "grammar" or "guided_choice" or "ignore_eos"
        or "user" or "safety_identifier" or "prompt_cache_key" or "prompt_cache_retention" or "metadata" or "max_tokens" or "logprobs" or "echo" or "best_of" or "suffix";
}
