using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Engine;
using ContinualNative.Engine.Adapters;
using ContinualNative.Host.Adapters;
using ContinualNative.Host.Cycles;
using ContinualNative.Host.Http;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;
using ContinualNative.Storage;
using Microsoft.AspNetCore.Http.Features;

namespace ContinualNative.Host.Admin;

/// <summary>
/// <c>/admin/adapters</c>: list, load, promote and take away adapters while the server runs. Where the server has a store, all are recorded there and outlive a restart.
/// </summary>
internal static class AdapterEndpoints
{
    // One change at a time, so that nothing is deleted while it becomes champion.
    private static readonly SemaphoreSlim Gate = new(1, 1);

    public static void MapAdapters(this IEndpointRouteBuilder routes)
    {
        RouteGroupBuilder adapters = routes.MapGroup("/admin/adapters");
        adapters.MapGet("", ListAsync);
        adapters.MapGet("/{id}", ShowAsync);
        adapters.MapPost("", LoadAsync);
        adapters.MapDelete("/{id}", UnloadAsync);
        adapters.MapPost("/{id}/promote", static http => PromoteAsync(http));
    }

    private static AdapterManager Adapters(HttpContext http) => http.RequestServices.GetRequiredService<ServerState>().Model.Engine.Adapters;

    private static TrafficStore? Store(HttpContext http) => http.RequestServices.GetRequiredService<SignalHub>().Store;

    private static async Task<T> AloneAsync<T>(HttpContext http, Func<Task<T>> change)
    {
        await Gate.WaitAsync(http.RequestAborted);
        try
        {
            return await change();
        }
        finally
        {
            Gate.Release();
        }
    }

