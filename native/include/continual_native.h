/*
 * continual_native: the LoRA trainer, and what stands between managed code and C++.
 *
 * Rules for every function here:
 *  - It never throws, exits, aborts or prints. (An abort inside llama.cpp, GGML_ABORT, cannot be caught by anybody.)
 *  - It returns CN_OK or one of the CN_ERROR_* statuses. After a failure the out-parameters hold zero, and
 *    cn_last_error() on the same thread tells the reason and what to do about it.
 *  - Text is UTF-8 and zero-terminated, or comes with a length in bytes.
 *  - What is made by a function whose comment says "free with" is the caller's; everything else stays with its owner.
 *    Pointers passed in are read during the call only, unless the comment says otherwise.
 *
 * The trainer (cn_model_*, cn_trainer_*) trains a LoRA adapter directly on the quantized weights of a GGUF file. One trainer
 * is used by one thread at a time; different trainers may run at once, also on one model.
 *
 * The guards (cn_guard_*): a C++ exception that reaches the .NET runtime through P/Invoke ends the process, and llama.cpp
 * lets some out (a grammar that a token does not fit, an allocation that fails inside a decode, a byte token that a
 * vocabulary lacks). Each guard calls one function of llama.cpp, given by address, catches whatever it throws, and returns a
 * status. CN_OK from a guard means that the engine came back, not that it liked what it saw: its own verdict is in the
 * out-parameter. A guard takes no lock, allocates nothing and owns nothing; threads may call it freely wherever the engine
 * function itself allows that. This library links nothing of llama.cpp: which copy is used is the caller's business.
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
#define CN_INTERFACE_VERSION 4

enum {
    CN_OK = 0,
    /* A pointer that must not be null is, or a size is not the one of the structure below. Nothing was called. */
    CN_ERROR_ARGUMENT = 1,
    /* The engine threw a std::exception; the message is its what(). */
    CN_ERROR_EXCEPTION = 2,
    /* The engine threw std::bad_alloc, or a GPU has too little free memory. */
    CN_ERROR_OUT_OF_MEMORY = 3,
    /* The engine threw something that is no std::exception. */
    CN_ERROR_UNKNOWN_EXCEPTION = 4,
    /* The trainer does not know this architecture, tensor type or option; the message names it. */
    CN_ERROR_UNSUPPORTED = 5,
    /* A file is missing, truncated, damaged, of another format, or cannot be written. What was there before is unharmed. */
    CN_ERROR_FILE = 6,
    /* An adapter, checkpoint or batch does not fit this model or trainer. */
    CN_ERROR_MISMATCH = 7,
    /* The memory budget is too small; the message names the smallest that would do. */
    CN_ERROR_BUDGET = 8,
    /* The slice callback asked to stop. Gradients gathered since the last update are gone; parameters are untouched. */
    CN_ERROR_CANCELLED = 9,
    /* There is no usable GPU or driver, or it failed; the message names the call, and what to do. */
    CN_ERROR_DEVICE = 10
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
    CN_STRUCT_TOKEN_DATA_ARRAY = 5,
    CN_STRUCT_MODEL_INFO = 6,
    CN_STRUCT_MEMORY = 7,
    CN_STRUCT_TRAINER_CONFIG = 8,
    CN_STRUCT_BATCH_TRAIN = 9,
    CN_STRUCT_LOSS = 10,
    CN_STRUCT_UPDATE = 11,
    CN_STRUCT_DEVICE_INFO = 12,
    CN_STRUCT_TENSOR = 13,
    CN_STRUCT_SLICE_COSTS = 14
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

/* ---- A model to train on ---- */

typedef struct cn_model cn_model;

typedef struct cn_model_info {
    int32_t layers;
    int32_t width;
    int32_t feed_forward;
    int32_t heads;
    int32_t kv_heads;
    int32_t head_width;
    int32_t vocabulary;
    int32_t context;
    int32_t tied; /* 1: the output projection is the token embedding */
    int64_t parameters;
    int64_t weight_bytes;
    char architecture[64];
    char name[192]; /* general.name, cut; empty where the file has none */
} cn_model_info;

