#include "ggml_library.h"
#include "harness.h"
#include "ops/quant.h"
#include "oracle/quant.h"
#include "quant_blocks.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

using continual::bf16;
using continual::isa;
using continual::tensor_type;

namespace {

using bytes = std::vector<uint8_t>;

constexpr tensor_type all_types[] = {
    tensor_type::f32,  tensor_type::f16,  tensor_type::bf16, tensor_type::q4_0, tensor_type::q4_1, tensor_type::q5_0,   tensor_type::q5_1,   tensor_type::q8_0,
    tensor_type::q2_k, tensor_type::q3_k, tensor_type::q4_k, tensor_type::q5_k, tensor_type::q6_k, tensor_type::iq4_nl, tensor_type::iq4_xs,
};

uint32_t bits_of(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

bool same(float x, float y) {
    return (std::isnan(x) && std::isnan(y)) || bits_of(x) == bits_of(y);
}

bool same(bf16 x, bf16 y) {
    return same(to_float(x), to_float(y));
}

// Blocks of bytes that no quantizer would write: all alike, random, and with scales that are zero, negative, the smallest, the largest, infinite, not a number.
bytes adversarial(tensor_type type, uint32_t seed) {
    static const uint16_t scales[] = {0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x0400, 0x3c00, 0xbc00, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0xfe01, 0x7c01};
    std::mt19937 random(seed);
    const std::size_t size = static_cast<std::size_t>(block_bytes(type));
    bytes blocks;
    const auto add = [&](auto fill) {
        for (std::size_t i = 0; i < size; i++) {
            blocks.push_back(static_cast<uint8_t>(fill(i)));
        }
    };
    for (const int value : {0x00, 0xff, 0x80, 0x7f, 0x0f, 0xf0, 0x55}) {
        add([&](std::size_t) { return value; });
    }
    for (int i = 0; i < 64; i++) {
        add([&](std::size_t) { return static_cast<int>(random()); });
    }
    const auto halves = ops_check::halves_of(type);
    if (!halves.empty()) {
        for (const uint16_t first : scales) {
            for (const uint16_t second : scales) {
                add([&](std::size_t) { return static_cast<int>(random()); });
                uint8_t * const block = blocks.data() + blocks.size() - size;
                std::memcpy(block + halves[0], &first, sizeof first);
                if (halves.size() > 1) {
                    std::memcpy(block + halves[1], &second, sizeof second);
                }
            }
        }
    }
    if (type == tensor_type::f32) {
        for (const uint32_t value : {0x00000001u, 0x807fffffu, 0x00800000u, 0x7f7fffffu, 0x7f7f8000u, 0x7f800000u, 0xff800000u, 0x7f800001u, 0x7fc00000u, 0x3f808000u,
                                     0x3f818000u, 0x3f80ffffu, 0x0000ffffu, 0x00017fffu, 0xffffffffu}) {
            add([&](std::size_t i) { return static_cast<int>(value >> (i * 8)); });
        }
    }
    // Whole rows and odd ones: 1-element types leave a tail behind vectors of any length.
    if (block_elements(type) == 1) {
        for (int i = 0; i < 4096 + 7; i++) {
            add([&](std::size_t) { return static_cast<int>(random()); });
        }
    }
    return blocks;
}

// Every level against `expected`, in float and in bf16; the blocks lie at an address that is a multiple of 2 only.
void check_levels(tensor_type type, const bytes & blocks, const std::vector<float> & expected) {
    const int64_t n = static_cast<int64_t>(expected.size());
    bytes shifted(blocks.size() + 2);
    std::memcpy(shifted.data() + 2, blocks.data(), blocks.size());
    constexpr float guard = 12345.0f;
    for (int32_t level = 0; level <= static_cast<int32_t>(continual::best_isa()); level++) {
        std::vector<float> floats(expected.size() + 1, guard);
        std::vector<bf16> halves(expected.size() + 1, continual::to_bf16(guard));
        continual::dequantize(static_cast<isa>(level), type, shifted.data() + 2, floats.data(), n);
        continual::dequantize(static_cast<isa>(level), type, shifted.data() + 2, halves.data(), n);
        const std::string where = std::string(name(type)) + ", " + name(static_cast<isa>(level)) + ", element ";
        int reported = 0;
        for (std::size_t i = 0; i < expected.size() && reported < 3; i++) {
            if (!same(floats[i], expected[i])) {
                continual_tests::report(__FILE__, __LINE__, where + std::to_string(i) + ": " + std::to_string(floats[i]) + ", expected " + std::to_string(expected[i]));
                reported++;
            } else if (!same(halves[i], continual::to_bf16(expected[i]))) {
                continual_tests::report(__FILE__, __LINE__, where + std::to_string(i) + " in bf16: " + std::to_string(to_float(halves[i])) + " of " + std::to_string(expected[i]));
                reported++;
            }
        }
        CHECK_EQ(floats.back(), guard);
        CHECK(same(halves.back(), continual::to_bf16(guard)));
    }
}

} // namespace

TEST(dequantize_equals_the_formats_definition) {
    for (const tensor_type type : all_types) {
        const bytes blocks = adversarial(type, 20);
        const std::size_t size = static_cast<std::size_t>(block_bytes(type));
        std::vector<float> expected;
        for (std::size_t block = 0; block < blocks.size(); block += size) {
            for (int i = 0; i < block_elements(type); i++) {
                expected.push_back(static_cast<float>(oracle::quant_element(type, blocks.data() + block, i)));
            }
        }
        check_levels(type, blocks, expected);
    }
}

TEST(dequantize_of_few_elements_keeps_to_them) {
    for (const tensor_type type : {tensor_type::f32, tensor_type::f16, tensor_type::bf16}) {
        const bytes blocks = adversarial(type, 21);
        for (std::size_t n = 0; n <= 70; n++) {
            std::vector<float> expected;
            for (std::size_t i = 0; i < n; i++) {
                expected.push_back(static_cast<float>(oracle::quant_element(type, blocks.data() + i * static_cast<std::size_t>(block_bytes(type)), 0)));
            }
            check_levels(type, blocks, expected);
        }
    }
}

TEST(every_half_becomes_its_float) {
    bytes blocks(65536 * 2);
    std::vector<float> expected(65536);
    for (std::size_t i = 0; i < expected.size(); i++) {
        const uint16_t bits = static_cast<uint16_t>(i);
        std::memcpy(blocks.data() + i * 2, &bits, sizeof bits);
        expected[i] = static_cast<float>(oracle::half_value(blocks.data() + i * 2));
    }
    check_levels(tensor_type::f16, blocks, expected);
}

TEST(tensor_types_have_names_and_sizes) {
    int supported = 0;
    for (int32_t number = -1; number < 300; number++) {
        const tensor_type type = static_cast<tensor_type>(number);
        CHECK(std::strlen(name(type)) > 1);
        if (continual::is_supported(number)) {
            supported++;
            CHECK(block_elements(type) == 1 || block_elements(type) == 32 || block_elements(type) == 256);
            CHECK_EQ(row_bytes(type, 768), 768 / block_elements(type) * block_bytes(type));
        } else {
            CHECK_EQ(row_bytes(type, 256), 0);
        }
    }
    CHECK_EQ(supported, 15);
    CHECK_EQ(std::string(name(tensor_type::q4_k)), "Q4_K");
    CHECK_EQ(std::string(name(static_cast<tensor_type>(16))), "IQ2_XXS");
    CHECK_EQ(std::string(name(static_cast<tensor_type>(57))), "type 57");
    CHECK_EQ(row_bytes(tensor_type::q6_k, 512), 420);
}

#if !defined(_WIN32)

namespace {

// As in ggml.h, release 0.5.0.
struct ggml_type_traits {
    const char * type_name;
    int64_t blck_size;
    int64_t blck_size_interleave;
    size_t type_size;
    bool is_quantized;
    void (*to_float)(const void * from, float * to, int64_t n);
    void (*from_float_ref)(const float * from, void * to, int64_t n);
};

struct ggml {
    const ggml_type_traits * (*traits)(int32_t type);
    size_t (*quantize)(int32_t type, const float * from, void * to, int64_t start, int64_t rows, int64_t n_per_row, const float * importance);
};

ggml open_ggml() {
    void * const library = packaged_ggml();
    ggml result;
    result.traits = reinterpret_cast<decltype(result.traits)>(dlsym(library, "ggml_get_type_traits"));
    result.quantize = reinterpret_cast<decltype(result.quantize)>(dlsym(library, "ggml_quantize_chunk"));
    CHECK(result.traits != nullptr && result.quantize != nullptr);
    return result;
}

std::vector<float> by_ggml(const ggml & ggml, tensor_type type, const bytes & blocks) {
    const ggml_type_traits * const traits = ggml.traits(static_cast<int32_t>(type));
    CHECK_EQ(traits->blck_size, block_elements(type));
    CHECK_EQ(static_cast<int64_t>(traits->type_size), block_bytes(type));
    std::vector<float> out(blocks.size() / traits->type_size * static_cast<std::size_t>(traits->blck_size));
    if (type == tensor_type::f32) {
        std::memcpy(out.data(), blocks.data(), blocks.size());
    } else {
        traits->to_float(blocks.data(), out.data(), static_cast<int64_t>(out.size()));
    }
    return out;
}

} // namespace

TEST(dequantize_of_odd_blocks_equals_ggml) {
    const ggml ggml = open_ggml();
    for (const tensor_type type : all_types) {
        for (uint32_t seed = 0; seed < 4; seed++) {
            const bytes blocks = adversarial(type, 100 + seed);
            check_levels(type, blocks, by_ggml(ggml, type, blocks));
        }
    }
}

TEST(dequantize_of_quantized_rows_equals_ggml) {
    const ggml ggml = open_ggml();
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    constexpr int64_t width = 512;
    std::vector<float> rows;
    const auto add = [&](auto value) {
        for (int64_t i = 0; i < width; i++) {
            rows.push_back(static_cast<float>(value(i)));
        }
    };
    for (const double size : {1.0, 0.02, 1e-5, 1e-8, 3e4}) {
        for (int i = 0; i < 4; i++) {
            add([&](int64_t) { return size * normal(random); });
        }
    }
    add([](int64_t) { return 0.0; });
    add([](int64_t) { return 1.0; });
    add([](int64_t i) { return i % 2 == 0 ? 1.0 : -1.0; });
    add([](int64_t i) { return i == 77 ? 6e4 : 1e-3; });
    add([](int64_t i) { return static_cast<double>(i); });
    const int64_t count = static_cast<int64_t>(rows.size()) / width;
    for (const tensor_type type : all_types) {
        bytes blocks(static_cast<std::size_t>(row_bytes(type, width) * count));
        if (type == tensor_type::f32) {
            std::memcpy(blocks.data(), rows.data(), blocks.size());
        } else {
            CHECK_EQ(ggml.quantize(static_cast<int32_t>(type), rows.data(), blocks.data(), 0, count, width, nullptr), blocks.size());
        }
        const std::vector<float> expected = by_ggml(ggml, type, blocks);
        check_levels(type, blocks, expected);
        // The rows came back, roughly: the bytes hold what was meant, and nothing else was compared.
        double error = 0;
        double power = 0;
        for (std::size_t i = 0; i < static_cast<std::size_t>(4 * width); i++) {
            error += (expected[i] - rows[i]) * (expected[i] - rows[i]);
            power += rows[i] * rows[i];
        }
        CHECK(error < 0.15 * power);
    }
}

#endif
