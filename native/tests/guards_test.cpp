// Stand-ins for llama.cpp's functions, with the very signatures that the guards call, throw, answer, or look at what arrives.
#include "continual_native.h"
#include "harness.h"

#include <cstdio>
#include <cstring>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

extern "C" int32_t header_is_c(void);

namespace {

template <typename Function>
cn_function address(Function * function) {
    return reinterpret_cast<cn_function>(function);
}

std::string last_error() {
    std::string text(static_cast<std::size_t>(cn_last_error(nullptr, 0)) + 1, 'x');
    cn_last_error(text.data(), static_cast<int32_t>(text.size()));
    text.pop_back();
    return text;
}

int something = 0;
void * const object = &something;

void accept_throws_runtime_error(void *, int32_t token) {
    throw std::runtime_error("no rule allows token " + std::to_string(token));
}

} // namespace

TEST(standard_exception_becomes_status_and_message) {
    CHECK_EQ(cn_guard_sampler_accept(address(accept_throws_runtime_error), object, 42), static_cast<int32_t>(CN_ERROR_EXCEPTION));
    CHECK_EQ(last_error(), "no rule allows token 42");
}

TEST(out_of_memory_has_its_own_status) {
    auto decode = +[](void *, cn_batch) -> int32_t { throw std::bad_alloc(); };
    cn_batch batch = {};
    int32_t result = 7;
    CHECK_EQ(cn_guard_decode(address(decode), object, &batch, &result), static_cast<int32_t>(CN_ERROR_OUT_OF_MEMORY));
    CHECK_EQ(result, 0);
    CHECK_EQ(last_error(), "out of memory");
}

TEST(thrown_int_becomes_status) {
    auto apply = +[](void *, cn_token_data_array *) { throw 17; };
    cn_token_data_array candidates = {};
    CHECK_EQ(cn_guard_sampler_apply(address(apply), object, &candidates), static_cast<int32_t>(CN_ERROR_UNKNOWN_EXCEPTION));
    CHECK_EQ(last_error(), "an exception of an unknown type");
}

TEST(thrown_string_becomes_its_text) {
    auto literal = +[](void *, int32_t) { throw "plain text"; };
    CHECK_EQ(cn_guard_sampler_accept(address(literal), object, 0), static_cast<int32_t>(CN_ERROR_UNKNOWN_EXCEPTION));
    CHECK_EQ(last_error(), "plain text");
    auto string = +[](void *, int32_t) { throw std::string("a string"); };
    CHECK_EQ(cn_guard_sampler_accept(address(string), object, 0), static_cast<int32_t>(CN_ERROR_UNKNOWN_EXCEPTION));
    CHECK_EQ(last_error(), "a string");
    auto nothing = +[](void *, int32_t) { throw static_cast<const char *>(nullptr); };
    CHECK_EQ(cn_guard_sampler_accept(address(nothing), object, 0), static_cast<int32_t>(CN_ERROR_UNKNOWN_EXCEPTION));
    CHECK_EQ(last_error(), "no message");
}

namespace {

struct thrown_in : std::runtime_error {
    using std::runtime_error::runtime_error;
};

int32_t decode_throws(void *, cn_batch) { throw thrown_in("decode"); }
void accept_throws(void *, int32_t) { throw thrown_in("accept"); }
void apply_throws(void *, cn_token_data_array *) { throw thrown_in("apply"); }
void * grammar_throws(const void *, const char *, const char *) { throw thrown_in("grammar"); }
int32_t tokenize_throws(const void *, const char *, int32_t, int32_t *, int32_t, bool, bool) { throw thrown_in("tokenize"); }
int32_t piece_throws(const void *, int32_t, char *, int32_t, int32_t, bool) { throw thrown_in("piece"); }
void * adapter_throws(void *, const char *) { throw thrown_in("adapter"); }
void * adapter_file_throws(void *, void *) { throw thrown_in("adapter file"); }
void * model_throws(const char *, cn_model_params) { throw thrown_in("model"); }
void * context_throws(void *, cn_context_params) { throw thrown_in("context"); }
uint32_t quantize_throws(const char *, const char *, const void *) { throw thrown_in("quantize"); }
int32_t adapters_throws(void *, void **, uint64_t, float *) { throw thrown_in("adapters"); }

} // namespace

