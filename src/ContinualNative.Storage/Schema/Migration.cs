namespace ContinualNative.Storage.Schema;

/// <summary>One step of the schema.</summary>
/// <param name="Version">1, 2, 3, ...: the file's <c>user_version</c> when it is done.</param>
/// <param name="Sql">Statements.</param>
internal sealed record Migration(int Version, string Sql);
