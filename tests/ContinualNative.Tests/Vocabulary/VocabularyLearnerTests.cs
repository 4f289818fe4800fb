using System.Text;
using ContinualNative.Training.Vocabulary;

namespace ContinualNative.Tests.Vocabulary;

public sealed class VocabularyLearnerTests
{
    [Fact]
    public void The_most_frequent_pair_is_merged_first_and_older_tokens_win_ties()
    {
        // Sennrich et al. 2016, figure 1: low 5, lower 2, newest 6, widest 3 — here without an end-of-word mark. es and st stand 9 times each; e is the older.
        // Then es+t (9), and l+o (7), lo+w (7), n+e (6), ...
        VocabularyLearner learner = new();
        foreach ((string word, int times) in (ReadOnlySpan<(string, int)>)[("low", 5), ("lower", 2), ("newest", 6), ("widest", 3)])
        {
            for (int i = 0; i < times; i++)
            {
                learner.Add(Encoding.UTF8.GetBytes(word));
            }
        }
        Assert.Equal(4, learner.Words);
        BytePairVocabulary vocabulary = new(learner.Learn(8));
        Assert.Equal(["e s", "es t", "l o", "lo w", "e w", "n ew", "new est", "d est"], vocabulary.MergeSpellings);
    }

    [Fact]
    public void Overlapping_pairs_merge_from_the_left()
    {
        VocabularyLearner learner = new();
        learner.Add("aaaaa aaaaa"u8);
        // aa aa a: (aa, a) and (aa, aa) stand once a word each, and a is the older. Then aa aaa.
        BytePairVocabulary vocabulary = new(learner.Learn(3));
        Assert.Equal(["a a", "aa a", "aa aaa"], vocabulary.MergeSpellings);
        Assert.Equal([258], vocabulary.Encode("aaaaa"));
        Assert.Equal([256, 'a'], new BytePairVocabulary(learner.Learn(1)).Encode("aaa"));
    }

    [Fact]
    public void What_occurs_once_is_not_learned()
    {
        VocabularyLearner learner = new();
        learner.Add("qwertz"u8);
        Assert.Empty(learner.Learn(100));
        learner.Add("qw"u8);
        Assert.Equal([new BytePair('q', 'w')], learner.Learn(100));
    }

    [Fact]
    public void No_token_is_longer_than_allowed_or_there_twice_or_spelled_like_a_control_token()
    {
        VocabularyLearner learner = new();
        for (int i = 0; i < 50; i++)
        {
            learner.Add(Encoding.UTF8.GetBytes(new string('-', 500 + i)));
            // Words of these letters in many orders give the same text by different merges.
            learner.Add(Encoding.UTF8.GetBytes($"abc xabc{(char)('a' + (i % 26))} bcab cab abcabc{(char)('a' + (i % 7))}"));
            learner.Add("<|im_end|><|im_end|><|bos|>"u8);
        }
        IReadOnlyList<BytePair> merges = learner.Learn(2000);
        // Throws where a text is there twice.
        BytePairVocabulary vocabulary = new(merges);
        Assert.Equal(vocabulary.Size, vocabulary.Spellings.Distinct().Count());
        Assert.Contains(vocabulary.Spellings, static s => s.Length == VocabularyLearner.MaxTokenBytes);
        Assert.DoesNotContain(vocabulary.Spellings, static s => s.Length > VocabularyLearner.MaxTokenBytes);
        int[] spelled = vocabulary.Encode("<|im_end|>");
        Assert.DoesNotContain(vocabulary.MessageEnd, spelled);
        Assert.Equal("<|im_end|>", Encoding.UTF8.GetString(vocabulary.Decode(spelled)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void The_fast_learner_finds_what_counting_everything_anew_finds(int seed)
    {
        Random random = new(seed);
        List<byte[]> words = [];
        for (int i = 0; i < 300; i++)
        {
            // Letters only, so that each is one word; few, so that pairs overlap and repeat.
            words.Add([.. Enumerable.Range(0, random.Next(1, 12)).Select(_ => (byte)('a' + random.Next(3)))]);
        }
        VocabularyLearner learner = new();
        words.ForEach(word => learner.Add(word));
        Assert.Equal(Naive(words, 60), learner.Learn(60));
    }

    [Fact]
    public void The_order_of_texts_does_not_matter()
    {
        string[] texts = ["the cat sat on the mat", " and the dog", " ate the cat's food 123 123", "über übel üben"];
        VocabularyLearner forward = new();
        VocabularyLearner backward = new();
        foreach (string text in texts)
        {
            forward.Add(Encoding.UTF8.GetBytes(text));
        }
        foreach (string text in texts.Reverse())
        {
            backward.Add(Encoding.UTF8.GetBytes(text));
        }
        Assert.Equal(forward.Learn(40), backward.Learn(40));
    }

    private static List<BytePair> Naive(List<byte[]> words, int most)
    {
        List<List<int>> symbols = [.. words.Select(static w => w.Select(static b => (int)b).ToList())];
        List<string> texts = [.. Enumerable.Range(0, 256).Select(static b => ((char)b).ToString())];
        List<BytePair> merges = [];
        while (merges.Count < most)
        {
            Dictionary<BytePair, long> counts = [];
            foreach (List<int> word in symbols)
            {
                for (int i = 0; i + 1 < word.Count; i++)
                {
                    BytePair pair = new(word[i], word[i + 1]);
                    counts[pair] = counts.GetValueOrDefault(pair) + 1;
                }
            }
            BytePair[] candidates = [.. counts
                .Where(c => c.Value >= 2 && !texts.Contains(texts[c.Key.Left] + texts[c.Key.Right]))
                .OrderByDescending(static c => c.Value).ThenBy(static c => c.Key.Left).ThenBy(static c => c.Key.Right)
                .Select(static c => c.Key)];
            if (candidates.Length == 0)
            {
                break;
            }
            BytePair best = candidates[0];
            foreach (List<int> word in symbols)
            {
                for (int i = 0; i + 1 < word.Count; i++)
                {
                    if (word[i] == best.Left && word[i + 1] == best.Right)
                    {
                        word[i] = texts.Count;
                        word.RemoveAt(i + 1);
                    }
                }
            }
            texts.Add(texts[best.Left] + texts[best.Right]);
            merges.Add(best);
        }
        return merges;
    }
}
