#include "ops/quant.h"

#include "ops/quant_kernels.h"
#include "runtime/dispatch.h"

#include <bit>

namespace continual {

CN_DECLARE_TABLES(quant_kernels, quant_table);

// The blocks of a GGUF file are little-endian, and are read where they lie.
static_assert(std::endian::native == std::endian::little);

namespace {

struct layout {
    const char * name;
    int32_t elements; // of a block; 0: a type that the trainer does not read
    int32_t bytes;    // of a block
};

// By ggml's number (ggml.h, enum ggml_type, release 0.5.0 of the packaged engine). Sizes: ggml-common.h.
constexpr layout layouts[] = {
    {"F32", 1, 4},     {"F16", 1, 2},     {"Q4_0", 32, 18},  {"Q4_1", 32, 20},    {"type 4", 0, 0},    {"type 5", 0, 0},    {"Q5_0", 32, 22},
    {"Q5_1", 32, 24},  {"Q8_0", 32, 34},  {"Q8_1", 0, 0},    {"Q2_K", 256, 84},   {"Q3_K", 256, 110},  {"Q4_K", 256, 144},  {"Q5_K", 256, 176},
    {"Q6_K", 256, 210}, {"Q8_K", 0, 0},   {"IQ2_XXS", 0, 0}, {"IQ2_XS", 0, 0},    {"IQ3_XXS", 0, 0},   {"IQ1_S", 0, 0},     {"IQ4_NL", 32, 18},
    {"IQ3_S", 0, 0},   {"IQ2_S", 0, 0},   {"IQ4_XS", 256, 136}, {"I8", 0, 0},     {"I16", 0, 0},       {"I32", 0, 0},       {"I64", 0, 0},
    {"F64", 0, 0},     {"IQ1_M", 0, 0},   {"BF16", 1, 2},    {"Q4_0_4_4", 0, 0},  {"Q4_0_4_8", 0, 0},  {"Q4_0_8_8", 0, 0},  {"TQ1_0", 0, 0},
    {"TQ2_0", 0, 0},   {"IQ4_NL_4_4", 0, 0}, {"IQ4_NL_4_8", 0, 0}, {"IQ4_NL_8_8", 0, 0}, {"MXFP4", 0, 0}, {"NVFP4", 0, 0},  {"Q1_0", 0, 0},
    {"Q2_0", 0, 0},
};
constexpr int32_t known = sizeof layouts / sizeof layouts[0];

// "type 43" … "type 99", for the numbers that ggml has not given away yet.
struct number_names {
    char text[100][8];
};
constexpr number_names numbers = [] {
    number_names names = {};
    for (int i = 0; i < 100; i++) {
        const char text[8] = {'t', 'y', 'p', 'e', ' ', static_cast<char>('0' + i / 10), static_cast<char>('0' + i % 10), 0};
        for (int j = 0; j < 8; j++) {
            names.text[i][j] = text[j];
        }
    }
    return names;
}();

constexpr layout nothing = {"type of an unknown number", 0, 0};

constexpr const layout & find(int32_t type) noexcept {
    return type >= 0 && type < known ? layouts[type] : nothing;
}

} // namespace

bool is_supported(int32_t type) noexcept {
    return find(type).elements != 0;
}

const char * name(tensor_type type) noexcept {
    const int32_t number = static_cast<int32_t>(type);
    return number >= known && number < 100 ? numbers.text[number] : find(number).name;
}

int64_t block_elements(tensor_type type) noexcept {
    return find(static_cast<int32_t>(type)).elements;
}

int64_t block_bytes(tensor_type type) noexcept {
    return find(static_cast<int32_t>(type)).bytes;
}

int64_t row_bytes(tensor_type type, int64_t n) noexcept {
    const layout & found = find(static_cast<int32_t>(type));
    return found.elements == 0 ? 0 : n / found.elements * found.bytes;
}

void dequantize(isa level, tensor_type type, const void * blocks, float * out, int64_t n) noexcept {
    CN_TABLE(level, quant_table).to_float(type, blocks, out, n);
}

void dequantize(isa level, tensor_type type, const void * blocks, bf16 * out, int64_t n) noexcept {
    CN_TABLE(level, quant_table).to_bf16(type, blocks, out, n);
}

} // namespace continual
