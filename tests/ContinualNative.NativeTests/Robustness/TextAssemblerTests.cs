using System.Text;
using ContinualNative.Core.Routing;
using ContinualNative.Engine.Generation;

namespace ContinualNative.NativeTests.Robustness;

/// <summary>Bytes to text: however tokens cut it.</summary>
public sealed class TextAssemblerTests
{
    [Fact]
    public async Task A_stop_text_is_found_at_every_split()
    {
        // 2^13 ways to cut 14 bytes into tokens; the near miss before it ("EN" + "É") must come out.
        byte[] text = Encoding.UTF8.GetBytes("aENÉ ENDz END");
        for (int cuts = 0; cuts < 1 << (text.Length - 1); cuts++)
        {
            (string all, string? stop, _) = await AssembleAsync(Split(text, cuts), ["ENDING", "END"]);
            Assert.Equal(("aENÉ ", "END"), (all, stop));
        }
    }

    [Fact]
    public async Task The_earliest_of_several_stop_texts_wins_at_every_split()
    {
        byte[] text = Encoding.UTF8.GetBytes("xaabaabcyz");
        for (int cuts = 0; cuts < 1 << (text.Length - 1); cuts++)
        {
            // "aabc" needs a search that goes back: "aab" + "aabc".
            Assert.Equal(("xaab", "aabc"), Ends(await AssembleAsync(Split(text, cuts), ["aabc", "yz"])));
            Assert.Equal(("xaabaabcyz", null), Ends(await AssembleAsync(Split(text, cuts), ["aabd", "yza", ""])));
        }

        static (string, string?) Ends((string Text, string? Stop, List<string> Chunks) all) => (all.Text, all.Stop);
    }

    [Fact]
    public async Task Characters_are_never_cut()
    {
        byte[] text = Encoding.UTF8.GetBytes("é中😀ж!");
        for (int cuts = 0; cuts < 1 << (text.Length - 1); cuts++)
        {
            (string all, _, List<string> chunks) = await AssembleAsync(Split(text, cuts), ["中!"]);
            Assert.Equal("é中😀ж!", all);
            Assert.All(chunks, static c => Assert.DoesNotContain('\uFFFD', c));
        }
    }

    [Fact]
    public async Task Broken_bytes_are_replaced_as_the_framework_does_and_an_unfinished_end_is_dropped()
    {
        Random random = new(5);
        byte[] interesting = [0x41, 0x80, 0xBF, 0xC3, 0xA9, 0xE4, 0xB8, 0xAD, 0xED, 0xA0, 0xF0, 0x9F, 0x98, 0xF5, 0xC0, 0xFF];
        for (int round = 0; round < 3000; round++)
        {
            byte[] text = [.. Enumerable.Range(0, random.Next(1, 9)).Select(_ => interesting[random.Next(interesting.Length)])];
            string expected = Encoding.UTF8.GetString(text);
            (string all, _, _) = await AssembleAsync(Split(text, random.Next()), []);
            Assert.True(all == expected || (all + "\uFFFD" == expected && text[^1] >= 0x80), $"{Convert.ToHexString(text)}: {all} for {expected}");
            // Before a stop text nothing can finish a character any more.
            (string stopped, _, _) = await AssembleAsync(Split([.. text, (byte)'~'], random.Next()), ["~"]);
            Assert.Equal(expected, stopped);
        }
    }

    private static List<byte[]> Split(byte[] text, int cuts)
    {
        List<byte[]> tokens = [];
        int start = 0;
        for (int i = 1; i <= text.Length; i++)
        {
            if (i == text.Length || (cuts >> (i - 1) & 1) != 0)
            {
                tokens.Add(text[start..i]);
                start = i;
            }
        }
        return tokens;
    }

    private static async Task<(string Text, string? Stop, List<string> Chunks)> AssembleAsync(List<byte[]> tokens, string[] stops)
    {
        RunningAnswer sink = new(-1, static _ => { });
        TextAssembler assembler = new(stops, 1);
        List<string> chunks = [];
        await using IAsyncEnumerator<GenerationChunk> reader = sink.ReadAllAsync(TestContext.Current.CancellationToken).GetAsyncEnumerator();
        bool stopped = false;
        foreach (byte[] token in tokens)
        {
            stopped = assembler.Append(token, sink);
            // A token without final text counts as one all the same, so that the reader never waits.
            sink.PushToken(0, 0, default);
            Assert.True(await reader.MoveNextAsync());
            chunks.Add(reader.Current.Text);
            if (stopped)
            {
                break;
            }
        }
        if (!stopped)
        {
            assembler.Complete(sink);
        }
        sink.End(new GenerationResult { FinishReason = FinishReason.Stop, PromptTokens = 0, CachedTokens = 0, CompletionTokens = 0, Adapter = "base", Confidence = default(Confidence) });
        while (await reader.MoveNextAsync())
        {
            chunks.Add(reader.Current.Text);
        }
        Assert.Equal(stopped, assembler.Stopped is not null);
        return (string.Concat(chunks), assembler.Stopped, chunks);
    }
}
