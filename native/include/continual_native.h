/*
 * continual_native: what stands between managed code and C++.
 *
 * A C++ exception that reaches the .NET runtime through P/Invoke ends the process, and llama.cpp lets some out (a grammar
 * that a token does not fit, an allocation that fails inside a decode, a byte token that a vocabulary lacks). Every
 * cn_guard_* function calls one function of llama.cpp, given by address, catches whatever it throws, and returns a status.
 * This library links nothing of llama.cpp: which copy is used is the caller's business.
 *
 * Rules for every function here:
 *  - It never throws, exits, aborts or prints. (An abort inside llama.cpp, GGML_ABORT, cannot be caught by anybody.)
 *  - It returns CN_OK or one of the CN_ERROR_* statuses. After a failure the out-parameters hold zero, and
 *    cn_last_error() on the same thread tells the reason. CN_OK means that the engine came back, not that it liked what it
 *    saw: its own verdict is in the out-parameter (a code, or null where it made nothing and told its log why).
 *  - Text is UTF-8 and zero-terminated, or comes with a length in bytes.
 *  - It keeps no pointer after it returns and owns nothing: what an engine function gave out is freed with the engine's own
 *    function for it.
 *  - It takes no lock and allocates nothing: threads may call it freely wherever the engine function itself allows that
 *    (a context: one thread at a time; a model and its vocabulary: any number, for reading).
 */
#ifndef CONTINUAL_NATIVE_H
#define CONTINUAL_NATIVE_H

#include <stdint.h>

