namespace ContinualNative.Engine.Gguf;

/// <summary>One value of metadata with its exact type.</summary>
public sealed class GgufValue
{
    internal GgufValue(GgufValueType type, object value)
    {
        Type = type;
        Value = value;
    }

    /// <summary>The type in the file.</summary>
    public GgufValueType Type { get; }

    /// <summary>A boxed number or bool of exactly that type, a string, or a <see cref="GgufArray"/>.</summary>
    public object Value { get; }

    /// <summary>The type as text, such as <c>u32</c> or <c>array of string</c>.</summary>
    public string TypeName => Value is GgufArray array
        ? $"array of {GgufValueTypes.Name(array.ElementType)}"
        : GgufValueTypes.Name(Type);

    /// <summary>A number or bool.</summary>
    public static GgufValue Of<T>(T value) where T : unmanaged => new(GgufValueTypes.Of<T>(), value);

    /// <summary>A string.</summary>
    public static GgufValue Of(string value) => new(GgufValueType.String, value);

    /// <summary>An array.</summary>
    public static GgufValue Of(GgufArray value) => new(GgufValueType.Array, value);

    /// <inheritdoc/>
    public override string ToString() => Value is GgufArray array ? $"[{array.Count} × {GgufValueTypes.Name(array.ElementType)}]" : Value.ToString() ?? "";
}
