using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using ContinualNative.Core.Traffic;

namespace ContinualNative.Core.Access;

/// <summary>A store of keys that cannot be read or written; the message says what to do.</summary>
public sealed class ApiKeyStoreException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// The keys in one file, <c>keys.json</c> of the data folder, readable by its owner only. Several processes may use it at once: writers
/// take turns by a lock file and replace the file in one step, readers see changes within <see cref="RefreshInterval"/>. Thread-safe.
/// </summary>
public sealed class ApiKeyStore
{
    /// <summary>How long a reader may go on with what it has read before it looks at the file again.</summary>
    public static readonly TimeSpan RefreshInterval = TimeSpan.FromMilliseconds(500);

    private const int FileVersion = 1;
    private const int SaltBytes = 16;

    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private Dictionary<string, ApiKeyRecord> _keys = [];
    private (DateTime Written, long Length) _stamp = (DateTime.MinValue, -1);
    private long _checked;

    /// <summary>Opens the store of a data folder, which need not exist yet. Throws <see cref="ApiKeyStoreException"/> when the file is damaged.</summary>
    public ApiKeyStore(string dataDirectory, TimeProvider? time = null)
    {
        Path = System.IO.Path.Combine(dataDirectory, "keys.json");
        _time = time ?? TimeProvider.System;
        _checked = _time.GetTimestamp();
        _stamp = Stamp();
        _keys = Read();
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>Called when the file changed and could not be read; the keys known before stay in force.</summary>
    public Action<ApiKeyStoreException>? ReloadFailed { get; set; }

    /// <summary>Whether there is no key at all.</summary>
    public bool IsEmpty => Current().Count == 0;

    /// <summary>All keys, oldest first.</summary>
    public IReadOnlyList<ApiKeyRecord> List() => [.. Current().Values.OrderBy(static k => k.Created)];

    /// <summary>The record of a key that a caller shows, or null when it is none of ours.</summary>
    public ApiKeyRecord? Find(string? key) =>
        ApiKey.IdOf(key) is { } id && Current().TryGetValue(id, out ApiKeyRecord? record) && record.Matches(key!) ? record : null;

    /// <summary>Makes a key and stores its hash. The key itself is returned once and cannot be had again.</summary>
    public (string Key, ApiKeyRecord Record) Create(string name = "", bool admin = false, int? maxConcurrent = null, int? maxTokensPerRequest = null, RoutePreference route = RoutePreference.Auto, double? maxEscalation = null)
    {
        using FileStream turn = TakeTurn();
        Dictionary<string, ApiKeyRecord> keys = Read();
        string key;
        do
        {
            key = ApiKey.Create();
        }
        while (keys.ContainsKey(ApiKey.IdOf(key)!));
        byte[] salt = RandomNumberGenerator.GetBytes(SaltBytes);
        ApiKeyRecord record = new()
        {
            Id = ApiKey.IdOf(key)!,
            Name = name,
            Admin = admin,
            MaxConcurrent = maxConcurrent,
            MaxTokensPerRequest = maxTokensPerRequest,
            Route = route,
            MaxEscalation = maxEscalation,
            Created = _time.GetUtcNow(),
            Salt = salt,
            Hash = ApiKey.Hash(key, salt),
        };
        keys.Add(record.Id, record);
        Write(keys);
        return (key, record);
    }

    /// <summary>Removes a key; false when there is none of that id.</summary>
    public bool Revoke(string id)
    {
        using FileStream turn = TakeTurn();
        Dictionary<string, ApiKeyRecord> keys = Read();
        if (!keys.Remove(id))
        {
            return false;
        }
        Write(keys);
        return true;
    }

    private Dictionary<string, ApiKeyRecord> Current()
    {
        lock (_gate)
        {
            if (_time.GetElapsedTime(_checked) < RefreshInterval)
            {
                return _keys;
            }
            _checked = _time.GetTimestamp();
            (DateTime, long) stamp = Stamp();
            if (stamp == _stamp)
            {
                return _keys;
            }
            _stamp = stamp;
            try
            {
                _keys = Read();
            }
            catch (ApiKeyStoreException e)
            {
                ReloadFailed?.Invoke(e);
            }
            return _keys;
        }
    }

    private (DateTime, long) Stamp()
    {
        FileInfo file = new(Path);
        return file.Exists ? (file.LastWriteTimeUtc, file.Length) : (DateTime.MinValue, -1);
    }

    private Dictionary<string, ApiKeyRecord> Read()
    {
        byte[] text;
        try
        {
            text = File.ReadAllBytes(Path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return [];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ApiKeyStoreException($"The keys in '{Path}' cannot be read: {e.Message}", e);
        }
        try
        {
            KeyFile? file = JsonSerializer.Deserialize(text, KeyFileJson.Default.KeyFile);
            if (file is null || file.Version != FileVersion)
            {
                throw new ApiKeyStoreException($"'{Path}' has version {file?.Version.ToString() ?? "none"}, and this program reads version {FileVersion}. Use the program that wrote it.");
            }
            Dictionary<string, ApiKeyRecord> keys = new(StringComparer.Ordinal);
            foreach (ApiKeyRecord key in file.Keys)
            {
                if (key.Hash.Length != SHA256.HashSizeInBytes || key.Salt.Length == 0 || !keys.TryAdd(key.Id, key))
                {
                    throw new ApiKeyStoreException($"The entry '{key.Id}' in '{Path}' is damaged. Restore the file from a backup, or move it away and create new keys.");
                }
            }
            return keys;
        }
        catch (JsonException e)
        {
            throw new ApiKeyStoreException($"'{Path}' is damaged ({e.Message}). Nothing was changed: restore the file from a backup, or move it away and create new keys.", e);
        }
    }

    // The new file is complete and on disk before it takes the old one's name, so a crash leaves one or the other, never half.
    private void Write(Dictionary<string, ApiKeyRecord> keys)
    {
        string temporary = $"{Path}.{Guid.NewGuid():N}.tmp";
        try
        {
            using (FileStream file = new(temporary, PrivateFile(FileMode.CreateNew, FileShare.None)))
            {
                JsonSerializer.Serialize(file, new KeyFile(FileVersion, [.. keys.Values.OrderBy(static k => k.Created)]), KeyFileJson.Default.KeyFile);
                file.Flush(flushToDisk: true);
            }
            File.Move(temporary, Path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            File.Delete(temporary);
            throw new ApiKeyStoreException($"The keys cannot be written to '{Path}': {e.Message}", e);
        }
        lock (_gate)
        {
            _keys = keys;
            _stamp = Stamp();
        }
    }

    // Held while a writer reads, changes and replaces the file; the operating system lets go of it when a process dies.
    private FileStream TakeTurn()
    {
        string directory = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(Path))!;
        long start = _time.GetTimestamp();
        while (true)
        {
            try
            {
                if (!Directory.Exists(directory))
                {
                    CreatePrivateDirectory(directory);
                }
                return new FileStream(Path + ".lock", PrivateFile(FileMode.OpenOrCreate, FileShare.None));
            }
            catch (IOException e) when (e is not DirectoryNotFoundException && _time.GetElapsedTime(start) < TimeSpan.FromSeconds(10))
            {
                Thread.Sleep(20);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new ApiKeyStoreException($"The keys in '{Path}' cannot be changed: {e.Message}", e);
            }
        }
    }

    private static void CreatePrivateDirectory(string directory)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(directory);
        }
        else
        {
            Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
    }

    private static FileStreamOptions PrivateFile(FileMode mode, FileShare share)
    {
        FileStreamOptions options = new() { Mode = mode, Access = FileAccess.ReadWrite, Share = share };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }
        return options;
    }
}

internal sealed record KeyFile(int Version, List<ApiKeyRecord> Keys);

[JsonSourceGenerationOptions(
    WriteIndented = true,
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    UseStringEnumConverter = true,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(KeyFile))]
internal sealed partial class KeyFileJson : JsonSerializerContext;
