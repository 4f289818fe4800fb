using System.Numerics;
using System.Text;
using System.Text.Json;

namespace ContinualNative.Engine.Constraints;

/// <summary>
/// JSON Schema (draft 2020-12, and what of draft-07 and OpenAPI 3.0 is spelled differently) as a GBNF grammar. Every text that the
/// grammar matches is a document that satisfies the schema; where the schema allows more than a model should write, the grammar is
/// narrower: at most one space after a colon or comma and none elsewhere; properties in declared order; where
/// <c>additionalProperties</c> is not stated beside <c>properties</c>, only the declared ones; numbers of at most 18 digits before and
/// 16 after the point; a schema without <c>type</c> that has <c>properties</c> (<c>items</c>, <c>minLength</c>, ...) means that type alone.
/// <c>oneOf</c> is read as <c>anyOf</c>.
/// </summary>
public static class JsonSchemaGrammar
{
    /// <summary>The grammar, with the rule <c>root</c>.</summary>
    /// <exception cref="EngineException">
    /// <see cref="EngineError.InvalidRequest"/>: nothing can satisfy the schema, it uses what can't be expressed (named with its place), or it is too large.
    /// </exception>
    public static string Convert(JsonElement schema)
    {
        var builder = new GrammarBuilder();
        return builder.Build(AddRules(builder, schema));
    }

    /// <summary>Adds the schema's rules to a larger grammar and gives the name of the one that matches a document.</summary>
    /// <exception cref="EngineException">As in <see cref="Convert"/>.</exception>
    public static string AddRules(GrammarBuilder builder, JsonElement schema)
    {
        ArgumentNullException.ThrowIfNull(builder);
        var document = new SchemaDocument(schema, builder.Param);
        try
        {
            return new Converter(builder, document).Rule([new SchemaPart(schema, "#")], [], 0);
        }
        catch (UnsatisfiableException e)
        {
            throw document.Unsatisfiable(e.Message);
        }
        catch (EngineException e) when (e.Param is null)
        {
            throw new EngineException(e.Error, e.Message, builder.Param, e);
        }
        catch (InvalidOperationException e) when (e is not ObjectDisposedException)
        {
            // System.Text.Json decodes strings on demand, and only then meets \ud800 alone.
            throw new EngineException(EngineError.InvalidRequest, "Schema: a string in it is no valid Unicode (half of a surrogate pair).", builder.Param, e);
        }
    }

    /// <summary>The rules for free JSON; each gives the name of its rule.</summary>
    internal static string AnyObject(GrammarBuilder builder) => new Converter(builder, null!).Map(null, 0, null);

    private sealed class Converter(GrammarBuilder builder, SchemaDocument document)
    {
        private readonly Dictionary<string, string> _rules = new(StringComparer.Ordinal);
        private readonly Dictionary<string, string> _failed = new(StringComparer.Ordinal);

        /// <summary>The rule for what satisfies all <paramref name="parts"/>.</summary>
        /// <param name="parts">Schemas that hold at once.</param>
        /// <param name="chain">The rules being made that this one would stand at the very beginning of: meeting one of them again is endless.</param>
        /// <param name="depth">How deep in the document.</param>
        public string Rule(List<SchemaPart> parts, HashSet<string> chain, int depth)
        {
            if (depth > SchemaDocument.MaxDepth)
            {
                throw new EngineException(
                    EngineError.InvalidRequest, $"Schema: nested deeper than {SchemaDocument.MaxDepth} at {parts[0].Path}; flatten it.", builder.Param);
            }

            parts = [.. parts.Select(Follow).DistinctBy(part => part.Path)];
            string key = string.Join(' ', parts.Select(part => part.Path));
            if (chain.Contains(key))
            {
                throw document.Refuse("refers to itself without going deeper into the value, so no document could ever be checked against it", parts[0].Path, "$ref");
            }

            if (_rules.TryGetValue(key, out string? known))
            {
                return known;
            }

            if (_failed.TryGetValue(key, out string? why))
            {
                throw new UnsatisfiableException(why);
            }

            string path = parts[0].Path;
            string name = builder.Reserve(path[(path.LastIndexOf('/') + 1)..]);
            _rules.Add(key, name);
            try
            {
                var facts = new SchemaFacts(document);
                foreach (SchemaPart part in parts)
                {
                    facts.Add(part);
                }

                builder.Define(name, Expression(facts, [.. chain, key], path, depth));
                return name;
            }
            catch (UnsatisfiableException e)
            {
                _rules.Remove(key);
                _failed.Add(key, e.Message);
                throw;
            }
        }

