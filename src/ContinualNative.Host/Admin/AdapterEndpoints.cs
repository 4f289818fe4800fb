using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Engine;
using ContinualNative.Engine.Adapters;
using ContinualNative.Host.Http;
using ContinualNative.Host.Serving;
using Microsoft.AspNetCore.Http.Features;

namespace ContinualNative.Host.Admin;

/// <summary><c>/admin/adapters</c>: list, load, promote and take away adapters while the server runs.</summary>
internal static class AdapterEndpoints
{
    public static void MapAdapters(this IEndpointRouteBuilder routes)
    {
        RouteGroupBuilder adapters = routes.MapGroup("/admin/adapters");
        adapters.MapGet("", ListAsync);
        adapters.MapPost("", LoadAsync);
        adapters.MapDelete("/{id}", UnloadAsync);
        adapters.MapPost("/{id}/promote", PromoteAsync);
    }

    private static AdapterManager Adapters(HttpContext http) => http.RequestServices.GetRequiredService<ServerState>().Model.Engine.Adapters;

    private static Task ListAsync(HttpContext http) => JsonOut.WriteAsync(http, Adapters(http), static (json, adapters) =>
    {
        json.WriteStartObject();
        json.WriteString("object", "list");
        json.WriteString("champion", adapters.Champion ?? ModelAddress.Base);
        json.WriteStartArray("data");
        foreach (AdapterInfo adapter in adapters.List())
        {
            Write(json, adapter);
        }
        json.WriteEndArray();
        json.WriteEndObject();
    });

    private static async Task LoadAsync(HttpContext http)
    {
        AdapterManager adapters = Adapters(http);
        AdapterInfo loaded = http.Request.ContentType?.StartsWith("application/octet-stream", StringComparison.OrdinalIgnoreCase) is true
            ? await LoadUploadAsync(http, adapters)
            : await LoadFileAsync(http, adapters);
        await JsonOut.WriteAsync(http, loaded, Write, 201);
    }

    private static async Task<AdapterInfo> LoadFileAsync(HttpContext http, AdapterManager adapters)
    {
        using JsonDocument body = await RequestBody.ReadObjectAsync(http);
        string? id = null;
        string? path = null;
        foreach (JsonProperty field in body.RootElement.EnumerateObject())
        {
            switch (field.Name)
            {
                case "id":
                    id = JsonIn.Text(field.Value, "id");
                    break;
                case "path":
                    path = JsonIn.Text(field.Value, "path");
                    break;
                default:
                    throw ApiException.Unknown(JsonIn.Short(field.Name));
            }
        }
        CheckId(id ?? throw ApiException.Missing("id"));
        if (!File.Exists(path ?? throw ApiException.Missing("path")))
        {
            throw ApiException.WrongValue("path", "Invalid 'path': there is no such file on the server's machine.");
        }
        return await adapters.LoadAsync(id, path, http.RequestAborted);
    }

    private static async Task<AdapterInfo> LoadUploadAsync(HttpContext http, AdapterManager adapters)
    {
        string? id = http.Request.Query["id"];
        CheckId(id ?? throw ApiException.Invalid("missing_required_parameter", "Missing required parameter: 'id'. Upload to /admin/adapters?id=NAME.", "id"));
        if (adapters.List().Any(a => a.Id == id))
        {
            throw new EngineException(EngineError.Conflict, $"There is an adapter '{id}' already. Delete it first, or use another id.", "id");
        }
        // An adapter is far larger than a chat; who may upload one has been checked already.
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
        {
            limit.MaxRequestBodySize = 4L << 30;
        }
        string folder = Path.Combine(http.RequestServices.GetRequiredService<ServeOptions>().Data, "adapters");
        Directory.CreateDirectory(folder);
        string path = Path.Combine(folder, id + ".gguf");
        string temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        try
        {
            await using (FileStream file = new(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16, useAsync: true))
            {
                await http.Request.Body.CopyToAsync(file, http.RequestAborted);
                file.Flush(flushToDisk: true);
            }
            AdapterInfo loaded = await adapters.LoadAsync(id, temporary, http.RequestAborted);
            File.Move(temporary, path, overwrite: true);
            return loaded with { Path = path };
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    private static Task UnloadAsync(HttpContext http)
    {
        string id = Known(http);
        if (id == ModelAddress.Base)
        {
            throw ApiException.WrongValue("id", "Invalid 'id': 'base' is the model itself and can't be taken away.");
        }
        AdapterManager adapters = Adapters(http);
        adapters.Unload(id);
        return JsonOut.WriteAsync(http, id, static (json, deleted) =>
        {
            json.WriteStartObject();
            json.WriteString("id", deleted);
            json.WriteString("object", "adapter");
            json.WriteBoolean("deleted", true);
            json.WriteEndObject();
        });
    }

    private static Task PromoteAsync(HttpContext http)
    {
        string id = Known(http);
        Adapters(http).Promote(id == ModelAddress.Base ? null : id);
        return JsonOut.WriteAsync(http, id, static (json, champion) =>
        {
            json.WriteStartObject();
            json.WriteString("object", "promotion");
            json.WriteString("champion", champion);
            json.WriteEndObject();
        });
    }

    private static string Known(HttpContext http)
    {
        string id = (string)http.GetRouteValue("id")!;
        return id == ModelAddress.Base || Adapters(http).List().Any(a => a.Id == id)
            ? id
            : throw new ApiException(404, "invalid_request_error", "adapter_not_found", $"There is no adapter '{JsonIn.Short(id)}'. GET /admin/adapters lists those that are loaded.", "id");
    }

    private static void CheckId(string id)
    {
        if (!ModelAddress.IsValidAdapterId(id))
        {
            throw ApiException.WrongValue("id", "Invalid 'id': an adapter's id has 1 to 64 letters, digits, '-', '_' or '.', and is not 'base'.");
        }
    }

    private static void Write(Utf8JsonWriter json, AdapterInfo adapter)
    {
        json.WriteStartObject();
        json.WriteString("id", adapter.Id);
        json.WriteString("object", "adapter");
        json.WriteBoolean("champion", adapter.IsChampion);
        json.WriteString("path", adapter.Path);
        json.WriteNumber("bytes", adapter.Bytes);
        json.WriteNumber("rank", adapter.Rank);
        json.WriteNumber("alpha", adapter.Alpha);
        json.WriteNumber("running", adapter.Running);
        json.WriteNumber("created", adapter.LoadedAt.ToUnixTimeSeconds());
        json.WriteEndObject();
    }
}
