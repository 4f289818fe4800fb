using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ContinualNative.Interop.Llama;

/// <summary>The functions of <c>libllama</c> and <c>libggml</c> that this project calls. Nothing here checks its arguments: the handles do.</summary>
internal static unsafe partial class LlamaNative
{
    internal const string Llama = "llama";
    internal const string Ggml = "ggml";
    internal const string GgmlBase = "ggml-base";

    // Library
    [LibraryImport(Llama)] internal static partial byte* llama_version();
    [LibraryImport(Llama)] internal static partial void llama_backend_init();
    [LibraryImport(Llama)] internal static partial LlamaModelParams llama_model_default_params();
    [LibraryImport(Llama)] internal static partial LlamaContextParams llama_context_default_params();
    [LibraryImport(Llama)] internal static partial LlamaQuantizeParams llama_model_quantize_default_params();
    [LibraryImport(Llama)] internal static partial byte* llama_print_system_info();
    [LibraryImport(Llama)] internal static partial byte llama_supports_gpu_offload();
    [LibraryImport(Llama)] internal static partial void llama_log_set(delegate* unmanaged[Cdecl]<int, byte*, void*, void> callback, void* userData);
    [LibraryImport(GgmlBase)] internal static partial nint ggml_set_abort_callback(delegate* unmanaged[Cdecl]<byte*, void> callback);

    // Backends
    [LibraryImport(Ggml, StringMarshalling = StringMarshalling.Utf8)] internal static partial void ggml_backend_load_all_from_path(string directory);
    [LibraryImport(Ggml)] internal static partial nuint ggml_backend_dev_count();
    [LibraryImport(Ggml)] internal static partial nint ggml_backend_dev_get(nuint index);
    [LibraryImport(Ggml)] internal static partial nint ggml_backend_dev_by_type(int type);
    [LibraryImport(GgmlBase)] internal static partial byte* ggml_backend_dev_name(nint device);
    [LibraryImport(GgmlBase)] internal static partial byte* ggml_backend_dev_description(nint device);
    [LibraryImport(GgmlBase)] internal static partial void ggml_backend_dev_memory(nint device, nuint* free, nuint* total);
    [LibraryImport(GgmlBase)] internal static partial int ggml_backend_dev_type(nint device);
    [LibraryImport(GgmlBase)] internal static partial nint ggml_backend_dev_backend_reg(nint device);
    [LibraryImport(GgmlBase, StringMarshalling = StringMarshalling.Utf8)] internal static partial nint ggml_backend_reg_get_proc_address(nint registry, string name);
    [LibraryImport(GgmlBase)] internal static partial nuint ggml_tensor_overhead();
    [LibraryImport(GgmlBase)] internal static partial byte* ggml_get_name(void* tensor);
    [LibraryImport(GgmlBase)] internal static partial nint ggml_get_data(void* tensor);
    [LibraryImport(GgmlBase)] internal static partial nuint ggml_nbytes(void* tensor);
    [LibraryImport(GgmlBase)] internal static partial nint ggml_backend_buffer_get_type(nint buffer);
    [LibraryImport(GgmlBase)] internal static partial byte* ggml_backend_buft_name(nint type);
    [LibraryImport(GgmlBase)] internal static partial void ggml_threadpool_params_init(GgmlThreadpoolParams* parameters, int threads);

    // Model
    [LibraryImport(Llama)] internal static partial void llama_model_free(nint model);
    [LibraryImport(Llama)] internal static partial nint llama_model_get_vocab(LlamaModelHandle model);
    [LibraryImport(Llama)] internal static partial int llama_model_n_ctx_train(LlamaModelHandle model);
    [LibraryImport(Llama)] internal static partial int llama_model_n_embd_out(LlamaModelHandle model);
    [LibraryImport(Llama)] internal static partial int llama_model_n_layer(LlamaModelHandle model);
    [LibraryImport(Llama)] internal static partial int llama_model_n_swa(LlamaModelHandle model);
    [LibraryImport(Llama)] internal static partial ulong llama_model_size(LlamaModelHandle model);
    [LibraryImport(Llama)] internal static partial ulong llama_model_n_params(LlamaModelHandle model);
    [LibraryImport(Llama)] internal static partial byte llama_model_has_encoder(LlamaModelHandle model);
    [LibraryImport(Llama)] internal static partial byte llama_model_has_decoder(LlamaModelHandle model);
    [LibraryImport(Llama)] internal static partial byte llama_model_is_recurrent(LlamaModelHandle model);
    [LibraryImport(Llama)] internal static partial byte llama_model_is_hybrid(LlamaModelHandle model);
    [LibraryImport(Llama)] internal static partial byte llama_model_is_diffusion(LlamaModelHandle model);
    [LibraryImport(Llama)] internal static partial int llama_model_desc(LlamaModelHandle model, byte* buffer, nuint size);
    [LibraryImport(Llama, StringMarshalling = StringMarshalling.Utf8)] internal static partial int llama_model_meta_val_str(LlamaModelHandle model, string key, byte* buffer, nuint size);
    [LibraryImport(Llama, StringMarshalling = StringMarshalling.Utf8)] internal static partial byte* llama_model_chat_template(LlamaModelHandle model, string? name);