/* One tensor of a table, in host memory. ne: ggml's order, ne[0] runs fastest; unused dimensions are 1. */
typedef struct cn_tensor {
    const char * name;
    int32_t type; /* ggml's number */
    int32_t dimensions;
    int64_t ne[4];
    const void * data;
} cn_tensor;

/* One key of a table's metadata, in GGUF's terms: "llama.block_count". Numbers come as double, texts as text, others are left out. */
typedef struct cn_metadata {
    const char * key;
    const char * text; /* null for a number */
    double number;
} cn_metadata;

/*
 * Maps a GGUF file and reads its description; nothing else is allocated. The file must stay as it is while the model lives (cn_model_changed tells).
 * CN_ERROR_FILE, CN_ERROR_UNSUPPORTED (architecture or tensor, by name). model: free with cn_model_free; a trainer keeps its model
 * alive by itself.
 */
CN_API int32_t cn_model_open(const char * path, cn_model ** model) CN_NOEXCEPT;

/* The same from tensors that are in memory already. Names are copied; data must stay until the model and its trainers are gone. */
CN_API int32_t cn_model_create(const cn_tensor * tensors, int32_t tensor_count, const cn_metadata * metadata, int32_t metadata_count, cn_model ** model) CN_NOEXCEPT;

/* Null is allowed. */
CN_API void cn_model_free(cn_model * model) CN_NOEXCEPT;

CN_API int32_t cn_model_describe(const cn_model * model, cn_model_info * info) CN_NOEXCEPT;

/* changed: 1 when the mapped file has been replaced, truncated or written to since it was opened; 0 otherwise, and for a table. */
CN_API int32_t cn_model_changed(const cn_model * model, int32_t * changed) CN_NOEXCEPT;

/* ---- GPUs. The CUDA driver is opened at run time; a machine without one has none. ---- */

typedef struct cn_device_info {
    int64_t memory;      /* bytes */
    int64_t free_memory; /* bytes, at the time of asking, all processes counted */
    int32_t major;       /* compute capability */
    int32_t minor;
    int32_t multiprocessors;
    char name[192];
    char products[64]; /* the library that makes matrix products there, as libcublasLt.so.13; empty: this library's own kernels, which are slower */
} cn_device_info;

/*
 * GPUs that the driver shows, 0 without a driver; then cn_last_error tells why there are none, if that is known. CN_OK also for 0.
 * Whether one can train is for cn_device_describe to say.
 */
CN_API int32_t cn_device_count(int32_t * count) CN_NOEXCEPT;

/* CN_ERROR_DEVICE for no driver, one too old, no such GPU, one without bf16 tensor cores (below 8.0), or a library that was built without kernels. */
CN_API int32_t cn_device_describe(int32_t device, cn_device_info * info) CN_NOEXCEPT;

/*
 * Tells that a model's weights lie in a GPU's memory already (llama.cpp's, in the primary context): trainers that are made on that GPU from now on use them there, and copy
 * only what is not among them. tensors: names, types and shapes as in the file, data the device's address; they must stay until the model and its trainers
 * are gone. When a trainer is made they are compared with the file by samples (CN_ERROR_MISMATCH). A second call for a GPU replaces the first.
 */
CN_API int32_t cn_model_lend(cn_model * model, int32_t device, const cn_tensor * tensors, int32_t tensor_count) CN_NOEXCEPT;

/* ---- Training ---- */

typedef struct cn_trainer cn_trainer;

enum {
    CN_MODE_LORA = 0, /* adapters on frozen weights of any supported type */
    CN_MODE_FULL = 1  /* all weights; copies of them in F32 are trained */
};

