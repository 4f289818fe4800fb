using System.Runtime.InteropServices;

namespace ContinualNative.Interop.Llama;

/// <summary>The state of one answer's GBNF grammar. Not thread-safe. Buffers are made once; its managed side allocates nothing per token.</summary>
public sealed unsafe class LlamaGrammar : IDisposable
{
    private readonly LlamaModelHandle _model;
    private readonly int _vocabulary;
    private nint _sampler;
    private LlamaTokenData* _candidates;

    /// <summary>Parses <paramref name="gbnf"/>; throws <see cref="LlamaException"/> when llama.cpp refuses it.</summary>
    public LlamaGrammar(LlamaModelHandle model, string gbnf)
    {
        LlamaLog.BeginCapture();
        string log;
        try
        {
            _sampler = Firewall.InitGrammar(model.Vocabulary.Address, gbnf, "root");
        }
        finally
        {
            log = LlamaLog.EndCapture();
        }
        if (_sampler == 0)
        {
            throw new LlamaException("llama_sampler_init_grammar", $"The grammar is not valid GBNF with a rule named root{(log.Length == 0 ? "." : ": " + log)}");
        }
        bool added = false;
        model.DangerousAddRef(ref added);
        _model = model;
        _vocabulary = model.Vocabulary.Size;
    }

    /// <summary>Whether the grammar lets <paramref name="token"/> come next.</summary>
    public bool Allows(int token)
    {
        ObjectDisposedException.ThrowIf(_sampler == 0, this);
        LlamaTokenData one = new() { Id = token, Logit = 1f };
        LlamaTokenDataArray array = new() { Data = &one, Size = 1, Selected = -1 };
        Firewall.Apply(_sampler, &array);
        return !float.IsNegativeInfinity(one.Logit);
    }

    /// <summary>Sets the logits of all tokens that can't come next to −∞.</summary>
    public void Mask(Span<float> logits)
    {
        ObjectDisposedException.ThrowIf(_sampler == 0, this);
        if (_candidates is null)
        {
            _candidates = (LlamaTokenData*)NativeMemory.Alloc((nuint)_vocabulary, (nuint)sizeof(LlamaTokenData));
        }
        for (int i = 0; i < logits.Length; i++)
        {
            _candidates[i] = new LlamaTokenData { Id = i, Logit = logits[i] };
        }
        LlamaTokenDataArray array = new() { Data = _candidates, Size = (nuint)logits.Length, Selected = -1 };
        Firewall.Apply(_sampler, &array);
        for (nuint i = 0; i < array.Size; i++)
        {
            logits[array.Data[i].Id] = array.Data[i].Logit;
        }
    }

    /// <summary>Takes a token that <see cref="Allows"/> or <see cref="Mask"/> let through.</summary>
    public void Accept(int token)
    {
        ObjectDisposedException.ThrowIf(_sampler == 0, this);
        Firewall.Accept(_sampler, token);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        nint sampler = Interlocked.Exchange(ref _sampler, 0);
        if (sampler != 0)
        {
            LlamaNative.llama_sampler_free(sampler);
            NativeMemory.Free(_candidates);
            _candidates = null;
            _model.DangerousRelease();
        }
    }
}
