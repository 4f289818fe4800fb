using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ContinualNative.Interop.Llama;

/// <summary>A loaded model. Contexts and adapters hold a reference on it, so disposing it early is safe.</summary>
public sealed unsafe class LlamaModelHandle : SafeHandle
{
    private LlamaModelHandle(nint model)
        : base(0, ownsHandle: true)
    {
        SetHandle(model);
        Vocabulary = new LlamaVocabulary(this, LlamaNative.llama_model_get_vocab(this));
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>The model's vocabulary; lives as long as the model.</summary>
    public LlamaVocabulary Vocabulary { get; }

    /// <summary>Context that the model was trained for, in tokens.</summary>
    public int TrainedContext => LlamaNative.llama_model_n_ctx_train(this);

    /// <summary>Width of an output embedding.</summary>
    public int EmbeddingLength => LlamaNative.llama_model_n_embd_out(this);

    /// <summary>Number of layers.</summary>
    public int LayerCount => LlamaNative.llama_model_n_layer(this);

    /// <summary>Tokens that its sliding-window layers look back at; 0 when it has none.</summary>
    public int SlidingWindow => LlamaNative.llama_model_n_swa(this);

    /// <summary>Bytes of all tensors.</summary>
    public long Bytes => (long)LlamaNative.llama_model_size(this);

    /// <summary>Number of parameters.</summary>
    public long Parameters => (long)LlamaNative.llama_model_n_params(this);

    /// <summary>Whether the model has an encoder that must run first.</summary>
    public bool HasEncoder => LlamaNative.llama_model_has_encoder(this) != 0;

    /// <summary>Whether the model has a decoder.</summary>
    public bool HasDecoder => LlamaNative.llama_model_has_decoder(this) != 0;

    /// <summary>Whether its memory is a state rather than a cache of positions, so that prefixes can't be cut out of it.</summary>
    public bool HasRecurrentMemory => LlamaNative.llama_model_is_recurrent(this) != 0 || LlamaNative.llama_model_is_hybrid(this) != 0;

    /// <summary>Whether it generates by diffusion instead of token by token.</summary>
    public bool IsDiffusion => LlamaNative.llama_model_is_diffusion(this) != 0;

    /// <summary>llama.cpp's one-line description.</summary>
    public string Description => LlamaNative.Text((buffer, size) => LlamaNative.llama_model_desc(this, buffer, size)) ?? "";

    /// <summary>The model's default chat template, or null.</summary>
    public string? ChatTemplate
    {
        get
        {
            byte* text = LlamaNative.llama_model_chat_template(this, null);
            return text is null ? null : LlamaNative.Text(text);
        }
    }

    /// <summary>A metadata value as text, or null; arrays are not supported by llama.cpp here.</summary>
    public string? Metadata(string key) => LlamaNative.Text((buffer, size) => LlamaNative.llama_model_meta_val_str(this, key, buffer, size));

    /// <summary>
    /// Loads a GGUF file. <paramref name="progress"/> gets 0 to 1; when it returns false the load is given up.
    /// Throws <see cref="LlamaException"/> quoting llama.cpp.
    /// </summary>
    public static LlamaModelHandle Load(string path, int gpuLayers = 0, bool vocabularyOnly = false, bool repackWeights = true, Func<float, bool>? progress = null)
    {
        LlamaLibrary.EnsureLoaded();
        if (gpuLayers != 0 && LlamaNative.llama_supports_gpu_offload() == 0)
        {
            // Decision: never fall back silently from a backend that was asked for.
            throw new LlamaException("llama_model_load_from_file",
                $"{gpuLayers} layers were asked for on a GPU, but this llama.cpp has no GPU backend. Set {LlamaLibrary.DirectoryVariable} to a llama.cpp {LlamaLibrary.PinnedVersion} built for your GPU, or use 0 GPU layers.");
        }
        LlamaModelParams parameters = LlamaNative.llama_model_default_params();
        parameters.GpuLayers = gpuLayers;
        parameters.VocabOnly = vocabularyOnly ? (byte)1 : (byte)0;
        parameters.UseExtraBufferTypes = repackWeights ? (byte)1 : (byte)0;
        GCHandle callback = default;
        if (progress is not null)
        {
            callback = GCHandle.Alloc(progress);
            parameters.ProgressCallback = (nint)(delegate* unmanaged[Cdecl]<float, void*, byte>)&OnProgress;
            parameters.ProgressUserData = GCHandle.ToIntPtr(callback);
        }
        LlamaLog.BeginCapture();
        nint model;
        string log;
        try
        {
            model = Firewall.LoadModel(path, parameters);
        }
        finally
        {
            log = LlamaLog.EndCapture();
            if (callback.IsAllocated)
            {
                callback.Free();
            }
        }
        return model == 0
            ? throw new LlamaException("llama_model_load_from_file", $"llama.cpp can't load '{path}': {(log.Length == 0 ? "no reason given" : log)}")
            : new LlamaModelHandle(model);
    }

    /// <summary>
    /// Writes a quantized copy of a GGUF file. <paramref name="fileType"/> is a <c>llama_ftype</c>, such as 7 for Q8_0 or 15 for Q4_K_M.
    /// Throws <see cref="LlamaException"/>.
    /// </summary>
    public static void Quantize(string input, string output, int fileType, int threads = 0, bool pure = false)
    {
        LlamaLibrary.EnsureLoaded();
        LlamaQuantizeParams parameters = LlamaNative.llama_model_quantize_default_params();
        parameters.FileType = fileType;
        parameters.Threads = threads;
        parameters.Pure = pure ? (byte)1 : (byte)0;
        LlamaLog.BeginCapture();
        uint status;
        string log;
        try
        {
            status = Firewall.Quantize(input, output, parameters);
        }
        finally
        {
            log = LlamaLog.EndCapture();
        }
        if (status != 0)
        {
            throw new LlamaException("llama_model_quantize", $"llama.cpp can't quantize '{input}': {(log.Length == 0 ? $"status {status}" : log)}", (int)status);
        }
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        LlamaNative.llama_model_free(handle);
        return true;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static byte OnProgress(float progress, void* userData)
    {
        try
        {
            return GCHandle.FromIntPtr((nint)userData).Target is Func<float, bool> callback && !callback(progress) ? (byte)0 : (byte)1;
        }
        catch (Exception)
        {
            return 1;
        }
    }
}
