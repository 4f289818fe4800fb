using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Engine.Adapters;
using ContinualNative.Host.Http;
using ContinualNative.Host.Serving;

namespace ContinualNative.Host.OpenAi;

/// <summary><c>GET /v1/models</c> and <c>/v1/models/{id}</c>: the model, and one entry for each address under it.</summary>
internal static class Models
{
    private const string Owner = "continual";

    public static Task ListAsync(HttpContext http)
    {
        ServedModel model = http.RequestServices.GetRequiredService<ServerState>().Model;
        return JsonOut.WriteAsync(http, Entries(model), static (json, entries) =>
        {
            json.WriteStartObject();
            json.WriteString("object", "list");
            json.WriteStartArray("data");
            foreach ((string id, DateTimeOffset created) in entries)
            {
                Write(json, (id, created));
            }
            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    public static Task GetAsync(HttpContext http)
    {
        ServedModel model = http.RequestServices.GetRequiredService<ServerState>().Model;
        string id = (string)http.GetRouteValue("id")!;
        foreach ((string Id, DateTimeOffset) entry in Entries(model))
        {
            if (entry.Id == id)
            {
                return JsonOut.WriteAsync(http, entry, Write);
            }
        }
        throw ApiException.ModelNotFound(JsonIn.Short(id));
    }

    private static List<(string Id, DateTimeOffset Created)> Entries(ServedModel model)
    {
        string name = model.Engine.Model.Name;
        DateTimeOffset loaded = model.Engine.Model.LoadedAt;
        List<(string, DateTimeOffset)> entries = [(name, loaded), (new ModelAddress(name, ModelAddress.Base).ToString(), loaded)];
        foreach (AdapterInfo adapter in model.Engine.Adapters.List())
        {
            entries.Add((new ModelAddress(name, adapter.Id).ToString(), adapter.LoadedAt));
        }
        return entries;
    }

    private static void Write(Utf8JsonWriter json, (string Id, DateTimeOffset Created) entry)
    {
        json.WriteStartObject();
        json.WriteString("id", entry.Id);
        json.WriteString("object", "model");
        json.WriteNumber("created", entry.Created.ToUnixTimeSeconds());
        json.WriteString("owned_by", Owner);
        json.WriteEndObject();
    }
}
