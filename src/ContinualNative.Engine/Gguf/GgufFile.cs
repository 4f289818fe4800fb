using System.Diagnostics.CodeAnalysis;

namespace ContinualNative.Engine.Gguf;

/// <summary>
/// The head of a GGUF file (version 2 or 3): metadata and tensor table, checked as strictly as llama.cpp does before llama.cpp sees it.
/// Every failure is an <see cref="EngineException"/> (BadFile) that names the file, the position and what to do. Immutable.
/// </summary>
public sealed class GgufFile
{
    internal const string AlignmentKey = "general.alignment";
    internal const int DefaultAlignment = 32;

    private readonly OrderedDictionary<string, GgufValue> _metadata;
    private readonly OrderedDictionary<string, GgufTensor> _tensors;

    internal GgufFile(
        string? path,
        string name,
        uint version,
        OrderedDictionary<string, GgufValue> metadata,
        OrderedDictionary<string, GgufTensor> tensors,
        int alignment,
        long dataOffset,
        long length)
    {
        Path = path;
        Name = name;
        Version = (int)version;
        Alignment = alignment;
        DataOffset = dataOffset;
        Length = length;
        _metadata = metadata;
        _tensors = tensors;
    }

    /// <summary>The file, or null when it was read from a stream.</summary>
    public string? Path { get; }

    /// <summary>How messages call the file.</summary>
    public string Name { get; }

    /// <summary>2 or 3.</summary>
    public int Version { get; }

    /// <summary>Bytes that each tensor's data is aligned to, a power of two.</summary>
    public int Alignment { get; }

    /// <summary>Where tensor data begins, in bytes from the file's start.</summary>
    public long DataOffset { get; }

    /// <summary>Size of the file in bytes.</summary>
    public long Length { get; }

    /// <summary>Metadata in the file's order.</summary>
    public IReadOnlyDictionary<string, GgufValue> Metadata => _metadata;

    /// <summary>Tensors in the file's order.</summary>
    public IReadOnlyCollection<GgufTensor> Tensors => _tensors.Values;

    /// <summary><c>general.architecture</c>, such as <c>llama</c>.</summary>
    public string Architecture => GetString("general.architecture");

    /// <summary>Whether the file is an adapter rather than a model.</summary>
    public bool IsAdapter => Metadata.TryGetValue("general.type", out GgufValue? value) && value.Value is "adapter";

    /// <summary>Sum of the tensors' elements.</summary>
    public long Parameters => _tensors.Values.Sum(static tensor => tensor.Elements);

    /// <summary>Sum of the tensors' bytes.</summary>
    public long TensorBytes => _tensors.Values.Sum(static tensor => tensor.Bytes);

    /// <summary>Reads the head of a file; the weights are not touched. Throws <see cref="EngineException"/> (BadFile).</summary>
    public static GgufFile Read(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            if (Directory.Exists(path))
            {
                throw new EngineException(EngineError.BadFile, $"{path} is a folder; name the .gguf file in it");
            }
            // The reader has its own buffer.
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
            return new GgufReader(stream, path).Read(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new EngineException(EngineError.BadFile, $"{path} does not exist; check the path", inner: e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw new EngineException(EngineError.BadFile, $"{path} can't be opened: {e.Message}", inner: e);
        }
    }

    /// <summary>
    /// Reads the head from a seekable stream that stands at the file's first byte; <paramref name="name"/> is how messages call it.
    /// The stream is left open, at any position.
    /// </summary>
    public static GgufFile Read(Stream stream, string name = "the GGUF data")
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (!stream.CanSeek)
        {
            throw new ArgumentException("the stream must be seekable", nameof(stream));
        }
        return new GgufReader(stream, name).Read(null);
    }

    /// <summary>The tensor of that name.</summary>
    public bool TryGetTensor(string name, [NotNullWhen(true)] out GgufTensor? tensor) => _tensors.TryGetValue(name, out tensor);

    /// <summary>The tensor of that name; throws <see cref="EngineException"/> (BadFile) when there is none.</summary>
    public GgufTensor GetTensor(string name) =>
        _tensors.TryGetValue(name, out GgufTensor? tensor) ? tensor : throw Bad($"has no tensor {GgufReader.Quote(name)}");

