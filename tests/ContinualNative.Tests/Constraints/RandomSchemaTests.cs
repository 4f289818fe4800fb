using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using ContinualNative.Engine.Constraints;

namespace ContinualNative.Tests.Constraints;

/// <summary>
/// Random schemas; documents made to fit must match, and mutated documents match exactly if a validator of the same subset, written
/// from the meaning of the keywords, says that they fit.
/// </summary>
public sealed class RandomSchemaTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Grammar_and_validator_agree(int seed)
    {
        var random = new Random(seed);
        int accepted = 0;
        int refused = 0;
        for (int round = 0; round < 150; round++)
        {
            JsonObject schema = Schema(random, 3);
            string text = schema.ToJsonString();
            using JsonDocument parsed = JsonDocument.Parse(text);
            string grammar = JsonSchemaGrammar.Convert(parsed.RootElement);
            Constraint.ValidateGrammar(grammar);
            var recognizer = new GbnfRecognizer(grammar);
            for (int i = 0; i < 8; i++)
            {
                JsonNode? document = Document(random, schema);
                string json = Write(document, random);
                Assert.True(Fits(document, schema), $"the generator is wrong: {text}\n{json}");
                Assert.True(recognizer.Accepts(json), $"{text}\nmust allow {json}\n{grammar}");
                accepted++;

                JsonNode? other = Mutate(random, document?.DeepClone());
                string otherJson = Write(other, random);
                bool fits = Fits(other, schema);
                Assert.True(fits == recognizer.Accepts(otherJson), $"{text}\n{(fits ? "must allow" : "must not allow")} {otherJson}\n{grammar}");
                refused += fits ? 0 : 1;

                // Broken syntax: a character less or one more.
                List<Rune> letters = [.. json.EnumerateRunes()];
                int at = random.Next(letters.Count);
                if (random.Next(2) == 0)
                {
                    letters.RemoveAt(at);
                }
                else
                {
                    letters.Insert(at, new Rune(','));
                }

                string broken = string.Concat(letters);
                if (!IsJson(broken))
                {
                    Assert.False(recognizer.Accepts(broken), $"{text}\nmust not allow {broken}\n{grammar}");
                    refused++;
                }
            }
        }

        Assert.True(accepted > 1000 && refused > 800, $"{accepted} {refused}");
    }

    private static bool IsJson(string text)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static JsonObject Schema(Random random, int depth)
    {
        switch (random.Next(depth > 0 ? 9 : 6))
        {
            case 0:
                return new JsonObject { ["type"] = random.Next(2) == 0 ? "boolean" : "null" };
            case 1:
                var integer = new JsonObject { ["type"] = "integer" };
                int low = random.Next(-200, 200);
                if (random.Next(3) > 0)
                {
                    integer["minimum"] = low;
                }

                if (random.Next(3) > 0)
                {
                    integer["maximum"] = low + random.Next(0, 300);
                }

                return integer;
            case 2:
                var text = new JsonObject { ["type"] = "string" };
                int shortest = random.Next(4);
                if (random.Next(2) == 0)
                {
                    text["minLength"] = shortest;
                }

                if (random.Next(2) == 0)
                {
                    text["maxLength"] = shortest + random.Next(4);
                }

                return text;
            case 3:
                return new JsonObject { ["enum"] = new JsonArray([.. Enumerable.Range(0, random.Next(1, 25)).Select(i => random.Next(2) == 0 ? (JsonNode)$"v{random.Next(40)}" : random.Next(40))]) };
            case 4:
                return new JsonObject { ["const"] = Text(random, 5) };
            case 5:
                return new JsonObject { ["type"] = new JsonArray("integer", "null", "string") };
            case 6:
                var array = new JsonObject { ["type"] = "array", ["items"] = Schema(random, depth - 1) };
                int fewest = random.Next(3);
                if (random.Next(2) == 0)
                {
                    array["minItems"] = fewest;
                }

                if (random.Next(2) == 0)
                {
                    array["maxItems"] = fewest + random.Next(3);
                }

                return array;
            case 7:
                return new JsonObject { ["anyOf"] = new JsonArray([.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => Schema(random, depth - 1))]) };
            default:
                var properties = new JsonObject();
                var required = new JsonArray();
                for (int i = random.Next(5); i > 0; i--)
                {
                    string name = Text(random, 3);
                    if (!properties.ContainsKey(name))
                    {
                        properties[name] = Schema(random, depth - 1);
                        if (random.Next(2) == 0)
                        {
                            required.Add(name);
                        }
                    }
                }

                return new JsonObject
                {
                    ["type"] = "object",
                    ["properties"] = properties,
                    ["required"] = required,
                    ["additionalProperties"] = random.Next(2) == 0 ? false : Schema(random, 0),
                };
        }
    }

    // Letters that meet every branch of the escaping, and few enough that names collide.
    private static string Text(Random random, int longest)
    {
        string[] letters = ["a", "b", "c", "\"", "\\", "é", "😀", " ", "\n", "]", "-", "^"];
        return string.Concat(Enumerable.Range(0, random.Next(longest + 1)).Select(_ => letters[random.Next(letters.Length)]));
    }

    private static JsonNode? Document(Random random, JsonObject schema)
    {
        if (schema["enum"] is JsonArray values)
        {
            return values[random.Next(values.Count)]!.DeepClone();
        }

        if (schema["const"] is { } constant)
        {
            return constant.DeepClone();
        }

        if (schema["anyOf"] is JsonArray branches)
        {
            return Document(random, (JsonObject)branches[random.Next(branches.Count)]!);
        }

        switch (schema["type"] is JsonArray several ? (string)several[random.Next(several.Count)]! : (string)schema["type"]!)
        {
            case "null":
                return null;
            case "boolean":
                return random.Next(2) == 0;
            case "integer":
                int low = (int?)schema["minimum"] ?? ((int?)schema["maximum"] ?? 0) - 500;
                int high = (int?)schema["maximum"] ?? low + 500;
                return random.Next(low, high + 1);
            case "string":
                int shortest = (int?)schema["minLength"] ?? 0;
                int length = random.Next(shortest, ((int?)schema["maxLength"] ?? shortest + 5) + 1);
                var text = new StringBuilder();
                while (text.ToString().EnumerateRunes().Count() < length)
                {
                    text.Append(Text(random, 1));
                }

                return text.ToString();
            case "array":
                int fewest = (int?)schema["minItems"] ?? 0;
                int count = random.Next(fewest, ((int?)schema["maxItems"] ?? fewest + 3) + 1);
                return new JsonArray([.. Enumerable.Range(0, count).Select(_ => Document(random, (JsonObject)schema["items"]!))]);
            default:
                var result = new JsonObject();
                var required = ((JsonArray)schema["required"]!).Select(name => (string)name!).ToHashSet();
                foreach ((string name, JsonNode? property) in (JsonObject)schema["properties"]!)
                {
                    if (required.Contains(name) || random.Next(2) == 0)
                    {
                        result[name] = Document(random, (JsonObject)property!);
                    }
                }

                if (schema["additionalProperties"] is JsonObject others)
                {
                    for (int i = random.Next(3); i > 0; i--)
                    {
                        string name = Text(random, 3).Replace("\n", "", StringComparison.Ordinal).Replace("\"", "", StringComparison.Ordinal).Replace("\\", "", StringComparison.Ordinal);
                        if (!((JsonObject)schema["properties"]!).ContainsKey(name))
                        {
                            result[name] = Document(random, others);
                        }
                    }
                }

                return result;
        }
    }

    private static JsonNode? Mutate(Random random, JsonNode? node)
    {
        switch (node)
        {
            case JsonArray array when array.Count > 0 && random.Next(3) > 0:
                int i = random.Next(array.Count);
                if (random.Next(2) == 0)
                {
                    JsonNode? item = array[i];
                    array[i] = null;
                    array[i] = Mutate(random, item);
                }
                else if (random.Next(2) == 0)
                {
                    array.RemoveAt(i);
                }
                else
                {
                    array.Insert(i, array[i]?.DeepClone());
                }

                return array;
            case JsonObject o when o.Count > 0 && random.Next(4) > 0:
                string name = o.ElementAt(random.Next(o.Count)).Key;
                JsonNode? value = o[name];
                switch (random.Next(3))
                {
                    case 0:
                        o[name] = null;
                        o[name] = Mutate(random, value);
                        break;
                    case 1:
                        o.Remove(name);
                        break;
                    default:
                        o.Remove(name);
                        o[name + "a"] = value;
                        break;
                }

                return o;
            case JsonValue v when v.GetValueKind() == JsonValueKind.String && random.Next(2) == 0:
                return (string)v! + Text(random, 2);
            case JsonValue v when v.GetValueKind() == JsonValueKind.Number && random.Next(2) == 0:
                return (int)v + random.Next(-300, 300);
            default:
                JsonNode?[] others = [null, true, 17, "abc", new JsonArray(), new JsonObject(), new JsonObject { ["a"] = 1 }];
                return others[random.Next(others.Length)];
        }
    }

    private static bool Fits(JsonNode? node, JsonObject schema)
    {
        if (schema["enum"] is JsonArray values)
        {
            return values.Any(value => JsonNode.DeepEquals(value, node));
        }

        if (schema.ContainsKey("const"))
        {
            return JsonNode.DeepEquals(schema["const"], node);
        }

        if (schema["anyOf"] is JsonArray branches)
        {
            return branches.Any(branch => Fits(node, (JsonObject)branch!));
        }

        string[] types = schema["type"] is JsonArray several ? [.. several.Select(t => (string)t!)] : [(string)schema["type"]!];
        string type = node?.GetValueKind() switch
        {
            null => "null",
            JsonValueKind.True or JsonValueKind.False => "boolean",
            JsonValueKind.Number => "integer",
            JsonValueKind.String => "string",
            JsonValueKind.Array => "array",
            _ => "object",
        };
        if (!types.Contains(type))
        {
            return false;
        }

        switch (type)
        {
            case "integer":
                int number = (int)node!;
                return !(number < (int?)schema["minimum"]) && !(number > (int?)schema["maximum"]);
            case "string":
                int length = ((string)node!).EnumerateRunes().Count();
                return !(length < (int?)schema["minLength"]) && !(length > (int?)schema["maxLength"]);
            case "array":
                var items = (JsonArray)node!;
                return !(items.Count < (int?)schema["minItems"]) && !(items.Count > (int?)schema["maxItems"]) && items.All(item => Fits(item, (JsonObject)schema["items"]!));
            case "object":
                var members = (JsonObject)node!;
                var properties = (JsonObject)schema["properties"]!;
                if (((JsonArray)schema["required"]!).Any(name => !members.ContainsKey((string)name!)))
                {
                    return false;
                }

                // The grammar's own order: declared names first and as declared, then others, spelled without escapes.
                string[] declared = [.. properties.Select(p => p.Key)];
                int[] places = [.. members.Select(m => Array.IndexOf(declared, m.Key)).Select(at => at < 0 ? declared.Length : at)];
                return places.SequenceEqual(places.Order())
                    && members.All(member => properties.TryGetPropertyValue(member.Key, out JsonNode? property)
                        ? Fits(member.Value, (JsonObject)property!)
                        : schema["additionalProperties"] is JsonObject others && !member.Key.AsSpan().ContainsAny("\"\\\n") && Fits(member.Value, others));
            default:
                return true;
        }
    }

    // The grammar's spelling, with its optional spaces at random; strings in free text may use any legal escape.
    private static string Write(JsonNode? node, Random random)
    {
        string space = random.Next(2) == 0 ? " " : "";
        return node switch
        {
            null => "null",
            JsonArray array => "[" + string.Join("," + space, array.Select(item => Write(item, random))) + "]",
            JsonObject o => "{" + string.Join("," + space, o.Select(m => Quote(m.Key) + ":" + space + Write(m.Value, random))) + "}",
            JsonValue v when v.GetValueKind() == JsonValueKind.String => Quote((string)v!),
            JsonValue v when v.GetValueKind() == JsonValueKind.Number => ((int)v).ToString(CultureInfo.InvariantCulture),
            _ => node.ToJsonString(),
        };
    }

    private static string Quote(string text) =>
        "\"" + text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal) + "\"";
}
