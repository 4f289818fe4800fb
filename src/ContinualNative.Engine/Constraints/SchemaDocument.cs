using System.Globalization;
using System.Numerics;
using System.Text.Json;

namespace ContinualNative.Engine.Constraints;

/// <summary>The schema as a whole: local references, typed reading of keywords, limits, and errors that name keyword and place.</summary>
internal sealed class SchemaDocument(JsonElement root, string param)
{
    /// <summary>Schemas (and enum values) visited at most, each use of a shared one counted.</summary>
    public const int MaxNodes = 20_000;

    /// <summary>Nested schemas at most.</summary>
    public const int MaxDepth = 64;

    /// <summary>Largest length or count.</summary>
    public const int MaxLength = 1_000_000;

    private int _nodes;

    public JsonElement Root => root;

    /// <summary>The JSON pointer of a member, escaped.</summary>
    public static string Join(string path, string member) =>
        path + "/" + member.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal);

    /// <summary>An error about the keyword that ends <paramref name="path"/>, or about <paramref name="keyword"/> in the schema there.</summary>
    public EngineException Refuse(string what, string path, string? keyword = null)
    {
        string name = keyword ?? path[(path.LastIndexOf('/') + 1)..];
        return new EngineException(EngineError.InvalidRequest, $"Schema: '{name}' at {path} {what}.", param);
    }

    public EngineException Unsatisfiable(string why) =>
        new(EngineError.InvalidRequest, $"Schema: nothing can satisfy it: {why}.", param);

    public void Count(string path)
    {
        if (++_nodes > MaxNodes)
        {
            throw new EngineException(EngineError.InvalidRequest, $"Schema: too large: more than {MaxNodes} schemas and values when {path} is reached; make it smaller.", param);
        }
    }

    public bool Boolean(JsonElement value, string at) => value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Refuse("must be true or false", at),
    };

    public string String(JsonElement value, string at) =>
        value.ValueKind == JsonValueKind.String ? value.GetString()! : throw Refuse("must be a string", at);

    public JsonElement Object(JsonElement value, string at) =>
        value.ValueKind == JsonValueKind.Object ? value : throw Refuse("must be an object", at);

    public JsonElement Array(JsonElement value, string at) =>
        value.ValueKind == JsonValueKind.Array ? value : throw Refuse("must be an array", at);

    public List<SchemaPart> Schemas(JsonElement value, string at)
    {
        var schemas = new List<SchemaPart>();
        foreach (JsonElement each in Array(value, at).EnumerateArray())
        {
            schemas.Add(new SchemaPart(each, at + "/" + schemas.Count.ToString(CultureInfo.InvariantCulture)));
        }

        return schemas.Count > 0 ? schemas : throw Refuse("is empty; name at least one schema", at);
    }

    public int Length(JsonElement value, string at)
    {
        if (value.ValueKind != JsonValueKind.Number || !NumberRange.TryParse(value.GetRawText(), out BigInteger units) || units.Sign < 0
            || !(units % NumberRange.Unit).IsZero)
        {
            throw Refuse("must be an integer that is not negative", at);
        }

        BigInteger length = units / NumberRange.Unit;
        return length <= MaxLength ? (int)length : throw Refuse($"exceeds {MaxLength}, the largest that is supported; leave it out or lower it", at);
    }

    public BigInteger Number(JsonElement value, string at)
    {
        if (value.ValueKind != JsonValueKind.Number)
        {
            throw Refuse("must be a number (drafts before 6 had booleans here)", at);
        }

        return NumberRange.TryParse(value.GetRawText(), out BigInteger units)
            ? units
            : throw Refuse($"is too large or has more than {NumberRange.Fraction} decimal places, which can't be expressed", at);
    }

    /// <summary>The schema that a <c>$ref</c> names.</summary>
    public SchemaPart Resolve(JsonElement reference, string at)
    {
        string text = String(reference, at);
        if (!text.StartsWith('#'))
        {
            throw Refuse($"'{text}' is not in this document; only local references such as #/$defs/name are supported", at);
        }

        if (text.Length > 1 && text[1] != '/')
        {
            throw Refuse($"'{text}' is an anchor, which is not supported; use a path such as #/$defs/name", at);
        }

        JsonElement target = root;
        string path = "#";
        foreach (string raw in text.Split('/').Skip(1))
        {
            string member = Uri.UnescapeDataString(raw).Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);
            bool found = target.ValueKind switch
            {
                JsonValueKind.Object => target.TryGetProperty(member, out target),
                JsonValueKind.Array => int.TryParse(member, NumberStyles.None, CultureInfo.InvariantCulture, out int index)
                    && index < target.GetArrayLength() && Take(ref target, index),
                _ => false,
            };
            if (!found)
            {
                throw Refuse($"'{text}' names nothing in this document", at);
            }

            path = Join(path, member);
        }

        return new SchemaPart(target, path);

        static bool Take(ref JsonElement element, int index)
        {
            element = element[index];
            return true;
        }
    }

    /// <summary>Lets pass what says nothing about the value, and refuses what does and can't be expressed.</summary>
    public void CheckOther(string name, JsonElement value, string at)
    {
        switch (name)
        {
            case "uniqueItems":
                if (Boolean(value, at))
                {
                    throw Refuse("is not supported: a grammar can't compare items; leave it out", at);
                }

                break;
            case "unevaluatedProperties" or "unevaluatedItems":
                // false adds nothing: only what is declared is ever written.
                if (value.ValueKind is not (JsonValueKind.True or JsonValueKind.False))
                {
                    throw Refuse("is supported only as true or false", at);
                }

                break;
            case "not" or "multipleOf" or "if" or "then" or "else" or "patternProperties" or "propertyNames" or "dependentSchemas" or "dependentRequired" or "dependencies"
                or "contains" or "minContains" or "maxContains" or "$dynamicRef" or "$recursiveRef" or "extends" or "disallow" or "divisibleBy":
                throw Refuse("is not supported; leave it out or express it in another way", at);
            default:
                // Annotations, definitions, and words that JSON Schema doesn't know: by its rules they say nothing about the value.
                break;
        }
    }
}