        /// <summary>Goes along references that stand alone, so that every way to a definition gives the same rule.</summary>
        private SchemaPart Follow(SchemaPart part)
        {
            for (int hops = 0; part.Schema.ValueKind == JsonValueKind.Object && part.Schema.TryGetProperty("$ref", out JsonElement reference); hops++)
            {
                foreach (JsonProperty keyword in part.Schema.EnumerateObject())
                {
                    if (keyword.Name is not ("$ref" or "title" or "description" or "default" or "examples" or "example" or "deprecated" or "$comment"))
                    {
                        return part;
                    }
                }

                if (hops > 100)
                {
                    throw document.Refuse("leads back to itself or through more than 100 others", part.Path, "$ref");
                }

                part = document.Resolve(reference, SchemaDocument.Join(part.Path, "$ref"));
            }

            return part;
        }

        private string Expression(SchemaFacts facts, HashSet<string> chain, string path, int depth)
        {
            if (facts.Choices.Count == 0)
            {
                return Typed(facts, path, depth);
            }

            var alternatives = new List<string>();
            string? why = null;
            foreach (SchemaPart branch in facts.Choices[0].Branches)
            {
                try
                {
                    string alternative = facts.Bare && facts.Choices.Count == 1 && facts.Values is null
                        ? Rule([branch], chain, depth + 1)
                        : Expression(facts.Choose(0, branch), chain, branch.Path, depth);
                    if (!alternatives.Contains(alternative))
                    {
                        alternatives.Add(alternative);
                    }
                }
                catch (UnsatisfiableException e)
                {
                    why ??= e.Message;
                }
            }

            return alternatives.Count > 0 ? string.Join(" | ", alternatives) : throw new UnsatisfiableException(why ?? $"no branch is left at {path}");
        }

        private string Typed(SchemaFacts facts, string path, int depth)
        {
            if (facts.Types == JsonTypes.None)
            {
                throw new UnsatisfiableException($"no type is left at {path}");
            }

            if (facts.Values is not null)
            {
                return Values(facts, path);
            }

            // Keywords speak of one type only; without a stated type they tell which one is meant.
            JsonTypes types = facts.Types == JsonTypes.All && facts.Implied != JsonTypes.None ? facts.Implied : facts.Types;
            if (types == JsonTypes.All)
            {
                return AnyValue();
            }

            var alternatives = new List<string>();
            string? why = null;
            Try(JsonTypes.Object, () => ObjectExpression(facts, path, depth));
            Try(JsonTypes.Array, () => ArrayExpression(facts, path, depth));
            Try(JsonTypes.String, () => StringExpression(facts, path));
            Try(types.HasFlag(JsonTypes.Number) ? JsonTypes.Number : JsonTypes.Integer, () => NumberExpression(facts, path, !types.HasFlag(JsonTypes.Number)));
            Try(JsonTypes.Boolean, () => "\"true\" | \"false\"");
            Try(JsonTypes.Null, () => "\"null\"");
            return alternatives.Count > 0 ? string.Join(" | ", alternatives) : throw new UnsatisfiableException(why!);

            void Try(JsonTypes type, Func<string> make)
            {
                if (!types.HasFlag(type))
                {
                    return;
                }

                try
                {
                    alternatives.Add(make());
                }
                catch (UnsatisfiableException e)
                {
                    why ??= e.Message;
                }
            }
        }

