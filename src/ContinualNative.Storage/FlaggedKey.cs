namespace ContinualNative.Storage;

/// <summary>A key that sent more feedback than its caps allow.</summary>
/// <param name="KeyId">The key's id; empty for reports without a key.</param>
/// <param name="Since">When it was first refused.</param>
/// <param name="Refused">Reports that were refused.</param>
public sealed record FlaggedKey(string KeyId, DateTimeOffset Since, long Refused);