#if defined(_WIN32)
#  if defined(CN_BUILDING)
#    define CN_API __declspec(dllexport)
#  else
#    define CN_API __declspec(dllimport)
#  endif
#else
#  define CN_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
#  define CN_NOEXCEPT noexcept
extern "C" {
#else
#  define CN_NOEXCEPT
#endif

/* The version of this interface. It grows by one whenever a signature or a structure below changes. */
#define CN_INTERFACE_VERSION 1

enum {
    CN_OK = 0,
    /* A pointer that must not be null is, or a size is not the one of the structure below. Nothing was called. */
    CN_ERROR_ARGUMENT = 1,
    /* The engine threw a std::exception; the message is its what(). */
    CN_ERROR_EXCEPTION = 2,
    /* The engine threw std::bad_alloc. */
    CN_ERROR_OUT_OF_MEMORY = 3,
    /* The engine threw something that is no std::exception. */
    CN_ERROR_UNKNOWN_EXCEPTION = 4
};

/* The address of a function of llama.cpp; each guard names the one it expects. */
typedef void (*cn_function)(void);

/* ---- Mirrors of llama.cpp's structures. Only what crosses by value, or is filled in by managed code. ---- */

/* struct llama_batch */
typedef struct cn_batch {
    int32_t n_tokens;
    int32_t * token;
    float * embd;
    int32_t * pos;
    int32_t * n_seq_id;
    int32_t ** seq_id;
    int8_t * logits;
} cn_batch;

/* struct llama_model_params; its enums are int32_t here and its bools uint8_t. */
typedef struct cn_model_params {
    void * devices;
    const void * tensor_buft_overrides;
    int32_t n_gpu_layers;
    int32_t split_mode;
    int32_t load_mode;
    int32_t lazy_mode;
    int32_t main_gpu;
    const float * tensor_split;
    cn_function progress_callback;
    void * progress_callback_user_data;
    const void * kv_overrides;
    uint8_t vocab_only;
    uint8_t check_tensors;
    uint8_t use_extra_bufts;
    uint8_t no_host;
    uint8_t no_alloc;
    uint8_t load_mtp;
} cn_model_params;

/* struct llama_context_params */
typedef struct cn_context_params {
    uint32_t n_ctx;
    uint32_t n_batch;
    uint32_t n_ubatch;
    uint32_t n_seq_max;
    uint32_t n_rs_seq;
    uint32_t n_outputs_max;
    uint32_t n_outputs_max_per_seq;
    int32_t n_threads;
    int32_t n_threads_batch;
    int32_t ctx_type;
    int32_t rope_scaling_type;
    int32_t pooling_type;
    int32_t attention_type;
    int32_t flash_attn_type;
    float rope_freq_base;
    float rope_freq_scale;
    float yarn_ext_factor;
    float yarn_attn_factor;
    float yarn_beta_fast;
    float yarn_beta_slow;
    uint32_t yarn_orig_ctx;
    float defrag_thold;
    cn_function cb_eval;
    void * cb_eval_user_data;
    int32_t type_k;
    int32_t type_v;
    cn_function abort_callback;
    void * abort_callback_data;
    uint8_t embeddings;
    uint8_t offload_kqv;
    uint8_t no_perf;
    uint8_t op_offload;
    uint8_t swa_full;
    uint8_t kv_unified;
    void * samplers;
    uint64_t n_samplers;
    void * ctx_other;
} cn_context_params;

/* struct llama_model_quantize_params */
typedef struct cn_quantize_params {
    int32_t nthread;
    int32_t ftype;
    int32_t output_tensor_type;
    int32_t token_embedding_type;
    uint8_t allow_requantize;
    uint8_t quantize_output_tensor;
    uint8_t only_copy;
    uint8_t pure;
    uint8_t keep_split;
    uint8_t dry_run;
    const void * imatrix;
    const void * kv_overrides;
    const void * tt_overrides;
    const int32_t * prune_layers;
    uint64_t max_buf_size;
} cn_quantize_params;

/* struct llama_token_data */
typedef struct cn_token_data {
    int32_t id;
    float logit;
    float p;
} cn_token_data;

/* struct llama_token_data_array */
typedef struct cn_token_data_array {
    cn_token_data * data;
    uint64_t size;
    int64_t selected;
    uint8_t sorted;
} cn_token_data_array;

enum {
    CN_STRUCT_BATCH = 0,
    CN_STRUCT_MODEL_PARAMS = 1,
    CN_STRUCT_CONTEXT_PARAMS = 2,
    CN_STRUCT_QUANTIZE_PARAMS = 3,
    CN_STRUCT_TOKEN_DATA = 4,
    CN_STRUCT_TOKEN_DATA_ARRAY = 5
};

/* ---- About this library ---- */

/* Returns CN_INTERFACE_VERSION of the library as built. Any thread. */
CN_API int32_t cn_version(void) CN_NOEXCEPT;

/*
 * Copies the message of this thread's last failure into buffer (of capacity bytes, zero included), cut between two
 * characters if it does not fit, always zero-terminated. Returns its full length in bytes, without the zero; 0 when nothing
 * has failed on this thread. A null buffer or a capacity below 1 only asks for the length. Later successes leave it.
 */
CN_API int32_t cn_last_error(char * buffer, int32_t capacity) CN_NOEXCEPT;

/*
 * How this library was compiled to see a structure (CN_STRUCT_*). Field -1 is the whole: offset gets its alignment, size its
 * size. Fields 0, 1, ... in order of declaration give offset and size in bytes. The name, zero-terminated and cut to
 * capacity, goes to name unless that is null. CN_ERROR_ARGUMENT: no such structure, or no more fields.
 */
CN_API int32_t cn_struct_layout(int32_t structure, int32_t field, char * name, int32_t capacity, int32_t * offset, int32_t * size) CN_NOEXCEPT;

/* ---- Guards. The first argument is the address of the function that the comment names. ---- */

/*
 * llama_decode, or llama_encode, which has the same shape. The batch is read during the call only. result: what the engine
 * returned (0 done, 1 no room in the KV cache, 2 aborted, negative failed), which is no failure of the guard.
 * After a caught exception the state of the context is undefined: free it.
 */
CN_API int32_t cn_guard_decode(cn_function decode, void * context, const cn_batch * batch, int32_t * result) CN_NOEXCEPT;

/* llama_sampler_accept. A grammar throws for a token that it does not allow; the sampler must be reset or freed then. */
CN_API int32_t cn_guard_sampler_accept(cn_function accept, void * sampler, int32_t token) CN_NOEXCEPT;

/* llama_sampler_apply. candidates is changed in place and stays the caller's. */
CN_API int32_t cn_guard_sampler_apply(cn_function apply, void * sampler, cn_token_data_array * candidates) CN_NOEXCEPT;

/*
 * llama_sampler_init_grammar. sampler: a new one, freed with llama_sampler_free. It is null for a
 * grammar that does not parse, with the reason in the engine's log.
 */
CN_API int32_t cn_guard_sampler_init_grammar(cn_function init, const void * vocab, const char * grammar, const char * root, void ** sampler) CN_NOEXCEPT;

/*
 * llama_tokenize. text: length bytes, no zero needed. tokens: room for capacity, may be null when that is 0. result: number
 * of tokens, or minus the number that would be needed.
 */
CN_API int32_t cn_guard_tokenize(cn_function tokenize, const void * vocab, const char * text, int32_t length, int32_t * tokens, int32_t capacity,
                                 int32_t add_special, int32_t parse_special, int32_t * result) CN_NOEXCEPT;

/*
 * llama_token_to_piece. buffer: room for capacity bytes, gets no zero. result: bytes written, or minus the number that
 * would be needed.
 */
CN_API int32_t cn_guard_token_to_piece(cn_function to_piece, const void * vocab, int32_t token, char * buffer, int32_t capacity, int32_t skip_spaces,
                                       int32_t special, int32_t * result) CN_NOEXCEPT;

/* llama_adapter_lora_init. adapter: lives no longer than the model; freed with llama_adapter_lora_free. */
CN_API int32_t cn_guard_adapter_from_path(cn_function init, void * model, const char * path, void ** adapter) CN_NOEXCEPT;

/* llama_adapter_lora_init_from_file_ptr. file: a FILE *, read from where it stands, and still the caller's to close. */
CN_API int32_t cn_guard_adapter_from_file_ptr(cn_function init, void * model, void * file, void ** adapter) CN_NOEXCEPT;

/* llama_model_load_from_file. params_size: sizeof(cn_model_params). model: freed with llama_model_free. */
CN_API int32_t cn_guard_model_load(cn_function load, const char * path, const void * params, int32_t params_size, void ** model) CN_NOEXCEPT;

/* llama_init_from_model. params_size: sizeof(cn_context_params). context: freed with llama_free, before the model. */
CN_API int32_t cn_guard_context_init(cn_function init, void * model, const void * params, int32_t params_size, void ** context) CN_NOEXCEPT;

/* llama_model_quantize. params: a cn_quantize_params. result: 0 when the output file is whole. Takes minutes on big models. */
CN_API int32_t cn_guard_quantize(cn_function quantize, const char * input, const char * output, const void * params, uint32_t * result) CN_NOEXCEPT;

/*
 * llama_set_adapters_lora. adapters and scales: count entries each, read during the call only; both may be null when count
 * is 0, which takes all adapters off. result: 0, or the engine's refusal.
 */
CN_API int32_t cn_guard_set_adapters(cn_function set, void * context, void ** adapters, uint64_t count, float * scales, int32_t * result) CN_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
