using System.Net;
using ContinualNative.Host.Reporting.Learning;

namespace ContinualNative.HostTests.Reporting.Learning;

public sealed class LearningPageTests
{
    [Fact]
    public void Nothing_of_a_history_stands_in_the_page_unescaped()
    {
        string sharp = LearningExample.Sharp;
        LearningHistory example = LearningExample.Create();
        LearningHistory history = example with
        {
            Title = sharp,
            Subtitle = sharp,
            Measure = sharp,
            Notes = [sharp],
            Periods = [.. example.Periods.Select(p => p with { Label = $"{p.Label} {sharp}", Events = [.. p.Events.Select(e => e with { Mark = sharp })] })],
            Verdicts = [.. example.Verdicts.Select(v => new AdapterVerdict(sharp, v.Verdict with { Summary = sharp, Checks = [.. v.Verdict.Checks.Select(c => c with { Name = sharp, Slice = sharp, Examples = [sharp] })] }))],
            Run = new LearningRun { Command = sharp, Machine = sharp },
        };
        string html = LearningPage.ToHtml(history);
        Assert.DoesNotContain("<b>", html, StringComparison.Ordinal);
        Assert.True(html.Split(WebUtility.HtmlEncode(sharp)).Length > 40);
    }

    [Fact]
    public void Page_needs_nothing_else()
    {
        string html = LearningPage.ToHtml(LearningExample.Create());
        string without = html.Replace("http://www.w3.org/2000/svg", "", StringComparison.Ordinal);
        Assert.DoesNotContain("http://", without, StringComparison.Ordinal);
        Assert.DoesNotContain("https://", without, StringComparison.Ordinal);
        Assert.DoesNotContain("src=", without, StringComparison.Ordinal);
        Assert.DoesNotContain("<script", without, StringComparison.Ordinal);
        Assert.Contains("<svg", html, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("<td>week 9</td><td>rejected</td><td>adapter c7 rejected: the golden suite fell by 6 points")]
    [InlineData("<td>week 14</td><td class=\"n\">240</td><td class=\"n\">51.7 %<br><small>45.4–57.9</small></td>")]
    [InlineData("<code>c7</code> <span class=\"reject\">reject</span>")]
    [InlineData("<td>golden, first weeks</td><td class=\"reject\">reject</td><td class=\"n\">0.06</td><td class=\"n\">0.01</td><td class=\"n\">120</td>")]
    [InlineData("<code>req-b2</code>")]
    [InlineData("<dt>Frozen snapshot</dt>")]
    [InlineData("<code>continual demo --seed 1 --weeks 14</code>")]
    [InlineData("<dt>Seed</dt><dd>1</dd>")]
    [InlineData("a machine of 2 cores")]
    [InlineData("These figures are made up.")]
    public void Page_tells(string text) => Assert.Contains(text, LearningPage.ToHtml(LearningExample.Create()), StringComparison.Ordinal);

    [Fact]
    public void What_is_not_known_has_no_place()
    {
        LearningHistory example = LearningExample.Create();
        string html = LearningPage.ToHtml(example with { Periods = [.. example.Periods.Select(static p => p with { Frozen = null, Events = [] })], Verdicts = [], Run = null });
        Assert.DoesNotContain("Frozen snapshot", html, StringComparison.Ordinal);
        Assert.DoesNotContain("What the gate said", html, StringComparison.Ordinal);
        Assert.DoesNotContain("What happened", html, StringComparison.Ordinal);
        Assert.DoesNotContain("How it was run", html, StringComparison.Ordinal);
    }
}