TEST(every_guard_stops_exceptions) {
    cn_batch batch = {};
    cn_token_data_array candidates = {};
    cn_model_params model_params = {};
    cn_context_params context_params = {};
    cn_quantize_params quantize_params = {};
    int32_t token = 0;
    char byte = 0;
    void * adapter = object;
    float scale = 1;
    struct guard {
        const char * message;
        std::function<int32_t(int32_t * number, void ** thing)> call;
    };
    const guard guards[] = {
        {"decode", [&](int32_t * n, void **) { return cn_guard_decode(address(decode_throws), object, &batch, n); }},
        {"accept", [&](int32_t *, void **) { return cn_guard_sampler_accept(address(accept_throws), object, 1); }},
        {"apply", [&](int32_t *, void **) { return cn_guard_sampler_apply(address(apply_throws), object, &candidates); }},
        {"grammar", [&](int32_t *, void ** t) { return cn_guard_sampler_init_grammar(address(grammar_throws), object, "root ::= \"a\"", "root", t); }},
        {"tokenize", [&](int32_t * n, void **) { return cn_guard_tokenize(address(tokenize_throws), object, "a", 1, &token, 1, 1, 1, n); }},
        {"piece", [&](int32_t * n, void **) { return cn_guard_token_to_piece(address(piece_throws), object, 1, &byte, 1, 0, 1, n); }},
        {"adapter", [&](int32_t *, void ** t) { return cn_guard_adapter_from_path(address(adapter_throws), object, "a.gguf", t); }},
        {"adapter file", [&](int32_t *, void ** t) { return cn_guard_adapter_from_file_ptr(address(adapter_file_throws), object, object, t); }},
        {"model", [&](int32_t *, void ** t) { return cn_guard_model_load(address(model_throws), "m.gguf", &model_params, sizeof model_params, t); }},
        {"context", [&](int32_t *, void ** t) { return cn_guard_context_init(address(context_throws), object, &context_params, sizeof context_params, t); }},
        {"quantize", [&](int32_t * n, void **) {
            uint32_t result = 5;
            const int32_t status = cn_guard_quantize(address(quantize_throws), "a", "b", &quantize_params, &result);
            *n = static_cast<int32_t>(result);
            return status;
        }},
        {"adapters", [&](int32_t * n, void **) { return cn_guard_set_adapters(address(adapters_throws), object, &adapter, 1, &scale, n); }},
    };
    for (const guard & guard : guards) {
        int32_t number = 0;
        void * thing = nullptr;
        CHECK_EQ(guard.call(&number, &thing), static_cast<int32_t>(CN_ERROR_EXCEPTION));
        CHECK_EQ(last_error(), guard.message);
        CHECK_EQ(number, 0);
        CHECK(thing == nullptr);
    }
}

TEST(results_pass_through) {
    CHECK_EQ(cn_version(), header_is_c());
    cn_batch batch = {};
    int32_t result = 0;
    CHECK_EQ(cn_guard_decode(address(+[](void *, cn_batch) -> int32_t { return -3; }), object, &batch, &result), static_cast<int32_t>(CN_OK));
    CHECK_EQ(result, -3);

    auto tokenize = +[](const void * vocab, const char * text, int32_t length, int32_t * tokens, int32_t capacity, bool add, bool parse) -> int32_t {
        tokens[0] = static_cast<unsigned char>(text[length - 1]);
        tokens[1] = capacity;
        return vocab == object && add && !parse ? 2 : -1;
    };
    int32_t tokens[4] = {};
    CHECK_EQ(cn_guard_tokenize(address(tokenize), object, "abc", 3, tokens, 4, 5, 0, &result), static_cast<int32_t>(CN_OK));
    CHECK_EQ(result, 2);
    CHECK_EQ(tokens[0], 'c');
    CHECK_EQ(tokens[1], 4);

    auto piece = +[](const void *, int32_t token, char * buffer, int32_t capacity, int32_t skip, bool special) -> int32_t {
        buffer[0] = static_cast<char>(token);
        return capacity + skip + (special ? 100 : 0);
    };
    char buffer[8] = {};
    CHECK_EQ(cn_guard_token_to_piece(address(piece), object, 'z', buffer, 8, 1, 1, &result), static_cast<int32_t>(CN_OK));
    CHECK_EQ(result, 109);
    CHECK_EQ(buffer[0], 'z');

    void * adapters[2] = {object, nullptr};
    float scales[2] = {0.5f, 2.0f};
    auto set = +[](void * context, void ** list, uint64_t count, float * factors) -> int32_t {
        return context == object && list[0] == object && count == 2 && factors[1] == 2.0f ? 11 : 0;
    };
    CHECK_EQ(cn_guard_set_adapters(address(set), object, adapters, 2, scales, &result), static_cast<int32_t>(CN_OK));
    CHECK_EQ(result, 11);
    auto none = +[](void *, void **, uint64_t count, float *) -> int32_t { return count == 0 ? 12 : 0; };
    CHECK_EQ(cn_guard_set_adapters(address(none), object, nullptr, 0, nullptr, &result), static_cast<int32_t>(CN_OK));
    CHECK_EQ(result, 12);

    uint32_t code = 0;
    auto quantize = +[](const char * input, const char * output, const void * params) -> uint32_t {
        return static_cast<uint32_t>(input[0] + output[0]) + static_cast<const cn_quantize_params *>(params)->dry_run;
    };
    cn_quantize_params quantize_params = {};
    quantize_params.dry_run = 1;
    CHECK_EQ(cn_guard_quantize(address(quantize), "\x01", "\x02", &quantize_params, &code), static_cast<int32_t>(CN_OK));
    CHECK_EQ(code, 4u);
}

