using System.Buffers.Binary;
using ContinualNative.Core.Routing;

namespace ContinualNative.Storage.Codecs;

/// <summary><see cref="RoutingFeatures"/> as bytes.</summary>
/// <remarks>
/// Decision: one blob of 33 bytes, not ten columns: the figures are always read together and never searched by, six REAL columns alone would take 54 bytes
/// (SQLite stores 8-byte floats), and one blob is one column to decode. Floats come back bit by bit. Blobs of before the last figure came end before it.
/// </remarks>
internal static class FeaturesCodec
{
    public const int Bytes = 33;

    private const int WordRiskAt = 29;

    private const byte Truncated = 1;
    private const byte Early = 2;

    public static void Write(Span<byte> to, in RoutingFeatures features)
    {
        to[0] = (byte)((features.Truncated ? Truncated : 0) | (features.Early ? Early : 0));
        BinaryPrimitives.WriteSingleLittleEndian(to[1..], features.MeanLogProb);
        BinaryPrimitives.WriteSingleLittleEndian(to[5..], features.MinLogProb);
        BinaryPrimitives.WriteSingleLittleEndian(to[9..], features.FirstTokenMargin);
        BinaryPrimitives.WriteSingleLittleEndian(to[13..], features.MeanEntropy);
        BinaryPrimitives.WriteSingleLittleEndian(to[17..], features.Novelty);
        BinaryPrimitives.WriteInt32LittleEndian(to[21..], features.Tokens);
        BinaryPrimitives.WriteInt32LittleEndian(to[25..], features.PromptTokens);
        BinaryPrimitives.WriteSingleLittleEndian(to[WordRiskAt..], features.WordRisk);
    }

    public static RoutingFeatures Read(ReadOnlySpan<byte> from) => new(
        MeanLogProb: BinaryPrimitives.ReadSingleLittleEndian(from[1..]),
        MinLogProb: BinaryPrimitives.ReadSingleLittleEndian(from[5..]),
        FirstTokenMargin: BinaryPrimitives.ReadSingleLittleEndian(from[9..]),
        MeanEntropy: BinaryPrimitives.ReadSingleLittleEndian(from[13..]),
        Tokens: BinaryPrimitives.ReadInt32LittleEndian(from[21..]),
        PromptTokens: BinaryPrimitives.ReadInt32LittleEndian(from[25..]),
        Novelty: Novelty(from),
        Truncated: (from[0] & Truncated) != 0,
        Early: (from[0] & Early) != 0,
        WordRisk: from.Length >= Bytes ? BinaryPrimitives.ReadSingleLittleEndian(from[WordRiskAt..]) : float.NaN);

    /// <summary>Only the novelty.</summary>
    public static float Novelty(ReadOnlySpan<byte> from) => BinaryPrimitives.ReadSingleLittleEndian(from[17..]);
}
