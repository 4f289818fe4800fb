using System.Buffers.Binary;
using System.Text;

namespace ContinualNative.Engine.Gguf;

/// <summary>
/// Reads the head of a GGUF stream. Nothing in the file is trusted: every count is held against the bytes that are left before anything
/// is allocated, so that memory never exceeds a small multiple of what the file really holds.
/// </summary>
internal sealed class GgufReader
{
    // Decision: the largest heads in use (vocabularies of 260k tokens with merges) are about 20 MiB. Beyond this limit a head is an attack
    // or an accident, and arrays stay addressable by int.
    private const long MaxHead = 512L << 20;

    // Chat templates are the longest strings in use; the largest known are below 100 kB.
    private const long MaxScalarString = 64L << 20;
    private const int MaxKey = 65535;
    private const int MaxTensorName = 63;
    private const int MaxNesting = 4;

    private static readonly UTF8Encoding StrictUtf8 = new(false, true);

    private readonly Stream _stream;
    private readonly string _name;
    private readonly long _length;
    private readonly byte[] _buffer = new byte[64 * 1024];
    private int _start;
    private int _end;
    private long _position;

    /// <param name="stream">Seekable, standing at the file's first byte.</param>
    /// <param name="name">How messages call the file.</param>
    public GgufReader(Stream stream, string name)
    {
        _stream = stream;
        _name = name;
        _length = stream.Length - stream.Position;
    }

    public GgufFile Read(string? path)
    {
        (uint version, long tensorCount, long pairCount) = ReadPrologue();
        OrderedDictionary<string, GgufValue> metadata = new(StringComparer.Ordinal);
        for (long i = 0; i < pairCount; i++)
        {
            ReadPair(metadata, i, pairCount);
        }
        int alignment = ReadAlignment(metadata);
        OrderedDictionary<string, GgufTensor> tensors = new(StringComparer.Ordinal);
        for (long i = 0; i < tensorCount; i++)
        {
            ReadTensor(tensors, i, tensorCount);
        }
        long dataOffset = Pad(_position, alignment);
        CheckData(tensors, alignment, dataOffset);
        return new GgufFile(path, _name, version, metadata, tensors, alignment, dataOffset, _length);
    }

    internal static long Pad(long value, int alignment) => (value + alignment - 1) & -(long)alignment;

    private (uint Version, long Tensors, long Pairs) ReadPrologue()
    {
        if (_length == 0)
        {
            throw Bad($"{_name} is empty; download or copy it again");
        }
        Span<byte> magic = stackalloc byte[(int)Math.Min(4, _length)];
        ReadExactly(magic);
        if (!magic.SequenceEqual("GGUF"u8[..magic.Length]))
        {
            throw Bad($"{_name} is not a GGUF file (it begins with {Describe(magic)}); {Hint(magic)}");
        }
        if (magic.Length < 4)
        {
            throw Truncated("the head needs 24 bytes");
        }
        uint version = ReadUInt32("the version");
        if (version is not (2 or 3))
        {
            throw (version & 0xFFFF) == 0 && version != 0
                ? Bad($"{_name} is a big-endian GGUF file; convert it to little-endian (gguf_convert_endian) first")
                : Bad($"{_name} is GGUF version {version}, but versions 2 and 3 are supported; convert the model again with a current converter");
        }
        long tensors = ReadCount("tensors", 24);
        long pairs = ReadCount("metadata entries", 13);
        return (version, tensors, pairs);
    }

    /// <summary>A count of records of at least <paramref name="least"/> bytes each.</summary>
    private long ReadCount(string what, int least)
    {
        long at = _position;
        ulong count = ReadUInt64($"the number of {what}");
        // Checked against the whole file, not what is left: the second count comes after the first one's records were announced.
        if (count > (ulong)(_length / least))
        {
            throw Bad($"{_name} is damaged at byte {at}: it announces {count} {what}, more than its {_length} bytes can hold; download or copy it again");
        }
        return (long)count;
    }

