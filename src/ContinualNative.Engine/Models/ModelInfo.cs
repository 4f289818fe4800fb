namespace ContinualNative.Engine.Models;

/// <summary>What a loaded model is.</summary>
public sealed record ModelInfo
{
    /// <summary>The name that requests use.</summary>
    public required string Name { get; init; }

    /// <summary>The file.</summary>
    public required string Path { get; init; }

    /// <summary><c>general.architecture</c>, such as <c>llama</c> or <c>qwen2</c>.</summary>
    public required string Architecture { get; init; }

    /// <summary>llama.cpp's one-line description: architecture, size, quantization.</summary>
    public required string Description { get; init; }

    /// <summary>Number of parameters.</summary>
    public required long Parameters { get; init; }

    /// <summary>Bytes of all tensors.</summary>
    public required long Bytes { get; init; }

    /// <summary>Context that the model was trained for, in tokens.</summary>
    public required int TrainedContext { get; init; }

    /// <summary>Longest sequence served, in tokens.</summary>
    public required int ContextLength { get; init; }

    /// <summary>Width of an embedding.</summary>
    public required int EmbeddingLength { get; init; }

    /// <summary>Size of the vocabulary.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>False for embedding-only models, which refuse generation.</summary>
    public required bool CanGenerate { get; init; }

    /// <summary>When it was loaded.</summary>
    public required DateTimeOffset LoadedAt { get; init; }
}
