using System.Globalization;
using ContinualNative.Core.Routing;

namespace ContinualNative.Tests.Routing;

public sealed class PromptIndexTests
{
    [Theory]
    [InlineData("Please book a table for two at the Italian restaurant tonight")]
    [InlineData("x")]
    [InlineData("?!")]
    [InlineData("これは日本語の文章です。句読点もあります。")]
    [InlineData("🙂🙃 emoji \ud800 and a lone surrogate \udfff")]
    [InlineData("\0\u0001a\u200b\u0301")]
    public void Any_text_becomes_a_unit_vector(string text)
    {
        float[] embedding = PromptEmbedder.Embed(text);
        Assert.Equal(PromptEmbedder.Dimensions, embedding.Length);
        Assert.Equal(1, Dot(embedding, embedding), 5);
        Assert.Equal(embedding, PromptEmbedder.Embed(text));
    }

    [Fact]
    public void Nothing_but_white_space_is_zero_and_far_from_all()
    {
        float[] nothing = PromptEmbedder.Embed(" \t\r\n\u00a0\u2003");
        Assert.All(nothing, static x => Assert.Equal(0, x));
        NoveltyIndex index = new();
        index.Add(PromptEmbedder.Embed("something"));
        Assert.Equal(1, index.Distance(nothing));
    }

    [Fact]
    public void Like_texts_are_near_and_unlike_ones_far()
    {
        float[] book = PromptEmbedder.Embed("Please book a table for two at the Italian restaurant tonight");
        double near = Dot(book, PromptEmbedder.Embed("book a table for three at the italian restaurant, please"));
        double typo = Dot(book, PromptEmbedder.Embed("Pleese book a tabel for two at the Italien restaurant tonite"));
        double far = Dot(book, PromptEmbedder.Embed("What is the derivative of a logarithm with respect to its base?"));
        Assert.True(near > 0.5 && typo > 0.35 && far < 0.25, $"{near} {typo} {far}");
        Assert.Equal(book, PromptEmbedder.Embed("PLEASE  book a TABLE for two at the italian restaurant\ntonight"));
    }

    [Fact]
    public void Unrelated_random_texts_have_no_similarity_on_average()
    {
        Random random = new(2);
        string Word() => new([.. Enumerable.Range(0, 8).Select(_ => (char)random.Next('a', 'z' + 1))]);
        float[][] all = [.. Enumerable.Range(0, 120).Select(_ => PromptEmbedder.Embed(string.Join(' ', Enumerable.Range(0, 12).Select(_ => Word()))))];
        double[] similarities = [.. all.SelectMany((a, i) => all.Take(i).Select(b => Dot(a, b)))];
        Assert.InRange(similarities.Average(), -0.02, 0.02);
        Assert.InRange(Math.Sqrt(similarities.Average(static s => s * s)), 0.03, 0.1);
    }

    [Fact]
    public void Case_is_folded_in_every_script()
    {
        Assert.Equal(PromptEmbedder.Embed("äöü straße προσ привет title"), PromptEmbedder.Embed("ÄÖÜ STRAßE ΠΡΟΣ ПРИВЕТ TITLE"));
        Assert.NotEqual(PromptEmbedder.Embed("а"), PromptEmbedder.Embed("a"));
    }

    [Fact]
    public void Of_a_long_text_the_beginning_and_the_end_count()
    {
        string head = string.Concat(Enumerable.Repeat("alpha ", 400));
        string tail = string.Concat(Enumerable.Repeat("omega ", 400));
        Assert.Equal(PromptEmbedder.Embed(head + new string('x', 10_000) + tail), PromptEmbedder.Embed(head + new string('y', 2_000_000) + tail));
        foreach (string hostile in (string[])[new string('!', 1_000_000), string.Concat(Enumerable.Repeat("a!", 500_000)), new string('\ud800', 100_000), string.Concat(Enumerable.Repeat("😀", 100_000))])
        {
            float[] embedding = PromptEmbedder.Embed(hostile);
            Assert.Equal(1, Dot(embedding, embedding), 4);
        }
    }

    [Fact]
    public void Distance_is_the_mean_to_the_three_nearest()
    {
        Random random = new(3);
        NoveltyIndex index = new(60);
        float[] query = Unit(random);
        List<float[]> all = [];
        Assert.Equal(1, index.Distance(query));
        for (int i = 0; i < 60; i++)
        {
            float[] row = Unit(random);
            all.Add(row);
            index.Add(row);
            double expected = 1 - all.Select(r => Dot(r, query)).OrderDescending().Take(3).Average();
            Assert.Equal(expected, index.Distance(query), 4);
        }
        index.Replace([query, query, query]);
        Assert.Equal(3, index.Count);
        Assert.Equal(0, index.Distance(query), 5);
        index.Replace([]);
        Assert.Equal(1, index.Distance(query));
    }

