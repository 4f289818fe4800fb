using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace ContinualNative.Core.Curation;

/// <summary>What a cycle trains on and is measured by. No request is in two of the lists, and no prompt of an example is that of a request to evaluate on. All in order of arrival.</summary>
public sealed record CuratedSet
{
    /// <summary>The examples with their texts, fresh ones and replay.</summary>
    public required IReadOnlyList<(CuratedExample Example, ExampleTexts Texts)> Train { get; init; }

    /// <summary>Fresh requests that are held out.</summary>
    public required IReadOnlyList<EvaluationRequest> FreshHoldout { get; init; }

    /// <summary>Old requests that are held out.</summary>
    public required IReadOnlyList<EvaluationRequest> OldHoldout { get; init; }

    /// <summary>Golden requests.</summary>
    public required IReadOnlyList<EvaluationRequest> Golden { get; init; }

    /// <summary>What was chosen and what was not, and why.</summary>
    public required CurationReport Report { get; init; }

    /// <summary>SHA-256 of <see cref="Train"/> in hexadecimal digits: ids, texts and weights in order. Equal hashes mean the same training data.</summary>
    public required string Hash { get; init; }

    /// <summary>The same of the three lists to evaluate on.</summary>
    public required string EvaluationHash { get; init; }

    internal static string HashOf(IReadOnlyList<(CuratedExample Example, ExampleTexts Texts)> train)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> weight = stackalloc byte[8];
        foreach ((CuratedExample example, ExampleTexts texts) in train)
        {
            Add(hash, example.RequestId, example.Replay ? "replay" : "fresh", texts.Prompt, texts.Answer, texts.Rejected);
            BinaryPrimitives.WriteDoubleLittleEndian(weight, example.Weight);
            hash.AppendData(weight);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    internal static string HashOf(IEnumerable<EvaluationRequest> requests)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (EvaluationRequest request in requests)
        {
            Add(hash, request.RequestId, request.Suite.ToString(), request.Prompt, request.Truth);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    // Lengths keep the texts apart; -1 is null.
    private static void Add(IncrementalHash hash, params ReadOnlySpan<string?> texts)
    {
        Span<byte> length = stackalloc byte[4];
        foreach (string? text in texts)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text ?? "");
            BinaryPrimitives.WriteInt32LittleEndian(length, text is null ? -1 : bytes.Length);
            hash.AppendData(length);
            hash.AppendData(bytes);
        }
    }
}
