using System.Numerics;
using System.Text.Json;

namespace ContinualNative.Engine.Constraints;

/// <summary>The types of JSON values that a schema allows.</summary>
[Flags]
internal enum JsonTypes
{
    None = 0,
    Null = 1,
    Boolean = 2,
    Integer = 4,

    /// <summary>Numbers that may have a fraction; integers are <see cref="Integer"/> as well.</summary>
    Number = 8,
    String = 16,
    Array = 32,
    Object = 64,
    All = Null | Boolean | Integer | Number | String | Array | Object,
}

/// <summary>A schema and its place in the document, as a JSON pointer fragment (<c>#/properties/name</c>).</summary>
internal readonly record struct SchemaPart(JsonElement Schema, string Path);

/// <summary>Nothing can match; caught where another branch may still.</summary>
internal sealed class UnsatisfiableException(string message) : Exception(message);

/// <summary>What several schemas that hold at once (siblings, <c>$ref</c>, <c>allOf</c>, the chosen branch of an <c>anyOf</c>) demand together.</summary>
internal sealed class SchemaFacts
{
    private const int MaxChoices = 32;

    private readonly HashSet<string> _added = new(StringComparer.Ordinal);
    private readonly List<string> _active = [];
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly HashSet<string> _required = new(StringComparer.Ordinal);
    private readonly SchemaDocument _document;

    public SchemaFacts(SchemaDocument document) => _document = document;

    private SchemaFacts(SchemaFacts other)
    {
        _document = other._document;
        _added = [.. other._added];
        Types = other.Types;
        Implied = other.Implied;
        Bare = other.Bare;
        Names = [.. other.Names];
        Required = [.. other.Required];
        _names = [.. other._names];
        _required = [.. other._required];
        Objects = [.. other.Objects];
        Arrays = [.. other.Arrays];
        (MinProperties, MaxProperties, MinItems, MaxItems, MinLength, MaxLength) =
            (other.MinProperties, other.MaxProperties, other.MinItems, other.MaxItems, other.MinLength, other.MaxLength);
        (Low, High) = (other.Low, other.High);
        Pattern = other.Pattern;
        Format = other.Format;
        Values = other.Values is null ? null : [.. other.Values];
        Choices = [.. other.Choices];
    }

    public JsonTypes Types { get; private set; } = JsonTypes.All;

    /// <summary>The types that keywords such as <c>properties</c> speak of; they stand in for a missing <c>type</c>.</summary>
    public JsonTypes Implied { get; private set; }

    /// <summary>Nothing is demanded but the <see cref="Choices"/>.</summary>
    public bool Bare { get; private set; } = true;

    /// <summary>Declared property names, in order.</summary>
    public List<string> Names { get; } = [];

    public List<string> Required { get; } = [];

    /// <summary>Each schema's own properties and what it says of others.</summary>
    public List<(Dictionary<string, SchemaPart> Properties, bool Declares, SchemaPart? Additional)> Objects { get; } = [];

    /// <summary>Each schema's leading items and what it says of the rest.</summary>
    public List<(List<SchemaPart> Prefix, SchemaPart? Others)> Arrays { get; } = [];

    public int MinProperties { get; private set; }

    public int MaxProperties { get; private set; } = int.MaxValue;

    public int MinItems { get; private set; }

    public int MaxItems { get; private set; } = int.MaxValue;

    public int MinLength { get; private set; }

    public int MaxLength { get; private set; } = int.MaxValue;

    /// <summary>Bounds of numbers in <see cref="NumberRange.Unit"/>s, inclusive.</summary>
    public BigInteger? Low { get; private set; }

    public BigInteger? High { get; private set; }

    public (string Text, string Path)? Pattern { get; private set; }

    public (string Text, string Path)? Format { get; private set; }

    /// <summary>The values of <c>enum</c> and <c>const</c>, or null where there is neither.</summary>
    public List<(JsonElement Value, string Text)>? Values { get; private set; }

    /// <summary>Each <c>anyOf</c> or <c>oneOf</c> that is still open: its branches, and the schemas that it stands in.</summary>
    public List<(List<SchemaPart> Branches, List<string> Owners)> Choices { get; } = [];

    public bool IsRequired(string name) => _required.Contains(name);

    /// <summary>A copy with one choice made.</summary>
    public SchemaFacts Choose(int choice, SchemaPart branch)
    {
        var facts = new SchemaFacts(this);
        facts._active.AddRange(facts.Choices[choice].Owners);
        facts.Choices.RemoveAt(choice);
        facts.Add(branch);
        facts._active.Clear();
        return facts;
    }

