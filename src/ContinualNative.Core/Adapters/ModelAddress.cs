namespace ContinualNative.Core.Adapters;

/// <summary>
/// What the <c>model</c> field of a request names: <c>name</c> (the champion adapter), <c>name@base</c> (no adapter) or
/// <c>name@id</c> (one adapter, whether champion or not).
/// </summary>
/// <param name="Model">The model's name; empty when the request left it out.</param>
/// <param name="Adapter">null for the champion, <see cref="Base"/> for the bare model, else an adapter's id.</param>
public readonly record struct ModelAddress(string Model, string? Adapter)
{
    /// <summary>The reserved adapter id that means the model without any adapter.</summary>
    public const string Base = "base";

    /// <summary>Splits at the last <c>@</c>; a name without one addresses the champion.</summary>
    public static ModelAddress Parse(string? address)
    {
        if (string.IsNullOrEmpty(address))
        {
            return new ModelAddress("", null);
        }
        int at = address.LastIndexOf('@');
        return at < 0 ? new ModelAddress(address, null) : new ModelAddress(address[..at], address[(at + 1)..]);
    }

    /// <summary>Whether <paramref name="id"/> can name an adapter: 1 to 64 of letters, digits, <c>-</c>, <c>_</c>, <c>.</c>, and not <c>base</c>.</summary>
    public static bool IsValidAdapterId(string? id) =>
        id is { Length: > 0 and <= 64 }
        && !id.Equals(Base, StringComparison.OrdinalIgnoreCase)
        && id.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');

    /// <inheritdoc/>
    public override string ToString() => Adapter is null ? Model : $"{Model}@{Adapter}";
}
