using System.Buffers;
using System.Buffers.Binary;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using ContinualNative.Storage.Sqlite;

namespace ContinualNative.Storage.Codecs;

/// <summary>Which column a text stands in; part of what a cipher authenticates. The numbers are stored.</summary>
internal enum TextColumn : byte
{
    Prompt = 1,
    LocalAnswer = 2,
    Embedding = 3,
    Correction = 4,
    LabelAnswer = 5,
    LogProbs = 6,
}

/// <summary>
/// Texts on their way into the file and back: compressed where that makes them smaller, then encrypted where a cipher is given.
/// One byte of flags, with encryption four bytes of key version, then the payload; with compression that begins with the plain length (7 bits a byte). Thread-safe.
/// </summary>
/// <param name="cipher">Encrypts, or null.</param>
/// <param name="path">Of the store, for messages.</param>
internal sealed class TextCodec(ITextCipher? cipher, string path)
{
    private const byte Compressed = 1;
    private const byte Encrypted = 2;

    // Decision: Brotli, for its built-in dictionary: it takes a chat of 300 bytes to about six tenths, where Deflate hardly gains on its own header.
    // Quality 3: above it a text of this length gets one or two per cent smaller and takes several times as long.
    private const int Quality = 3;
    private const int LeastToCompress = 48;
    private const int LargestText = 1 << 30;

    public byte[]? Encode(string? text, ReadOnlySpan<byte> id, TextColumn column)
    {
        if (text is null)
        {
            return null;
        }
        int most = Encoding.UTF8.GetMaxByteCount(text.Length);
        byte[] plain = ArrayPool<byte>.Shared.Rent(most);
        try
        {
            int length = Encoding.UTF8.GetBytes(text, plain);
            return Encode(plain.AsSpan(0, length), id, column, compress: true);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(plain, clearArray: true);
        }
    }

    public string? DecodeText(ReadOnlySpan<byte> stored, ReadOnlySpan<byte> id, TextColumn column) =>
        stored.IsEmpty ? null : Encoding.UTF8.GetString(Decode(stored, id, column));

    public byte[] Encode(ReadOnlySpan<byte> plain, ReadOnlySpan<byte> id, TextColumn column, bool compress)
    {
        byte[]? rented = null;
        try
        {
            byte flags = 0;
            ReadOnlySpan<byte> payload = plain;
            if (compress && plain.Length >= LeastToCompress)
            {
                rented = ArrayPool<byte>.Shared.Rent(plain.Length);
                int head = WriteLength(rented, plain.Length);
                // What does not fit into less than the plain length is not worth its decoding.
                if (BrotliEncoder.TryCompress(plain, rented.AsSpan(head, plain.Length - head - 1), out int written, Quality, Window(plain.Length)))
                {
                    flags |= Compressed;
                    payload = rented.AsSpan(0, head + written);
                }
            }
            if (cipher is null)
            {
                byte[] stored = new byte[1 + payload.Length];
                stored[0] = flags;
                payload.CopyTo(stored.AsSpan(1));
                return stored;
            }
            byte[] secret = cipher.Encrypt(payload, Context(stackalloc byte[RequestId.Bytes + 1], id, column));
            byte[] sealedText = new byte[5 + secret.Length];
            sealedText[0] = (byte)(flags | Encrypted);
            BinaryPrimitives.WriteInt32LittleEndian(sealedText.AsSpan(1), cipher.KeyVersion);
            secret.CopyTo(sealedText, 5);
            return sealedText;
        }
        finally
        {
            if (rented is not null)
            {
                ArrayPool<byte>.Shared.Return(rented, clearArray: true);
            }
        }
    }

    /// <summary>The plain bytes. Throws <see cref="StoreException"/> for a wrong key or damage.</summary>
    public byte[] Decode(ReadOnlySpan<byte> stored, ReadOnlySpan<byte> id, TextColumn column)
    {
        byte flags = stored[0];
        ReadOnlySpan<byte> payload = stored[1..];
        if ((flags & Encrypted) != 0)
        {
            if (cipher is null)
            {
                throw StoreErrors.WrongKey(path);
            }
            try
            {
                payload = cipher.Decrypt(payload[4..], Context(stackalloc byte[RequestId.Bytes + 1], id, column), BinaryPrimitives.ReadInt32LittleEndian(payload));
            }
            catch (CryptographicException e)
            {
                throw StoreErrors.WrongKey(path, e);
            }
        }
        if ((flags & Compressed) == 0)
        {
            return payload.ToArray();
        }
        (int length, int head) = ReadLength(payload);
        byte[] plain = new byte[length];
        if (!BrotliDecoder.TryDecompress(payload[head..], plain, out int written) || written != length)
        {
            throw Damaged();
        }
        return plain;
    }

    /// <summary>An embedding that was encoded uncompressed; empty when there is none.</summary>
    public float[] DecodeEmbedding(ReadOnlySpan<byte> stored, ReadOnlySpan<byte> id) =>
        stored.IsEmpty ? [] : EmbeddingCodec.Decode(stored[0] == 0 ? stored[1..] : Decode(stored, id, TextColumn.Embedding));

    private StoreException Damaged() => new(StoreError.Damaged, $"A text in the traffic store '{path}' is damaged. Restore the store from a backup.");

    private static ReadOnlySpan<byte> Context(Span<byte> context, ReadOnlySpan<byte> id, TextColumn column)
    {
        id.CopyTo(context);
        context[RequestId.Bytes] = (byte)column;
        return context;
    }

    // Brotli's encoder takes memory by its window, and clears it for every text.
    private static int Window(int length) => Math.Clamp(32 - int.LeadingZeroCount(length), 10, 22);

    private static int WriteLength(Span<byte> to, int length)
    {
        int at = 0;
        for (; length >= 0x80; length >>= 7)
        {
            to[at++] = (byte)(length | 0x80);
        }
        to[at++] = (byte)length;
        return at;
    }

    private (int Length, int Head) ReadLength(ReadOnlySpan<byte> from)
    {
        long length = 0;
        for (int at = 0; at < Math.Min(5, from.Length); at++)
        {
            length |= (long)(from[at] & 0x7F) << (7 * at);
            if (from[at] < 0x80)
            {
                return length <= LargestText ? ((int)length, at + 1) : throw Damaged();
            }
        }
        throw Damaged();
    }
}
