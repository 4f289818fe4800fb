using ContinualNative.Core.Curation;

namespace ContinualNative.Tests.Curation;

public sealed class NearDuplicatesTests
{
    private static readonly string[] Words =
        [.. "order invoice refund parcel delivery account password address warranty battery screen charger voucher discount return exchange broken missing late wrong change cancel please tomorrow yesterday customer service question problem payment".Split(' ')];

    [Fact]
    public void Signatures_estimate_the_similarity_of_their_sets()
    {
        Random random = new(1);
        double error = 0;
        const int trials = 300;
        for (int i = 0; i < trials; i++)
        {
            string text = Text(random, 40);
            uint[] a = MinHash.Shingles(text), b = MinHash.Shingles(Typos(random, text, random.Next(0, 20)));
            double estimate = MinHash.Signature(a).Zip(MinHash.Signature(b)).Count(static p => p.First == p.Second) / (double)MinHash.Length;
            double off = estimate - MinHash.Jaccard(a, b);
            // Five standard deviations of a proportion of 128 at its worst.
            Assert.InRange(off, -0.225, 0.225);
            error += off;
        }
        Assert.InRange(error / trials, -0.01, 0.01);
    }

    [Theory]
    [InlineData(0.9)]
    [InlineData(0.7)]
    [InlineData(0.5)]
    public void Nearly_all_pairs_above_the_threshold_are_found_and_none_below(double threshold)
    {
        Random random = new(2);
        List<string> texts = [];
        for (int i = 0; i < 400; i++)
        {
            string text = Text(random, 40);
            texts.Add(text);
            texts.Add(Typos(random, text, random.Next(1, 14)));
        }
        PromptText[] prompts = [.. texts.Distinct().Select(static t => new PromptText("", t))];
        IReadOnlyList<IReadOnlyList<int>> near = NearDuplicates.Find(prompts, threshold);
        uint[][] shingles = [.. prompts.Select(static p => MinHash.Shingles(p.Body))];
        int right = 0, found = 0;
        for (int i = 0; i < prompts.Length; i++)
        {
            for (int j = i + 1; j < prompts.Length; j++)
            {
                bool isNear = MinHash.Jaccard(shingles[i], shingles[j]) >= threshold;
                bool isFound = near[i].Contains(j);
                Assert.Equal(isFound, near[j].Contains(i));
                Assert.True(isNear || !isFound, $"{i} and {j} are not near");
                right += isNear ? 1 : 0;
                found += isFound ? 1 : 0;
            }
        }
        Assert.InRange(right, 50, 400);
        Assert.True(found >= right * 0.995, $"{found} of {right} were found");
    }

    [Fact]
    public void System_prompt_and_numbers_keep_prompts_apart()
    {
        string text = Text(new Random(3), 40);
        PromptText[] prompts = [new("a", text), new("b", text), new("a", text + " x1"), new("a", text + " x2"), new("a", text + " now"), new("a", text + " today")];
        IReadOnlyList<IReadOnlyList<int>> near = NearDuplicates.Find(prompts, 0.9);
        Assert.Equal([4, 5], near[0]);
        Assert.Empty(near[1]);
        Assert.Empty(near[2]);
        Assert.Empty(near[3]);
        Assert.All(NearDuplicates.Find(prompts, 1), Assert.Empty);
    }

    [Fact]
    public void What_all_prompts_say_does_not_make_them_near()
    {
        // A long instruction, and a text of ten words; of every fiftieth there is a second with one letter less.
        Random random = new(4);
        string instruction = Text(random, 200);
        string[] texts = [.. Enumerable.Range(0, 1000).Select(_ => Text(random, 10))];
        PromptText[] prompts = [.. texts.Concat(texts.Where(static (_, i) => i % 50 == 0).Select(static t => t[..^1])).Select(t => new PromptText("", $"{instruction} {t}"))];
        IReadOnlyList<IReadOnlyList<int>> near = NearDuplicates.Find(prompts, 0.9);
        int[] found = [.. Enumerable.Range(0, 1000).Where(i => near[i].Count > 0)];
        Assert.All(found, i => Assert.Equal([1000 + i / 50], near[i]));
        Assert.InRange(found.Length, 17, 20);
        Assert.All(found, static i => Assert.Equal(0, i % 50));
    }

    [Fact]
    public void A_crowd_is_compared_with_few_of_it()
    {
        // A 30th of all, too few to be what everybody says, and each is near each: all pairs of the 300 would be 44,850.
        Random random = new(5);
        string text = Text(random, 60);
        PromptText[] crowd = [.. Enumerable.Range(0, 300).Select(i => new PromptText("", $"{text} {(char)('a' + i / 18)}{(char)('a' + i % 18)}"))];
        PromptText[] others = [.. Enumerable.Range(0, 9000).Select(i => new PromptText("", string.Concat(Enumerable.Range(0, 60).Select(_ => (char)('a' + random.Next(26))))))];
        IReadOnlyList<IReadOnlyList<int>> near = NearDuplicates.Find([.. crowd, .. others], 0.9);
        Assert.All(near.Take(300), static n => Assert.NotEmpty(n));
        Assert.All(near.Skip(300), Assert.Empty);
        Assert.True(near.Sum(static n => n.Count) < 300 * 299 * 3 / 4);
    }

    private static string Text(Random random, int words) => string.Join(' ', Enumerable.Range(0, words).Select(_ => Words[random.Next(Words.Length)]));

    private static string Typos(Random random, string text, int count)
    {
        char[] letters = text.ToCharArray();
        for (int i = 0; i < count; i++)
        {
            letters[random.Next(letters.Length)] = (char)('a' + random.Next(26));
        }
        return new string(letters);
    }
}
