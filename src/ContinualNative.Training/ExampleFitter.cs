namespace ContinualNative.Training;

/// <summary>What became of examples that do not fit or teach nothing.</summary>
/// <param name="PromptsCut">Examples whose prompt lost tokens at its front.</param>
/// <param name="AnswersCut">Examples whose answer lost tokens at its end, being too long by itself.</param>
/// <param name="Dropped">Examples without an answer, or with weight 0.</param>
public readonly record struct FitCounts(int PromptsCut, int AnswersCut, int Dropped)
{
    /// <summary>Adds two sets.</summary>
    public static FitCounts operator +(FitCounts a, FitCounts b) => new(a.PromptsCut + b.PromptsCut, a.AnswersCut + b.AnswersCut, a.Dropped + b.Dropped);

    /// <summary>Adds two sets.</summary>
    public static FitCounts Add(FitCounts left, FitCounts right) => left + right;
}

/// <summary>
/// Makes examples fit a sequence length. The answer is what is learned, so it is kept whole and the prompt gives way, at its front, behind the
/// beginning-of-sequence token; a chat's latest turns stay. Only an answer that is too long by itself loses its end, and then keeps one token before it.
/// </summary>
internal static class ExampleFitter
{
    public static (List<TrainingExample> Examples, FitCounts Counts) Fit(IEnumerable<TrainingExample> examples, int length)
    {
        List<TrainingExample> fitted = [];
        FitCounts counts = default;
        foreach (TrainingExample example in examples)
        {
            if (!(example.Weight > 0) || !HasAnswer(example.Tokens, example.From) || (example.Rejected is { } rejected && !HasAnswer(rejected, example.RejectedFrom)))
            {
                counts += new FitCounts(0, 0, 1);
                continue;
            }
            (TrainingExample one, bool prompt, bool answer) = Cut(example, length);
            counts += new FitCounts(prompt ? 1 : 0, answer ? 1 : 0, 0);
            fitted.Add(one);
        }
        return (fitted, counts);
    }

    private static bool HasAnswer(int[] tokens, int from) => from >= 1 && from < tokens.Length;

    private static (TrainingExample Example, bool Prompt, bool Answer) Cut(TrainingExample example, int length)
    {
        if (example.Tokens.Length <= length && (example.Rejected?.Length ?? 0) <= length)
        {
            return (example, false, false);
        }
        // Of a pair both prompts are cut alike: the two answers must be compared behind the same words.
        int answer = Math.Max(example.Tokens.Length - example.From, example.Rejected is { } other ? other.Length - example.RejectedFrom : 0);
        int prompt = Math.Max(1, length - answer);
        (int[] tokens, int from) = Cut(example.Tokens, example.From, example.Keep, prompt, length);
        TrainingExample cut = example with { Tokens = tokens, From = from };
        bool answerCut = tokens.Length - from < example.Tokens.Length - example.From;
        bool promptCut = from < example.From;
        if (example.Rejected is { } rejected)
        {
            (int[] others, int start) = Cut(rejected, example.RejectedFrom, example.Keep, prompt, length);
            cut = cut with { Rejected = others, RejectedFrom = start };
            answerCut |= others.Length - start < rejected.Length - example.RejectedFrom;
            promptCut |= start < example.RejectedFrom;
        }
        return (cut, promptCut, answerCut);
    }

    private static (int[] Tokens, int From) Cut(int[] tokens, int from, int keep, int prompt, int length)
    {
        prompt = Math.Min(prompt, from);
        keep = Math.Min(keep, prompt);
        int answer = Math.Min(tokens.Length - from, length - prompt);
        return ([.. tokens.AsSpan(0, keep), .. tokens.AsSpan(from - (prompt - keep), prompt - keep + answer)], prompt);
    }
}
