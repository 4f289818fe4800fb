using ContinualNative.Training;

namespace ContinualNative.Tests.Training;

public sealed class ExampleFitterTests
{
    [Fact]
    public void A_long_prompt_loses_its_front_and_keeps_its_beginning_token()
    {
        (List<TrainingExample> fitted, FitCounts counts) = Fit(8, Example(prompt: 10, answer: 3, keep: 1));
        TrainingExample one = Assert.Single(fitted);
        // 1 stands for the beginning, 101 … for the prompt, 201 … for the answer.
        Assert.Equal([1, 107, 108, 109, 110, 201, 202, 203], one.Tokens);
        Assert.Equal(5, one.From);
        Assert.Equal(new FitCounts(1, 0, 0), counts);
    }

    [Fact]
    public void Without_a_beginning_token_the_end_of_the_prompt_stays()
    {
        (List<TrainingExample> fitted, _) = Fit(6, Example(prompt: 10, answer: 3, keep: 0));
        Assert.Equal([108, 109, 110, 201, 202, 203], fitted[0].Tokens);
        Assert.Equal(3, fitted[0].From);
    }

    [Fact]
    public void Only_an_answer_too_long_by_itself_loses_its_end()
    {
        (List<TrainingExample> fitted, FitCounts counts) = Fit(4, Example(prompt: 5, answer: 9, keep: 1), Example(prompt: 5, answer: 3, keep: 1));
        Assert.Equal([1, 201, 202, 203], fitted[0].Tokens);
        Assert.Equal(1, fitted[0].From);
        Assert.Equal([1, 201, 202, 203], fitted[1].Tokens);
        Assert.Equal(new FitCounts(2, 1, 0), counts);
    }

    [Fact]
    public void What_fits_is_left_alone()
    {
        TrainingExample example = Example(prompt: 5, answer: 3, keep: 1);
        (List<TrainingExample> fitted, FitCounts counts) = Fit(9, example);
        Assert.Same(example, fitted[0]);
        Assert.Equal(default, counts);
    }

    [Fact]
    public void Examples_that_teach_nothing_are_dropped_and_counted()
    {
        TrainingExample good = Example(prompt: 3, answer: 1, keep: 1);
        (List<TrainingExample> fitted, FitCounts counts) = Fit(
            16, good with { Weight = 0 }, good with { From = good.Tokens.Length }, good with { Tokens = [] }, good with { From = 0 }, good, good with { Rejected = [1, 2], RejectedFrom = 2 });
        Assert.Same(good, Assert.Single(fitted));
        Assert.Equal(new FitCounts(0, 0, 5), counts);
    }

    [Fact]
    public void A_pair_is_cut_to_one_prompt()
    {
        TrainingExample pair = Example(prompt: 10, answer: 3, keep: 1) with { Rejected = Example(prompt: 10, answer: 5, keep: 1).Tokens, RejectedFrom = 11 };
        (List<TrainingExample> fitted, _) = Fit(9, pair);
        Assert.Equal([1, 108, 109, 110, 201, 202, 203], fitted[0].Tokens);
        Assert.Equal([1, 108, 109, 110, 201, 202, 203, 204, 205], fitted[0].Rejected!);
        Assert.Equal((4, 4), (fitted[0].From, fitted[0].RejectedFrom));
    }

    [Fact]
    public void Any_example_fits_any_length_with_its_answer_last()
    {
        SplitMix64 random = new(1);
        for (int i = 0; i < 2000; i++)
        {
            int length = 2 + random.Below(12);
            TrainingExample example = Example(random.Below(14), 1 + random.Below(14), 1);
            (List<TrainingExample> fitted, _) = Fit(length, example);
            TrainingExample cut = fitted[0];
            Assert.InRange(cut.Tokens.Length, 2, length);
            Assert.Equal(1, cut.Tokens[0]);
            Assert.InRange(cut.From, 1, cut.Tokens.Length - 1);
            int[] answer = example.Tokens[example.From..];
            Assert.Equal(answer[..Math.Min(answer.Length, length - 1)], cut.Tokens[cut.From..]);
            // Nothing is cut that has room.
            Assert.True(cut.Tokens.Length == Math.Min(length, example.Tokens.Length));
        }
    }

    private static (List<TrainingExample> Examples, FitCounts Counts) Fit(int length, params TrainingExample[] examples) => ExampleFitter.Fit(examples, length);

    private static TrainingExample Example(int prompt, int answer, int keep) => new()
    {
        Tokens = [.. Enumerable.Repeat(1, keep), .. Enumerable.Range(101, prompt), .. Enumerable.Range(201, answer)],
        From = keep + prompt,
        Keep = keep,
    };
}