        private string Values(SchemaFacts facts, string path)
        {
            bool aboutStrings = facts.Pattern is not null || facts.Format is not null;
            bool aboutObjects = facts.Objects.Count > 0 || facts.MinProperties > 0 || facts.MaxProperties < int.MaxValue;
            bool aboutArrays = facts.Arrays.Count > 0 || facts.MinItems > 0 || facts.MaxItems < int.MaxValue;
            if (facts.Values!.Exists(value => value.Value.ValueKind switch
            {
                JsonValueKind.String => aboutStrings,
                JsonValueKind.Object => aboutObjects,
                JsonValueKind.Array => aboutArrays,
                _ => false,
            }))
            {
                throw document.Refuse("stands beside keywords that would have to be checked against its values; list only the values that hold", path, "enum or const");
            }

            string[] left = [.. facts.Values.Where(value => Holds(value.Value)).Select(value => value.Text)];
            return left.Length > 0 ? LiteralSet.AnyOf(builder, left) : throw new UnsatisfiableException($"no value of the enum or const at {path} has the type or range");

            bool Holds(JsonElement value)
            {
                switch (value.ValueKind)
                {
                    case JsonValueKind.Null:
                        return facts.Types.HasFlag(JsonTypes.Null);
                    case JsonValueKind.True or JsonValueKind.False:
                        return facts.Types.HasFlag(JsonTypes.Boolean);
                    case JsonValueKind.Array:
                        return facts.Types.HasFlag(JsonTypes.Array);
                    case JsonValueKind.Object:
                        return facts.Types.HasFlag(JsonTypes.Object);
                    case JsonValueKind.String:
                        int length = value.GetString()!.EnumerateRunes().Count();
                        return facts.Types.HasFlag(JsonTypes.String) && length >= facts.MinLength && length <= facts.MaxLength;
                    default:
                        bool exact = NumberRange.TryParse(value.GetRawText(), out BigInteger units);
                        if (!exact && (facts.Low is not null || facts.High is not null || !facts.Types.HasFlag(JsonTypes.Number)))
                        {
                            throw document.Refuse($"holds {value.GetRawText()}, too large or too fine to be compared with the type or range", path, "enum or const");
                        }

                        bool integer = exact && (units % NumberRange.Unit).IsZero;
                        return facts.Types.HasFlag(integer ? JsonTypes.Integer : JsonTypes.Number)
                            && !(facts.Low > units) && !(facts.High < units);
                }
            }
        }

        private string StringExpression(SchemaFacts facts, string path)
        {
            if (facts.MinLength > facts.MaxLength)
            {
                throw new UnsatisfiableException($"minLength exceeds maxLength at {path}");
            }

            bool bounded = facts.MinLength > 0 || facts.MaxLength < int.MaxValue;
            if (facts.Pattern is null && facts.Format is null)
            {
                int? max = facts.MaxLength == int.MaxValue ? null : facts.MaxLength;
                return bounded ? $"\"\\\"\" {builder.Repeat(Character(), facts.MinLength, max)} \"\\\"\"" : AnyString();
            }

            if (bounded || (facts.Pattern is not null && facts.Format is not null))
            {
                throw document.Refuse(
                    "can't be combined with another of pattern, format, minLength and maxLength; put the bounds into the pattern",
                    facts.Pattern?.Path ?? facts.Format!.Value.Path);
            }

            (string pattern, string at) = facts.Pattern ?? (StringFormats.Pattern(facts.Format!.Value.Text)!, facts.Format.Value.Path);
            string content = RegexGrammar.Convert(builder, pattern, Character(), what => document.Refuse(what, at));
            return $"\"\\\"\" {builder.Add("text", content)} \"\\\"\"";
        }

        private string NumberExpression(SchemaFacts facts, string path, bool integer)
        {
            if (facts.Low is null && facts.High is null)
            {
                return integer ? AnyInteger() : AnyNumber();
            }

            return NumberRange.Expression(facts.Low, facts.High, integer) is { } expression
                ? builder.Add("number", expression)
                : throw new UnsatisfiableException($"no number lies between the bounds at {path}");
        }