    private void ReadPair(OrderedDictionary<string, GgufValue> metadata, long index, long count)
    {
        long at = _position;
        string key = ReadName($"the key of metadata entry {index + 1} of {count}", MaxKey);
        if (key.Length == 0)
        {
            throw Damaged(at, $"metadata entry {index + 1} has an empty key");
        }
        GgufValueType type = ReadType(key);
        GgufValue value;
        if (type == GgufValueType.Array)
        {
            value = GgufValue.Of(ReadArray(key, 1));
        }
        else if (type == GgufValueType.String)
        {
            value = GgufValue.Of(ReadString(key));
        }
        else
        {
            Span<byte> bytes = stackalloc byte[8];
            bytes = bytes[..GgufValueTypes.Size(type)];
            Need(bytes.Length, $"the value of {key}");
            ReadExactly(bytes);
            value = new GgufValue(type, GgufValueTypes.Decode(type, bytes));
        }
        if (!metadata.TryAdd(key, value))
        {
            throw Damaged(at, $"the metadata key {Quote(key)} appears twice");
        }
    }

    private GgufValueType ReadType(string key)
    {
        long at = _position;
        uint type = ReadUInt32($"the type of {key}");
        return GgufValueTypes.Size((GgufValueType)type) >= 0
            ? (GgufValueType)type
            : throw Damaged(at, $"{Quote(key)} has the unknown value type {type}");
    }

    private GgufArray ReadArray(string key, int depth)
    {
        if (depth > MaxNesting)
        {
            throw Damaged(_position, $"{Quote(key)} nests arrays more than {MaxNesting} deep");
        }
        GgufValueType type = ReadType(key);
        long at = _position;
        ulong announced = ReadUInt64($"the length of {key}");
        int size = GgufValueTypes.Size(type);
        int least = type == GgufValueType.String ? 8 : type == GgufValueType.Array ? 12 : size;
        if (announced > (ulong)((_length - _position) / least))
        {
            throw Bad($"{_name} is truncated or damaged at byte {at}: the array {Quote(key)} announces {announced} elements of at least {least} bytes, "
                + $"but {_length - _position} bytes are left; download or copy it again");
        }
        if (announced > (ulong)((MaxHead - Math.Min(MaxHead, _position)) / least))
        {
            throw HeadTooLarge();
        }
        int count = (int)announced;
        if (type == GgufValueType.String)
        {
            return ReadStrings(key, count);
        }
        if (type == GgufValueType.Array)
        {
            List<GgufArray> arrays = [];
            for (int i = 0; i < count; i++)
            {
                arrays.Add(ReadArray(key, depth + 1));
            }
            return GgufArray.Of(arrays);
        }
        byte[] bytes = new byte[count * size];
        ReadExactly(bytes);
        return GgufArray.OfBytes(type, count, bytes);
    }

    private GgufArray ReadStrings(string key, int count)
    {
        // Both grow as strings really come: an announced count alone costs nothing.
        byte[] bytes = new byte[Math.Min(count, 65536) * 8L];
        int[] ends = new int[Math.Min(count, 65536)];
        int used = 0;
        for (int i = 0; i < count; i++)
        {
            // The text for a message is made only when there is one: a vocabulary has 150,000 elements.
            ulong announced = ReadUInt64(key);
            if (announced > (ulong)(_length - _position))
            {
                throw TooLong($"element {i + 1} of {key}", announced, _position - 8);
            }
            CheckHead((long)announced);
            int length = (int)announced;
            if (used + (long)length > bytes.Length)
            {
                Array.Resize(ref bytes, (int)Math.Min(Array.MaxLength, Math.Max(used + (long)length, bytes.Length * 2L)));
            }
            if (i == ends.Length)
            {
                Array.Resize(ref ends, (int)Math.Min(count, ends.Length * 2L));
            }
            ReadExactly(bytes.AsSpan(used, length));
            used += length;
            ends[i] = used;
        }
        Array.Resize(ref bytes, used);
        return GgufArray.OfUtf8(bytes, ends);
    }

    private int ReadAlignment(OrderedDictionary<string, GgufValue> metadata)
    {
        if (!metadata.TryGetValue(GgufFile.AlignmentKey, out GgufValue? value))
        {
            return GgufFile.DefaultAlignment;
        }
        return value.Value is uint and > 0 and <= 1 << 30 && (uint)value.Value is uint alignment && (alignment & (alignment - 1)) == 0
            ? (int)alignment
            : throw Bad($"{_name} is damaged: {GgufFile.AlignmentKey} is {value} ({value.TypeName}), but must be a u32 power of two; convert the model again");
    }

