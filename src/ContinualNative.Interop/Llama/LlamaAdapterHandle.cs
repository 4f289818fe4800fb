using System.Runtime.InteropServices;

namespace ContinualNative.Interop.Llama;

/// <summary>A LoRA adapter on a model. Holds a reference on the model and drops it in <see cref="ReleaseHandle"/>.</summary>
public sealed unsafe class LlamaAdapterHandle : SafeHandle
{
    // llama.cpp keeps a set of adapters in the model without a lock of its own.
    private static readonly Lock ModelGate = new();
    private readonly LlamaModelHandle _model;

    private LlamaAdapterHandle(LlamaModelHandle model, nint adapter)
        : base(0, ownsHandle: true)
    {
        bool added = false;
        model.DangerousAddRef(ref added);
        SetHandle(adapter);
        _model = model;
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Loads a GGUF LoRA file; throws <see cref="LlamaException"/> quoting llama.cpp.</summary>
    public static LlamaAdapterHandle Load(LlamaModelHandle model, string path) =>
        Load(model, $"'{path}'", () => Firewall.LoadAdapter(model, path));

    /// <summary>Loads a GGUF LoRA from memory, which may be freed afterwards.</summary>
    public static LlamaAdapterHandle Load(LlamaModelHandle model, ReadOnlyMemory<byte> gguf)
    {
        if (!OperatingSystem.IsLinux() && !OperatingSystem.IsMacOS())
        {
            // No memory stream behind a C FILE on this platform: go through a file that only we can read.
            string path = Path.GetTempFileName();
            try
            {
                File.WriteAllBytes(path, gguf.Span);
                return Load(model, path);
            }
            finally
            {
                File.Delete(path);
            }
        }
        using System.Buffers.MemoryHandle pin = gguf.Pin();
        byte* mode = stackalloc byte[] { (byte)'r', (byte)'b', 0 };
        nint file = LlamaNative.fmemopen((byte*)pin.Pointer, (nuint)gguf.Length, mode);
        if (file == 0)
        {
            throw new LlamaException("fmemopen", "The adapter in memory can't be opened: it is empty, or memory is short.");
        }
        try
        {
            return Load(model, "the adapter in memory", () => Firewall.LoadAdapter(model, file));
        }
        finally
        {
            _ = LlamaNative.fclose(file);
        }
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        lock (ModelGate)
        {
            LlamaNative.llama_adapter_lora_free(handle);
        }
        _model.DangerousRelease();
        return true;
    }

    private static LlamaAdapterHandle Load(LlamaModelHandle model, string what, Func<nint> load)
    {
        lock (ModelGate)
        {
            LlamaLog.BeginCapture();
            nint adapter = 0;
            string log;
            try
            {
                adapter = load();
            }
            finally
            {
                log = LlamaLog.EndCapture();
            }
            return adapter == 0
                ? throw new LlamaException("llama_adapter_lora_init", $"llama.cpp can't load {what} as an adapter: {(log.Length == 0 ? "no reason given" : log)}")
                : new LlamaAdapterHandle(model, adapter);
        }
    }
}
