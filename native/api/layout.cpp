#include "api/firewall.h"

#include <cstddef>
#include <cstring>

// llama.cpp is made for 64-bit processors here; these are the sizes of release 0.5.0, which managed code relies on too.
static_assert(sizeof(void *) == 8);
static_assert(sizeof(cn_batch) == 56);
static_assert(sizeof(cn_model_params) == 80);
static_assert(sizeof(cn_context_params) == 160);
static_assert(sizeof(cn_quantize_params) == 64);
static_assert(sizeof(cn_token_data) == 12);
static_assert(sizeof(cn_token_data_array) == 32);

namespace {

struct field_layout {
    const char * name;
    int32_t offset;
    int32_t size;
};

struct struct_layout {
    const char * name;
    int32_t alignment;
    int32_t size;
    const field_layout * fields;
    int32_t count;
};

#define FIELD(type, name) {#name, static_cast<int32_t>(offsetof(type, name)), static_cast<int32_t>(sizeof(type::name))}

constexpr field_layout batch_fields[] = {
    FIELD(cn_batch, n_tokens), FIELD(cn_batch, token),  FIELD(cn_batch, embd),   FIELD(cn_batch, pos),
    FIELD(cn_batch, n_seq_id), FIELD(cn_batch, seq_id), FIELD(cn_batch, logits),
};

constexpr field_layout model_fields[] = {
    FIELD(cn_model_params, devices),
    FIELD(cn_model_params, tensor_buft_overrides),
    FIELD(cn_model_params, n_gpu_layers),
    FIELD(cn_model_params, split_mode),
    FIELD(cn_model_params, load_mode),
    FIELD(cn_model_params, lazy_mode),
    FIELD(cn_model_params, main_gpu),
    FIELD(cn_model_params, tensor_split),
    FIELD(cn_model_params, progress_callback),
    FIELD(cn_model_params, progress_callback_user_data),
    FIELD(cn_model_params, kv_overrides),
    FIELD(cn_model_params, vocab_only),
    FIELD(cn_model_params, check_tensors),
    FIELD(cn_model_params, use_extra_bufts),
    FIELD(cn_model_params, no_host),
    FIELD(cn_model_params, no_alloc),
    FIELD(cn_model_params, load_mtp),
};

constexpr field_layout context_fields[] = {
    FIELD(cn_context_params, n_ctx),
    FIELD(cn_context_params, n_batch),
    FIELD(cn_context_params, n_ubatch),
    FIELD(cn_context_params, n_seq_max),
    FIELD(cn_context_params, n_rs_seq),
    FIELD(cn_context_params, n_outputs_max),
    FIELD(cn_context_params, n_outputs_max_per_seq),
    FIELD(cn_context_params, n_threads),
    FIELD(cn_context_params, n_threads_batch),
    FIELD(cn_context_params, ctx_type),
    FIELD(cn_context_params, rope_scaling_type),
    FIELD(cn_context_params, pooling_type),
    FIELD(cn_context_params, attention_type),
    FIELD(cn_context_params, flash_attn_type),
    FIELD(cn_context_params, rope_freq_base),
    FIELD(cn_context_params, rope_freq_scale),
    FIELD(cn_context_params, yarn_ext_factor),
    FIELD(cn_context_params, yarn_attn_factor),
    FIELD(cn_context_params, yarn_beta_fast),
    FIELD(cn_context_params, yarn_beta_slow),
    FIELD(cn_context_params, yarn_orig_ctx),
    FIELD(cn_context_params, defrag_thold),
    FIELD(cn_context_params, cb_eval),
    FIELD(cn_context_params, cb_eval_user_data),
    FIELD(cn_context_params, type_k),
    FIELD(cn_context_params, type_v),
    FIELD(cn_context_params, abort_callback),
    FIELD(cn_context_params, abort_callback_data),
    FIELD(cn_context_params, embeddings),
    FIELD(cn_context_params, offload_kqv),
    FIELD(cn_context_params, no_perf),
    FIELD(cn_context_params, op_offload),
    FIELD(cn_context_params, swa_full),
    FIELD(cn_context_params, kv_unified),
    FIELD(cn_context_params, samplers),
    FIELD(cn_context_params, n_samplers),
    FIELD(cn_context_params, ctx_other),
};

constexpr field_layout quantize_fields[] = {
    FIELD(cn_quantize_params, nthread),
    FIELD(cn_quantize_params, ftype),
    FIELD(cn_quantize_params, output_tensor_type),
    FIELD(cn_quantize_params, token_embedding_type),
    FIELD(cn_quantize_params, allow_requantize),
    FIELD(cn_quantize_params, quantize_output_tensor),
    FIELD(cn_quantize_params, only_copy),
    FIELD(cn_quantize_params, pure),
    FIELD(cn_quantize_params, keep_split),
    FIELD(cn_quantize_params, dry_run),
    FIELD(cn_quantize_params, imatrix),
    FIELD(cn_quantize_params, kv_overrides),
    FIELD(cn_quantize_params, tt_overrides),
    FIELD(cn_quantize_params, prune_layers),
    FIELD(cn_quantize_params, max_buf_size),
};

constexpr field_layout token_fields[] = {
    FIELD(cn_token_data, id),
    FIELD(cn_token_data, logit),
    FIELD(cn_token_data, p),
};

constexpr field_layout array_fields[] = {
    FIELD(cn_token_data_array, data),
    FIELD(cn_token_data_array, size),
    FIELD(cn_token_data_array, selected),
    FIELD(cn_token_data_array, sorted),
};

constexpr field_layout info_fields[] = {
    FIELD(cn_model_info, layers),
    FIELD(cn_model_info, width),
    FIELD(cn_model_info, feed_forward),
    FIELD(cn_model_info, heads),
    FIELD(cn_model_info, kv_heads),
    FIELD(cn_model_info, head_width),
    FIELD(cn_model_info, vocabulary),
    FIELD(cn_model_info, context),
    FIELD(cn_model_info, tied),
    FIELD(cn_model_info, parameters),
    FIELD(cn_model_info, weight_bytes),
    FIELD(cn_model_info, architecture),
    FIELD(cn_model_info, name),
};

constexpr field_layout memory_fields[] = {
    FIELD(cn_memory, total),
    FIELD(cn_memory, parameters),
    FIELD(cn_memory, activations),
    FIELD(cn_memory, logits),
    FIELD(cn_memory, scratch),
    FIELD(cn_memory, stored_layers),
    FIELD(cn_memory, logit_rows),
};

constexpr field_layout trainer_fields[] = {
    FIELD(cn_trainer_config, size),
    FIELD(cn_trainer_config, mode),
    FIELD(cn_trainer_config, precision),
    FIELD(cn_trainer_config, isa),
    FIELD(cn_trainer_config, threads),
    FIELD(cn_trainer_config, scheduling),
    FIELD(cn_trainer_config, max_tokens),
    FIELD(cn_trainer_config, max_sequences),
    FIELD(cn_trainer_config, max_length),
    FIELD(cn_trainer_config, max_targets),
    FIELD(cn_trainer_config, teacher_k),
    FIELD(cn_trainer_config, use_reference),
    FIELD(cn_trainer_config, memory_budget),
    FIELD(cn_trainer_config, rank),
    FIELD(cn_trainer_config, alpha),
    FIELD(cn_trainer_config, rs_lora),
    FIELD(cn_trainer_config, dropout),
    FIELD(cn_trainer_config, targets),
    FIELD(cn_trainer_config, b_rate_ratio),
    FIELD(cn_trainer_config, seed),
    FIELD(cn_trainer_config, learning_rate),
    FIELD(cn_trainer_config, warmup_steps),
    FIELD(cn_trainer_config, total_steps),
    FIELD(cn_trainer_config, min_rate_ratio),
    FIELD(cn_trainer_config, beta1),
    FIELD(cn_trainer_config, beta2),
    FIELD(cn_trainer_config, eps),
    FIELD(cn_trainer_config, weight_decay),
    FIELD(cn_trainer_config, clip_norm),
};

constexpr field_layout train_fields[] = {
    FIELD(cn_batch_train, size),
    FIELD(cn_batch_train, count),
    FIELD(cn_batch_train, sequences),
    FIELD(cn_batch_train, dpo),
    FIELD(cn_batch_train, tokens),
    FIELD(cn_batch_train, bounds),
    FIELD(cn_batch_train, target),
    FIELD(cn_batch_train, weight),
    FIELD(cn_batch_train, teacher_token),
    FIELD(cn_batch_train, teacher_log_prob),
    FIELD(cn_batch_train, teacher_weight),
    FIELD(cn_batch_train, anchor),
    FIELD(cn_batch_train, dpo_beta),
};

constexpr field_layout loss_fields[] = {
    FIELD(cn_loss, loss),
    FIELD(cn_loss, weight),
    FIELD(cn_loss, cross_entropy),
    FIELD(cn_loss, distilled),
    FIELD(cn_loss, anchored),
    FIELD(cn_loss, rows),
    FIELD(cn_loss, correct),
    FIELD(cn_loss, preferred),
    FIELD(cn_loss, pairs),
};

constexpr field_layout update_fields[] = {
    FIELD(cn_update, step),
    FIELD(cn_update, gradient_norm),
    FIELD(cn_update, learning_rate),
    FIELD(cn_update, skipped),
    FIELD(cn_update, skipped_total),
};

constexpr field_layout slice_fields[] = {
    FIELD(cn_slice_costs, size),
    FIELD(cn_slice_costs, slices),
    FIELD(cn_slice_costs, seconds),
    FIELD(cn_slice_costs, longest),
    FIELD(cn_slice_costs, layer_forward),
    FIELD(cn_slice_costs, layer_backward),
};

constexpr field_layout device_fields[] = {
    FIELD(cn_device_info, memory),
    FIELD(cn_device_info, free_memory),
    FIELD(cn_device_info, major),
    FIELD(cn_device_info, minor),
    FIELD(cn_device_info, multiprocessors),
    FIELD(cn_device_info, name),
    FIELD(cn_device_info, products),
};

constexpr field_layout tensor_fields[] = {
    FIELD(cn_tensor, name), FIELD(cn_tensor, type), FIELD(cn_tensor, dimensions), FIELD(cn_tensor, ne), FIELD(cn_tensor, data),
};

#undef FIELD

template <typename Struct, std::size_t N>
constexpr struct_layout describe(const char * name, const field_layout (&fields)[N]) {
    return {name, static_cast<int32_t>(alignof(Struct)), static_cast<int32_t>(sizeof(Struct)), fields, static_cast<int32_t>(N)};
}

// In the order of CN_STRUCT_*.
constexpr struct_layout structs[] = {
    describe<cn_batch>("llama_batch", batch_fields),
    describe<cn_model_params>("llama_model_params", model_fields),
    describe<cn_context_params>("llama_context_params", context_fields),
    describe<cn_quantize_params>("llama_model_quantize_params", quantize_fields),
    describe<cn_token_data>("llama_token_data", token_fields),
    describe<cn_token_data_array>("llama_token_data_array", array_fields),
    describe<cn_model_info>("cn_model_info", info_fields),
    describe<cn_memory>("cn_memory", memory_fields),
    describe<cn_trainer_config>("cn_trainer_config", trainer_fields),
    describe<cn_batch_train>("cn_batch_train", train_fields),
    describe<cn_loss>("cn_loss", loss_fields),
    describe<cn_update>("cn_update", update_fields),
    describe<cn_device_info>("cn_device_info", device_fields),
    describe<cn_tensor>("cn_tensor", tensor_fields),
    describe<cn_slice_costs>("cn_slice_costs", slice_fields),
};

void copy_name(const char * from, char * to, int32_t capacity) noexcept {
    if (to == nullptr || capacity < 1) {
        return;
    }
    const std::size_t room = static_cast<std::size_t>(capacity) - 1;
    const std::size_t length = std::strlen(from) < room ? std::strlen(from) : room;
    std::memcpy(to, from, length);
    to[length] = '\0';
}

} // namespace

extern "C" int32_t cn_struct_layout(int32_t structure, int32_t field, char * name, int32_t capacity, int32_t * offset, int32_t * size) CN_NOEXCEPT {
    if (offset == nullptr || size == nullptr) {
        return continual::fail(CN_ERROR_ARGUMENT, "cn_struct_layout: offset or size is null");
    }
    *offset = 0;
    *size = 0;
    if (structure < 0 || structure >= static_cast<int32_t>(sizeof structs / sizeof *structs)) {
        return continual::fail(CN_ERROR_ARGUMENT, "cn_struct_layout: no such structure");
    }
    const struct_layout & layout = structs[structure];
    if (field == -1) {
        *offset = layout.alignment;
        *size = layout.size;
        copy_name(layout.name, name, capacity);
        return CN_OK;
    }
    if (field < 0 || field >= layout.count) {
        return continual::fail(CN_ERROR_ARGUMENT, "cn_struct_layout: no such field");
    }
    *offset = layout.fields[field].offset;
    *size = layout.fields[field].size;
    copy_name(layout.fields[field].name, name, capacity);
    return CN_OK;
}
