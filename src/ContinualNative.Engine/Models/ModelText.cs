using ContinualNative.Engine.Chat;
using ContinualNative.Engine.Gguf;
using ContinualNative.Interop.Llama;

namespace ContinualNative.Engine.Models;

/// <summary>
/// A model's way with text, without its weights: vocabulary and chat template. Serving, evaluation and training all go through it, so that they cannot
/// differ. Thread-safe.
/// </summary>
public sealed class ModelText : IDisposable
{
    private readonly LlamaModelHandle? _owned;

    internal ModelText(LlamaModelHandle model, string name, int contextLength, bool owned)
    {
        _owned = owned ? model : null;
        Name = name;
        ContextLength = contextLength;
        Tokenizer = new Tokenizer(model.Vocabulary);
        ChatTemplateSource = model.ChatTemplate;
        if (ChatTemplateSource is { Length: > 0 } source)
        {
            try
            {
                ChatTemplate = new ChatTemplate(source, Tokenizer.BosText, Tokenizer.EosText);
                // The template is probed for what it supports once; better now than in the first request.
                _ = ChatTemplate.SupportsTools;
            }
            catch (EngineException e)
            {
                // Decision: a model whose template is broken still completes raw text and embeds; only chats are refused, with this reason.
                ChatTemplate = null;
                ChatTemplateError = e.Message;
            }
        }
    }

    /// <summary>The name that messages use.</summary>
    public string Name { get; }

    /// <summary>Longest sequence in tokens: served, or, where nothing is, trained.</summary>
    public int ContextLength { get; }

    /// <summary>Text to tokens and back.</summary>
    public Tokenizer Tokenizer { get; }

    /// <summary>The model's chat template; null when the file has none.</summary>
    public ChatTemplate? ChatTemplate { get; }

    /// <summary>Why <see cref="ChatTemplate"/> is null although the file has one; else null.</summary>
    public string? ChatTemplateError { get; }

    /// <summary>The template's text, or null.</summary>
    public string? ChatTemplateSource { get; }

    /// <summary>
    /// Reads a model's vocabulary and template, not its weights. Throws <see cref="EngineException"/> (BadFile), and
    /// <see cref="LlamaLibraryException"/> when llama.cpp is missing.
    /// </summary>
    public static ModelText Load(string path)
    {
        LlamaLibrary.EnsureLoaded();
        GgufFile file = ModelFile.Read(path);
        long context = file.FindInt64($"{file.Architecture}.context_length") ?? int.MaxValue;
        LlamaModelHandle? model = null;
        try
        {
            model = LlamaModelHandle.Load(path, vocabularyOnly: true);
            return new ModelText(model, Path.GetFileNameWithoutExtension(path), (int)Math.Clamp(context, 1, int.MaxValue), owned: true);
        }
        catch (LlamaException e)
        {
            model?.Dispose();
            throw new EngineException(EngineError.BadFile, e.Message, "model", e);
        }
    }

    /// <summary>Frees the vocabulary; where it belongs to an engine, that does.</summary>
    public void Dispose() => _owned?.Dispose();
}
