using System.Text.Json;
using ContinualNative.Core.Redaction;
using ContinualNative.Host.Serving;
using ContinualNative.Host.Signal;

namespace ContinualNative.HostTests.Signal;

/// <summary>Finds the word "badger"; loaded by its assembly's path.</summary>
public sealed class BadgerRule : IRedactionRule
{
    public string Kind => "BADGER";

    public void Find(ReadOnlySpan<char> text, ICollection<RedactionRange> found)
    {
        int at = text.IndexOf("badger", StringComparison.Ordinal);
        if (at >= 0)
        {
            found.Add(new RedactionRange(at, 6));
        }
    }
}

public sealed class PolicyFileTests
{
    [Fact]
    public void Everything_is_read_and_rules_come_from_assemblies()
    {
        PolicyFile policy = Read($$$"""
            {
              // Comments are allowed.
              "frontiers": [{"name": "big", "url": "https://api.example.com/v1", "model": "m", "prices": {"prompt": 3, "completion": 15}, "training_allowed": true}],
              "tasks": [{"name": "intent", "measure": "exact", "target_risk": 0.02, "system_prompt": "Name the intent."}],
              "redaction": {"ip": true, "patterns": {"order": "ORD-[0-9]{6}"}},
              "redaction_plugins": [{{{JsonSerializer.Serialize(typeof(BadgerRule).Assembly.Location)}}}],
              "teaching": {"strategy": "random"},
            }
            """);
        Assert.Equal("big", Assert.Single(policy.Frontiers).Name);
        Assert.Equal(0.02, Assert.Single(policy.Tasks).TargetRisk);
        Assert.IsType<BadgerRule>(Assert.Single(policy.Rules));
        Redactor redactor = new(policy.Redaction, policy.Rules);
        Assert.Equal("A [BADGER_1] ordered [ORDER_1] from [IP_1]", redactor.NewSession().Redact("A badger ordered ORD-123456 from 192.0.2.7"));
    }

    [Theory]
    [InlineData("[]", "policy")]
    [InlineData("{", "policy")]
    [InlineData("""{"colour": 1}""", "colour")]
    [InlineData("""{"tasks": [{"name": "a b"}]}""", "tasks[0].name")]
    [InlineData("""{"frontiers": [{"url": "ftp://x", "model": "m"}]}""", "url")]
    [InlineData("""{"redaction": {"patterns": {"a": 7}}}""", "patterns.a")]
    [InlineData("""{"redaction_plugins": "x.dll"}""", "redaction_plugins")]
    [InlineData("""{"redaction_plugins": ["nowhere.dll"]}""", "nowhere.dll")]
    [InlineData("""{"teaching": {"strategy": "wild"}}""", "strategy")]
    public void What_is_wrong_is_named(string text, string named)
    {
        SettingException error = Assert.Throws<SettingException>(() => Read(text));
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
    }

    private static PolicyFile Read(string text)
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, text);
            return PolicyFile.Read(path);
        }
        finally
        {
            File.Delete(path);
        }
    }
}
