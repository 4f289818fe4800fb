namespace ContinualNative.Host.Demo.World;

/// <summary>What of the world a request is about.</summary>
internal enum RequestKind
{
    /// <summary>The world as it was before any drift.</summary>
    Known,

    /// <summary>A product, and perhaps its line, that came later.</summary>
    NewProduct,

    /// <summary>A wish that customers did not have before.</summary>
    NewIntent,

    /// <summary>A question whose answer is another one by now.</summary>
    ChangedPolicy,

    /// <summary>A known wish in words that nobody used before.</summary>
    NewWording,
}
