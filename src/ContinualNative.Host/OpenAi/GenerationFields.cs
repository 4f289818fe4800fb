using System.Text.Json;
using ContinualNative.Core;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine.Generation;
using ContinualNative.Host.Http;

namespace ContinualNative.Host.OpenAi;

/// <summary>What chat and plain completions share.</summary>
internal abstract class GenerationFields
{
    public const int MaxChoices = 16;
    public const int MaxStopTexts = 16;
    public const int MaxTopLogProbs = 20;
    public const int MaxLogitBias = 4096;
    public const int MaxGuidedChoices = 4096;

    public string? Model { get; set; }

    public int Choices { get; set; } = 1;

    public bool Stream { get; set; }

    public bool IncludeUsage { get; set; }

    /// <summary>null: what the context leaves.</summary>
    public int? MaxTokens { get; set; }

    public SamplingOptions Sampling { get; set; } = new();

    public List<string> Stop { get; } = [];

    /// <summary>−1: none; 0: those of the chosen tokens; n: also of the n likeliest.</summary>
    public int TopLogProbs { get; set; } = -1;

    /// <summary>Go on past the model's own end, so that answers of a load test have the same length.</summary>
    public bool IgnoreEnd { get; set; }

    public string? Grammar { get; set; }

    public List<string>? GuidedChoice { get; set; }

    /// <summary>Which model the request asks for.</summary>
    public RoutePreference Route { get; set; }

    /// <summary><c>metadata.task</c>: what the request is one of, or null.</summary>
    public string? Task { get; set; }

    /// <summary>Who the request is for, in the client's words; <c>safety_identifier</c>, else <c>user</c>.</summary>
    public string? User { get; set; }

    /// <summary>Whether the sampling is one that other models' APIs know too.</summary>
    public bool PlainSampling => Sampling is { TopK: 0, MinP: 0, RepeatPenalty: 1, LogitBias.Count: 0 } && !IgnoreEnd;

    /// <summary>Reads a field that both kinds of request know; false for one that this is not.</summary>
    public bool TryRead(string name, JsonElement value)
    {
        switch (name)
        {
            case "model":
                Model = JsonIn.Text(value, name);
                return true;
            case "n":
                Choices = (int)JsonIn.Whole(value, name, 1, MaxChoices);
                return true;
            case "stream":
                Stream = JsonIn.Flag(value, name);
                return true;
            case "stream_options":
                ReadStreamOptions(JsonIn.Object(value, name));
                return true;
            case "temperature":
                Sampling = Sampling with { Temperature = JsonIn.Number(value, name, 0, 2) };
                return true;
            case "top_p":
                Sampling = Sampling with { TopP = JsonIn.Number(value, name, 0, 1) };
                return true;
            case "top_k":
                Sampling = Sampling with { TopK = (int)JsonIn.Whole(value, name, 0, int.MaxValue) };
                return true;
            case "min_p":
                Sampling = Sampling with { MinP = JsonIn.Number(value, name, 0, 1) };
                return true;
            case "presence_penalty":
                Sampling = Sampling with { PresencePenalty = JsonIn.Number(value, name, -2, 2) };
                return true;
            case "frequency_penalty":
                Sampling = Sampling with { FrequencyPenalty = JsonIn.Number(value, name, -2, 2) };
                return true;
            case "repeat_penalty":
                float penalty = JsonIn.Number(value, name, 0, 10);
                Sampling = penalty > 0 ? Sampling with { RepeatPenalty = penalty } : throw ApiException.WrongValue(name, $"Invalid '{name}': it must be more than 0.");
                return true;
            case "seed":
                Sampling = Sampling with { Seed = unchecked((ulong)JsonIn.Whole(value, name, long.MinValue, long.MaxValue)) };
                return true;
            case "logit_bias":
                Sampling = Sampling with { LogitBias = ReadLogitBias(JsonIn.Object(value, name)) };
                return true;
            case "stop":
                ReadStop(value);
                return true;
            case "route":
                Route = JsonIn.OneOf(value, name, "auto", "local", "frontier") switch
                {
                    "local" => RoutePreference.Local,
                    "frontier" => RoutePreference.Frontier,
                    _ => RoutePreference.Auto,
                };
                return true;
            case "ignore_eos":
                IgnoreEnd = JsonIn.Flag(value, name);
                return true;
            case "grammar":
                Grammar = JsonIn.Text(value, name);
                return true;
            case "guided_choice":
                ReadGuidedChoice(JsonIn.Array(value, name));
                return true;
            case "user":
                User ??= JsonIn.Text(value, name);
                return true;
            case "safety_identifier":
                // OpenAI's successor of 'user'; it wins where both are sent.
                User = JsonIn.Text(value, name);
                return true;
            case "prompt_cache_key" or "prompt_cache_retention":
                JsonIn.Text(value, name);
                return true;
            case "metadata":
                if (JsonIn.Object(value, name).TryGetProperty("task", out JsonElement task) && !task.IsNull())
                {
                    Task = JsonIn.Text(task, "metadata.task");
                    if (!TaskDefinition.IsName(Task))
                    {
                        throw ApiException.WrongValue("metadata.task", $"Invalid 'metadata.task': a task's name has 1 to {TaskDefinition.MaxNameLength} letters, digits and - _ . /");
                    }
                }
                return true;
            default:
                return false;
        }
    }