    [Fact]
    public void A_full_index_keeps_a_uniform_sample()
    {
        // Each embedding names its number: the share of kept ones from the first half is a half.
        double first = 0;
        for (int run = 0; run < 20; run++)
        {
            NoveltyIndex index = new(50, 1000, run);
            for (int i = 0; i < 1000; i++)
            {
                index.Add(OneHot(i, 1000));
            }
            Assert.Equal(50, index.Count);
            first += Enumerable.Range(0, 500).Count(i => index.Distance(OneHot(i, 1000)) < 0.9) / 20.0;
        }
        // 25 expected; one run has a standard deviation of 3.4, their mean of 0.8.
        Assert.InRange(first, 22, 28);
    }

    [Fact]
    public void Readers_and_writers_do_not_disturb_each_other()
    {
        Random random = new(4);
        float[][] rows = [.. Enumerable.Range(0, 64).Select(_ => Unit(random))];
        NoveltyIndex index = new(32);
        index.Add(rows[0]);
        Parallel.For(0, 4, thread =>
        {
            for (int i = 0; i < 3000; i++)
            {
                if (thread == 0)
                {
                    index.Add(rows[i % rows.Length]);
                }
                else if (thread == 1 && i % 100 == 0)
                {
                    index.Replace([rows[i % rows.Length]]);
                }
                else
                {
                    Assert.InRange(index.Distance(rows[i % rows.Length]), 0, 2);
                }
            }
        });
    }

    [Fact]
    public void Embeddings_of_another_length_or_without_numbers_are_refused()
    {
        NoveltyIndex index = new();
        ClusterIndex clusters = new();
        float[] bad = new float[PromptEmbedder.Dimensions];
        bad[7] = float.NaN;
        Assert.Throws<ArgumentException>(() => index.Add(new float[3]));
        Assert.Throws<ArgumentException>(() => index.Add(bad));
        Assert.Throws<ArgumentException>(() => index.Distance(bad));
        Assert.Throws<ArgumentException>(() => clusters.Add(bad));
        Assert.Throws<ArgumentException>(static () => PromptEmbedder.Embed("a", new float[3]));
        Assert.Equal(0, index.Count);
        Assert.Equal(0, clusters.Count);
    }

    [Fact]
    public void Prompts_that_are_alike_share_a_cluster_and_the_least_labelled_come_first()
    {
        ClusterIndex clusters = new();
        string[] topics = ["book a table at the restaurant for {0} people", "what is the weather in city number {0} tomorrow", "transfer {0} dollars to my savings account now"];
        long[] ids = [.. topics.Select(t => clusters.Add(PromptEmbedder.Embed(string.Format(CultureInfo.InvariantCulture, t, 1))).Id)];
        Assert.Equal([1L, 2, 3], ids);
        for (int i = 2; i < 40; i++)
        {
            for (int t = 0; t < topics.Length; t++)
            {
                PromptCluster cluster = clusters.Add(PromptEmbedder.Embed(string.Format(CultureInfo.InvariantCulture, topics[t], i)), labelled: t == 0);
                Assert.Equal((ids[t], i, t == 0 ? i - 1 : 0), (cluster.Id, cluster.Requests, cluster.Labels));
            }
        }
        Assert.Equal([2L, 3, 1], clusters.LeastLabelled().Select(static c => c.Id));
        Assert.True(clusters.AddLabel(2));
        Assert.Equal([3L, 2, 1], clusters.LeastLabelled().Select(static c => c.Id));
        Assert.Null(clusters.Find(PromptEmbedder.Embed("une question tout à fait différente")));
        Assert.Equal(2, clusters.Find(PromptEmbedder.Embed("what is the weather in city number 99 tomorrow"))!.Value.Id);
        Assert.Equal(3, clusters.Count);
    }

    [Fact]
    public void Of_a_full_index_the_longest_unused_cluster_gives_way()
    {
        ClusterIndex clusters = new(3, 0.5, 8);
        long[] ids = [.. Enumerable.Range(0, 3).Select(i => clusters.Add(OneHot(i, 8)).Id)];
        clusters.Add(OneHot(0, 8));
        PromptCluster next = clusters.Add(OneHot(5, 8));
        Assert.Equal((4, 1), (next.Id, next.Requests));
        Assert.False(clusters.AddLabel(ids[1]));
        Assert.True(clusters.AddLabel(ids[0]));
        Assert.Null(clusters.Find(OneHot(1, 8)));
        Assert.Equal(2, clusters.Find(OneHot(0, 8))!.Value.Requests);
        // Zeros keep to themselves.
        PromptCluster zero = clusters.Add(new float[8]);
        Assert.Equal(zero.Id, clusters.Add(new float[8]).Id);
    }

    private static float[] OneHot(int i, int dimensions)
    {
        float[] row = new float[dimensions];
        row[i] = 1;
        return row;
    }

    private static float[] Unit(Random random)
    {
        float[] row = [.. Enumerable.Range(0, PromptEmbedder.Dimensions).Select(_ => (float)(random.NextDouble() - 0.5))];
        float length = (float)Math.Sqrt(Dot(row, row));
        return [.. row.Select(x => x / length)];
    }

    private static double Dot(float[] a, float[] b) => a.Zip(b, static (x, y) => (double)x * y).Sum();
}
