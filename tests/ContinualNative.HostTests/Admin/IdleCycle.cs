using ContinualNative.Core.Adapters;
using ContinualNative.Core.Cycles;
using ContinualNative.HostTests.Signal;
using ContinualNative.Storage;

namespace ContinualNative.HostTests.Admin;

/// <summary>A cycle that stays where it is, for tests of what a running one forbids.</summary>
internal static class IdleCycle
{
    /// <summary>Begins one in the server's store behind the server's back.</summary>
    public static async Task<CycleRecord> BeginIdleCycleAsync(this ContinualServer server)
    {
        // A server takes up what it finds in its store when it starts. Once a cycle of its own has ended, it has looked.
        Assert.Equal(201, (await server.PostAsync("/admin/cycles", "{}")).Status);
        TrafficStore store = server.Signal.Store!;
        for (int i = 0; store.ActiveCycle() is not null; i++)
        {
            Assert.True(i < 600, "the first cycle did not end");
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
        return await store.BeginCycleAsync(CycleTrigger.Manual, "by the test", ModelAddress.Base, static id => $"c{id}", TestContext.Current.CancellationToken);
    }
}