enum {
    CN_PRECISION_F32 = 0, /* activations and products in float */
    CN_PRECISION_BF16 = 1 /* activations and operands in bf16; sums, residual stream, norms and parameters in float */
};

enum {
    CN_ISA_BEST = -1,
    CN_ISA_PORTABLE = 0,
    CN_ISA_AVX2 = 1,
    CN_ISA_AVX512 = 2,
    CN_ISA_AVX512_BF16 = 3
};

enum {
    CN_SCHEDULING_NORMAL = 0,
    CN_SCHEDULING_IDLE = 1 /* threads that run only when nothing else wants the processor */
};

/* Linear layers that get an adapter; a set of bits. */
enum {
    CN_TARGET_Q = 1,
    CN_TARGET_K = 2,
    CN_TARGET_V = 4,
    CN_TARGET_O = 8,
    CN_TARGET_GATE = 16,
    CN_TARGET_UP = 32,
    CN_TARGET_DOWN = 64,
    CN_TARGET_OUTPUT = 128,
    CN_TARGET_ALL = 127 /* without the output projection */
};

/* Called between slices of work (parts of a layer) on the thread that called the trainer. It may wait, and so makes training step aside. Not 0: stop. */
typedef int32_t (*cn_slice)(void * user);

typedef struct cn_trainer_config {
    uint32_t size; /* sizeof(cn_trainer_config) */
    int32_t mode;
    int32_t precision;
    int32_t isa;
    int32_t threads; /* 0: one per processor */
    int32_t scheduling;
    int32_t max_tokens;    /* of one batch, all sequences together */
    int32_t max_sequences; /* of one batch */
    int32_t max_length;    /* of one sequence; 0: max_tokens */
    int32_t max_targets;   /* tokens of one batch that carry a loss; 0: max_tokens */
    int32_t teacher_k;     /* likeliest tokens of a teacher per row; 0: no distillation */
    int32_t use_reference; /* 1: a reference adapter is kept, for the KL anchor and DPO */
    int64_t memory_budget; /* bytes beyond the mapped file; 0: no limit */
    int32_t rank;
    float alpha;
    int32_t rs_lora; /* 1: scale alpha / sqrt(rank) instead of alpha / rank (Kalajdzievski 2023, arXiv 2312.03732) */
    float dropout;   /* of the adapter's input, 0 <= dropout < 1 */
    uint32_t targets;
    float b_rate_ratio; /* learning rate of B over that of A (LoRA+: Hayou et al. 2024, arXiv 2402.12354); 1: equal */
    uint64_t seed;
    float learning_rate;
    int32_t warmup_steps; /* linear from 0 */
    int32_t total_steps;  /* then a cosine down to min_rate_ratio at this step; 0: constant */
    float min_rate_ratio;
    float beta1;
    float beta2;
    float eps;
    float weight_decay;
    float clip_norm; /* of the whole gradient; 0: none */
} cn_trainer_config;

/* Where a trainer's memory goes, in bytes. Everything is one allocation, made at the start. */
typedef struct cn_memory {
    int64_t total;
    int64_t parameters; /* values, gradients, two moments, reference */
    int64_t activations;
    int64_t logits;
    int64_t scratch;
    int32_t stored_layers; /* layers whose activations are kept; the others compute theirs again on the way back */
    int32_t logit_rows;    /* rows of logits at a time */
} cn_memory;

/*
 * A packed batch. Sequence s has tokens bounds[s] ... bounds[s+1]-1; bounds[0] is 0, bounds[sequences] is count. Row i predicts target[i]
 * (-1: nothing) with factor weight[i] of its cross-entropy (0: nothing; the row's logits are then not computed).
 */
