using ContinualNative.Core.Economics;

namespace ContinualNative.Host.Frontier;

/// <summary>What a frontier model is asked for.</summary>
internal enum FrontierPurpose
{
    /// <summary>An answer that a client waits for.</summary>
    Escalation,

    /// <summary>A label, or a judgement; nobody waits.</summary>
    Teaching,
}

/// <summary>Purposes as the ledger knows them.</summary>
internal static class FrontierPurposes
{
    public static LedgerKind Kind(this FrontierPurpose purpose) => purpose == FrontierPurpose.Teaching ? LedgerKind.Teaching : LedgerKind.Escalation;
}
