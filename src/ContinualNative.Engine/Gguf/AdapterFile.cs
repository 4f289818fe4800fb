namespace ContinualNative.Engine.Gguf;

/// <summary>
/// The head of a LoRA adapter in llama.cpp's GGUF form, checked: llama.cpp ends the process on some adapters that don't fit, so none reaches
/// it unchecked. For a weight W of [n, m] (n inputs, m outputs) the pair is A of [n, rank] and B of [rank, m]; applied is
/// W + <see cref="Scale"/> · B·A. For <c>token_embd.weight</c> of [n, vocabulary], A is [rank, vocabulary] and B [rank, n]. Immutable.
/// </summary>
public sealed class AdapterFile
{
    private const string SuffixA = ".lora_a";
    private const string SuffixB = ".lora_b";
    private const string TokenEmbeddings = "token_embd.weight";

    private readonly Dictionary<string, (GgufTensor A, GgufTensor B)> _pairs = new(StringComparer.Ordinal);

    private AdapterFile(GgufFile file)
    {
        File = file;
        CheckMetadata();
        Architecture = file.Architecture;
        Alpha = file.FindSingle("adapter.lora.alpha") ?? 0f;
        ReadPairs();
        Rank = _pairs.Values.Max(static pair => RankOf(pair.B));
    }

    /// <summary>The file's head.</summary>
    public GgufFile File { get; }

    /// <summary>The base model's architecture.</summary>
    public string Architecture { get; }

    /// <summary>LoRA alpha; 0 means that the update is not scaled.</summary>
    public float Alpha { get; }

    /// <summary>LoRA rank, the largest of the pairs.</summary>
    public int Rank { get; }

    /// <summary>What the largest pair's update is multiplied by: alpha ÷ rank, or 1 where alpha is 0.</summary>
    public float Scale => Alpha == 0f ? 1f : Alpha / Rank;

    /// <summary>Names of the base model's tensors that it changes.</summary>
    public IReadOnlyCollection<string> TensorNames => _pairs.Keys;

    /// <summary>Bytes of its tensors.</summary>
    public long TensorBytes => File.TensorBytes;

    /// <summary>Reads and checks a file. Throws <see cref="EngineException"/> (BadFile).</summary>
    public static AdapterFile Read(string path) => new(GgufFile.Read(path));

    /// <summary>Reads and checks a seekable stream that stands at the adapter's first byte.</summary>
    public static AdapterFile Read(Stream stream, string name = "the adapter") => new(GgufFile.Read(stream, name));

    /// <summary>Checks a file whose head is read already.</summary>
    public static AdapterFile From(GgufFile file) => new(file);

    /// <summary>The pair that changes a tensor of the base model.</summary>
    public (GgufTensor A, GgufTensor B) GetPair(string tensorName) => _pairs[tensorName];

    /// <summary>Throws <see cref="EngineException"/> (BadFile) when the adapter was made for another base model.</summary>
    public void CheckAgainst(GgufFile model)
    {
        ArgumentNullException.ThrowIfNull(model);
        string architecture = model.Architecture;
        if (architecture != Architecture)
        {
            throw Other(model, $"it is for {GgufReader.Quote(Architecture)}, the model is {GgufReader.Quote(architecture)}");
        }
        foreach ((string name, (GgufTensor a, GgufTensor b)) in _pairs)
        {
            if (!model.TryGetTensor(name, out GgufTensor? weight))
            {
                throw Other(model, $"it changes {GgufReader.Quote(name)}, which the model does not have");
            }
            if (weight.Shape.Count < 2)
            {
                throw Other(model, $"it changes {GgufReader.Quote(name)}, which is no matrix in the model");
            }
            bool embeddings = IsEmbeddings(name);
            (long inputs, long outputs) = embeddings ? (b.Dimension(1), a.Dimension(1)) : (a.Dimension(0), b.Dimension(1));
            if (weight.Dimension(0) != inputs || weight.Dimension(1) != outputs)
            {
                throw Other(model, $"its {GgufReader.Quote(name)} is {inputs} × {outputs}, the model's is {weight.ShapeText}");
            }
            if (weight.Dimension(2) != a.Dimension(2) || weight.Dimension(2) != b.Dimension(2) || weight.Dimension(3) != a.Dimension(3))
            {
                throw Other(model, $"its {GgufReader.Quote(name)} is for another number of experts than the model's {weight.ShapeText}");
            }
            if (embeddings && !model.TryGetTensor("output.weight", out _))
            {
                // llama.cpp would use the pair, which is laid out for the input, at the output too, and abort.
                throw File.Bad($"changes {name}, which in {model.Name} is the output matrix too; llama.cpp can't apply that: train the adapter without the embeddings");
            }
        }
    }

    private static bool IsEmbeddings(string name) => name.EndsWith(TokenEmbeddings, StringComparison.Ordinal);

    private static int RankOf(GgufTensor b) => (int)b.Dimension(0);

