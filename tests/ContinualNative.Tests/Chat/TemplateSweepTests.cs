using System.Diagnostics;
using System.Text.Json;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;

namespace ContinualNative.Tests.Chat;

/// <summary>Renders every <c>*.jinja</c> of the folder named by CONTINUAL_TEMPLATES, such as <c>models/templates</c> of a llama.cpp checkout.</summary>
public sealed class TemplateSweepTests(ITestOutputHelper output)
{
    private static readonly ChatMessage[] Chat =
    [
        new() { Role = "system", Content = "Be brief, system-mark." },
        new() { Role = "user", Content = "Hello, first-mark." },
        new() { Role = "assistant", Content = "Hi, second-mark." },
        new() { Role = "user", Content = "Bye, third-mark." },
    ];

    private static readonly ToolDefinition Tool = new(
        "get_weather",
        "Tells the weather.",
        JsonElement.Parse("""{"type":"object","properties":{"city":{"type":"string","description":"Where"}},"required":["city"]}"""));

    private static readonly ChatMessage[] ToolChat =
    [
        new() { Role = "user", Content = "Weather in Oslo?" },
        new() { Role = "assistant", ToolCalls = [new ToolCall("call_0123456789", "get_weather", """{"city": "Oslo-mark"}""")] },
        new() { Role = "tool", ToolCallId = "call_0123456789", Name = "get_weather", Content = "rain-mark" },
    ];

    [Fact]
    public void Templates_in_the_wild_render()
    {
        string? folder = Environment.GetEnvironmentVariable("CONTINUAL_TEMPLATES");
        Assert.SkipWhen(folder is null, "skipped: CONTINUAL_TEMPLATES names no folder of templates");
        int total = 0;
        List<string> failures = [];
        foreach (string file in Directory.EnumerateFiles(folder!, "*.jinja").Order(StringComparer.Ordinal))
        {
            total++;
            string name = Path.GetFileNameWithoutExtension(file);
            try
            {
                ChatTemplate template = new(File.ReadAllText(file), "<BOS>", "<EOS>");
                string text = template.Render(Chat);
                foreach (string mark in (string[])["system-mark", "first-mark", "second-mark", "third-mark"])
                {
                    if (!text.Contains(mark, StringComparison.Ordinal))
                    {
                        failures.Add($"{name}: lost {mark}");
                    }
                }

                Stopwatch watch = Stopwatch.StartNew();
                for (int i = 0; i < 20; i++)
                {
                    template.Render(Chat);
                }

                double milliseconds = watch.Elapsed.TotalMilliseconds / 20;
                string tools = $"tools={template.SupportsTools} format={template.ToolCallFormat}";
                if (template.SupportsTools)
                {
                    try
                    {
                        string called = template.Render(ToolChat, [Tool]);
                        tools += called.Contains("Oslo-mark", StringComparison.Ordinal) && called.Contains("rain-mark", StringComparison.Ordinal) ? " ok" : " LOST";
                    }
                    catch (EngineException e)
                    {
                        tools += $" FAILED {e.Message}";
                    }
                }

                output.WriteLine($"{name}: {milliseconds:F2} ms {tools}");
            }
            catch (EngineException e)
            {
                failures.Add($"{name}: {e.Error}: {e.Message}");
            }
        }

        output.WriteLine($"{total - failures.Select(f => f.Split(':')[0]).Distinct().Count()} of {total} rendered");
        failures.ForEach(output.WriteLine);
        Assert.True(failures.Count <= total / 5, string.Join('\n', failures));
    }
}
