using System.Runtime.InteropServices;

namespace ContinualNative.Interop.Llama;

/// <summary>The threads that compute on the CPU. Contexts that use it hold a reference on it.</summary>
public sealed unsafe class LlamaThreadpool : SafeHandle
{
    private readonly delegate* unmanaged[Cdecl]<nint, void> _free;

    /// <summary>
    /// Starts <paramref name="threads"/> threads (the caller of decode counts as one). <paramref name="poll"/>, 0 to 100: how long they spin for work
    /// before they sleep.
    /// </summary>
    public LlamaThreadpool(int threads, int poll)
        : base(0, ownsHandle: true)
    {
        LlamaLibrary.EnsureLoaded();
        nint registry = LlamaNative.ggml_backend_dev_backend_reg(LlamaNative.ggml_backend_dev_by_type(0));
        var create = (delegate* unmanaged[Cdecl]<GgmlThreadpoolParams*, nint>)LlamaNative.ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_new");
        _free = (delegate* unmanaged[Cdecl]<nint, void>)LlamaNative.ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_free");
        if (create is null || _free is null)
        {
            throw new LlamaException("ggml_threadpool_new", "llama.cpp's CPU backend offers no thread pool.");
        }
        GgmlThreadpoolParams parameters;
        LlamaNative.ggml_threadpool_params_init(&parameters, threads);
        parameters.Poll = (uint)poll;
        SetHandle(create(&parameters));
        if (IsInvalid)
        {
            throw new LlamaException("ggml_threadpool_new", $"llama.cpp can't start {threads} threads.");
        }
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        _free(handle);
        return true;
    }
}