    /// <summary>Adds everything that <paramref name="part"/> demands.</summary>
    public void Add(SchemaPart part)
    {
        _document.Count(part.Path);
        if (_active.Contains(part.Path))
        {
            throw _document.Refuse("refers to itself without going deeper into the value, so no document could ever be checked against it", part.Path, "$ref");
        }

        if (part.Schema.ValueKind == JsonValueKind.True || !_added.Add(part.Path))
        {
            return;
        }

        if (part.Schema.ValueKind == JsonValueKind.False)
        {
            throw new UnsatisfiableException($"the schema at {part.Path} is false");
        }

        if (part.Schema.ValueKind != JsonValueKind.Object)
        {
            throw _document.Refuse("is no schema: a schema is an object, true or false", part.Path);
        }

        if (_active.Count >= SchemaDocument.MaxDepth)
        {
            throw _document.Refuse($"is reached through more than {SchemaDocument.MaxDepth} nested references and allOf; flatten the schema", part.Path);
        }

        _active.Add(part.Path);
        AddKeywords(part);
        _active.RemoveAt(_active.Count - 1);
    }

    private void AddKeywords(SchemaPart part)
    {
        (JsonElement schema, string path) = part;
        JsonTypes types = JsonTypes.All;
        bool nullable = false;
        Dictionary<string, SchemaPart>? properties = null;
        SchemaPart? additional = null;
        List<SchemaPart>? prefix = null;
        SchemaPart? items = null;
        SchemaPart? additionalItems = null;
        bool aboutObjects = false;
        bool aboutArrays = false;

        foreach (JsonProperty keyword in schema.EnumerateObject())
        {
            string name = keyword.Name;
            JsonElement value = keyword.Value;
            string at = SchemaDocument.Join(path, name);
            switch (name)
            {
                case "type":
                    types = ReadTypes(value, at);
                    Bare = false;
                    break;
                case "nullable":
                    nullable = _document.Boolean(value, at);
                    break;
                case "enum":
                    Restrict(ReadValues(value, at), at);
                    break;
                case "const":
                    Restrict([(value, JsonText.Value(value))], at);
                    break;
                case "$ref":
                    Add(_document.Resolve(value, at));
                    break;
                case "allOf":
                    foreach (SchemaPart each in _document.Schemas(value, at))
                    {
                        Add(each);
                    }

                    break;
                case "anyOf" or "oneOf":
                    if (Choices.Count >= MaxChoices)
                    {
                        throw _document.Refuse($"is one of more than {MaxChoices} that hold at once; simplify the schema", at);
                    }

                    Choices.Add((_document.Schemas(value, at), [.. _active]));
                    break;

                case "properties":
                    properties = new Dictionary<string, SchemaPart>(StringComparer.Ordinal);
                    foreach (JsonProperty property in _document.Object(value, at).EnumerateObject())
                    {
                        properties[property.Name] = new SchemaPart(property.Value, SchemaDocument.Join(at, property.Name));
                        if (_names.Add(property.Name))
                        {
                            Names.Add(property.Name);
                        }
                    }

                    Imply(JsonTypes.Object);
                    break;
                case "required":
                    foreach (JsonElement each in _document.Array(value, at).EnumerateArray())
                    {
                        string required = _document.String(each, at);
                        if (_required.Add(required))
                        {
                            Required.Add(required);
                        }
                    }

                    aboutObjects = true;
                    Imply(JsonTypes.Object);
                    break;
                case "additionalProperties":
                    additional = new SchemaPart(value, at);
                    aboutObjects = true;
                    Imply(JsonTypes.Object);
                    break;
                case "minProperties":
                    MinProperties = Math.Max(MinProperties, _document.Length(value, at));
                    Imply(JsonTypes.Object);
                    break;
                case "maxProperties":
                    MaxProperties = Math.Min(MaxProperties, _document.Length(value, at));
                    Imply(JsonTypes.Object);
                    break;

                case "prefixItems":
                    prefix = _document.Schemas(value, at);
                    Imply(JsonTypes.Array);
                    break;
                case "items" when value.ValueKind == JsonValueKind.Array:
                    // Drafts up to 2019-09: an array is what prefixItems is today.
                    prefix = _document.Schemas(value, at);
                    Imply(JsonTypes.Array);
                    break;
                case "items":
                    items = new SchemaPart(value, at);
                    aboutArrays = true;
                    Imply(JsonTypes.Array);
                    break;
                case "additionalItems":
                    additionalItems = new SchemaPart(value, at);
                    break;
                case "minItems":
                    MinItems = Math.Max(MinItems, _document.Length(value, at));
                    Imply(JsonTypes.Array);
                    break;
                case "maxItems":
                    MaxItems = Math.Min(MaxItems, _document.Length(value, at));
                    Imply(JsonTypes.Array);
                    break;

                case "minLength":
                    MinLength = Math.Max(MinLength, _document.Length(value, at));
                    Imply(JsonTypes.String);
                    break;
                case "maxLength":
                    MaxLength = Math.Min(MaxLength, _document.Length(value, at));
                    Imply(JsonTypes.String);
                    break;
                case "pattern":
                    Pattern = One(Pattern, _document.String(value, at), at);
                    Imply(JsonTypes.String);
                    break;
                case "format":
                    AddFormat(_document.String(value, at), at);
                    break;

                case "minimum":
                    Low = Higher(Low, _document.Number(value, at));
                    Imply(JsonTypes.Number | JsonTypes.Integer);
                    break;
                case "exclusiveMinimum":
                    Low = Higher(Low, _document.Number(value, at) + 1);
                    Imply(JsonTypes.Number | JsonTypes.Integer);
                    break;
                case "maximum":
                    High = -Higher(-High, -_document.Number(value, at));
                    Imply(JsonTypes.Number | JsonTypes.Integer);
                    break;
                case "exclusiveMaximum":
                    High = -Higher(-High, 1 - _document.Number(value, at));
                    Imply(JsonTypes.Number | JsonTypes.Integer);
                    break;
                default:
                    _document.CheckOther(name, value, at);
                    break;
            }
        }

        if (nullable && types != JsonTypes.All)
        {
            // OpenAPI 3.0: nullable adds to the type of the same schema.
            types |= JsonTypes.Null;
        }

        Types &= types;
        if (properties is not null || aboutObjects)
        {
            Objects.Add((properties ?? [], properties is not null, additional));
        }

        if (prefix is not null || aboutArrays)
        {
            SchemaPart? rest = prefix is null ? items : items ?? additionalItems;
            Arrays.Add((prefix ?? [], rest));
        }
    }

