using System.Text;
using ContinualNative.Core.Traffic;
using ContinualNative.Engine;
using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Gguf;
using ContinualNative.Engine.Models;
using ContinualNative.Training.Corpus;
using ContinualNative.Training.Vocabulary;

namespace ContinualNative.NativeTests.Training;

/// <summary>What is learned and written here is what llama.cpp reads: the vocabulary, the chat template, the weights.</summary>
public sealed class FreshModelTests
{
    private const string Text =
        "The quick brown fox jumps over the lazy dog; the dog didn't mind, it's used to it. Über allen Gipfeln ist Ruh. Съешь же ещё этих мягких булок. "
        + "日本語のテキスト。日本語のテスト。 1234 5678 1234 🎉🎉🎉\n\n\tif (x == y) { return x; }\r\n    if (x != y) { return y; }\n";

    [Fact]
    public void Tokens_are_those_of_llama_cpp()
    {
        VocabularyLearner learner = new();
        learner.Add(Encoding.UTF8.GetBytes(Text + Text));
        BytePairVocabulary vocabulary = new(learner.Learn(400));
        using ModelFile file = new(vocabulary, "llama");
        using ModelText model = ModelText.Load(file.Path);
        Assert.Equal(vocabulary.Size, model.Tokenizer.VocabularySize);
        Same(vocabulary, model, Text);
        Same(vocabulary, model, "x <|im_end|> y <|bos|>");
        string[] pieces = [" ", "  ", "\n", "\t", "\r\n", "'s", "'ll", "'", "the", " dog", "Über", "語", "1", "42", "!", " —", "\u00a0", "\u2028", "\u0301", "🎉", "e", "<|im_start|>"];
        Random random = new(7);
        for (int round = 0; round < 1000; round++)
        {
            StringBuilder text = new();
            for (int i = random.Next(1, 30); i > 0; i--)
            {
                int c = random.Next(3) == 0 ? random.Next(0x110000) : 0;
                text.Append(c > 0 && Rune.IsValid(c) ? new Rune(c).ToString() : pieces[random.Next(pieces.Length)]);
            }
            Same(vocabulary, model, text.ToString());
        }
    }

    [Fact]
    public void Every_character_has_the_class_that_llama_cpp_gives_it()
    {
        // A letter, a digit or a mark melts with the first byte of what stands behind it, which only happens within one word: so the tokens tell the
        // classes. Where .NET has come to know newer characters than llama.cpp, CharacterClasses must be told.
        List<BytePair> merges = [.. "a1!".SelectMany(static c => Enumerable.Range(0, 256).Select(b => new BytePair(c, b)))];
        BytePairVocabulary vocabulary = new(merges);
        using ModelFile file = new(vocabulary, "llama");
        using ModelText model = ModelText.Load(file.Path);
        List<string> wrong = [];
        for (int block = 0; block < 0x110000; block += 64)
        {
            if (Encode(block, 64) is var text && !Equal(vocabulary, model, text))
            {
                for (int c = block; c < block + 64; c++)
                {
                    if (!Equal(vocabulary, model, Encode(c, 1)))
                    {
                        wrong.Add($"U+{c:X4}");
                    }
                }
            }
        }
        Assert.Empty(wrong);

        static string Encode(int first, int count)
        {
            StringBuilder text = new();
            for (int c = first; c < first + count; c++)
            {
                if (Rune.IsValid(c))
                {
                    text.Append(System.Globalization.CultureInfo.InvariantCulture, $"a{new Rune(c)}1{new Rune(c)}!{new Rune(c)} {new Rune(c)}x");
                }
            }
            return text.ToString();
        }
    }