TEST(structs_by_value_arrive_whole) {
    // Every byte of each structure is given a value of its own and looked at on the other side of the call.
    static unsigned char pattern[sizeof(cn_context_params)];
    for (std::size_t i = 0; i < sizeof pattern; i++) {
        pattern[i] = static_cast<unsigned char>(i * 7 + 1);
    }
    cn_batch batch;
    std::memcpy(&batch, pattern, sizeof batch);
    int32_t result = 1;
    auto decode = +[](void *, cn_batch seen) -> int32_t {
        cn_batch expected;
        std::memcpy(&expected, pattern, sizeof expected);
        return seen.n_tokens == expected.n_tokens && seen.token == expected.token && seen.embd == expected.embd && seen.pos == expected.pos &&
                       seen.n_seq_id == expected.n_seq_id && seen.seq_id == expected.seq_id && seen.logits == expected.logits
                   ? 0
                   : -1;
    };
    CHECK_EQ(cn_guard_decode(address(decode), object, &batch, &result), static_cast<int32_t>(CN_OK));
    CHECK_EQ(result, 0);

    void * made = nullptr;
    auto load = +[](const char *, cn_model_params seen) -> void * { return std::memcmp(&seen, pattern, 78) == 0 ? object : nullptr; };
    CHECK_EQ(cn_guard_model_load(address(load), "m", pattern, sizeof(cn_model_params), &made), static_cast<int32_t>(CN_OK));
    CHECK(made == object);

    made = nullptr;
    auto init = +[](void *, cn_context_params seen) -> void * {
        // The two bytes of padding after kv_unified need not survive a copy.
        cn_context_params expected;
        std::memcpy(&expected, pattern, sizeof expected);
        return std::memcmp(&seen, pattern, offsetof(cn_context_params, kv_unified) + 1) == 0 && seen.samplers == expected.samplers &&
                       seen.n_samplers == expected.n_samplers && seen.ctx_other == expected.ctx_other
                   ? object
                   : nullptr;
    };
    CHECK_EQ(cn_guard_context_init(address(init), object, pattern, sizeof(cn_context_params), &made), static_cast<int32_t>(CN_OK));
    CHECK(made == object);
}

TEST(null_pointer_from_the_engine_passes_through) {
    void * made = object;
    auto init = +[](void *, const char *) -> void * { return nullptr; };
    CHECK_EQ(cn_guard_adapter_from_path(address(init), object, "a", &made), static_cast<int32_t>(CN_OK));
    CHECK(made == nullptr);
}

