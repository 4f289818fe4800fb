using System.Runtime.InteropServices;
using System.Text;

namespace ContinualNative.Interop.Llama;

/// <summary>
/// <c>libcontinual_native</c>: calls llama.cpp with a C++ exception handler around it, because an exception that reached the
/// runtime through P/Invoke would end the process. Each function returns 0, or a status whose message is on this thread.
/// </summary>
internal static unsafe partial class Firewall
{
    internal const string Library = "continual_native";

    internal static nint Load()
    {
        string name = OperatingSystem.IsWindows() ? "continual_native.dll" : OperatingSystem.IsMacOS() ? "libcontinual_native.dylib" : "libcontinual_native.so";
        string path = Path.Combine(AppContext.BaseDirectory, "engine", name);
        if (!File.Exists(path))
        {
            throw new LlamaLibraryException($"'{path}' is missing. Build the project with CMake and a C++ compiler on the PATH: the build makes it.");
        }
        return NativeLibrary.Load(path);
    }

    [LibraryImport(Library)] private static partial int cn_last_error(byte* buffer, int capacity);
    [LibraryImport(Library)] private static partial int cn_guard_decode(nint function, LlamaContextHandle context, LlamaBatchNative* batch, int* result);
    [LibraryImport(Library)] private static partial int cn_guard_sampler_accept(nint function, nint sampler, int token);
    [LibraryImport(Library)] private static partial int cn_guard_sampler_apply(nint function, nint sampler, LlamaTokenDataArray* candidates);
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)] private static partial int cn_guard_sampler_init_grammar(nint function, nint vocab, string grammar, string root, nint* sampler);
    [LibraryImport(Library)] private static partial int cn_guard_tokenize(nint function, nint vocab, byte* text, int length, int* tokens, int capacity, int addSpecial, int parseSpecial, int* result);
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)] private static partial int cn_guard_adapter_from_path(nint function, LlamaModelHandle model, string path, nint* adapter);
    [LibraryImport(Library)] private static partial int cn_guard_adapter_from_file_ptr(nint function, LlamaModelHandle model, nint file, nint* adapter);
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)] private static partial int cn_guard_model_load(nint function, string path, LlamaModelParams* parameters, int size, nint* model);
    [LibraryImport(Library)] private static partial int cn_guard_context_init(nint function, LlamaModelHandle model, LlamaContextParams* parameters, int size, nint* context);
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)] private static partial int cn_guard_quantize(nint function, string input, string output, LlamaQuantizeParams* parameters, uint* result);
    [LibraryImport(Library)] private static partial int cn_guard_set_adapters(nint function, LlamaContextHandle context, nint* adapters, ulong count, float* scales, int* result);

    [LibraryImport(Library)] private static partial int cn_guard_token_to_piece(nint function, nint vocab, int token, byte* buffer, int capacity, int skipSpaces, int special, int* result);

    private static readonly nint DecodeFunction = LlamaLibrary.Export("llama_decode");
    private static readonly nint SamplerAcceptFunction = LlamaLibrary.Export("llama_sampler_accept");
    private static readonly nint SamplerApplyFunction = LlamaLibrary.Export("llama_sampler_apply");
    private static readonly nint InitGrammarFunction = LlamaLibrary.Export("llama_sampler_init_grammar");
    private static readonly nint TokenizeFunction = LlamaLibrary.Export("llama_tokenize");
    private static readonly nint TokenToPieceFunction = LlamaLibrary.Export("llama_token_to_piece");
    private static readonly nint AdapterFromPathFunction = LlamaLibrary.Export("llama_adapter_lora_init");
    private static readonly nint AdapterFromFileFunction = LlamaLibrary.Export("llama_adapter_lora_init_from_file_ptr");
    private static readonly nint ModelLoadFunction = LlamaLibrary.Export("llama_model_load_from_file");
    private static readonly nint ContextInitFunction = LlamaLibrary.Export("llama_init_from_model");
    private static readonly nint QuantizeFunction = LlamaLibrary.Export("llama_model_quantize");
    private static readonly nint SetAdaptersFunction = LlamaLibrary.Export("llama_set_adapters_lora");

    /// <summary>0 done, 1 no room in the KV cache, 2 aborted, negative: failed.</summary>
    internal static int Decode(LlamaContextHandle context, in LlamaBatchNative batch)
    {
        int result;
        fixed (LlamaBatchNative* p = &batch)
        {
            Check("llama_decode", cn_guard_decode(DecodeFunction, context, p, &result));
        }
        return result;
    }

    internal static void Accept(nint sampler, int token) => Check("llama_sampler_accept", cn_guard_sampler_accept(SamplerAcceptFunction, sampler, token));

    internal static void Apply(nint sampler, LlamaTokenDataArray* candidates) => Check("llama_sampler_apply", cn_guard_sampler_apply(SamplerApplyFunction, sampler, candidates));

    internal static nint InitGrammar(nint vocab, string grammar, string root)
    {
        nint sampler;
        Check("llama_sampler_init_grammar", cn_guard_sampler_init_grammar(InitGrammarFunction, vocab, grammar, root, &sampler));
        return sampler;
    }

    internal static int Tokenize(nint vocab, ReadOnlySpan<byte> text, Span<int> tokens, bool addSpecial, bool parseSpecial)
    {
        int result;
        fixed (byte* p = text)
        fixed (int* t = tokens)
        {
            byte none = 0;
            Check("llama_tokenize", cn_guard_tokenize(TokenizeFunction, vocab, p is null ? &none : p, text.Length, t, tokens.Length, addSpecial ? 1 : 0, parseSpecial ? 1 : 0, &result));
        }
        return result;
    }

    internal static int TokenToPiece(nint vocab, int token, Span<byte> buffer, bool special)
    {
        int result;
        fixed (byte* p = buffer)
        {
            Check("llama_token_to_piece", cn_guard_token_to_piece(TokenToPieceFunction, vocab, token, p, buffer.Length, 0, special ? 1 : 0, &result));
        }
        return result;
    }

    internal static nint LoadAdapter(LlamaModelHandle model, string path)
    {
        nint adapter;
        Check("llama_adapter_lora_init", cn_guard_adapter_from_path(AdapterFromPathFunction, model, path, &adapter));
        return adapter;
    }

    internal static nint LoadAdapter(LlamaModelHandle model, nint file)
    {
        nint adapter;
        Check("llama_adapter_lora_init_from_file_ptr", cn_guard_adapter_from_file_ptr(AdapterFromFileFunction, model, file, &adapter));
        return adapter;
    }

    internal static nint LoadModel(string path, LlamaModelParams parameters)
    {
        nint model;
        Check("llama_model_load_from_file", cn_guard_model_load(ModelLoadFunction, path, &parameters, sizeof(LlamaModelParams), &model));
        return model;
    }

    internal static nint NewContext(LlamaModelHandle model, LlamaContextParams parameters)
    {
        nint context;
        Check("llama_init_from_model", cn_guard_context_init(ContextInitFunction, model, &parameters, sizeof(LlamaContextParams), &context));
        return context;
    }

    internal static uint Quantize(string input, string output, LlamaQuantizeParams parameters)
    {
        uint result;
        Check("llama_model_quantize", cn_guard_quantize(QuantizeFunction, input, output, &parameters, &result));
        return result;
    }

    internal static void SetAdapters(LlamaContextHandle context, nint adapter, float scale)
    {
        int result;
        Check("llama_set_adapters_lora", cn_guard_set_adapters(SetAdaptersFunction, context, &adapter, adapter == 0 ? 0ul : 1ul, &scale, &result));
        if (result != 0)
        {
            throw new LlamaException("llama_set_adapters_lora", $"llama.cpp could not set the adapter (status {result}).", result);
        }
    }

    private static void Check(string operation, int status)
    {
        if (status != 0)
        {
            Throw(operation, status);
        }
    }

    private static void Throw(string operation, int status)
    {
        byte[] buffer = new byte[1024];
        int length;
        fixed (byte* p = buffer)
        {
            length = cn_last_error(p, buffer.Length);
        }
        string message = Encoding.UTF8.GetString(buffer, 0, Math.Clamp(length, 0, buffer.Length - 1));
        throw new LlamaException(operation, $"{operation} failed inside llama.cpp: {message}", status);
    }
}