    [Fact]
    public void Chats_are_encoded_as_serving_renders_them()
    {
        VocabularyLearner learner = new();
        learner.Add(Encoding.UTF8.GetBytes(Text + Text));
        BytePairVocabulary vocabulary = new(learner.Learn(200));
        using ModelFile file = new(vocabulary, "llama");
        using ModelText model = ModelText.Load(file.Path);
        ChatPromptBuilder prompts = new(model);
        ChatMessage[] messages = [Message("system", "Be brief.\n"), Message("user", " It's the lazy dog's 42nd  "), Message("assistant", "ok"), Message("user", "日本語"), Message("assistant", "Über")];
        CorpusDocument document = new(true, [.. messages.Select(static m => (ReadOnlyMemory<byte>)Encoding.UTF8.GetBytes($"{m.Role}\n{m.Content}"))]);
        Assert.Equal([.. prompts.Encode(messages, addGenerationPrompt: false), vocabulary.Eos], CorpusEncoder.Encode(document, vocabulary));
        // What serving begins an answer with is what training sees before one.
        int[] prompt = prompts.Encode(messages[..^1]);
        Assert.Equal(prompt, CorpusEncoder.Encode(document, vocabulary)[..prompt.Length]);
        Assert.True(model.Tokenizer.IsEnd(vocabulary.Eos) && model.Tokenizer.IsEnd(vocabulary.MessageEnd));
        Assert.False(model.Tokenizer.IsEnd(vocabulary.Bos) || model.Tokenizer.IsEnd(vocabulary.MessageStart));
        Assert.All(Enumerable.Range(vocabulary.Bos, 4), token => Assert.True(model.Tokenizer.IsControl(token)));

        static ChatMessage Message(string role, string content) => new() { Role = role, Content = content };
    }

    [Theory]
    [InlineData("llama", true)]
    [InlineData("llama", false)]
    [InlineData("qwen2", true)]
    [InlineData("qwen3", false)]
    public async Task A_fresh_model_predicts_nothing_in_particular(string architecture, bool tied)
    {
        BytePairVocabulary vocabulary = new([new BytePair('t', 'h')]);
        using ModelFile file = new(vocabulary, architecture, tied);
        await using InferenceEngine engine = await InferenceEngine.LoadAsync(new EngineOptions { ModelPath = file.Path, Parallel = 1, ContextLength = 128 }, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(architecture, engine.Model.Architecture);
        int[] tokens = [vocabulary.Bos, .. vocabulary.Encode("the thing and the other thing")];
        float[] logProbs = await engine.ScoreAsync(tokens, 1, null, TestContext.Current.CancellationToken);
        // Uniform over the vocabulary but for the little that a deviation of 0.02 makes.
        Assert.Equal(Math.Log(vocabulary.Size), -logProbs.Average(), 0.1);
    }

    private static void Same(BytePairVocabulary vocabulary, ModelText model, string text) =>
        Assert.Equal(model.Tokenizer.Encode(text, addSpecial: false, parseSpecial: false), vocabulary.Encode(text));

    private static bool Equal(BytePairVocabulary vocabulary, ModelText model, string text) =>
        model.Tokenizer.Encode(text, addSpecial: false, parseSpecial: false).AsSpan().SequenceEqual(vocabulary.Encode(text));

    private sealed class ModelFile : IDisposable
    {
        public ModelFile(BytePairVocabulary vocabulary, string architecture, bool tied = true)
        {
            SyntheticShape shape = SyntheticShape.Tiny with { Architecture = architecture, TiedEmbeddings = tied, Width = 64, FeedForward = 128 };
            FreshVocabulary fresh = new()
            {
                Tokens = vocabulary.Spellings,
                Merges = vocabulary.MergeSpellings,
                Controls = BytePairVocabulary.ControlTokens.Count,
                Bos = vocabulary.Bos,
                Eos = vocabulary.Eos,
                EndOfTurn = vocabulary.MessageEnd,
                ChatTemplate = CorpusEncoder.ChatTemplate,
            };
            FreshModel.Create(shape, fresh, 1).Write(Path);
        }

        public string Path { get; } = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"fresh-{Guid.NewGuid():N}.gguf");

        public void Dispose() => File.Delete(Path);
    }
}
