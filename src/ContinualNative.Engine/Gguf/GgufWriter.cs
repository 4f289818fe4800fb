using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace ContinualNative.Engine.Gguf;

/// <summary>
/// Writes a GGUF file of version 3: first all metadata and tensors are declared, then <see cref="Write(string, IProgress{float}, CancellationToken)"/>
/// streams the data. Not thread-safe.
/// </summary>
public sealed class GgufWriter
{
    private readonly OrderedDictionary<string, GgufValue> _metadata = new(StringComparer.Ordinal);
    private readonly OrderedDictionary<string, (GgufTensor Tensor, Action<Stream> Write)> _tensors = new(StringComparer.Ordinal);
    private readonly int _alignment;
    private long _next;

    /// <summary>Starts an empty file; <paramref name="alignment"/> is a power of two.</summary>
    public GgufWriter(int alignment = GgufFile.DefaultAlignment)
    {
        if (alignment <= 0 || (alignment & (alignment - 1)) != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(alignment), alignment, "must be a power of two");
        }
        _alignment = alignment;
        if (alignment != GgufFile.DefaultAlignment)
        {
            Set(GgufFile.AlignmentKey, (uint)alignment);
        }
    }

    /// <summary>Metadata so far.</summary>
    public IReadOnlyDictionary<string, GgufValue> Metadata => _metadata;

    /// <summary>Sets one entry; a later call for the same key replaces the value.</summary>
    public void Set(string key, GgufValue value)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        if (key == GgufFile.AlignmentKey && !(value.Value is uint alignment && alignment == _alignment))
        {
            throw new ArgumentException("the alignment is the constructor's argument", nameof(value));
        }
        _metadata[key] = value;
    }

    /// <summary>Sets a string.</summary>
    public void Set(string key, string value) => Set(key, GgufValue.Of(value));

    /// <summary>Sets a number or bool of exactly type <typeparamref name="T"/>.</summary>
    public void Set<T>(string key, T value) where T : unmanaged => Set(key, GgufValue.Of(value));

    /// <summary>Sets an array.</summary>
    public void Set(string key, GgufArray value) => Set(key, GgufValue.Of(value));

    /// <summary>
    /// Declares a tensor of <paramref name="shape"/> (row length first). <paramref name="write"/> is called once per write of the file and must
    /// write exactly the tensor's bytes.
    /// </summary>
    public void AddTensor(string name, GgmlType type, ReadOnlySpan<long> shape, Action<Stream> write)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(write);
        if (Encoding.UTF8.GetByteCount(name) > 63)
        {
            throw new ArgumentException($"the tensor name {name} is longer than 63 bytes", nameof(name));
        }
        if (shape.Length is 0 or > 4)
        {
            throw new ArgumentException("a tensor has 1 to 4 dimensions", nameof(shape));
        }
        long elements = 1;
        foreach (long dimension in shape)
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(dimension, nameof(shape));
            elements = checked(elements * dimension);
        }
        if (shape[0] % type.BlockSize() != 0)
        {
            throw new ArgumentException($"rows of {shape[0]} elements don't divide into {type.Name()} blocks of {type.BlockSize()}", nameof(shape));
        }
        GgufTensor tensor = new(name, type, shape.ToArray(), _next, type.Bytes(elements));
        if (!_tensors.TryAdd(name, (tensor, write)))
        {
            throw new ArgumentException($"the tensor {name} is there already", nameof(name));
        }
        _next = GgufReader.Pad(checked(_next + tensor.Bytes), _alignment);
    }

    /// <summary>Declares a tensor whose bytes are in memory.</summary>
    public void AddTensor(string name, GgmlType type, ReadOnlySpan<long> shape, ReadOnlyMemory<byte> data) =>
        AddTensor(name, type, shape, stream => stream.Write(data.Span));

    /// <summary>Declares an f32 tensor whose values are in memory.</summary>
    public void AddTensor(string name, ReadOnlySpan<long> shape, ReadOnlyMemory<float> data) =>
        AddTensor(name, GgmlType.F32, shape, stream => stream.Write(MemoryMarshal.AsBytes(data.Span)));

    /// <summary>
    /// Writes the file so that <paramref name="path"/> is at any moment the old file or the complete new one: a temporary file beside it,
    /// flushed to the disk, then renamed.
    /// </summary>
    public void Write(string path, IProgress<float>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string full = Path.GetFullPath(path);
        string temporary = $"{full}.{Guid.NewGuid():N}.tmp";
        try
        {
            using (FileStream stream = new(temporary, new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.Write,
                BufferSize = 1 << 20,
            }))
            {
                Write(stream, progress, cancellationToken);
                stream.Flush(flushToDisk: true);
            }
            File.Move(temporary, full, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }

    /// <summary>Writes the file to a stream of any kind, which is left open.</summary>
    public void Write(Stream stream, IProgress<float>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(stream);
        MemoryStream head = new();
        WriteHead(head);
        PadTo(head, head.Length);
        stream.Write(head.GetBuffer().AsSpan(0, (int)head.Length));
        long done = 0;
        using CountingStream counting = new(stream, cancellationToken);
        foreach ((GgufTensor tensor, Action<Stream> write) in _tensors.Values)
        {
            cancellationToken.ThrowIfCancellationRequested();
            counting.Count = 0;
            write(counting);
            if (counting.Count != tensor.Bytes)
            {
                throw new InvalidOperationException($"the tensor {tensor.Name} has {tensor.Bytes} bytes, but {counting.Count} were written");
            }
            PadTo(stream, tensor.Bytes);
            done += tensor.Bytes;
            progress?.Report((float)done / _next);
        }
    }

    private void WriteHead(Stream head)
    {
        head.Write("GGUF"u8);
        WriteNumber(head, 3u);
        WriteNumber(head, (ulong)_tensors.Count);
        WriteNumber(head, (ulong)_metadata.Count);
        foreach ((string key, GgufValue value) in _metadata)
        {
            WriteString(head, Encoding.UTF8.GetBytes(key));
            WriteNumber(head, (uint)value.Type);
            switch (value.Value)
            {
                case GgufArray array:
                    WriteArray(head, array);
                    break;
                case string text:
                    WriteString(head, Encoding.UTF8.GetBytes(text));
                    break;
                default:
                    WriteScalar(head, value.Value);
                    break;
            }
        }
        foreach ((GgufTensor tensor, _) in _tensors.Values)
        {
            WriteString(head, Encoding.UTF8.GetBytes(tensor.Name));
            WriteNumber(head, (uint)tensor.Shape.Count);
            foreach (long dimension in tensor.Shape)
            {
                WriteNumber(head, (ulong)dimension);
            }
            WriteNumber(head, (uint)tensor.Type);
            WriteNumber(head, (ulong)tensor.Offset);
        }
    }

    private static void WriteArray(Stream head, GgufArray array)
    {
        WriteNumber(head, (uint)array.ElementType);
        WriteNumber(head, (ulong)array.Count);
        if (array.ElementType == GgufValueType.String)
        {
            for (int i = 0; i < array.Count; i++)
            {
                WriteString(head, array.GetUtf8(i));
            }
        }
        else if (array.ElementType == GgufValueType.Array)
        {
            foreach (GgufArray nested in array.Nested)
            {
                WriteArray(head, nested);
            }
        }
        else
        {
            head.Write(array.RawBytes);
        }
    }

    private static void WriteScalar(Stream head, object value)
    {
        Span<byte> bytes = stackalloc byte[8];
        int length;
        switch (value)
        {
            case bool flag: bytes[0] = flag ? (byte)1 : (byte)0; length = 1; break;
            case byte number: bytes[0] = number; length = 1; break;
            case sbyte number: bytes[0] = (byte)number; length = 1; break;
            case ushort number: BinaryPrimitives.WriteUInt16LittleEndian(bytes, number); length = 2; break;
            case short number: BinaryPrimitives.WriteInt16LittleEndian(bytes, number); length = 2; break;
            case uint number: BinaryPrimitives.WriteUInt32LittleEndian(bytes, number); length = 4; break;
            case int number: BinaryPrimitives.WriteInt32LittleEndian(bytes, number); length = 4; break;
            case float number: BinaryPrimitives.WriteSingleLittleEndian(bytes, number); length = 4; break;
            case ulong number: BinaryPrimitives.WriteUInt64LittleEndian(bytes, number); length = 8; break;
            case long number: BinaryPrimitives.WriteInt64LittleEndian(bytes, number); length = 8; break;
            case double number: BinaryPrimitives.WriteDoubleLittleEndian(bytes, number); length = 8; break;
            default: throw new InvalidOperationException($"no GGUF type for {value.GetType()}");
        }
        head.Write(bytes[..length]);
    }

    private static void WriteString(Stream head, ReadOnlySpan<byte> utf8)
    {
        WriteNumber(head, (ulong)utf8.Length);
        head.Write(utf8);
    }

    private static void WriteNumber(Stream head, uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        head.Write(bytes);
    }

    private static void WriteNumber(Stream head, ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        head.Write(bytes);
    }

    private void PadTo(Stream stream, long length)
    {
        Span<byte> zeros = stackalloc byte[64];
        zeros.Clear();
        long padding = GgufReader.Pad(length, _alignment) - length;
        while (padding > 0)
        {
            int part = (int)Math.Min(padding, zeros.Length);
            stream.Write(zeros[..part]);
            padding -= part;
        }
    }

    /// <summary>Passes writes on and counts them.</summary>
    private sealed class CountingStream(Stream inner, CancellationToken cancellationToken) : Stream
    {
        public long Count { get; set; }

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override void Flush() => inner.Flush();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            cancellationToken.ThrowIfCancellationRequested();
            inner.Write(buffer);
            Count += buffer.Length;
        }
    }
}