    /// <summary>A string that must be there.</summary>
    public string GetString(string key) => FindString(key) ?? throw Missing(key);

    /// <summary>A string, or null when the key is missing. Another type is an error.</summary>
    public string? FindString(string key) =>
        !_metadata.TryGetValue(key, out GgufValue? value) ? null : value.Value as string ?? throw WrongType(key, value, "a string");

    /// <summary>A whole number that must be there and fit.</summary>
    public uint GetUInt32(string key) => FindUInt32(key) ?? throw Missing(key);

    /// <summary>A whole number of any integer type that fits, or null when the key is missing.</summary>
    public uint? FindUInt32(string key) =>
        !_metadata.TryGetValue(key, out GgufValue? value) ? null
        : Integer(value) is { } number && number >= 0 && number <= uint.MaxValue ? (uint)number
        : throw WrongType(key, value, "a whole number from 0 to 4294967295");

    /// <summary>A whole number that must be there and fit.</summary>
    public long GetInt64(string key) => FindInt64(key) ?? throw Missing(key);

    /// <summary>A whole number of any integer type that fits, or null when the key is missing.</summary>
    public long? FindInt64(string key) =>
        !_metadata.TryGetValue(key, out GgufValue? value) ? null
        : Integer(value) is { } number && number <= long.MaxValue ? (long)number
        : throw WrongType(key, value, "a whole number of 64 bits");

    /// <summary>A float that must be there.</summary>
    public float GetSingle(string key) => FindSingle(key) ?? throw Missing(key);

    /// <summary>A float of 32 or 64 bits, or null when the key is missing.</summary>
    public float? FindSingle(string key) =>
        !_metadata.TryGetValue(key, out GgufValue? value) ? null
        : value.Value switch
        {
            float single => single,
            double number => (float)number,
            _ => throw WrongType(key, value, "a float"),
        };

    /// <summary>A bool, or null when the key is missing.</summary>
    public bool? FindBool(string key) =>
        !_metadata.TryGetValue(key, out GgufValue? value) ? null : value.Value as bool? ?? throw WrongType(key, value, "a bool");

    /// <summary>An array that must be there, of that element type.</summary>
    public GgufArray GetArray(string key, GgufValueType elementType) => FindArray(key, elementType) ?? throw Missing(key);

    /// <summary>An array of that element type, or null when the key is missing.</summary>
    public GgufArray? FindArray(string key, GgufValueType elementType) =>
        !_metadata.TryGetValue(key, out GgufValue? value) ? null
        : value.Value is GgufArray array && array.ElementType == elementType ? array
        : throw WrongType(key, value, $"an array of {GgufValueTypes.Name(elementType)}");

    /// <summary>
    /// Reads a tensor's bytes into <paramref name="destination"/>, which has exactly <see cref="GgufTensor.Bytes"/> bytes, from
    /// <paramref name="stream"/>, whose byte 0 is the file's.
    /// </summary>
    public void ReadTensor(Stream stream, GgufTensor tensor, Span<byte> destination)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(tensor);
        if (destination.Length != tensor.Bytes)
        {
            throw new ArgumentException($"must have {tensor.Bytes} bytes", nameof(destination));
        }
        stream.Position = DataOffset + tensor.Offset;
        stream.ReadExactly(destination);
    }

    private static Int128? Integer(GgufValue value) => value.Value switch
    {
        byte number => number,
        sbyte number => number,
        ushort number => number,
        short number => number,
        uint number => number,
        int number => number,
        ulong number => number,
        long number => number,
        _ => null,
    };

    internal EngineException Bad(string what) => new(EngineError.BadFile, $"{Name} {what}");

    private EngineException Missing(string key) =>
        Bad($"has no metadata entry {GgufReader.Quote(key)}; convert the model again with a current converter");

    private EngineException WrongType(string key, GgufValue value, string wanted) =>
        Bad($"is damaged: {GgufReader.Quote(key)} is {value.TypeName}, expected {wanted}; convert the model again");
}