    private void Imply(JsonTypes types)
    {
        Implied |= types;
        Bare = false;
    }

    private void AddFormat(string format, string at)
    {
        switch (format)
        {
            // OpenAPI's widths and hints: they describe a type that is stated elsewhere.
            case "int32" or "int64" or "uint32" or "uint64" or "float" or "double" or "password" or "byte" or "binary":
                return;
            default:
                if (StringFormats.Pattern(format) is null)
                {
                    throw _document.Refuse($"'{format}' is not supported; supported are {StringFormats.Names}", at);
                }

                Format = One(Format, format, at);
                Imply(JsonTypes.String);
                return;
        }
    }

    private (string Text, string Path) One((string Text, string Path)? old, string text, string at)
    {
        if (old is { } other && other.Text != text)
        {
            throw _document.Refuse($"can't hold together with the other one at {other.Path}; state only one", at);
        }

        return (text, at);
    }

    private static BigInteger Higher(BigInteger? a, BigInteger b) => a is { } value && value > b ? value : b;

    private void Restrict(List<(JsonElement Value, string Text)> values, string at)
    {
        Bare = false;
        Values = Values is null ? values : [.. Values.Where(old => values.Exists(value => value.Text == old.Text))];
        if (Values.Count == 0)
        {
            throw new UnsatisfiableException($"no value is left of the enum or const at {at}");
        }
    }

    private List<(JsonElement Value, string Text)> ReadValues(JsonElement value, string at)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var values = new List<(JsonElement, string)>();
        foreach (JsonElement each in _document.Array(value, at).EnumerateArray())
        {
            _document.Count(at);
            string text = JsonText.Value(each);
            if (seen.Add(text))
            {
                values.Add((each, text));
            }
        }

        return values.Count > 0 ? values : throw _document.Refuse("is empty, so no value could match; name at least one", at);
    }

    private JsonTypes ReadTypes(JsonElement value, string at)
    {
        if (value.ValueKind != JsonValueKind.Array)
        {
            return ReadType(_document.String(value, at), at);
        }

        JsonTypes types = JsonTypes.None;
        foreach (JsonElement each in value.EnumerateArray())
        {
            types |= ReadType(_document.String(each, at), at);
        }

        return types != JsonTypes.None ? types : throw _document.Refuse("is empty, so no value could match; name at least one type", at);
    }

    private JsonTypes ReadType(string type, string at) => type switch
    {
        "null" => JsonTypes.Null,
        "boolean" => JsonTypes.Boolean,
        "integer" => JsonTypes.Integer,
        "number" => JsonTypes.Number | JsonTypes.Integer,
        "string" => JsonTypes.String,
        "array" => JsonTypes.Array,
        "object" => JsonTypes.Object,
        _ => throw _document.Refuse($"'{type}' is no JSON type", at),
    };
}
