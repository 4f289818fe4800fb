using System.Runtime.InteropServices;
using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Engine.Models;
using ContinualNative.Host.Http;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;

namespace ContinualNative.Host.OpenAi;

/// <summary><c>POST /v1/embeddings</c>.</summary>
internal static class Embeddings
{
    public static async Task HandleAsync(HttpContext http)
    {
        ServerState state = http.RequestServices.GetRequiredService<ServerState>();
        ServedModel model = state.Model;
        using JsonDocument body = await RequestBody.ReadObjectAsync(http);
        EmbeddingRequest request = EmbeddingRequest.Parse(body.RootElement);
        ModelAddress address = ModelAddresses.Resolve(model.Engine, request.Model);
        if (address.Adapter is { } adapter && adapter != ModelAddress.Base)
        {
            throw ApiException.Unsupported("model", $"Unsupported value: embeddings come from the bare model; ask for '{model.Engine.Model.Name}', not for the adapter '{adapter}'.");
        }
        ModelInfo info = model.Engine.Model;
        if (request.Dimensions is { } dimensions && dimensions != info.EmbeddingLength)
        {
            throw ApiException.Unsupported("dimensions", $"Unsupported value: 'dimensions' must be {info.EmbeddingLength}, the model's own; shortened vectors would be of lower quality without saying so.");
        }
        List<int[]> inputs = [.. request.Inputs.Select((input, i) => TokensOf(model, info, input, i))];
        using CancellationTokenSource cancel = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, state.StopNow);
        float[][] vectors;
        try
        {
            vectors = await Task.WhenAll(inputs.Select(tokens => model.Engine.EmbedAsync(tokens, cancel.Token)));
        }
        catch
        {
            await cancel.CancelAsync();
            throw;
        }
        RouteNote.Plain(ModelAddress.Base).SetHeaders(http);
        await JsonOut.WriteAsync(http, (vectors, request.Base64, info.Name, inputs.Sum(static t => t.Length)), static (json, r) => Write(json, r.vectors, r.Base64, r.Name, r.Item4));
    }

    private static int[] TokensOf(ServedModel model, ModelInfo info, TextOrTokens input, int i)
    {
        string param = $"input[{i}]";
        // Text to be embedded is content, not a prompt: control tokens in it are plain text.
        int[] tokens = input.Tokens ?? model.Engine.Tokenizer.Encode(input.Text!, addSpecial: true, parseSpecial: false, model.Engine.MaxEmbeddingTokens);
        if (tokens.Length == 0 || input.Text?.Length == 0)
        {
            throw ApiException.WrongValue(param, $"Invalid '{param}': it is empty.");
        }
        if (Array.FindIndex(tokens, t => t >= info.VocabularySize) is >= 0 and int bad)
        {
            throw ApiException.WrongValue(param, $"Invalid '{param}': {tokens[bad]} is no token of this model, which has {info.VocabularySize}.");
        }
        int most = model.Engine.MaxEmbeddingTokens;
        return tokens.Length <= most
            ? tokens
            : throw ApiException.Invalid("context_length_exceeded", $"Input {i} has {tokens.Length} tokens, and an embedding takes at most {most}. Split it.", param);
    }

    private static void Write(Utf8JsonWriter json, float[][] vectors, bool base64, string model, int tokens)
    {
        json.WriteStartObject();
        json.WriteString("object", "list");
        json.WriteStartArray("data");
        for (int i = 0; i < vectors.Length; i++)
        {
            json.WriteStartObject();
            json.WriteString("object", "embedding");
            json.WriteNumber("index", i);
            if (base64)
            {
                // Little-endian floats, as OpenAI sends them; every platform that .NET runs on stores them so.
                json.WriteBase64String("embedding", MemoryMarshal.AsBytes(vectors[i].AsSpan()));
            }
            else
            {
                json.WriteStartArray("embedding");
                foreach (float value in vectors[i])
                {
                    json.WriteNumberValue(value);
                }
                json.WriteEndArray();
            }
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteString("model", model);
        json.WriteStartObject("usage");
        json.WriteNumber("prompt_tokens", tokens);
        json.WriteNumber("total_tokens", tokens);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
