using System.Text.Json;
using ContinualNative.Core.Adapters;
using ContinualNative.Engine.Adapters;
using ContinualNative.Host.Cycles;

namespace ContinualNative.Host.Admin;

/// <summary>An adapter as the admin API tells of it: loaded, recorded, or both.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Loaded">What the engine has, or null.</param>
/// <param name="Record">What the store has, or null.</param>
internal sealed record AdapterJson(string Id, AdapterInfo? Loaded, AdapterRecord? Record)
{
    /// <summary>Writes the whole object.</summary>
    public static void Write(Utf8JsonWriter json, AdapterJson adapter)
    {
        json.WriteStartObject();
        adapter.WriteMembers(json);
        json.WriteEndObject();
    }

    /// <summary>Writes the members of its object.</summary>
    public void WriteMembers(Utf8JsonWriter json)
    {
        json.WriteString("id", Id);
        json.WriteString("object", "adapter");
        json.WriteBoolean("champion", Loaded?.IsChampion is true);
        json.WriteBoolean("loaded", Loaded is not null);
        if (Loaded is { } loaded)
        {
            json.WriteString("path", loaded.Path);
            json.WriteNumber("bytes", loaded.Bytes);
            json.WriteNumber("rank", loaded.Rank);
            json.WriteNumber("alpha", loaded.Alpha);
            json.WriteNumber("running", loaded.Running);
            json.WriteNumber("created", loaded.LoadedAt.ToUnixTimeSeconds());
        }
        else if (Record is { } known)
        {
            json.WriteNumber("bytes", known.Bytes);
            json.WriteNumber("rank", known.Rank);
            json.WriteNumber("running", 0);
            json.WriteNumber("created", known.At.ToUnixTimeSeconds());
        }
        if (Record is { } record)
        {
            json.WriteString("status", CycleText.Name(record.Status));
            json.WriteString("origin", CycleText.Name(record.Origin));
            json.WriteString("parent", record.Parent);
            json.WriteString("file", record.File);
            json.WriteString("sha256", record.Hash);
            json.WritePropertyName("cycle");
            if (record.Cycle is { } cycle)
            {
                json.WriteNumberValue(cycle);
            }
            else
            {
                json.WriteNullValue();
            }
            json.WriteString("note", record.Note);
        }
    }
}
