using System.Collections;
using System.CommandLine;
using ContinualNative.Host.Commands;
using ContinualNative.Host.Serving;

namespace ContinualNative.HostTests.Serving;

public sealed class ServeSettingsTests : IDisposable
{
    private readonly string _file = Path.Combine(Path.GetTempPath(), "continual-" + Guid.NewGuid().ToString("N") + ".json");

    [Fact]
    public void Flags_win_over_the_environment_and_that_over_the_file()
    {
        File.WriteAllText(_file, """{"parallel":1,"gpuLayers":5,"kv-tokens":77,"model":"f.gguf","requireKey":true}""");
        ServeOptions options = Read(["--parallel", "3"], new() { ["CONTINUAL__PARALLEL"] = "2", ["CONTINUAL__GPU_LAYERS"] = "6", ["CONTINUAL_LLAMA_DIR"] = "x" });
        Assert.Equal((3, 6, 77, "f.gguf", true), (options.Parallel, options.GpuLayers, options.KvTokens, options.Model, options.RequireKey));
    }

    [Theory]
    [InlineData("""{"parallell":1}""", "parallell")]
    [InlineData("""{"parallel":"many"}""", "parallel")]
    [InlineData("""{"parallel":[1]}""", "parallel")]
    [InlineData("""{"json":"perhaps"}""", "json")]
    [InlineData("""{"maxBody":"4MB"}""", "max-body")]
    [InlineData("""[]""", "config")]
    [InlineData("""{""", "config")]
    public void A_wrong_setting_is_named(string json, string key)
    {
        File.WriteAllText(_file, json);
        Assert.Equal(key, Assert.Throws<SettingException>(() => Read([], [])).Key);
    }

    [Fact]
    public void A_wrong_variable_is_named() =>
        Assert.Contains("CONTINUAL__CTX", Assert.Throws<SettingException>(() => ReadWithoutFile([], new() { ["CONTINUAL__CTX"] = "x" })).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("--max-body", "8MiB", 8388608)]
    [InlineData("--max-body", "2048", 2048)]
    public void Sizes_have_units(string flag, string value, long bytes) => Assert.Equal(bytes, ReadWithoutFile([flag, value], []).MaxBody);

    [Fact]
    public void Host_memory_for_prefixes_reaches_the_engine()
    {
        Assert.Equal(2L << 30, ReadWithoutFile(["--prefix-cache-memory", "2GiB"], []).ToEngine().PrefixCacheMemory);
        Assert.Equal(0, ReadWithoutFile(["--prefix-cache-memory", "0"], []).ToEngine().PrefixCacheMemory);
        Assert.Equal(new ContinualNative.Engine.EngineOptions { ModelPath = "" }.PrefixCacheMemory, ReadWithoutFile([], []).ToEngine().PrefixCacheMemory);
    }

    [Theory]
    [InlineData("listen", "--listen", "127.0.0.1:80")]
    [InlineData("listen", "--listen", "https://127.0.0.1:80")]
    [InlineData("listen", "--listen", "http://example.org:80")]
    [InlineData("listen", "--listen", "http://127.0.0.1:80/v1")]
    [InlineData("parallel", "--parallel", "0")]
    [InlineData("parallel", "--parallel", "100000")]
    [InlineData("timeout", "--timeout", "0")]
    [InlineData("name", "--name", "a@b")]
    [InlineData("max-body", "--max-body", "1")]
    [InlineData("prefix-cache-memory", "--prefix-cache-memory", "99999GiB")]
    [InlineData("adapter", "--adapter", "there-is-no-such-file.gguf")]
    [InlineData("chat-template", "--chat-template", "there-is-no-such-file.jinja")]
    public void Values_out_of_range_are_named(string key, params string[] args)
    {
        File.WriteAllText(_file, "");
        ServeOptions options = ReadWithoutFile(["--model", _file, .. args], []);
        Assert.Equal(key, Assert.Throws<SettingException>(options.Validate).Key);
    }

    [Fact]
    public void A_missing_model_is_named()
    {
        Assert.Equal("model", Assert.Throws<SettingException>(ReadWithoutFile([], []).Validate).Key);
        Assert.Equal("model", Assert.Throws<SettingException>(ReadWithoutFile(["--model", "no.gguf"], []).Validate).Key);
    }

    [Theory]
    [InlineData("http://127.0.0.1:8080", false)]
    [InlineData("http://localhost:8080", false)]
    [InlineData("http://[::1]:8080", false)]
    [InlineData("http://0.0.0.0:8080", true)]
    [InlineData("http://*:8080", true)]
    [InlineData("http://10.1.2.3:8080", true)]
    public void Keys_are_asked_for_beyond_the_loopback_address_unless_switched_off(string listen, bool asked)
    {
        Assert.Equal(asked, ReadWithoutFile(["--listen", listen], []).KeysInForce);
        Assert.False(ReadWithoutFile(["--listen", listen, "--no-key"], []).KeysInForce);
        Assert.True(ReadWithoutFile(["--listen", listen, "--require-key"], []).KeysInForce);
    }

    public void Dispose() => File.Delete(_file);

    private ServeOptions Read(string[] args, Hashtable environment) => ServeSettings.Read(Parse(args), _file, environment);

    private static ServeOptions ReadWithoutFile(string[] args, Hashtable environment) => ServeSettings.Read(Parse(args), null, environment);

    private static ParseResult Parse(string[] args)
    {
        ParseResult parsed = CommandLine.Root().Parse(["serve", .. args]);
        Assert.Empty(parsed.Errors);
        return parsed;
    }
}
