using System.Buffers.Binary;
using ContinualNative.Core.Routing;

namespace ContinualNative.Storage.Codecs;

/// <summary>What the table of samples keeps of one: id (12 bytes), flags (1), audit probability (8), features (as their request has them).</summary>
internal static class SampleCodec
{
    /// <summary>The longest.</summary>
    public const int Bytes = RequestId.Bytes + 1 + 8 + FeaturesCodec.Bytes;

    private const byte Correct = 1;
    private const byte Audited = 2;
    private const int FlagsAt = RequestId.Bytes;
    private const int ProbabilityAt = FlagsAt + 1;
    private const int FeaturesAt = ProbabilityAt + 8;

    /// <param name="to">At least <see cref="Bytes"/> long.</param>
    /// <param name="id">The request's id.</param>
    /// <param name="correct">Whether its local answer was right.</param>
    /// <param name="audited">Whether it belongs to the audit sample.</param>
    /// <param name="auditProbability">The probability with which it was drawn.</param>
    /// <param name="features">As <see cref="FeaturesCodec"/> wrote them.</param>
    /// <returns>The bytes written.</returns>
    public static int Write(Span<byte> to, ReadOnlySpan<byte> id, bool correct, bool audited, double auditProbability, ReadOnlySpan<byte> features)
    {
        id.CopyTo(to);
        to[FlagsAt] = (byte)((correct ? Correct : 0) | (audited ? Audited : 0));
        BinaryPrimitives.WriteDoubleLittleEndian(to[ProbabilityAt..], auditProbability);
        features.CopyTo(to[FeaturesAt..]);
        return FeaturesAt + features.Length;
    }

    public static LabelledSample Read(ReadOnlySpan<byte> from, long sequence, string task, string adapter) => new(
        sequence,
        RequestId.ToText(from[..RequestId.Bytes]),
        task,
        adapter,
        FeaturesCodec.Read(from[FeaturesAt..]),
        (from[FlagsAt] & Correct) != 0,
        (from[FlagsAt] & Audited) != 0,
        BinaryPrimitives.ReadDoubleLittleEndian(from[ProbabilityAt..]));
}
