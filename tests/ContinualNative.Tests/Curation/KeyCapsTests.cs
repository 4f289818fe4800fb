using ContinualNative.Core.Curation;

namespace ContinualNative.Tests.Curation;

public sealed class KeyCapsTests
{
    [Theory]
    [InlineData(new[] { 900, 100 }, 0, 0.5, 100)]
    [InlineData(new[] { 900, 100 }, 300, 0.5, 400)]
    [InlineData(new[] { 10, 10, 10 }, 0, 0.5, 15)]
    [InlineData(new[] { 50 }, 0, 1, 50)]
    [InlineData(new[] { 50 }, 0, 0.5, 0)]
    [InlineData(new int[0], 7, 0.5, 3)]
    public void No_key_has_more_than_its_share_of_what_is_kept(int[] counts, int confirmed, double share, int most) => Assert.Equal(most, KeyCaps.Most(counts, confirmed, share));

    [Fact]
    public void It_is_the_largest_that_holds()
    {
        for (int seed = 0; seed < 300; seed++)
        {
            Random random = new(seed);
            int[] counts = [.. Enumerable.Range(0, random.Next(1, 6)).Select(_ => random.Next(1, 60))];
            int confirmed = random.Next(0, 40);
            double share = 0.1 + random.NextDouble() * 0.9;
            int most = KeyCaps.Most(counts, confirmed, share);
            long Kept(int m) => confirmed + counts.Sum(c => Math.Min(c, m));
            Assert.All(counts, c => Assert.True(Math.Min(c, most) <= share * Kept(most)));
            for (int larger = most + 1; larger <= counts.Max(); larger++)
            {
                Assert.True(larger > share * Kept(larger), $"{larger} would hold too");
            }
        }
    }
}