    private void CheckMetadata()
    {
        string? type = File.FindString("general.type");
        if (type != "adapter")
        {
            throw File.Bad(type is null or "model" && File.Metadata.ContainsKey("tokenizer.ggml.tokens")
                ? "is a model, not an adapter; name it as model, or make an adapter from a LoRA with convert_lora_to_gguf"
                : $"is not an adapter (general.type is {(type is null ? "missing" : GgufReader.Quote(type))}); make one with 'continual train' or convert_lora_to_gguf");
        }
        string? kind = File.FindString("adapter.type");
        if (kind != "lora")
        {
            throw File.Bad($"is an adapter of type {(kind is null ? "(missing)" : GgufReader.Quote(kind))}, but only 'lora' is supported");
        }
        if (File.Metadata.TryGetValue("adapter.lora.alpha", out GgufValue? alpha) && !(alpha.Value is float number && float.IsFinite(number)))
        {
            throw File.Bad($"is damaged: adapter.lora.alpha is {alpha} ({alpha.TypeName}), expected a finite f32; convert the adapter again");
        }
        if (File.Metadata.ContainsKey("adapter.alora.invocation_tokens"))
        {
            throw File.Bad("is an activated LoRA (aLoRA), which is not supported; use a plain LoRA");
        }
    }

    private void ReadPairs()
    {
        Dictionary<string, GgufTensor> firsts = new(StringComparer.Ordinal);
        Dictionary<string, GgufTensor> seconds = new(StringComparer.Ordinal);
        foreach (GgufTensor tensor in File.Tensors)
        {
            if (tensor.Name.EndsWith(SuffixA, StringComparison.Ordinal))
            {
                Add(firsts, tensor, SuffixA);
            }
            else if (tensor.Name.EndsWith(SuffixB, StringComparison.Ordinal))
            {
                Add(seconds, tensor, SuffixB);
            }
            else if (!tensor.Name.EndsWith("_norm.weight", StringComparison.Ordinal))
            {
                // llama.cpp passes over norms, and refuses all else.
                throw File.Bad($"holds the tensor {GgufReader.Quote(tensor.Name)}, which belongs to no LoRA (names end in {SuffixA} or {SuffixB}); convert the adapter again");
            }
        }
        foreach ((string name, GgufTensor a) in firsts)
        {
            if (!seconds.Remove(name, out GgufTensor? b))
            {
                throw File.Bad($"has {GgufReader.Quote(name + SuffixA)} but not {GgufReader.Quote(name + SuffixB)}; convert the adapter again");
            }
            CheckPair(name, a, b);
            _pairs.Add(name, (a, b));
        }
        if (seconds.Count > 0)
        {
            string name = seconds.Keys.First();
            throw File.Bad($"has {GgufReader.Quote(name + SuffixB)} but not {GgufReader.Quote(name + SuffixA)}; convert the adapter again");
        }
        if (_pairs.Count == 0)
        {
            throw File.Bad("holds no LoRA tensors; convert the adapter again");
        }
    }

    private void Add(Dictionary<string, GgufTensor> tensors, GgufTensor tensor, string suffix)
    {
        string name = tensor.Name[..^suffix.Length];
        // llama.cpp takes the suffix out wherever it stands in the name, not only at the end.
        if (name.Length == 0 || name.Contains(SuffixA, StringComparison.Ordinal) || name.Contains(SuffixB, StringComparison.Ordinal))
        {
            throw File.Bad($"holds a tensor with the impossible name {GgufReader.Quote(tensor.Name)}; convert the adapter again");
        }
        tensors.Add(name, tensor);
    }

    private void CheckPair(string name, GgufTensor a, GgufTensor b)
    {
        foreach (GgufTensor tensor in (GgufTensor[])[a, b])
        {
            if (tensor.Type is GgmlType.F64 or GgmlType.I8 or GgmlType.I16 or GgmlType.I32 or GgmlType.I64 or GgmlType.Q8_1 or GgmlType.Q8_K)
            {
                throw File.Bad($"stores {GgufReader.Quote(tensor.Name)} as {tensor.Type.Name()}, which llama.cpp can't multiply with; convert the adapter as f32 or f16");
            }
            if (tensor.Shape.Count < 2)
            {
                throw File.Bad($"is damaged: {GgufReader.Quote(tensor.Name)} is no matrix; convert the adapter again");
            }
        }
        long rankOfA = IsEmbeddings(name) ? a.Dimension(0) : a.Dimension(1);
        long rankOfB = b.Dimension(0);
        if (rankOfA != rankOfB || rankOfB > 1 << 20)
        {
            throw File.Bad($"is damaged: for {GgufReader.Quote(name)} A is {a.ShapeText} and B is {b.ShapeText}, whose ranks ({rankOfA} and {rankOfB}) don't agree; convert the adapter again");
        }
        if (a.Dimension(2) != b.Dimension(2) || a.Dimension(3) != b.Dimension(3))
        {
            throw File.Bad($"is damaged: for {GgufReader.Quote(name)} A is {a.ShapeText} and B is {b.ShapeText}, which are for different numbers of experts; convert the adapter again");
        }
    }

    private EngineException Other(GgufFile model, string why) =>
        File.Bad($"was made for another base model than {model.Name}: {why}; use the model that it was trained on");
}
