using System.Text.Json;
using ContinualNative.Core.Economics;
using ContinualNative.Host.Frontier;
using ContinualNative.Host.Serving;

namespace ContinualNative.HostTests.Frontier;

public sealed class FrontierOptionsTests
{
    [Fact]
    public void Endpoints_are_read_in_snake_kebab_and_camel_case()
    {
        IReadOnlyList<FrontierEndpointOptions> endpoints = Parse("""
            [{"name":"big","url":"https://api.example.com/v1","model":"m","key_env":"KEY","prices":{"prompt":2.5,"cached_prompt":1.25,"completion":10},
              "training_allowed":true,"first_byte_timeout":5,"timeout":60,"max_concurrent":3,"retries":4,"max_tokens_field":"max_tokens","extra":{"reasoning_effort":"low"}},
             {"url":"http://localhost:1234/v1","model":"n","firstByteTimeout":0.5,"max-concurrent":1,"prices":{"prompt":1,"completion":2}},
             {"url":"http://localhost/v1","model":"o","timeout":10,"keyEnv":null}]
            """);
        Assert.Equal(["big", "frontier-2", "frontier-3"], endpoints.Select(static e => e.Name));
        FrontierEndpointOptions big = endpoints[0];
        Assert.Equal(("https://api.example.com/v1", "m", "KEY", true), (big.Url, big.Model, big.KeyEnv, big.TrainingAllowed));
        Assert.Equal(new TokenPrices(2.5m, 1.25m, 10), big.Prices);
        Assert.Equal((TimeSpan.FromSeconds(5), TimeSpan.FromMinutes(1), 3, 4, "max_tokens"), (big.FirstByteTimeout, big.Timeout, big.MaxConcurrent, big.Retries, big.MaxTokensField));
        Assert.Equal("low", big.Extra["reasoning_effort"].GetString());
        Assert.Equal((TimeSpan.FromSeconds(0.5), 1, false), (endpoints[1].FirstByteTimeout, endpoints[1].MaxConcurrent, endpoints[1].TrainingAllowed));
        // What is cached costs the same unless it is said.
        Assert.Equal(new TokenPrices(1, 1, 2), endpoints[1].Prices);
        Assert.Equal(TimeSpan.FromSeconds(10), endpoints[2].FirstByteTimeout);
        Assert.Null(endpoints[2].KeyEnv);
    }

    [Theory]
    [InlineData("{}", "c.json: frontiers: it must be a list of endpoints, not an object")]
    [InlineData("[1]", "c.json: frontiers[0]: it must be an object, not a number")]
    [InlineData("""[{"model":"m"}]""", "frontiers[0].url: it is missing")]
    [InlineData("""[{"url":"http://x"}]""", "frontiers[0].model: it is missing")]
    [InlineData("""[{"url":"http://x","model":"m","colour":1}]""", "frontiers[0].colour: there is no such setting; known are name, url")]
    [InlineData("""[{"url":"http://x","model":"m","key_env":"A","keyEnv":"B"}]""", "frontiers[0].keyEnv: it is given twice")]
    [InlineData("""[{"url":"ftp://x","model":"m"}]""", "frontiers[0].url: it must look like")]
    [InlineData("""[{"url":"https://user:pw@x/v1","model":"m"}]""", "frontiers[0].url: it must have no user")]
    [InlineData("""[{"url":"http://x","model":"m","retries":1.5}]""", "frontiers[0].retries: it must be a whole number")]
    [InlineData("""[{"url":"http://x","model":"m","retries":11}]""", "frontiers[0].retries: 11 does not lie between 0 and 10")]
    [InlineData("""[{"url":"http://x","model":"m","timeout":0}]""", "frontiers[0].timeout: 0 does not lie")]
    [InlineData("""[{"url":"http://x","model":"m","timeout":5,"first_byte_timeout":6}]""", "frontiers[0].first_byte_timeout: it is longer than 'timeout'")]
    [InlineData("""[{"url":"http://x","model":"m","max_concurrent":0}]""", "frontiers[0].max_concurrent: 0")]
    [InlineData("""[{"url":"http://x","model":"m","training_allowed":"yes"}]""", "frontiers[0].training_allowed: it must be true or false, not a string")]
    [InlineData("""[{"url":"http://x","model":"m","prices":{"prompt":1}}]""", "frontiers[0].prices.completion: it is missing")]
    [InlineData("""[{"url":"http://x","model":"m","prices":{"prompt":-1,"completion":1}}]""", "frontiers[0].prices.prompt: -1")]
    [InlineData("""[{"url":"http://x","model":"m","prices":{"prompt":1,"completion":1,"output":1}}]""", "frontiers[0].prices.output: there is no such setting")]
    [InlineData("""[{"url":"http://x","model":"m","extra":{"messages":[]}}]""", "frontiers[0].extra.messages: that field is set by the server")]
    [InlineData("""[{"url":"http://x","model":"m","extra":{"a.b":1}}]""", "frontiers[0].extra: the name of a field")]
    [InlineData("""[{"url":"http://x","model":"m","key_env":"sk-a b"}]""", "frontiers[0].key_env: it must be the name")]
    [InlineData("""[{"url":"http://x","model":"m","name":"a b"}]""", "frontiers[0].name: a name has")]
    public void A_wrong_setting_is_named(string json, string message)
    {
        SettingException e = Assert.Throws<SettingException>(() => Parse(json));
        Assert.Contains(message, e.Message);
    }

    [Fact]
    public void Names_are_unique_keys_are_there_and_limits_make_sense()
    {
        FrontierEndpointOptions one = TestEndpoint.At("http://x/v1");
        Assert.Contains("two endpoints named 'a'", Fails(new FrontierOptions { Endpoints = [one, one] }));
        Assert.Contains("'NO_KEY' is not set", Fails(new FrontierOptions { Endpoints = [one with { KeyEnv = "NO_KEY" }] }));
        Assert.Contains("--frontier-budget", Fails(new FrontierOptions { EscalationPerDay = -1 }));
        Assert.Contains("--teaching-budget", Fails(new FrontierOptions { TeachingPerDay = -1 }));
        Assert.Contains("--frontier-breaker-ratio", Fails(new FrontierOptions { Breaker = new FrontierBreakerOptions { FailureRatio = double.NaN } }));
        Assert.Contains("--frontier-breaker-calls", Fails(new FrontierOptions { Breaker = new FrontierBreakerOptions { MinimumCalls = 1 } }));
        Assert.Contains("--frontier-breaker-break", Fails(new FrontierOptions { Breaker = new FrontierBreakerOptions { Break = TimeSpan.Zero } }));
        new FrontierOptions { Endpoints = [one with { KeyEnv = "THE_KEY" }] }.Validate(static _ => "k");

        static string Fails(FrontierOptions options) => Assert.Throws<SettingException>(() => options.Validate(static _ => null)).Message;
    }

    private static IReadOnlyList<FrontierEndpointOptions> Parse(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return FrontierOptions.Parse(document.RootElement, "c.json: frontiers");
    }
}
