using ContinualNative.Core.Routing;

namespace ContinualNative.Tests.Routing;

public sealed class WordRiskIndexTests
{
    // What the class says, computed plainly: verdicts with the number of the prompt that each came with, of so many prompts.
    private static float Expected(int prompts, params (int At, bool Right)[] verdicts)
    {
        double ever = (verdicts.Count(static v => !v.Right) + 0.5) / (verdicts.Length + 1);
        double Weight((int At, bool Right) v) => Math.Pow(2, (v.At - prompts) / 500.0);
        return (float)((verdicts.Where(static v => !v.Right).Sum(Weight) + ever) / (verdicts.Sum(Weight) + 1));
    }

    [Fact]
    public void A_word_never_judged_is_as_likely_wrong_as_right_and_each_verdict_moves_it()
    {
        WordRiskIndex index = new();
        Assert.Equal(0.5f, index.Risk("Yarrow"));
        index.Add("yarrow", right: false);
        Assert.Equal(0.875f, index.Risk("YARROW!"));
        index.Add("Yarrow?", right: true);
        Assert.Equal(Expected(2, (1, false), (2, true)), index.Risk("yarrow"), 6);
        for (int i = 0; i < 8; i++)
        {
            index.Add("the yarrow", right: true);
        }
        Assert.Equal(Expected(10, [(1, false), .. Enumerable.Range(2, 9).Select(static at => (at, true))]), index.Risk("yarrow"), 6);
    }

    [Fact]
    public void The_least_proven_word_of_a_prompt_counts()
    {
        WordRiskIndex index = new();
        (int, bool)[] right = [.. Enumerable.Range(1, 50).Select(static at => (at, true))];
        for (int i = 0; i < 50; i++)
        {
            index.Add("how much is the Rusko", right: true);
        }
        Assert.Equal(Expected(50, right), index.Risk("How much is the Rusko?"), 6);
        Assert.Equal(0.5f, index.Risk("How much is the Krelow?"));
        index.Add("How much is the Krelow?", right: false);
        Assert.Equal(0.875f, index.Risk("is the krelow in stock, and how much is it"));
        Assert.Equal(Expected(51, [.. right, (51, false)]), index.Risk("how much"), 6);
    }

    [Fact]
    public void What_was_right_for_long_and_is_wrong_now_is_noticed_after_a_few_prompts()
    {
        WordRiskIndex index = new();
        List<(int At, bool Right)> fee = [];
        int prompts = 0;
        // A word in every twentieth prompt, right a hundred times; the others are right throughout.
        for (int i = 0; i < 100; i++)
        {
            Ask("the fee", right: true);
            for (int k = 0; k < 19; k++)
            {
                Ask("the rest", right: true);
            }
        }
        Assert.InRange(index.Risk("fee"), 0, 0.001f);
        for (int i = 0; i < 10; i++)
        {
            Ask("the fee", right: false);
        }
        Assert.Equal(Expected(prompts, [.. fee]), index.Risk("fee"), 5);
        // Ten of a hundred and ten would be nine in a hundred; what all prompts share stays proven.
        Assert.InRange(index.Risk("fee"), 0.2f, 0.3f);
        Assert.InRange(index.Risk("the"), 0, 0.02f);
        // Years later what it proved is all that is left.
        for (int i = 0; i < 20_000; i++)
        {
            Ask("the rest", right: true);
        }
        Assert.Equal(10.5f / 111, index.Risk("fee"), 4);

        void Ask(string text, bool right)
        {
            index.Add(text, right);
            prompts++;
            if (text.Contains("fee", StringComparison.Ordinal))
            {
                fee.Add((prompts, right));
            }
        }
    }

    [Fact]
    public void A_word_counts_once_a_prompt_and_a_prompt_can_be_left_out_of_what_proves_it()
    {
        WordRiskIndex index = new();
        index.Add("very very very good", right: true);
        Assert.Equal(Expected(1, (1, true)), index.Risk("very"));
        Assert.Equal(0.5f, index.Risk("very", leaveOutSelf: true));
        Assert.Equal(0.5f, index.Risk("never seen", leaveOutSelf: true));
    }

    [Theory]
    [InlineData("order 48213 of 2026-11-26, A12")]
    [InlineData("order 7 of 1999-01-01, B99x")]
    public void What_has_a_digit_in_it_is_no_word(string text)
    {
        WordRiskIndex index = new();
        index.Add("order of", right: true);
        Assert.Equal(0.125f, index.Risk(text));
    }

    [Theory]
    [InlineData("")]
    [InlineData(" \t12 34, !?")]
    public void Without_words_it_is_not_known(string text) => Assert.True(float.IsNaN(new WordRiskIndex().Risk(text)));

    [Fact]
    public void Scripts_without_spaces_are_taken_character_by_character_and_nothing_is_too_odd()
    {
        WordRiskIndex index = new();
        index.Add("返品できますか", right: true);
        Assert.Equal(0.125f, index.Risk("できますか"));
        Assert.Equal(0.5f, index.Risk("交換できますか"));
        Assert.Equal(0.5f, index.Risk("🙂 \ud800 \udfff e\u0301tude"));
    }

    [Fact]
    public void Of_a_long_text_both_ends_are_looked_at()
    {
        WordRiskIndex index = new();
        string known = string.Join(' ', Enumerable.Repeat("known", 2000));
        index.Add(known, right: true);
        Assert.Equal(0.125f, index.Risk(known));
        Assert.Equal(0.5f, index.Risk("novel " + known));
        Assert.Equal(0.5f, index.Risk(known + " novel"));
        Assert.Equal(0.125f, index.Risk(known + " novel " + known));
        Assert.Equal(0.5f, index.Risk(new string('x', 100_000)));
    }

    [Fact]
    public void Replacing_forgets_what_was_counted()
    {
        WordRiskIndex index = new();
        index.Add("old", right: true);
        index.Replace([("new", true), ("new", true), ("new thing", false)]);
        Assert.Equal((0.5f, 0.875f), (index.Risk("old"), index.Risk("thing")));
        Assert.Equal(Expected(3, (1, true), (2, true), (3, false)), index.Risk("new"), 6);
    }

    [Fact]
    public async Task Many_threads_may_count_and_ask_at_once()
    {
        WordRiskIndex index = new();
        await Parallel.ForAsync(0, 8, (i, _) =>
        {
            for (int k = 0; k < 1000; k++)
            {
                index.Add("shared word", right: k % 2 == 0);
                Assert.InRange(index.Risk("shared"), 0, 1);
            }
            return ValueTask.CompletedTask;
        });
        Assert.Equal(0.5f, index.Risk("shared word"), 0.05f);
        index.Add("other word", right: false);
        // Eight thousand verdicts on the one word, half of them wrong, one on the other.
        Assert.Equal(0.875f, index.Risk("other"), 5);
        for (int i = 0; i < 20_000; i++)
        {
            index.Add("", right: true);
        }
        Assert.Equal(4000.5f / 8001, index.Risk("shared"), 5);
    }
}
