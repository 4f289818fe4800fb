using System.Text.Json;
using ContinualNative.Host.Http;

namespace ContinualNative.Host.OpenAi;

/// <summary>A body of <c>POST /v1/embeddings</c>.</summary>
internal sealed class EmbeddingRequest
{
    public string? Model { get; private set; }

    public List<TextOrTokens> Inputs { get; private set; } = [];

    public bool Base64 { get; private set; }

    public int? Dimensions { get; private set; }

    /// <summary>Reads a request; throws <see cref="ApiException"/> naming the field that is wrong, unknown or unsupported.</summary>
    public static EmbeddingRequest Parse(JsonElement root)
    {
        EmbeddingRequest request = new();
        foreach (JsonProperty field in root.EnumerateObject())
        {
            string name = field.Name;
            JsonElement value = field.Value;
            if (value.IsNull() && name is ("model" or "encoding_format" or "dimensions" or "user"))
            {
                continue;
            }
            switch (name)
            {
                case "model":
                    request.Model = JsonIn.Text(value, name);
                    break;
                case "input":
                    request.Inputs = TextOrTokens.ReadList(value, name);
                    break;
                case "encoding_format":
                    request.Base64 = JsonIn.OneOf(value, name, "float", "base64") == "base64";
                    break;
                case "dimensions":
                    request.Dimensions = (int)JsonIn.Whole(value, name, 1, int.MaxValue);
                    break;
                case "user":
                    JsonIn.Text(value, name);
                    break;
                default:
                    throw ApiException.Unknown(JsonIn.Short(name));
            }
        }
        if (request.Inputs.Count == 0)
        {
            throw ApiException.Missing("input");
        }
        return request;
    }
}
