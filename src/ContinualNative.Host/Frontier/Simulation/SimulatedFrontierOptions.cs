using System.Net;

namespace ContinualNative.Host.Frontier.Simulation;

/// <summary>A simulated frontier.</summary>
internal sealed record SimulatedFrontierOptions
{
    public required SimulatedKnowledge Knowledge { get; init; }

    /// <summary>At least one; the first is current at start.</summary>
    public IReadOnlyList<SimulatedRelease> Releases { get; init; } = [new SimulatedRelease { Name = "sim-1" }];

    /// <summary>Decides every draw: knowledge, wrong answers, failures, latencies.</summary>
    public ulong Seed { get; init; }

    /// <summary>Port 0: any free one.</summary>
    public IPEndPoint Listen { get; init; } = new(IPAddress.Loopback, 0);

    /// <summary>The key to ask for; null: none.</summary>
    public string? Key { get; init; }

    /// <summary>The answer to prompts that it does not know.</summary>
    public string UnknownAnswer { get; init; } = "I have no certain answer to that.";

    public TimeProvider Time { get; init; } = TimeProvider.System;
}