    private static Task ListAsync(HttpContext http)
    {
        AdapterManager adapters = Adapters(http);
        IReadOnlyList<AdapterInfo> loaded = adapters.List();
        List<AdapterJson> all = [.. loaded.Select(a => new AdapterJson(a.Id, a, Store(http)?.Adapter(a.Id)))];
        HashSet<string> listed = [.. loaded.Select(static a => a.Id)];
        all.AddRange((Store(http)?.Adapters() ?? []).Where(a => !listed.Contains(a.Id) && !AdapterIntake.IsDeleted(a)).Select(static a => new AdapterJson(a.Id, null, a)));
        return JsonOut.WriteAsync(http, (Champion: adapters.Champion ?? ModelAddress.Base, All: all), static (json, page) =>
        {
            json.WriteStartObject();
            json.WriteString("object", "list");
            json.WriteString("champion", page.Champion);
            json.WriteStartArray("data");
            foreach (AdapterJson adapter in page.All)
            {
                AdapterJson.Write(json, adapter);
            }
            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    private static Task ShowAsync(HttpContext http)
    {
        AdapterJson adapter = Known(http);
        TrafficStore? store = Store(http);
        IReadOnlyList<StoredEvaluation> evaluations = store?.Evaluations(adapter.Id) ?? [];
        PromotionRecord[] promotions = store is null ? [] : Promoter.Of(store, adapter.Id);
        return JsonOut.WriteAsync(http, (adapter, evaluations, promotions), static (json, a) =>
        {
            json.WriteStartObject();
            a.adapter.WriteMembers(json);
            CycleText.Write(json, "evaluations", a.evaluations);
            CycleText.Write(json, "promotions", a.promotions);
            json.WriteEndObject();
        });
    }

    private static async Task LoadAsync(HttpContext http)
    {
        AdapterManager adapters = Adapters(http);
        AdapterInfo loaded = http.Request.ContentType?.StartsWith("application/octet-stream", StringComparison.OrdinalIgnoreCase) is true
            ? await LoadUploadAsync(http, adapters)
            : await LoadFileAsync(http, adapters);
        await JsonOut.WriteAsync(http, new AdapterJson(loaded.Id, loaded, Store(http)?.Adapter(loaded.Id)), AdapterJson.Write, 201);
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
        MustNotBeLoaded(adapters, id);
        if (path is null && Store(http)?.Adapter(id) is { File: not null } recorded)
        {
            AdapterShelf shelf = await http.RequestServices.GetRequiredService<CycleService>().ShelfAsync(http.RequestAborted);
            return await adapters.LoadAsync(id, shelf.Verify(recorded), http.RequestAborted);
        }
        if (!File.Exists(path ?? throw ApiException.Missing("path")))
        {
            throw ApiException.WrongValue("path", "Invalid 'path': there is no such file on the server's machine.");
        }
        return Store(http) is { } store
            ? await TakeAsync(http, adapters, store, id, path, async target =>
            {
                await using FileStream from = File.OpenRead(path);
                await WriteAsync(from, target, http.RequestAborted);
            })
            : await adapters.LoadAsync(id, path, http.RequestAborted);
    }

    private static async Task<AdapterInfo> LoadUploadAsync(HttpContext http, AdapterManager adapters)
    {
        string? id = http.Request.Query["id"];
        CheckId(id ?? throw ApiException.Invalid("missing_required_parameter", "Missing required parameter: 'id'. Upload to /admin/adapters?id=NAME.", "id"));
        MustNotBeLoaded(adapters, id);
        // An adapter is far larger than a chat; who may upload one has been checked already.
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
        {
            limit.MaxRequestBodySize = 4L << 30;
        }
        if (Store(http) is { } store)
        {
            return await TakeUploadAsync(http, adapters, store, id);
        }
        string folder = Path.Combine(http.RequestServices.GetRequiredService<ServeOptions>().Data, "adapters");
        Directory.CreateDirectory(folder);
        string path = Path.Combine(folder, id + ".gguf");
        string temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        try
        {
            await WriteAsync(http.Request.Body, temporary, http.RequestAborted);
            AdapterInfo loaded = await adapters.LoadAsync(id, temporary, http.RequestAborted);
            File.Move(temporary, path, overwrite: true);
            return loaded with { Path = path };
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    // Received before anything waits for it: a slow client keeps nobody from promoting.
    private static async Task<AdapterInfo> TakeUploadAsync(HttpContext http, AdapterManager adapters, TrafficStore store, string id)
    {
        AdapterShelf shelf = await http.RequestServices.GetRequiredService<CycleService>().ShelfAsync(http.RequestAborted);
        string received = Path.Combine(shelf.Folder, $".upload.{Guid.NewGuid():N}.part.gguf");
        await OnDiskAsync(http, () => Task.Run(shelf.Prepare));
        try
        {
            await OnDiskAsync(http, () => WriteAsync(http.Request.Body, received, http.RequestAborted));
            return await TakeAsync(http, adapters, store, id, "the upload", target =>
            {
                File.Move(received, target);
                return Task.CompletedTask;
            });
        }
        finally
        {
            File.Delete(received);
        }
    }

    // Into the data folder and the store first: what is loaded is what a restart finds.
    private static async Task<AdapterInfo> TakeAsync(HttpContext http, AdapterManager adapters, TrafficStore store, string id, string source, Func<string, Task> write)
    {
        AdapterShelf shelf = await http.RequestServices.GetRequiredService<CycleService>().ShelfAsync(http.RequestAborted);
        BaseModel model = BaseModel.Of(http.RequestServices.GetRequiredService<ServerState>().Model);
        AdapterIntake intake = new(shelf, store, model, http.RequestServices.GetRequiredService<TimeProvider>());
        return await AloneAsync(http, async () =>
        {
            MustNotBeLoaded(adapters, id);
            await OnDiskAsync(http, () => intake.TakeAsync(id, source, "", write, http.RequestAborted));
            try
            {
                return await adapters.LoadAsync(id, shelf.PathOf(id), http.RequestAborted);
            }
            catch (EngineException e) when (e.Error == EngineError.BadFile && IsDeletable(store.Adapter(id)))
            {
                // llama.cpp refuses what was found to fit: nothing can be done with it.
                await shelf.DeleteAsync(id, CancellationToken.None);
                throw;
            }
        });
    }

    private static async Task OnDiskAsync(HttpContext http, Func<Task> work)
    {
        try
        {
            await work();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException && e is not BadHttpRequestException && !http.RequestAborted.IsCancellationRequested)
        {
            throw ApiException.Unavailable("adapter_not_stored", $"The adapter can't be kept in the data folder: {e.Message}");
        }
    }

    private static async Task WriteAsync(Stream from, string target, CancellationToken cancellationToken)
    {
        await using FileStream file = new(target, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16, useAsync: true);
        await from.CopyToAsync(file, cancellationToken);
        file.Flush(flushToDisk: true);
    }

    private static async Task UnloadAsync(HttpContext http)
    {
        string id = await AloneAsync(http, () => TakeAwayAsync(http));
        await JsonOut.WriteAsync(http, id, static (json, deleted) =>
        {
            json.WriteStartObject();
            json.WriteString("id", deleted);
            json.WriteString("object", "adapter");
            json.WriteBoolean("deleted", true);
            json.WriteEndObject();
        });
    }

    // Decision: what was brought in and never answered goes with its file, and its id is free again. All else only leaves memory: a rollback, or a cycle, may need it.
    private static async Task<string> TakeAwayAsync(HttpContext http)
    {
        AdapterJson known = Known(http);
        string id = known.Id;
        if (id == ModelAddress.Base)
        {
            throw ApiException.WrongValue("id", "Invalid 'id': 'base' is the model itself and can't be taken away.");
        }
        bool goes = IsDeletable(known.Record);
        if (known.Loaded is not null)
        {
            Adapters(http).Unload(id);
        }
        else if (!goes)
        {
            throw new ApiException(409, "invalid_request_error", "conflict", $"The adapter '{id}' is not loaded. Its file stays: a cycle trained it, or it was champion.", "id");
        }
        if (goes)
        {
            AdapterShelf shelf = await http.RequestServices.GetRequiredService<CycleService>().ShelfAsync(http.RequestAborted);
            await shelf.DeleteAsync(id, CancellationToken.None);
        }
        return id;
    }

    private static bool IsDeletable(AdapterRecord? adapter) => adapter is { Origin: AdapterOrigin.Imported, Status: AdapterStatus.Candidate, File: not null };

    private static async Task PromoteAsync(HttpContext http)
    {
        string id = Known(http).Id;
        if (Store(http) is { } store)
        {
            PromotionRecord promotion = await AloneAsync(http, () => PromoteAsync(http, store, id));
            await JsonOut.WriteAsync(http, promotion, static (json, p) => CycleText.Write(json, p, evidence: false));
            return;
        }
        Adapters(http).Promote(id == ModelAddress.Base ? null : id);
        await JsonOut.WriteAsync(http, id, static (json, champion) =>
        {
            json.WriteStartObject();
            json.WriteString("object", "promotion");
            json.WriteString("champion", champion);
            json.WriteEndObject();
        });
    }

    // Said twice, it is done once. What was only named at the start stays by it.
    private static async Task<PromotionRecord> PromoteAsync(HttpContext http, TrafficStore store, string id) =>
        (Adapters(http).Champion ?? ModelAddress.Base) == id && store.LastPromotion() is { } last && last.Adapter == id && last.Reason != PromotionReason.Start
            ? last
            : await http.RequestServices.GetRequiredService<CycleService>().PromoteAsync(id, "POST /admin/adapters/{id}/promote", http.RequestAborted);

    // Loaded, or recorded with a file or a past; 'base' is always known.
    private static AdapterJson Known(HttpContext http)
    {
        string id = (string)http.GetRouteValue("id")!;
        AdapterInfo? loaded = Adapters(http).List().FirstOrDefault(a => a.Id == id);
        AdapterRecord? record = ModelAddress.IsValidAdapterId(id) ? Store(http)?.Adapter(id) : null;
        bool known = id == ModelAddress.Base || loaded is not null || (record is not null && !AdapterIntake.IsDeleted(record));
        return known
            ? new AdapterJson(id, loaded, record)
            : throw new ApiException(404, "invalid_request_error", "adapter_not_found", $"There is no adapter '{JsonIn.Short(id)}'. GET /admin/adapters lists those that there are.", "id");
    }

    private static void MustNotBeLoaded(AdapterManager adapters, string id)
    {
        if (adapters.Contains(id))
        {
            throw new EngineException(EngineError.Conflict, $"There is an adapter '{id}' already. Delete it first, or use another id.", "id");
        }
    }

    private static void CheckId(string id)
    {
        if (!ModelAddress.IsValidAdapterId(id))
        {
            throw ApiException.WrongValue("id", "Invalid 'id': an adapter's id has 1 to 64 letters, digits, '-', '_' or '.', and is not 'base'.");
        }
    }
}
