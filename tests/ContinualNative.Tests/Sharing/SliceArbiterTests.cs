using ContinualNative.Core.Sharing;

namespace ContinualNative.Tests.Sharing;

public sealed class SliceArbiterTests
{
    private static readonly TimeSpan Slice = TimeSpan.FromMilliseconds(10);

    [Fact]
    public void Training_waits_for_nobody_where_nobody_waits()
    {
        SliceArbiter arbiter = new(0.2);
        Assert.Equal(TimeSpan.Zero, arbiter.Next(requestsWait: false, Slice));
    }

    [Theory]
    [InlineData(0.2)]
    [InlineData(0.5)]
    [InlineData(0.9)]
    public void Training_gets_its_floor_while_requests_wait_without_end(double floor)
    {
        SliceArbiter arbiter = new(floor);
        TimeSpan worked = TimeSpan.Zero;
        TimeSpan waited = TimeSpan.Zero;
        for (int i = 0; i < 1000; i++)
        {
            worked += Slice;
            for (TimeSpan wait = arbiter.Next(requestsWait: true, Slice); wait > TimeSpan.Zero; wait = arbiter.Next(requestsWait: true, TimeSpan.Zero))
            {
                Assert.InRange(wait, TimeSpan.Zero, TimeSpan.FromMilliseconds(50));
                waited += wait;
            }
        }
        Assert.Equal(floor, worked / (worked + waited), 3);
    }

    [Fact]
    public void What_was_not_waited_is_forgotten_once_nobody_waits()
    {
        SliceArbiter arbiter = new(0.01);
        Assert.True(arbiter.Next(requestsWait: true, TimeSpan.FromSeconds(1)) > TimeSpan.Zero);
        Assert.Equal(TimeSpan.Zero, arbiter.Next(requestsWait: false, TimeSpan.Zero));
        Assert.Equal(TimeSpan.Zero, arbiter.Next(requestsWait: true, TimeSpan.Zero));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1.1)]
    [InlineData(double.NaN)]
    public void Floor_is_a_share(double floor) => Assert.Throws<ArgumentOutOfRangeException>(() => new SliceArbiter(floor));
}
