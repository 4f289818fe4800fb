using System.Text;
using System.Text.Json;
using ContinualNative.Engine;
using ContinualNative.Engine.Constraints;

namespace ContinualNative.Tests.Constraints;

public sealed class JsonSchemaGrammarTests
{
    public static TheoryData<int> CaseNumbers => [.. Enumerable.Range(0, SchemaCases.All.Count)];

    [Theory]
    [MemberData(nameof(CaseNumbers))]
    public void Matches_exactly_the_documents_of_the_table(int number)
    {
        (string schema, string[] valid, string[] invalid) = SchemaCases.All[number];
        string grammar = Convert(schema);
        Constraint.ValidateGrammar(grammar);
        var recognizer = new GbnfRecognizer(grammar);
        foreach (string document in valid)
        {
            Assert.True(recognizer.Accepts(document), $"{schema} must allow {document}\n{grammar}");
            using var parsed = JsonDocument.Parse(document);
        }

        foreach (string document in invalid)
        {
            Assert.False(recognizer.Accepts(document), $"{schema} must not allow {document}\n{grammar}");
        }
    }

    [Theory]
    [InlineData("""{"not":{}}""", "'not' at #/not")]
    [InlineData("""{"properties":{"a":{"if":{}}}}""", "'if' at #/properties/a/if")]
    [InlineData("""{"type":"array","items":{"uniqueItems":true}}""", "'uniqueItems' at #/items/uniqueItems")]
    [InlineData("""{"patternProperties":{}}""", "'patternProperties'")]
    [InlineData("""{"propertyNames":{}}""", "'propertyNames'")]
    [InlineData("""{"dependentSchemas":{}}""", "'dependentSchemas'")]
    [InlineData("""{"dependentRequired":{}}""", "'dependentRequired'")]
    [InlineData("""{"contains":{}}""", "'contains'")]
    [InlineData("""{"multipleOf":0.1}""", "'multipleOf'")]
    [InlineData("""{"unevaluatedProperties":{}}""", "'unevaluatedProperties'")]
    [InlineData("""{"$ref":"https://example.com/s.json"}""", "'$ref'")]
    [InlineData("""{"$ref":"#name"}""", "anchor")]
    [InlineData("""{"$ref":"#/$defs/none"}""", "names nothing")]
    [InlineData("""{"$dynamicRef":"#x"}""", "'$dynamicRef'")]
    [InlineData("""{"type":"text"}""", "'type' at #/type")]
    [InlineData("""{"type":3}""", "'type' at #/type")]
    [InlineData("""{"type":[]}""", "'type' at #/type")]
    [InlineData("""{"enum":[]}""", "'enum' at #/enum")]
    [InlineData("""{"enum":"a"}""", "'enum' at #/enum")]
    [InlineData("""{"anyOf":[]}""", "'anyOf' at #/anyOf")]
    [InlineData("""{"required":"a"}""", "'required'")]
    [InlineData("""{"properties":[]}""", "'properties'")]
    [InlineData("""{"properties":{"a":3}}""", "#/properties/a")]
    [InlineData("""{"minLength":-1}""", "'minLength'")]
    [InlineData("""{"minLength":1.5}""", "'minLength'")]
    [InlineData("""{"maxItems":99999999999999999999}""", "'maxItems'")]
    [InlineData("""{"maxLength":1e999999999}""", "'maxLength'")]
    [InlineData("""{"minimum":1e999999999}""", "'minimum'")]
    [InlineData("""{"minimum":0.12345678901234567}""", "'minimum'")]
    [InlineData("""{"exclusiveMinimum":true}""", "'exclusiveMinimum'")]
    [InlineData("""{"format":"color"}""", "'format' at #/format 'color' is not supported")]
    [InlineData("""{"pattern":"(?=a)"}""", "'pattern' at #/pattern uses lookaround")]
    [InlineData("""{"pattern":"(a"}""", "'pattern'")]
    [InlineData("""{"pattern":"a)"}""", "'pattern'")]
    [InlineData("""{"pattern":"[a"}""", "'pattern'")]
    [InlineData("""{"pattern":"[]"}""", "'pattern'")]
    [InlineData("""{"pattern":"[b-a]"}""", "'pattern'")]
    [InlineData("""{"pattern":"(a)\\1"}""", "'pattern'")]
    [InlineData("""{"pattern":"\\bword"}""", "'pattern'")]
    [InlineData("""{"pattern":"\\p{L}"}""", "'pattern'")]
    [InlineData("""{"pattern":"a**"}""", "'pattern'")]
    [InlineData("""{"pattern":"*a"}""", "'pattern'")]
    [InlineData("""{"pattern":"a{3,1}"}""", "'pattern'")]
    [InlineData("""{"pattern":"a{99999}"}""", "'pattern'")]
    [InlineData("""{"pattern":"a^b"}""", "'pattern'")]
    [InlineData("""{"pattern":"\\"}""", "'pattern'")]
    [InlineData("""{"pattern":"\\u12"}""", "'pattern'")]
    [InlineData("""{"pattern":"^a$","maxLength":3}""", "'pattern'")]
    [InlineData("""{"enum":[{"a":1}],"properties":{"a":{}}}""", "'enum or const'")]
    [InlineData("""{"const":[1],"items":{}}""", "'enum or const'")]
    [InlineData("""{"const":"a","pattern":"a"}""", "'enum or const'")]
    [InlineData("""{"properties":{"a":{},"b":{}},"minProperties":1}""", "'minProperties'")]
    public void Refuses_by_name_what_it_can_not_express(string schema, string part)
    {
        EngineException e = Assert.Throws<EngineException>(() => Convert(schema));
        Assert.Equal(EngineError.InvalidRequest, e.Error);
        Assert.Equal("response_format", e.Param);
        Assert.Contains(part, e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("false")]
    [InlineData("3")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("""{"type":"array","minItems":3,"maxItems":2}""")]
    [InlineData("""{"type":"string","minLength":3,"maxLength":2}""")]
    [InlineData("""{"type":"integer","minimum":3,"maximum":2}""")]
    [InlineData("""{"type":"integer","minimum":2.1,"maximum":2.9}""")]
    [InlineData("""{"type":"integer","exclusiveMinimum":2,"exclusiveMaximum":3}""")]
    [InlineData("""{"properties":{"a":false},"required":["a"]}""")]
    [InlineData("""{"properties":{},"required":["a"],"additionalProperties":false}""")]
    [InlineData("""{"type":"string","enum":[1,2]}""")]
    [InlineData("""{"const":1,"enum":[2]}""")]
    [InlineData("""{"allOf":[{"type":"string"},{"type":"integer"}]}""")]
    [InlineData("""{"allOf":[{"properties":{"a":{}},"required":["a"],"additionalProperties":false},{"properties":{"b":{}},"required":["b"]}]}""")]
    [InlineData("""{"anyOf":[false,{"type":"integer","minimum":2,"maximum":1}]}""")]
    [InlineData("""{"prefixItems":[{},false],"minItems":2}""")]
    [InlineData("""{"type":"array","items":false,"minItems":1}""")]
    [InlineData("""{"type":"object","additionalProperties":false,"minProperties":1}""")]
    [InlineData("""{"$ref":"#"}""")]
    [InlineData("""{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}""")]
    [InlineData("""{"anyOf":[{"$ref":"#"},{"type":"null"}]}""")]
    [InlineData("""{"type":"object","anyOf":[{"$ref":"#"}]}""")]
    [InlineData("""{"allOf":[{"$ref":"#"}]}""")]
    [InlineData("""{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}""")]
    public void Refuses_what_nothing_can_satisfy(string schema)
    {
        EngineException e = Assert.Throws<EngineException>(() => Convert(schema));
        Assert.Equal(EngineError.InvalidRequest, e.Error);
        Assert.Equal("response_format", e.Param);
    }

    [Fact]
    public void Refuses_half_a_surrogate_pair()
    {
        foreach (string schema in new[] { """{"const":"\ud800"}""", """{"properties":{"\ud800":{}},"required":["\ud800"]}""", """{"pattern":"\ud800"}""", """{"type":"\udc00"}""" })
        {
            EngineException e = Assert.Throws<EngineException>(() => Convert(schema));
            Assert.Equal(EngineError.InvalidRequest, e.Error);
        }
    }

    [Fact]
    public void Refuses_in_time_what_is_too_deep_or_too_large()
    {
        string deep = string.Concat(Enumerable.Repeat("""{"type":"array","items":""", 400)) + "{}" + new string('}', 400);
        string chain = "{\"$ref\":\"#/$defs/d0\",\"$defs\":{" + string.Join(',', Enumerable.Range(0, 5000).Select(i => $"\"d{i}\":{{\"type\":\"integer\",\"$ref\":\"#/$defs/d{i + 1}\"}}")) + ",\"d5000\":{}}}";
        string doubling = "{\"$ref\":\"#/$defs/d0\",\"$defs\":{"
            + string.Join(',', Enumerable.Range(0, 40).Select(i => $"\"d{i}\":{{\"type\":\"object\",\"anyOf\":[{{\"allOf\":[{{\"$ref\":\"#/$defs/d{i + 1}\"}}]}},{{\"allOf\":[{{\"$ref\":\"#/$defs/d{i + 1}\"}},{{}}]}}]}}"))
            + ",\"d40\":{}}}";
        string wide = "{\"properties\":{" + string.Join(',', Enumerable.Range(0, 30_000).Select(i => $"\"p{i}\":{{}}")) + "}}";
        string product = "{\"allOf\":[" + string.Join(',', Enumerable.Range(0, 20).Select(i => $"{{\"anyOf\":[{{\"minimum\":{i}}},{{\"maximum\":{i + 100}}}]}}")) + "]}";
        string values = "{\"enum\":[" + string.Join(',', Enumerable.Range(0, 100_000)) + "]}";
        string nullables = "{\"pattern\":\"^" + string.Concat(Enumerable.Repeat("(", 30)) + "a?b?" + string.Concat(Enumerable.Repeat(")*c?", 30)) + "$\"}";
        string counts = "{\"pattern\":\"^" + string.Concat(Enumerable.Repeat("(", 8)) + "ab" + string.Concat(Enumerable.Repeat("){9999}", 8)) + "$\"}";
        string constant = "{\"const\":" + new string('[', 1500) + new string(']', 1500) + "}";
        string name = "{\"properties\":{\"" + new string('x', 200_000) + "\":{}},\"additionalProperties\":true}";
        const string Alike = """{"$ref":"#/$defs/e","$defs":{"e":{"anyOf":[{"type":"object","properties":{"left":{"$ref":"#/$defs/e"},"op":{"const":1}},"required":["left","op"]},{"type":"object","properties":{"left":{"$ref":"#/$defs/e"},"op":{"const":2}},"required":["left","op"]},{"type":"null"}]}}}""";
        foreach (string schema in new[] { deep, chain, doubling, wide, product, values, constant, name, Alike })
        {
            EngineException e = Assert.Throws<EngineException>(() => Convert(schema));
            Assert.Equal("response_format", e.Param);
        }

        // These may pass, if what comes out is small; they must not hang or overflow.
        foreach (string schema in new[] { nullables, counts })
        {
            try
            {
                Assert.True(Encoding.UTF8.GetByteCount(Convert(schema)) <= GrammarBuilder.MaxBytes);
            }
            catch (EngineException e)
            {
                Assert.Equal("response_format", e.Param);
            }
        }
    }

    [Fact]
    public void Large_but_honest_schemas_pass()
    {
        string optional = "{\"properties\":{" + string.Join(',', Enumerable.Range(0, 300).Select(i => $"\"property{i}\":{{\"type\":\"integer\"}}")) + "}}";
        var recognizer = new GbnfRecognizer(Convert(optional));
        Assert.True(recognizer.Accepts("{}"));
        Assert.True(recognizer.Accepts("{\"property3\":1,\"property77\":2,\"property299\":3}"));
        Assert.False(recognizer.Accepts("{\"property77\":2,\"property3\":1}"));

        string values = "{\"enum\":[" + string.Join(',', Enumerable.Range(0, 2000).Select(i => $"\"value number {i}\"")) + "]}";
        recognizer = new GbnfRecognizer(Convert(values));
        Assert.True(recognizer.Accepts("\"value number 1999\""));
        Assert.False(recognizer.Accepts("\"value number 2000\""));

        const string Apart = """{"$ref":"#/$defs/e","$defs":{"e":{"anyOf":[{"type":"object","properties":{"op":{"const":1},"left":{"$ref":"#/$defs/e"}},"required":["op","left"]},{"type":"object","properties":{"op":{"const":2},"left":{"$ref":"#/$defs/e"}},"required":["op","left"]},{"type":"null"}]}}}""";
        Assert.True(new GbnfRecognizer(Convert(Apart)).Accepts("{\"op\":1,\"left\":{\"op\":2,\"left\":null}}"));

        string list = """{"type":"array","minItems":0,"maxItems":1000000,"items":{"type":"string","minLength":1,"maxLength":100000}}""";
        Assert.True(Convert(list).Length < 8000);
    }

    [Fact]
    public void Integer_ranges_are_exact()
    {
        var random = new Random(7);
        for (int round = 0; round < 60; round++)
        {
            int low = random.Next(-1200, 1200);
            int high = low + random.Next(0, random.Next(1, 1500));
            var recognizer = new GbnfRecognizer(Convert($$"""{"type":"integer","minimum":{{low}},"maximum":{{high}}}"""));
            for (int i = -1300; i < 2800; i += random.Next(1, 25))
            {
                Assert.Equal(low <= i && i <= high, recognizer.Accepts($"{i}"));
            }

            foreach (int edge in new[] { low - 1, low, low + 1, high - 1, high, high + 1 })
            {
                Assert.Equal(low <= edge && edge <= high, recognizer.Accepts($"{edge}"));
            }
        }
    }

    [Fact]
    public void Number_ranges_are_exact()
    {
        var random = new Random(11);
        for (int round = 0; round < 100; round++)
        {
            decimal low = random.Next(-30_000, 30_000) / (decimal)Math.Pow(10, random.Next(0, 5));
            decimal high = low + random.Next(0, 20_000) / (decimal)Math.Pow(10, random.Next(0, 5));
            bool open = random.Next(2) == 0 && high > low;
            string schema = open ? $$"""{"type":"number","exclusiveMinimum":{{low}},"exclusiveMaximum":{{high}}}""" : $$"""{"type":"number","minimum":{{low}},"maximum":{{high}}}""";
            var recognizer = new GbnfRecognizer(Convert(schema));
            for (int i = 0; i < 60; i++)
            {
                decimal value = i switch
                {
                    0 => low,
                    1 => high,
                    2 => decimal.Floor(low),
                    3 => decimal.Ceiling(high),
                    _ => decimal.Round(low + (high - low) * (decimal)(random.NextDouble() * 1.4 - 0.2), random.Next(0, 7)),
                };
                bool expected = open ? low < value && value < high : low <= value && value <= high;
                string text = value == 0 ? "0" : value.ToString(System.Globalization.CultureInfo.InvariantCulture);
                Assert.True(expected == recognizer.Accepts(text), $"{schema} {text}");
            }
        }
    }

    [Fact]
    public void Schemas_embed_in_larger_grammars()
    {
        var builder = new GrammarBuilder("tools");
        using JsonDocument a = JsonDocument.Parse("""{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]}""");
        using JsonDocument b = JsonDocument.Parse("""{"type":"object","properties":{"x":{"type":"boolean"}},"required":["x"]}""");
        string first = JsonSchemaGrammar.AddRules(builder, a.RootElement);
        string second = JsonSchemaGrammar.AddRules(builder, b.RootElement);
        string grammar = builder.Build($"({GrammarBuilder.Literal("<f>")} {first} | {GrammarBuilder.Literal("<g>")} {second}) {GrammarBuilder.Literal("</>\n")}");
        var recognizer = new GbnfRecognizer(grammar);
        Assert.True(recognizer.Accepts("<f>{\"x\":1}</>\n"));
        Assert.True(recognizer.Accepts("<g>{\"x\":true}</>\n"));
        Assert.False(recognizer.Accepts("<g>{\"x\":1}</>\n"));
        using JsonDocument bad = JsonDocument.Parse("""{"not":{}}""");
        Assert.Equal("tools", Assert.Throws<EngineException>(() => JsonSchemaGrammar.AddRules(builder, bad.RootElement)).Param);
    }

    private static string Convert(string schema)
    {
        using JsonDocument document = JsonDocument.Parse(schema, new JsonDocumentOptions { MaxDepth = 2000 });
        return JsonSchemaGrammar.Convert(document.RootElement);
    }
}