typedef struct cn_batch_train {
    uint32_t size; /* sizeof(cn_batch_train) */
    int32_t count;
    int32_t sequences;
    int32_t dpo; /* 1: sequences 2i and 2i+1 are a chosen and a rejected answer, and weights mark the answers' tokens */
    const int32_t * tokens;
    const int32_t * bounds;
    const int32_t * target;
    const float * weight;
    /* Distillation: [count x teacher_k] each, -1 for an unused place, and the term's factor by row; all null: none. */
    const int32_t * teacher_token;
    const float * teacher_log_prob;
    const float * teacher_weight;
    float anchor;   /* factor of KL(reference || model) on every row with a weight; 0: none */
    float dpo_beta; /* Rafailov et al. 2023, arXiv 2305.18290, eq. 7 */
} cn_batch_train;

/* Sums over a batch's rows, in nats. loss / weight is the mean that people quote. */
typedef struct cn_loss {
    double loss;       /* all terms, weighted */
    double weight;     /* what it is divided by at the update: the sum of the weights (of teacher and target), or the number of pairs */
    double cross_entropy; /* the first term alone */
    double distilled;
    double anchored;
    int32_t rows;      /* that carried a loss */
    int32_t correct;   /* of them, those whose likeliest token was the target */
    int32_t preferred; /* DPO: pairs whose chosen answer has the higher implicit reward */
    int32_t pairs;
} cn_loss;

typedef struct cn_update {
    int64_t step; /* counted from 1; skipped ones do not count */
    double gradient_norm; /* before clipping */
    double learning_rate;
    int32_t skipped; /* 1: the gradient was not finite, and nothing was changed */
    int64_t skipped_total;
} cn_update;

/* Fills in the defaults: LoRA rank 16, alpha 32, all seven targets, bf16 where the processor has it, AdamW 0.9/0.999, clip 1. */
CN_API int32_t cn_trainer_defaults(cn_trainer_config * config) CN_NOEXCEPT;

/* What a trainer of this kind would take, without making it. CN_ERROR_BUDGET, CN_ERROR_UNSUPPORTED, CN_ERROR_ARGUMENT. */
CN_API int32_t cn_trainer_plan(const cn_model * model, const cn_trainer_config * config, cn_memory * memory) CN_NOEXCEPT;

/* trainer: free with cn_trainer_free. B starts at zero, so the untrained adapter changes nothing. */
CN_API int32_t cn_trainer_create(const cn_model * model, const cn_trainer_config * config, cn_trainer ** trainer) CN_NOEXCEPT;

/*
 * The same on a GPU, counted from 0: CN_ERROR_DEVICE, CN_ERROR_OUT_OF_MEMORY besides. isa, threads and scheduling mean nothing there; set
 * precision, whose default is the processor's: bf16 is what tensor cores are for. A memory_budget of 0 is what the GPU has
 * free. Weights that nobody has lent are copied, once for all trainers of a model. The slice callback is called when the work of the slice
 * before is done: one more is queued by then. An update is not stopped by it. What goes wrong
 * on the GPU later is told by the call that meets it; the trainer is of no use then, but to be freed.
 */
CN_API int32_t cn_trainer_plan_on(const cn_model * model, int32_t device, const cn_trainer_config * config, cn_memory * memory) CN_NOEXCEPT;
CN_API int32_t cn_trainer_create_on(const cn_model * model, int32_t device, const cn_trainer_config * config, cn_trainer ** trainer) CN_NOEXCEPT;

/* Null is allowed. */
CN_API void cn_trainer_free(cn_trainer * trainer) CN_NOEXCEPT;

/* Until changed; null: none. Not from within the callback. */
CN_API int32_t cn_trainer_set_slice(cn_trainer * trainer, cn_slice slice, void * user) CN_NOEXCEPT;

/*
 * Seconds of device time that a slice on a GPU should take at most, above 0; 0.002 unless set. What has run less than twice is a slice by itself, and so is measured; what one launch cannot be cut into may take
 * longer. How products are cut follows from the limit and the GPU, so that the same limit gives the same results. On a processor slices end between parts of layers, and this means nothing.
 */
CN_API int32_t cn_trainer_set_slice_limit(cn_trainer * trainer, double seconds) CN_NOEXCEPT;