TEST(bad_arguments_are_refused) {
    const int32_t refused = CN_ERROR_ARGUMENT;
    cn_batch batch = {};
    cn_model_params params = {};
    int32_t number = 0;
    void * thing = nullptr;
    CHECK_EQ(cn_guard_decode(nullptr, object, &batch, &number), refused);
    CHECK_EQ(cn_guard_decode(address(decode_throws), nullptr, &batch, &number), refused);
    CHECK_EQ(cn_guard_decode(address(decode_throws), object, nullptr, &number), refused);
    CHECK_EQ(cn_guard_decode(address(decode_throws), object, &batch, nullptr), refused);
    CHECK_EQ(cn_guard_model_load(address(model_throws), "m", &params, 79, &thing), refused);
    CHECK_EQ(last_error(), "cn_guard_model_load: params_size is not that of llama_model_params");
    CHECK_EQ(cn_guard_context_init(address(context_throws), object, &params, 80, &thing), refused);
    CHECK_EQ(cn_guard_tokenize(address(tokenize_throws), object, "a", -1, &number, 1, 0, 0, &number), refused);
    CHECK_EQ(cn_guard_tokenize(address(tokenize_throws), object, "a", 1, nullptr, 1, 0, 0, &number), refused);
    CHECK_EQ(cn_guard_token_to_piece(address(piece_throws), object, 1, nullptr, 1, 0, 0, &number), refused);
    CHECK_EQ(cn_guard_set_adapters(address(adapters_throws), object, nullptr, 1, nullptr, &number), refused);
    CHECK_EQ(cn_guard_sampler_init_grammar(address(grammar_throws), object, nullptr, "root", &thing), refused);
    CHECK_EQ(cn_guard_adapter_from_file_ptr(address(adapter_file_throws), object, nullptr, &thing), refused);
    CHECK_EQ(cn_struct_layout(99, -1, nullptr, 0, &number, &number), refused);
    CHECK_EQ(cn_struct_layout(CN_STRUCT_BATCH, 7, nullptr, 0, &number, &number), refused);
}

TEST(message_is_per_thread) {
    cn_guard_sampler_accept(address(accept_throws_runtime_error), object, 1);
    std::string other = "unset";
    std::thread([&] {
        other = last_error();
        cn_guard_sampler_accept(address(accept_throws_runtime_error), object, 2);
    }).join();
    CHECK_EQ(other, "");
    CHECK_EQ(last_error(), "no rule allows token 1");
}

TEST(message_is_cut_at_a_character) {
    auto euro = +[](void *, int32_t) { throw std::runtime_error("a\xE2\x82\xAC"); };
    cn_guard_sampler_accept(address(euro), object, 0);
    char buffer[4];
    for (int32_t capacity = 2; capacity <= 4; capacity++) {
        CHECK_EQ(cn_last_error(buffer, capacity), 4);
        CHECK_EQ(std::string(buffer), "a");
    }
    auto endless = +[](void *, int32_t) {
        std::string text = "x";
        for (int i = 0; i < 3000; i++) {
            text += "\xE2\x82\xAC";
        }
        throw std::runtime_error(text);
    };
    cn_guard_sampler_accept(address(endless), object, 0);
    const std::string text = last_error();
    CHECK(text.size() > 1000 && text.size() < 9001);
    CHECK_EQ((text.size() - 1) % 3, 0u);
}

TEST(layout_lists_every_field) {
    const int32_t sizes[] = {56, 80, 160, 64, 12, 32, 312, 48, 128, 80, 56, 40};
    const int32_t counts[] = {7, 17, 37, 15, 3, 4, 13, 7, 29, 13, 9, 5};
    for (int32_t structure = 0; structure < 12; structure++) {
        int32_t offset = 0;
        int32_t size = 0;
        char name[64];
        CHECK_EQ(cn_struct_layout(structure, -1, name, sizeof name, &offset, &size), static_cast<int32_t>(CN_OK));
        CHECK_EQ(size, sizes[structure]);
        CHECK_EQ(std::string(name).rfind(structure < 6 ? "llama_" : "cn_", 0), 0u);
        int32_t end = 0;
        int32_t field = 0;
        while (cn_struct_layout(structure, field, name, sizeof name, &offset, &size) == CN_OK) {
            // In order, no overlap, and no gap that alignment does not explain: a field left out would leave one.
            CHECK(offset >= end && offset - end < 8);
            end = offset + size;
            field++;
        }
        CHECK_EQ(field, counts[structure]);
        CHECK(sizes[structure] - end < 8);
    }
}
