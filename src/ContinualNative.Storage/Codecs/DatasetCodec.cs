using System.IO.Compression;
using ContinualNative.Core.Curation;

namespace ContinualNative.Storage.Codecs;

/// <summary>
/// Examples of a data set as one blob: a byte of format, then, compressed by Brotli, how many there are, the names of tasks and slices, and column by column
/// ids (12 bytes), numbers of task and slice (7 bits a byte), sources and flags (a byte), weights (8 bytes). No texts.
/// </summary>
internal static class DatasetCodec
{
    private const byte Format = 1;
    private const int Replay = 0x40;
    private const int Pair = 0x80;
    private const int SourceMask = 0x3F;

    public static byte[] Encode(IReadOnlyList<CuratedExample> examples)
    {
        Dictionary<string, int> names = new(StringComparer.Ordinal);
        foreach (CuratedExample example in examples)
        {
            names.TryAdd(example.Task, names.Count);
            names.TryAdd(example.Slice, names.Count);
        }
        using MemoryStream stored = new();
        stored.WriteByte(Format);
        using (BinaryWriter writer = new(new BrotliStream(stored, CompressionLevel.Fastest, leaveOpen: true)))
        {
            writer.Write7BitEncodedInt(examples.Count);
            writer.Write7BitEncodedInt(names.Count);
            foreach (string name in names.Keys)
            {
                writer.Write(name);
            }
            WriteColumns(writer, examples, names);
        }
        return stored.ToArray();
    }

    /// <summary>The examples; null when the bytes are damaged.</summary>
    public static IReadOnlyList<CuratedExample>? Decode(byte[] stored)
    {
        if (stored.Length == 0 || stored[0] != Format)
        {
            return null;
        }
        try
        {
            using BinaryReader reader = new(new BrotliStream(new MemoryStream(stored, 1, stored.Length - 1), CompressionMode.Decompress));
            int count = reader.Read7BitEncodedInt();
            string[] names = new string[reader.Read7BitEncodedInt()];
            for (int i = 0; i < names.Length; i++)
            {
                names[i] = reader.ReadString();
            }
            return ReadColumns(reader, count, names);
        }
        catch (Exception e) when (e is IOException or InvalidDataException or InvalidOperationException or FormatException or IndexOutOfRangeException or OverflowException)
        {
            return null;
        }
    }

    private static void WriteColumns(BinaryWriter writer, IReadOnlyList<CuratedExample> examples, Dictionary<string, int> names)
    {
        foreach (CuratedExample example in examples)
        {
            writer.Write(RequestId.ToBytes(example.RequestId));
        }
        foreach (CuratedExample example in examples)
        {
            writer.Write7BitEncodedInt(names[example.Task]);
            writer.Write7BitEncodedInt(names[example.Slice]);
        }
        foreach (CuratedExample example in examples)
        {
            writer.Write((byte)((int)example.Source | (example.Replay ? Replay : 0) | (example.IsPair ? Pair : 0)));
        }
        foreach (CuratedExample example in examples)
        {
            writer.Write(example.Weight);
        }
    }

    private static CuratedExample[] ReadColumns(BinaryReader reader, int count, string[] names)
    {
        string[] ids = new string[count];
        (string Task, string Slice)[] places = new (string, string)[count];
        byte[] kinds = new byte[count];
        for (int i = 0; i < count; i++)
        {
            ids[i] = RequestId.ToText(reader.ReadBytes(RequestId.Bytes));
        }
        for (int i = 0; i < count; i++)
        {
            places[i] = (names[reader.Read7BitEncodedInt()], names[reader.Read7BitEncodedInt()]);
        }
        for (int i = 0; i < count; i++)
        {
            kinds[i] = reader.ReadByte();
        }
        CuratedExample[] examples = new CuratedExample[count];
        for (int i = 0; i < count; i++)
        {
            examples[i] = new CuratedExample
            {
                RequestId = ids[i],
                Task = places[i].Task,
                Slice = places[i].Slice,
                Source = (ExampleSource)(kinds[i] & SourceMask),
                Replay = (kinds[i] & Replay) != 0,
                IsPair = (kinds[i] & Pair) != 0,
                Weight = reader.ReadDouble(),
            };
        }
        return examples;
    }
}
