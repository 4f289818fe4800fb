using ContinualNative.Core.Routing;
using ContinualNative.Storage.Codecs;

namespace ContinualNative.Tests.Storage;

public sealed class FeaturesCodecTests
{
    private static readonly RoutingFeatures Features = new(-0.5f, -2.25f, 0.125f, 1.5f, 7, 11, 0.0625f, true, false, 0.375f);

    [Fact]
    public void Features_come_back_bit_by_bit_an_unknown_risk_too()
    {
        byte[] bytes = new byte[FeaturesCodec.Bytes];
        FeaturesCodec.Write(bytes, Features);
        Assert.Equal(Features, FeaturesCodec.Read(bytes));
        FeaturesCodec.Write(bytes, Features with { WordRisk = float.NaN });
        Assert.Equal(Features with { WordRisk = float.NaN }, FeaturesCodec.Read(bytes));
    }

    [Fact]
    public void What_was_stored_before_the_risk_of_words_was_known_is_read_and_copied_as_it_is()
    {
        byte[] bytes = new byte[FeaturesCodec.Bytes];
        FeaturesCodec.Write(bytes, Features);
        byte[] old = bytes[..29];
        Assert.Equal(Features with { WordRisk = float.NaN }, FeaturesCodec.Read(old));
        byte[] sample = new byte[SampleCodec.Bytes];
        int written = SampleCodec.Write(sample, RequestId.ToBytes(StoreFixture.Id(5)), correct: true, audited: false, 0.25, old);
        Assert.Equal(SampleCodec.Bytes - 4, written);
        Assert.Equal(
            new LabelledSample(9, StoreFixture.Id(5), "support", "base", Features with { WordRisk = float.NaN }, true, false, 0.25),
            SampleCodec.Read(sample.AsSpan(0, written), 9, "support", "base"));
    }
}