    private void ReadTensor(OrderedDictionary<string, GgufTensor> tensors, long index, long count)
    {
        long at = _position;
        string name = ReadName($"the name of tensor {index + 1} of {count}", MaxTensorName);
        if (name.Length == 0 || name.Contains('\0'))
        {
            throw Damaged(at, $"tensor {index + 1} of {count} has an empty name or one with a zero byte");
        }
        uint dimensions = ReadUInt32($"the shape of tensor {name}");
        if (dimensions > 4)
        {
            throw Damaged(at, $"tensor {Quote(name)} has {dimensions} dimensions, at most 4 are possible");
        }
        long[] shape = new long[dimensions];
        long elements = 1;
        for (int i = 0; i < shape.Length; i++)
        {
            shape[i] = (long)ReadUInt64($"the shape of tensor {name}");
            if (shape[i] <= 0)
            {
                throw Damaged(at, $"dimension {i + 1} of tensor {Quote(name)} is {shape[i]}, it must be positive");
            }
            if (elements > long.MaxValue / shape[i])
            {
                throw Damaged(at, $"the element count of tensor {Quote(name)} ({string.Join(" × ", shape.AsSpan(0, i + 1).ToArray())}) overflows");
            }
            elements *= shape[i];
        }
        uint number = ReadUInt32($"the type of tensor {name}");
        GgmlType type = (GgmlType)number;
        if (number > int.MaxValue || !type.IsKnown())
        {
            throw Bad($"{_name}: tensor {Quote(name)} has type {number}, which the pinned llama.cpp does not know; quantize the model again with a type it knows");
        }
        long row = shape.Length == 0 ? 1 : shape[0];
        if (row % type.BlockSize() != 0)
        {
            throw Damaged(at, $"tensor {Quote(name)} has rows of {row} elements, but {type.Name()} stores blocks of {type.BlockSize()}");
        }
        if (elements / type.BlockSize() > long.MaxValue / type.BytesPerBlock())
        {
            throw Damaged(at, $"the size of tensor {Quote(name)} overflows");
        }
        long bytes = type.Bytes(elements);
        ulong offset = ReadUInt64($"the offset of tensor {name}");
        if (offset > (ulong)_length)
        {
            throw Truncated($"tensor {name} begins {offset} bytes into the data, but the file has {_length} bytes");
        }
        if (!tensors.TryAdd(name, new GgufTensor(name, type, shape, (long)offset, bytes)))
        {
            throw Damaged(at, $"the tensor {Quote(name)} appears twice");
        }
    }

    private void CheckData(OrderedDictionary<string, GgufTensor> tensors, int alignment, long dataOffset)
    {
        // llama.cpp wants the data in the table's order with nothing but padding between.
        long expected = 0;
        foreach (GgufTensor tensor in tensors.Values)
        {
            if (tensor.Offset != expected)
            {
                throw Bad($"{_name} is damaged: the data of tensor {Quote(tensor.Name)} begins at {tensor.Offset}, expected {expected}; convert or download the model again");
            }
            if (tensor.Bytes > _length || dataOffset + tensor.Offset + tensor.Bytes > _length)
            {
                throw Bad($"{_name} is truncated: tensor {tensor.Name} needs bytes up to {(Int128)dataOffset + tensor.Offset + tensor.Bytes} but the file has {_length}; download or copy it again");
            }
            expected = Pad(tensor.Offset + tensor.Bytes, alignment);
        }
    }

    private string ReadName(string what, int longest)
    {
        long at = _position;
        long length = ReadLength(what, longest);
        byte[] bytes = new byte[length];
        ReadExactly(bytes);
        try
        {
            return StrictUtf8.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            throw Damaged(at, $"{what} is not UTF-8");
        }
    }

    private string ReadString(string key)
    {
        byte[] bytes = new byte[ReadLength($"the value of {key}", MaxScalarString)];
        ReadExactly(bytes);
        return Encoding.UTF8.GetString(bytes);
    }

    /// <summary>Reads a string's length and makes sure that so many bytes follow.</summary>
    private long ReadLength(string what, long longest)
    {
        long at = _position;
        ulong length = ReadUInt64(what);
        if (length > (ulong)(_length - _position))
        {
            throw TooLong(what, length, at);
        }
        if (length > (ulong)longest)
        {
            throw Damaged(at, $"{what} announces {length} bytes, at most {longest} are allowed");
        }
        return (long)length;
    }

    private uint ReadUInt32(string what)
    {
        Span<byte> bytes = stackalloc byte[4];
        Need(4, what);
        ReadExactly(bytes);
        return BinaryPrimitives.ReadUInt32LittleEndian(bytes);
    }