    /// <summary>Checks that hold between fields.</summary>
    protected void Check(bool streamOptionsGiven)
    {
        if (streamOptionsGiven && !Stream)
        {
            throw ApiException.WrongValue("stream_options", "Invalid 'stream_options': it goes with 'stream': true only.");
        }
    }

    private void ReadStreamOptions(JsonElement options)
    {
        foreach (JsonProperty option in options.EnumerateObject())
        {
            string param = "stream_options." + option.Name;
            switch (option.Name)
            {
                case "include_usage":
                    IncludeUsage = !option.Value.IsNull() && JsonIn.Flag(option.Value, param);
                    break;
                case "include_obfuscation":
                    // Padding against traffic analysis on the way to a hosted service; asking for none is asking for what happens.
                    if (!option.Value.IsNull() && JsonIn.Flag(option.Value, param))
                    {
                        throw ApiException.Unsupported(param, $"Unsupported parameter: '{param}'. Chunks are never padded here.");
                    }
                    break;
                default:
                    throw ApiException.Unknown(JsonIn.Short(param));
            }
        }
    }

    private static Dictionary<int, float> ReadLogitBias(JsonElement map)
    {
        Dictionary<int, float> bias = [];
        foreach (JsonProperty entry in map.EnumerateObject())
        {
            string param = "logit_bias." + JsonIn.Short(entry.Name);
            if (!int.TryParse(entry.Name, System.Globalization.NumberStyles.None, null, out int token))
            {
                throw ApiException.WrongValue(param, $"Invalid key in 'logit_bias': '{JsonIn.Short(entry.Name)}' is no token id.");
            }
            bias[token] = JsonIn.Number(entry.Value, param, -100, 100);
            if (bias.Count > MaxLogitBias)
            {
                throw ApiException.WrongValue("logit_bias", $"Invalid 'logit_bias': more than {MaxLogitBias} entries.");
            }
        }
        return bias;
    }

    private void ReadStop(JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.String)
        {
            AddStop(value, "stop");
            return;
        }
        if (value.ValueKind != JsonValueKind.Array)
        {
            throw ApiException.WrongType("stop", "a string or an array of strings", JsonKind.Of(value));
        }
        if (value.GetArrayLength() > MaxStopTexts)
        {
            throw ApiException.WrongValue("stop", $"Invalid 'stop': {value.GetArrayLength()} texts, and at most {MaxStopTexts} are allowed.");
        }
        int i = 0;
        foreach (JsonElement text in value.EnumerateArray())
        {
            AddStop(text, $"stop[{i++}]");
        }
    }

    private void AddStop(JsonElement value, string param)
    {
        string text = JsonIn.Text(value, param);
        Stop.Add(text.Length > 0 ? text : throw ApiException.WrongValue(param, $"Invalid '{param}': it is empty."));
    }

    private void ReadGuidedChoice(JsonElement choices)
    {
        GuidedChoice = [];
        int i = 0;
        foreach (JsonElement choice in choices.EnumerateArray())
        {
            string param = $"guided_choice[{i++}]";
            string text = JsonIn.Text(choice, param);
            GuidedChoice.Add(text.Length > 0 ? text : throw ApiException.WrongValue(param, $"Invalid '{param}': it is empty."));
        }
        if (GuidedChoice.Count is 0 or > MaxGuidedChoices)
        {
            throw ApiException.WrongValue("guided_choice", $"Invalid 'guided_choice': it holds {GuidedChoice.Count} texts, and 1 to {MaxGuidedChoices} are allowed.");
        }
    }
}
