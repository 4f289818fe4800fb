namespace ContinualNative.Storage;

/// <summary>A stored prompt of which it is known, or reported, whether the local model answers it rightly.</summary>
/// <param name="Prompt">The request of the chat kind, as JSON.</param>
/// <param name="Right">Whether it does.</param>
/// <param name="ReporterId">The API key that says so; null without one, and where it is not a report.</param>
/// <param name="ReportedAt">When it was reported; null: a teacher said so, or it was learned from.</param>
public readonly record struct JudgedPrompt(string Prompt, bool Right, string? ReporterId, DateTimeOffset? ReportedAt);
