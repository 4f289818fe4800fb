#include "api/firewall.h"

#include <cstring>

using continual::fail;
using continual::guarded;

namespace {

template <typename Signature>
Signature * as(cn_function function) noexcept {
    return reinterpret_cast<Signature *>(function);
}

int32_t null_argument(const char * message) noexcept {
    return fail(CN_ERROR_ARGUMENT, message);
}

} // namespace

extern "C" {

int32_t cn_guard_decode(cn_function decode, void * context, const cn_batch * batch, int32_t * result) CN_NOEXCEPT {
    if (result == nullptr) {
        return null_argument("cn_guard_decode: result is null");
    }
    *result = 0;
    if (decode == nullptr || context == nullptr || batch == nullptr) {
        return null_argument("cn_guard_decode: function, context or batch is null");
    }
    return guarded([&] {
        *result = as<int32_t(void *, cn_batch)>(decode)(context, *batch);
        return CN_OK;
    });
}

int32_t cn_guard_sampler_accept(cn_function accept, void * sampler, int32_t token) CN_NOEXCEPT {
    if (accept == nullptr || sampler == nullptr) {
        return null_argument("cn_guard_sampler_accept: function or sampler is null");
    }
    return guarded([&] {
        as<void(void *, int32_t)>(accept)(sampler, token);
        return CN_OK;
    });
}

int32_t cn_guard_sampler_apply(cn_function apply, void * sampler, cn_token_data_array * candidates) CN_NOEXCEPT {
    if (apply == nullptr || sampler == nullptr || candidates == nullptr) {
        return null_argument("cn_guard_sampler_apply: function, sampler or candidates is null");
    }
    return guarded([&] {
        as<void(void *, cn_token_data_array *)>(apply)(sampler, candidates);
        return CN_OK;
    });
}

int32_t cn_guard_sampler_init_grammar(cn_function init, const void * vocab, const char * grammar, const char * root, void ** sampler) CN_NOEXCEPT {
    if (sampler == nullptr) {
        return null_argument("cn_guard_sampler_init_grammar: sampler is null");
    }
    *sampler = nullptr;
    if (init == nullptr || vocab == nullptr || grammar == nullptr || root == nullptr) {
        return null_argument("cn_guard_sampler_init_grammar: function, vocab, grammar or root is null");
    }
    return guarded([&] {
        *sampler = as<void *(const void *, const char *, const char *)>(init)(vocab, grammar, root);
        return CN_OK;
    });
}

int32_t cn_guard_tokenize(cn_function tokenize, const void * vocab, const char * text, int32_t length, int32_t * tokens, int32_t capacity,
                          int32_t add_special, int32_t parse_special, int32_t * result) CN_NOEXCEPT {
    if (result == nullptr) {
        return null_argument("cn_guard_tokenize: result is null");
    }
    *result = 0;
    if (tokenize == nullptr || vocab == nullptr || text == nullptr || (tokens == nullptr && capacity != 0)) {
        return null_argument("cn_guard_tokenize: function, vocab, text or tokens is null");
    }
    if (length < 0 || capacity < 0) {
        return null_argument("cn_guard_tokenize: length or capacity is negative");
    }
    return guarded([&] {
        *result = as<int32_t(const void *, const char *, int32_t, int32_t *, int32_t, bool, bool)>(tokenize)(
            vocab, text, length, tokens, capacity, add_special != 0, parse_special != 0);
        return CN_OK;
    });
}

int32_t cn_guard_token_to_piece(cn_function to_piece, const void * vocab, int32_t token, char * buffer, int32_t capacity, int32_t skip_spaces,
                                int32_t special, int32_t * result) CN_NOEXCEPT {
    if (result == nullptr) {
        return null_argument("cn_guard_token_to_piece: result is null");
    }
    *result = 0;
    if (to_piece == nullptr || vocab == nullptr || (buffer == nullptr && capacity != 0)) {
        return null_argument("cn_guard_token_to_piece: function, vocab or buffer is null");
    }
    if (capacity < 0) {
        return null_argument("cn_guard_token_to_piece: capacity is negative");
    }
    return guarded([&] {
        *result = as<int32_t(const void *, int32_t, char *, int32_t, int32_t, bool)>(to_piece)(vocab, token, buffer, capacity, skip_spaces, special != 0);
        return CN_OK;
    });
}

int32_t cn_guard_adapter_from_path(cn_function init, void * model, const char * path, void ** adapter) CN_NOEXCEPT {
    if (adapter == nullptr) {
        return null_argument("cn_guard_adapter_from_path: adapter is null");
    }
    *adapter = nullptr;
    if (init == nullptr || model == nullptr || path == nullptr) {
        return null_argument("cn_guard_adapter_from_path: function, model or path is null");
    }
    return guarded([&] {
        *adapter = as<void *(void *, const char *)>(init)(model, path);
        return CN_OK;
    });
}

int32_t cn_guard_adapter_from_file_ptr(cn_function init, void * model, void * file, void ** adapter) CN_NOEXCEPT {
    if (adapter == nullptr) {
        return null_argument("cn_guard_adapter_from_file_ptr: adapter is null");
    }
    *adapter = nullptr;
    if (init == nullptr || model == nullptr || file == nullptr) {
        return null_argument("cn_guard_adapter_from_file_ptr: function, model or file is null");
    }
    return guarded([&] {
        *adapter = as<void *(void *, void *)>(init)(model, file);
        return CN_OK;
    });
}

int32_t cn_guard_model_load(cn_function load, const char * path, const void * params, int32_t params_size, void ** model) CN_NOEXCEPT {
    if (model == nullptr) {
        return null_argument("cn_guard_model_load: model is null");
    }
    *model = nullptr;
    if (load == nullptr || path == nullptr || params == nullptr) {
        return null_argument("cn_guard_model_load: function, path or params is null");
    }
    if (params_size != static_cast<int32_t>(sizeof(cn_model_params))) {
        return fail(CN_ERROR_ARGUMENT, "cn_guard_model_load: params_size is not that of llama_model_params");
    }
    return guarded([&] {
        cn_model_params copy;
        std::memcpy(&copy, params, sizeof copy);
        *model = as<void *(const char *, cn_model_params)>(load)(path, copy);
        return CN_OK;
    });
}

int32_t cn_guard_context_init(cn_function init, void * model, const void * params, int32_t params_size, void ** context) CN_NOEXCEPT {
    if (context == nullptr) {
        return null_argument("cn_guard_context_init: context is null");
    }
    *context = nullptr;
    if (init == nullptr || model == nullptr || params == nullptr) {
        return null_argument("cn_guard_context_init: function, model or params is null");
    }
    if (params_size != static_cast<int32_t>(sizeof(cn_context_params))) {
        return fail(CN_ERROR_ARGUMENT, "cn_guard_context_init: params_size is not that of llama_context_params");
    }
    return guarded([&] {
        cn_context_params copy;
        std::memcpy(&copy, params, sizeof copy);
        *context = as<void *(void *, cn_context_params)>(init)(model, copy);
        return CN_OK;
    });
}

int32_t cn_guard_quantize(cn_function quantize, const char * input, const char * output, const void * params, uint32_t * result) CN_NOEXCEPT {
    if (result == nullptr) {
        return null_argument("cn_guard_quantize: result is null");
    }
    *result = 0;
    if (quantize == nullptr || input == nullptr || output == nullptr || params == nullptr) {
        return null_argument("cn_guard_quantize: function, input, output or params is null");
    }
    return guarded([&] {
        *result = as<uint32_t(const char *, const char *, const void *)>(quantize)(input, output, params);
        return CN_OK;
    });
}

int32_t cn_guard_set_adapters(cn_function set, void * context, void ** adapters, uint64_t count, float * scales, int32_t * result) CN_NOEXCEPT {
    if (result == nullptr) {
        return null_argument("cn_guard_set_adapters: result is null");
    }
    *result = 0;
    if (set == nullptr || context == nullptr || (count != 0 && (adapters == nullptr || scales == nullptr))) {
        return null_argument("cn_guard_set_adapters: function, context, adapters or scales is null");
    }
    return guarded([&] {
        *result = as<int32_t(void *, void **, uint64_t, float *)>(set)(context, adapters, count, scales);
        return CN_OK;
    });
}

} // extern "C"