    // Context and memory
    [LibraryImport(Llama)] internal static partial void llama_free(nint context);
    [LibraryImport(Llama)] internal static partial nint llama_get_memory(LlamaContextHandle context);
    [LibraryImport(Llama)] internal static partial uint llama_n_ctx(LlamaContextHandle context);
    [LibraryImport(Llama)] internal static partial uint llama_n_batch(LlamaContextHandle context);
    [LibraryImport(Llama)] internal static partial int llama_pooling_type(LlamaContextHandle context);
    [LibraryImport(Llama)] internal static partial void llama_attach_threadpool(LlamaContextHandle context, LlamaThreadpool threadpool, LlamaThreadpool batchThreadpool);
    [LibraryImport(Llama)] internal static partial float* llama_get_logits_ith(LlamaContextHandle context, int index);
    [LibraryImport(Llama)] internal static partial float* llama_get_embeddings_ith(LlamaContextHandle context, int index);
    [LibraryImport(Llama)] internal static partial float* llama_get_embeddings_seq(LlamaContextHandle context, int sequence);
    [LibraryImport(Llama)] internal static partial void llama_memory_clear(nint memory, byte data);
    [LibraryImport(Llama)] internal static partial byte llama_memory_seq_rm(nint memory, int sequence, int from, int to);
    [LibraryImport(Llama)] internal static partial void llama_memory_seq_cp(nint memory, int source, int destination, int from, int to);
    [LibraryImport(Llama)] internal static partial int llama_memory_seq_pos_min(nint memory, int sequence);
    [LibraryImport(Llama)] internal static partial int llama_memory_seq_pos_max(nint memory, int sequence);

    // These three catch their own exceptions, log them and return 0.
    [LibraryImport(Llama)] internal static partial nuint llama_state_seq_get_size(LlamaContextHandle context, int sequence);
    [LibraryImport(Llama)] internal static partial nuint llama_state_seq_get_data(LlamaContextHandle context, LlamaSequenceState destination, nuint size, int sequence);
    [LibraryImport(Llama)] internal static partial nuint llama_state_seq_set_data(LlamaContextHandle context, LlamaSequenceState source, nuint size, int sequence);

    // Vocabulary
    [LibraryImport(Llama)] internal static partial int llama_vocab_n_tokens(nint vocab);
    [LibraryImport(Llama)] internal static partial int llama_vocab_type(nint vocab);
    [LibraryImport(Llama)] internal static partial byte* llama_vocab_get_text(nint vocab, int token);
    [LibraryImport(Llama)] internal static partial int llama_vocab_get_attr(nint vocab, int token);
    [LibraryImport(Llama)] internal static partial byte llama_vocab_is_eog(nint vocab, int token);
    [LibraryImport(Llama)] internal static partial byte llama_vocab_is_control(nint vocab, int token);
    [LibraryImport(Llama)] internal static partial int llama_vocab_bos(nint vocab);
    [LibraryImport(Llama)] internal static partial int llama_vocab_eos(nint vocab);
    [LibraryImport(Llama)] internal static partial int llama_vocab_eot(nint vocab);
    [LibraryImport(Llama)] internal static partial byte llama_vocab_get_add_bos(nint vocab);
    [LibraryImport(Llama)] internal static partial int llama_detokenize(nint vocab, int* tokens, int count, byte* text, int capacity, byte removeSpecial, byte unparseSpecial);

    // Adapters
    [LibraryImport(Llama)] internal static partial void llama_adapter_lora_free(nint adapter);

    // Samplers: grammar only; everything else is sampled in managed code.
    [LibraryImport(Llama)] internal static partial void llama_sampler_free(nint sampler);

    // libc: an adapter in memory becomes a FILE.
    [LibraryImport("libc")] internal static partial nint fmemopen(byte* buffer, nuint size, byte* mode);
    [LibraryImport("libc")] internal static partial int fclose(nint file);

    internal static string Text(byte* text) => text is null ? "" : Marshal.PtrToStringUTF8((nint)text) ?? "";

    /// <summary>Runs a function that fills a buffer and returns the whole length, growing the buffer as asked; null when it returns a negative number.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal static string? Text(Filler fill)
    {
        byte[] buffer = new byte[256];
        while (true)
        {
            int length;
            fixed (byte* p = buffer)
            {
                length = fill(p, (nuint)buffer.Length);
            }
            if (length < 0)
            {
                return null;
            }
            if (length < buffer.Length)
            {
                return System.Text.Encoding.UTF8.GetString(buffer, 0, length);
            }
            buffer = new byte[length + 1];
        }
    }

    internal delegate int Filler(byte* buffer, nuint size);
}