        private string ArrayExpression(SchemaFacts facts, string path, int depth)
        {
            if (facts.MinItems > facts.MaxItems)
            {
                throw new UnsatisfiableException($"minItems exceeds maxItems at {path}");
            }

            int leading = facts.Arrays.Count == 0 ? 0 : facts.Arrays.Max(array => array.Prefix.Count);
            bool open = leading == 0 || facts.Arrays.Exists(array => array.Others is not null);
            int max = open ? facts.MaxItems : Math.Min(facts.MaxItems, Math.Max(leading, facts.MinItems));

            var items = new List<string>();
            for (int i = 0; i < Math.Min(leading, max); i++)
            {
                if (Item(i) is { } item)
                {
                    items.Add(item);
                }
                else
                {
                    max = i;
                }
            }

            string? rest = max > leading ? Item(int.MaxValue) : null;
            if (rest is null)
            {
                max = Math.Min(max, leading);
            }

            if (max < facts.MinItems)
            {
                throw new UnsatisfiableException($"fewer items are possible than minItems asks for at {path}");
            }

            // From the last place to the first: what may follow once i items are written.
            string tail = "";
            string comma = Comma();
            if (rest is not null)
            {
                int from = Math.Max(leading, 1);
                string more = leading == 0 && max == 1 ? "" : builder.Add("item", $"{comma} {rest}");
                string repeated = more.Length == 0 ? "" : builder.Repeat(more, Math.Max(facts.MinItems - from, 0), max == int.MaxValue ? null : max - from);
                if (leading > 0)
                {
                    tail = repeated;
                }
                else
                {
                    string all = repeated.Length == 0 ? rest : $"{rest} {repeated}";
                    tail = facts.MinItems > 0 ? all : $"({all})?";
                }
            }

            for (int i = items.Count - 1; i >= 0; i--)
            {
                string item = i == 0 ? items[i] : $"{comma} {items[i]}";
                string from = tail.Length == 0 ? item : $"{item} {tail}";
                tail = facts.MinItems > i ? from : $"({from})?";
                if (i > 0 && i % 16 == 0)
                {
                    tail = builder.Add("items", tail);
                }
            }

            return tail.Length == 0 ? "\"[]\"" : $"\"[\" {tail} \"]\"";

            string? Item(int index)
            {
                var parts = new List<SchemaPart>();
                foreach ((List<SchemaPart> prefix, SchemaPart? others) in facts.Arrays)
                {
                    if (index < prefix.Count)
                    {
                        parts.Add(prefix[index]);
                    }
                    else if (others is not null)
                    {
                        parts.Add(others.Value);
                    }
                }

                return Attempt(parts, depth);
            }
        }

        /// <summary>The rule for a value inside an object or array, or null where no value satisfies it.</summary>
        private string? Attempt(List<SchemaPart> parts, int depth)
        {
            if (parts.Count == 0)
            {
                return AnyValue();
            }

            try
            {
                return Rule(parts, [], depth + 1);
            }
            catch (UnsatisfiableException)
            {
                return null;
            }
        }

        private string ObjectExpression(SchemaFacts facts, string path, int depth)
        {
            bool closed = facts.Objects.Exists(o => o.Additional is { Schema.ValueKind: JsonValueKind.False });
            bool stated = facts.Objects.Exists(o => o.Additional is not null);
            bool declared = facts.Objects.Exists(o => o.Declares);

            List<string> names = [.. facts.Names, .. facts.Required.Except(facts.Names)];
            var properties = new List<(string KeyValue, bool Required)>();
            foreach (string name in names)
            {
                bool required = facts.IsRequired(name);
                var parts = new List<SchemaPart>();
                foreach ((Dictionary<string, SchemaPart> own, _, SchemaPart? additional) in facts.Objects)
                {
                    if (own.TryGetValue(name, out SchemaPart part))
                    {
                        parts.Add(part);
                    }
                    else if (additional is not null)
                    {
                        parts.Add(additional.Value);
                    }
                }

                if (Attempt(parts, depth) is { } value)
                {
                    properties.Add(($"{GrammarBuilder.Literal(JsonText.String(name) + ":")} {Space()} {value}", required));
                }
                else if (required)
                {
                    throw new UnsatisfiableException($"the required property '{name}' at {path} can have no value");
                }
            }

            string? others = null;
            if (!closed && (stated || !declared))
            {
                others = Attempt([.. facts.Objects.Where(o => o.Additional is not null).Select(o => o.Additional!.Value)], depth);
            }

            if (facts.MinProperties > facts.MaxProperties)
            {
                throw new UnsatisfiableException($"minProperties exceeds maxProperties at {path}");
            }

            if (names.Count == 0)
            {
                if (others is null)
                {
                    return facts.MinProperties == 0 ? "\"{}\"" : throw new UnsatisfiableException($"minProperties asks for more than is allowed at {path}");
                }

                return Map(others, facts.MinProperties, facts.MaxProperties == int.MaxValue ? null : facts.MaxProperties);
            }

            CheckCounts(facts, path, properties.Count, properties.Count(p => p.Required), others is not null);
            string? extra = others is null ? null : builder.Add("extra", $"\"\\\"\" {builder.Add("name", LiteralSet.NoneOf(builder, names))} \"\\\":\" {Space()} {others}");
            return Members(properties, extra);
        }

        private void CheckCounts(SchemaFacts facts, string path, int declared, int required, bool open)
        {
            if (required > facts.MaxProperties)
            {
                throw new UnsatisfiableException($"more properties are required than maxProperties allows at {path}");
            }

            if (!open && declared < facts.MinProperties)
            {
                throw new UnsatisfiableException($"minProperties asks for more properties than there are at {path}");
            }

            if (facts.MinProperties > required || (facts.MaxProperties < int.MaxValue && (open || declared > facts.MaxProperties)))
            {
                throw document.Refuse("can't be expressed beside optional properties; leave it out", path, facts.MinProperties > required ? "minProperties" : "maxProperties");
            }
        }

