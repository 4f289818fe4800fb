namespace ContinualNative.Host.Demo.World;

/// <summary>A product by the name that customers use, and the line it belongs to.</summary>
internal sealed record Product(string Name, string Line);