/* Of all slices since the callback or the limit was set last: measured while there is a slice callback, by the GPU's own clock there. */
typedef struct cn_slice_costs {
    uint32_t size; /* sizeof(cn_slice_costs) */
    int64_t slices;
    double seconds;        /* of all of them */
    double longest;        /* seconds */
    double layer_forward;  /* mean seconds of a layer, with what belongs to it, of a batch; 0: none was measured */
    double layer_backward; /* the same on the way back, with what is computed again for it */
} cn_slice_costs;

CN_API int32_t cn_trainer_slice_costs(const cn_trainer * trainer, cn_slice_costs * costs) CN_NOEXCEPT;

/* Forward and backward; gradients are added to those of earlier batches since the last update. */
CN_API int32_t cn_trainer_accumulate(cn_trainer * trainer, const cn_batch_train * batch, cn_loss * loss) CN_NOEXCEPT;

/* One step of AdamW on the mean gradient of what was accumulated. CN_ERROR_ARGUMENT when nothing was. */
CN_API int32_t cn_trainer_update(cn_trainer * trainer, cn_update * update) CN_NOEXCEPT;

/* Forward only, without dropout; gradients are left alone. log_probs: [count], of each row's target, 0 where it has none; or null. */
CN_API int32_t cn_trainer_evaluate(cn_trainer * trainer, const cn_batch_train * batch, cn_loss * loss, float * log_probs) CN_NOEXCEPT;

/* The current parameters become the reference (use_reference must be set). Until then, the reference is the model without an adapter. */
CN_API int32_t cn_trainer_set_reference(cn_trainer * trainer) CN_NOEXCEPT;

/* The current parameters are kept aside in a file (the best so far), and taken back from it. */
CN_API int32_t cn_trainer_save_parameters(cn_trainer * trainer, const char * path) CN_NOEXCEPT;
CN_API int32_t cn_trainer_load_parameters(cn_trainer * trainer, const char * path) CN_NOEXCEPT;

/*
 * Everything that the next step depends on: parameters, moments, reference, step, random state, and data_size bytes of the caller's own
 * (its position in the data). Written whole or not at all, also when the process is killed. Between updates only: gathered gradients are not saved.
 */
CN_API int32_t cn_trainer_save_checkpoint(cn_trainer * trainer, const char * path, const void * data, int64_t data_size) CN_NOEXCEPT;

/*
 * Goes on as if never interrupted. CN_ERROR_MISMATCH when it was made on another model or with other options that matter. data: room for capacity bytes;
 * data_size: how many it holds; when that is more than capacity, nothing is copied.
 */
CN_API int32_t cn_trainer_load_checkpoint(cn_trainer * trainer, const char * path, void * data, int64_t capacity, int64_t * data_size) CN_NOEXCEPT;

/*
 * The adapter as a file. A path that ends in .gguf: what llama.cpp's --lora loads, in F32. Otherwise a folder in PEFT's form (adapter_config.json and
 * adapter_model.safetensors); base_model is what its config names, or null.
 */
CN_API int32_t cn_trainer_export_adapter(cn_trainer * trainer, const char * path, const char * base_model) CN_NOEXCEPT;

/* Parameters from an adapter in either form; its rank may be lower than the trainer's. CN_ERROR_MISMATCH names what does not fit. */
CN_API int32_t cn_trainer_import_adapter(cn_trainer * trainer, const char * path) CN_NOEXCEPT;

/* Full-parameter mode: writes the model file again with the trained weights, each in type (ggml's number: F32 0, F16 1, Q8_0 8, BF16 30; vectors stay F32). */
CN_API int32_t cn_trainer_export_model(cn_trainer * trainer, const char * path, int32_t type) CN_NOEXCEPT;

/* The memory plan that the trainer was made with. */
CN_API int32_t cn_trainer_memory(const cn_trainer * trainer, cn_memory * memory) CN_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