        /// <summary>
        /// Members in declared order. For place i there are two rules: "something must still follow" (used after a brace or comma) and
        /// "something may follow" (used after a member), so that commas stand exactly between members, and each is linear in size.
        /// </summary>
        private string Members(List<(string KeyValue, bool Required)> properties, string? extra)
        {
            string comma = Comma();
            string? must = extra is null ? null : $"{extra} ({comma} {extra})*";
            string may = extra is null ? "" : $"({comma} {extra})*";
            bool canBeEmpty = true;
            for (int i = properties.Count - 1; i >= 0; i--)
            {
                (string keyValue, bool required) = properties[i];
                string head = may.Length == 0 ? keyValue : $"{keyValue} {may}";
                if (required)
                {
                    must = head;
                    canBeEmpty = false;
                }
                else
                {
                    must = must is null ? head : $"{head} | {must}";
                }

                bool inline = required && must.Length < 2000;
                string rest = inline ? must : builder.Add("members", must);
                must = rest;
                may = canBeEmpty ? $"({comma} {rest})?" : $"{comma} {rest}";
                if (!inline)
                {
                    may = builder.Add("more", may);
                }
            }

            if (must is null)
            {
                return "\"{}\"";
            }

            return canBeEmpty ? $"\"{{\" ({must})? \"}}\"" : $"\"{{\" {must} \"}}\"";
        }

        /// <summary>An object with any names; null for <paramref name="value"/>: any values.</summary>
        public string Map(string? value, int min, int? max)
        {
            if (value is null)
            {
                return builder.Shared("json-object", () => Map(AnyValue(), 0, null));
            }

            if (max == 0)
            {
                return "\"{}\"";
            }

            string member = builder.Add("member", $"{AnyString()} \":\" {Space()} {value}");
            string more = max == 1 ? "" : builder.Repeat(builder.Add("next", $"{Comma()} {member}"), Math.Max(min - 1, 0), max - 1);
            string members = more.Length == 0 ? member : $"{member} {more}";
            return min > 0 ? $"\"{{\" {members} \"}}\"" : $"\"{{\" ({members})? \"}}\"";
        }

        private string Space() => builder.Shared("json-space", () => "\" \"?");

        private string Comma() => builder.Shared("json-comma", () => "\",\" \" \"?");

        private string Character() => builder.Shared(
            "json-character",
            () =>
            {
                var text = new StringBuilder(CodePointSet.JsonRaw.ToGbnf());
                text.Append(" | \"\\\\\" [\"\\\\/bfnrt]");

                // \u escapes of surrogates only in pairs: half of one is no text.
                const string Hex = "[0-9A-Fa-f]";
                text.Append($" | \"\\\\u\" [0-9A-CE-Fa-ce-f] {Hex}{{3}} | \"\\\\u\" [Dd] [0-7] {Hex}{{2}}");
                text.Append($" | \"\\\\u\" [Dd] [89ABab] {Hex}{{2}} \"\\\\u\" [Dd] [C-Fc-f] {Hex}{{2}}");
                return text.ToString();
            });

        private string AnyString() => builder.Shared("json-string", () => $"\"\\\"\" {Character()}* \"\\\"\"");

        private string AnyInteger() => builder.Shared("json-integer", () => $"\"0\" | \"-\"? [1-9] [0-9]{{0,{NumberRange.Digits - 1}}}");

        // The exponent has at most two digits, so that every number is finite as a double.
        private string AnyNumber() => builder.Shared(
            "json-number",
            () => $"\"-\"? (\"0\" | [1-9] [0-9]{{0,{NumberRange.Digits - 1}}}) (\".\" [0-9]{{1,16}})? ([Ee] [+\\-]? [0-9]{{1,2}})?");

        private string AnyValue() => builder.Shared(
            "json-value",
            () =>
            {
                string array = builder.Shared("json-array", () => $"\"[\" (json-value ({Comma()} json-value)*)? \"]\"");
                return $"{Map(null, 0, null)} | {array} | {AnyString()} | {AnyNumber()} | \"true\" | \"false\" | \"null\"";
            });
    }
}
