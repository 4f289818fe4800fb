using ContinualNative.Training;

namespace ContinualNative.Tests.Training;

public sealed class PackerTests
{
    [Theory]
    [InlineData(1, 64)]
    [InlineData(7, 64)]
    [InlineData(511, 100)]
    [InlineData(512, 100)]
    [InlineData(2000, 128)]
    public void Every_example_is_in_one_batch_and_none_is_overfull(int count, int capacity)
    {
        int[] rows = Lengths(count, 1, capacity);
        List<int[]> batches = Packer.Pack(rows, capacity, seed: 3);
        Assert.Equal(Enumerable.Range(0, count), batches.SelectMany(static b => b).Order());
        Assert.All(batches, b => Assert.InRange(b.Sum(i => rows[i]), 1, capacity));
    }

    [Fact]
    public void Little_room_is_wasted()
    {
        // Lengths as a chat data set has them: many short, few long.
        int[] rows = [.. Lengths(3000, 0, 1000).Select(static r => 8 + (r * r / 5000))];
        List<int[]> batches = Packer.Pack(rows, 512, seed: 1);
        double fill = (double)rows.Sum() / (batches.Count * 512);
        TestContext.Current.TestOutputHelper?.WriteLine($"fill {fill:P2} in {batches.Count} batches");
        Assert.InRange(fill, 0.97, 1);
    }

    [Fact]
    public void Equal_seeds_give_equal_batches_and_others_do_not()
    {
        int[] rows = Lengths(700, 1, 60);
        Assert.Equal(Packer.Pack(rows, 128, 5), Packer.Pack(rows, 128, 5));
        Assert.NotEqual(Packer.Pack(rows, 128, 5), Packer.Pack(rows, 128, 6));
    }

    [Fact]
    public void Long_examples_do_not_come_first()
    {
        int[] rows = [.. Enumerable.Repeat(100, 200), .. Enumerable.Repeat(2, 200)];
        List<int[]> batches = Packer.Pack(rows, 100, seed: 1);
        int[] shortOnes = [.. batches.Select(static (b, i) => (b, i)).Where(p => p.b.Any(i => rows[i] == 2)).Select(static p => p.i)];
        Assert.True(shortOnes.Min() < batches.Count - shortOnes.Length, $"all batches of short examples are the last: {string.Join(", ", shortOnes)} of {batches.Count}");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(11)]
    public void A_length_that_fits_no_batch_is_refused(int rows) => Assert.Throws<ArgumentOutOfRangeException>(() => Packer.Pack([5, rows], 10, 1));

    private static int[] Lengths(int count, int low, int high)
    {
        SplitMix64 random = new(99);
        int[] lengths = new int[count];
        for (int i = 0; i < count; i++)
        {
            lengths[i] = low + random.Below(high - low + 1);
        }
        return lengths;
    }
}