    private ulong ReadUInt64(string what)
    {
        if (_end - _start >= 8)
        {
            ulong value = BinaryPrimitives.ReadUInt64LittleEndian(_buffer.AsSpan(_start));
            _start += 8;
            _position += 8;
            return value;
        }
        Span<byte> bytes = stackalloc byte[8];
        Need(8, what);
        ReadExactly(bytes);
        return BinaryPrimitives.ReadUInt64LittleEndian(bytes);
    }

    private void Need(int bytes, string what)
    {
        if (_length - _position < bytes)
        {
            throw Truncated($"{what} needs bytes up to {_position + bytes} but the file has {_length}");
        }
        CheckHead(bytes);
    }

    private void CheckHead(long bytes)
    {
        if (_position + bytes > MaxHead)
        {
            throw HeadTooLarge();
        }
    }

    private void ReadExactly(Span<byte> destination)
    {
        while (destination.Length > 0)
        {
            int ready = _end - _start;
            if (ready == 0)
            {
                if (destination.Length >= _buffer.Length)
                {
                    ReadStream(destination);
                    _position += destination.Length;
                    return;
                }
                int want = (int)Math.Min(_buffer.Length, _length - _position);
                ReadStream(_buffer.AsSpan(0, want));
                _start = 0;
                _end = ready = want;
            }
            int take = Math.Min(ready, destination.Length);
            _buffer.AsSpan(_start, take).CopyTo(destination);
            destination = destination[take..];
            _start += take;
            _position += take;
        }
    }

    private void ReadStream(Span<byte> destination)
    {
        try
        {
            _stream.ReadExactly(destination);
        }
        catch (EndOfStreamException)
        {
            throw Bad($"{_name} became shorter while it was read; wait until it is complete and try again");
        }
        catch (IOException e)
        {
            throw new EngineException(EngineError.BadFile, $"{_name} can't be read at byte {_position}: {e.Message}", inner: e);
        }
    }

    private EngineException TooLong(string what, ulong length, long at) =>
        Bad($"{_name} is truncated or damaged at byte {at}: {what} announces {length} bytes, but {_length - _position} are left; download or copy it again");

    private EngineException HeadTooLarge() =>
        Bad($"{_name} has a head of more than {MaxHead >> 20} MiB, which no usable model has; convert or download the model again");

    private EngineException Truncated(string what) => Bad($"{_name} is truncated: {what}; download or copy it again");

    private EngineException Damaged(long at, string what) => Bad($"{_name} is damaged at byte {at}: {what}; download or convert it again");

    private static EngineException Bad(string message) => new(EngineError.BadFile, message);

    /// <summary>Hostile text, shortened and without control characters.</summary>
    internal static string Quote(string text)
    {
        // Never half of a surrogate pair: JSON writers throw on it.
        string shown = text.Length > 80 ? text[..(char.IsHighSurrogate(text[79]) ? 79 : 80)] + "…" : text;
        return string.Create(shown.Length + 2, shown, static (span, source) =>
        {
            span[0] = span[^1] = '\'';
            for (int i = 0; i < source.Length; i++)
            {
                span[i + 1] = char.IsControl(source[i]) ? '?' : source[i];
            }
        });
    }

    private static string Describe(ReadOnlySpan<byte> bytes)
    {
        foreach (byte b in bytes)
        {
            if (b is < 0x20 or > 0x7e)
            {
                return "0x" + Convert.ToHexString(bytes);
            }
        }
        return $"'{Encoding.ASCII.GetString(bytes)}'";
    }

    private static string Hint(ReadOnlySpan<byte> magic)
    {
        ReadOnlySpan<byte> two = magic[..Math.Min(2, magic.Length)];
        return two.SequenceEqual("PK"u8) ? "it looks like a zip or PyTorch checkpoint: convert the model to GGUF first"
            : two.SequenceEqual("<!"u8) || two.SequenceEqual("<h"u8) ? "it looks like a web page: download the file itself, not the page about it"
            : magic.SequenceEqual("vers"u8) ? "it looks like a Git LFS pointer: fetch the file itself with 'git lfs pull'"
            : magic.SequenceEqual("FUGG"u8) ? "it is a big-endian GGUF: convert it to little-endian first"
            : magic.SequenceEqual("ggjt"u8) || magic.SequenceEqual("tjgg"u8) || magic.SequenceEqual("lmgg"u8) || magic.SequenceEqual("fmgg"u8)
                ? "it is in a format from before GGUF: convert the original model to GGUF"
            : "convert the model to GGUF first";
    }
}
