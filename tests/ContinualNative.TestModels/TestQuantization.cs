namespace ContinualNative.TestModels;

/// <summary>The quantizations that the engine is tested on, by llama.cpp's names and <c>llama_ftype</c> numbers.</summary>
public static class TestQuantization
{
    private static readonly Dictionary<string, int> FileTypes = new(StringComparer.Ordinal)
    {
        ["F32"] = 0,
        ["F16"] = 1,
        ["BF16"] = 32,
        ["Q4_0"] = 2,
        ["Q4_1"] = 3,
        ["Q5_0"] = 8,
        ["Q5_1"] = 9,
        ["Q8_0"] = 7,
        ["Q2_K"] = 10,
        ["Q3_K_M"] = 12,
        ["Q4_K_M"] = 15,
        ["Q5_K_M"] = 17,
        ["Q6_K"] = 18,
        ["IQ4_NL"] = 25,
        ["IQ4_XS"] = 30,
    };

    /// <summary>All names.</summary>
    public static IReadOnlyCollection<string> All => FileTypes.Keys;

    /// <summary>The <c>llama_ftype</c> of a name.</summary>
    public static int FileType(string name) =>
        FileTypes.TryGetValue(name, out int type) ? type : throw new ArgumentException($"no such quantization: {name}; there are {string.Join(", ", All)}", nameof(name));
}
