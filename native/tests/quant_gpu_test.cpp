#include "emulator/emulator.h"
#include "gpu_check.h"
#include "ops/quant.h"
#include "quant_blocks.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

using namespace continual;
using namespace gpu_check;
using namespace ops_check;

namespace {

using bytes = std::vector<uint8_t>;

constexpr tensor_type all_types[] = {
    tensor_type::f32,  tensor_type::f16,  tensor_type::bf16, tensor_type::q4_0, tensor_type::q4_1, tensor_type::q5_0,   tensor_type::q5_1,   tensor_type::q8_0,
    tensor_type::q2_k, tensor_type::q3_k, tensor_type::q4_k, tensor_type::q5_k, tensor_type::q6_k, tensor_type::iq4_nl, tensor_type::iq4_xs,
};

constexpr float guard = 12345.0f;

std::size_t sized(int64_t n) {
    return static_cast<std::size_t>(n);
}

// The same bits; any NaN for a NaN.
template <typename T>
bool same(T x, T y) {
    return std::memcmp(&x, &y, sizeof x) == 0 || (std::isnan(to_float(x)) && std::isnan(to_float(y)));
}

bytes random_blocks(tensor_type type, int64_t count, uint64_t seed) {
    random_source source(seed);
    bytes blocks(sized(count * block_bytes(type)));
    for (uint8_t & byte : blocks) {
        byte = static_cast<uint8_t>(source.next() >> 24);
    }
    return blocks;
}

// Random ones, some of bytes that are all alike, and all pairs of halves that are zero, negative, the smallest, the largest, infinite, not a number.
bytes adversarial(tensor_type type) {
    static const uint16_t halves[] = {0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x0400, 0x3c00, 0xbc00, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0xfe01, 0x7c01};
    const std::size_t size = sized(block_bytes(type));
    const std::vector<std::size_t> at = halves_of(type);
    bytes blocks;
    for (const uint8_t value : {0x00, 0xff, 0x80, 0x7f, 0x0f, 0xf0, 0x55}) {
        blocks.insert(blocks.end(), size, value);
    }
    uint64_t seed = 1;
    for (const uint16_t first : halves) {
        for (const uint16_t second : halves) {
            bytes block = random_blocks(type, 1, seed++);
            if (!at.empty()) {
                std::memcpy(block.data() + at.front(), &first, sizeof first);
                std::memcpy(block.data() + at.back(), at.size() > 1 ? &second : &first, sizeof first);
            }
            blocks.insert(blocks.end(), block.begin(), block.end());
        }
    }
    return blocks;
}

struct layout {
    int64_t rows;
    int64_t columns;
    int64_t row_gap = 0;    // bytes
    int64_t out_gap = 0;    // elements
    int64_t bytes_off = 0;  // from an aligned address
    int64_t elements_off = 0;
};

std::string where(const tried_device & tried, tensor_type type, const layout & l) {
    return std::string(name(type)) + " " + tried.name + " " + std::to_string(l.rows) + "x" + std::to_string(l.columns) + " gaps " + std::to_string(l.row_gap) + ", " +
           std::to_string(l.out_gap) + " off " + std::to_string(l.bytes_off) + ", " + std::to_string(l.elements_off);
}

// The device against the CPU, and that nothing else was written. blocks: those of all rows without gaps.
template <typename Out>
void check(const tried_device & tried, tensor_type type, const bytes & blocks, const layout & l) {
    const int64_t row = row_bytes(type, l.columns);
    const int64_t row_stride = row + l.row_gap;
    const int64_t out_stride = l.columns + l.out_gap;
    // No byte more than there has to be, so that reading on shows under AddressSanitizer.
    bytes source(sized(l.bytes_off + (l.rows - 1) * row_stride + row), 0xff);
    std::vector<Out> expected(sized(l.elements_off + l.rows * out_stride), from_float<Out>(guard));
    const on_device<Out> out(tried.on, expected);
    for (int64_t i = 0; i < l.rows; i++) {
        std::memcpy(source.data() + l.bytes_off + i * row_stride, blocks.data() + i * row, sized(row));
        dequantize(isa::portable, type, blocks.data() + i * row, expected.data() + l.elements_off + i * out_stride, l.columns);
    }
    const on_device<uint8_t> there(tried.on, source);
    dequantize(gpu_context{*tried.on}, type, static_cast<const void *>(there.data() + l.bytes_off), row_stride, l.rows, l.columns, out.data() + l.elements_off, out_stride);
    const auto actual = out.values();
    for (std::size_t i = 0; i < expected.size(); i++) {
        if (!same(actual[i], expected[i])) {
            continual_tests::report(__FILE__, __LINE__, where(tried, type, l) + ": place " + std::to_string(i) + " is " + std::to_string(to_float(actual[i])) + ", expected " +
                                                            std::to_string(to_float(expected[i])));
            return;
        }
    }
}

void check_both(const tried_device & tried, tensor_type type, const bytes & blocks, const layout & l) {
    check<float>(tried, type, blocks, l);
    check<bf16>(tried, type, blocks, l);
}

} // namespace

TEST(dequantize_gpu_equals_the_cpu_for_odd_blocks) {
    for (const tried_device & tried : devices()) {
        for (const tensor_type type : all_types) {
            const bytes blocks = adversarial(type);
            const int64_t count = static_cast<int64_t>(blocks.size()) / block_bytes(type);
            check_both(tried, type, blocks, {1, count * block_elements(type)});
            // The same blocks at an address that is a multiple of 2 only.
            check_both(tried, type, blocks, {1, count * block_elements(type), 0, 0, 2});
        }
    }
}

TEST(dequantize_gpu_keeps_to_rows_and_strides) {
    for (const tried_device & tried : devices()) {
        for (const tensor_type type : all_types) {
            const int64_t one = block_elements(type);
            for (const int64_t width : {one, 3 * one}) {
                const int64_t columns = one > 1 ? width : 11 * width;
                const bytes blocks = random_blocks(type, 5 * columns / one, 7);
                check_both(tried, type, blocks, {5, columns});
                check_both(tried, type, blocks, {5, columns, 2, 0});
                check_both(tried, type, blocks, {5, columns, 0, 3});
                check_both(tried, type, blocks, {5, columns, 6, 8, 4, 0});
                check_both(tried, type, blocks, {5, columns, 16, 16, 16, 8});
                check_both(tried, type, blocks, {4, columns, 10, 5, 6, 1});
            }
        }
    }
}

TEST(dequantize_gpu_of_few_elements_keeps_to_them) {
    for (const tried_device & tried : devices()) {
        for (const tensor_type type : {tensor_type::f32, tensor_type::f16, tensor_type::bf16}) {
            const bytes blocks = random_blocks(type, 3 * 26, 8);
            for (int64_t columns = 1; columns <= 26; columns += columns < 18 ? 1 : 4) {
                check_both(tried, type, blocks, {1, columns});
                check_both(tried, type, blocks, {3, columns, 4, 1, 2, 1});
            }
        }
    }
}

// More blocks than one, and rows whose pieces don't end with them.
TEST(dequantize_gpu_of_large_matrices_equals_the_cpu) {
    for (const tried_device & tried : devices()) {
        check<bf16>(tried, tensor_type::f32, random_blocks(tensor_type::f32, 37 * 901, 1), {37, 901, 0, 3});
        check<bf16>(tried, tensor_type::q4_k, random_blocks(tensor_type::q4_k, 19 * 5, 2), {19, 1280, 0, 8});
        check<float>(tried, tensor_type::q6_k, random_blocks(tensor_type::q6_k, 19 * 5, 3), {19, 1280, 4, 0});
    }
}

TEST(dequantize_gpu_knows_every_half) {
    bytes blocks(65536 * 2);
    for (std::size_t i = 0; i < 65536; i++) {
        const uint16_t bits = static_cast<uint16_t>(i);
        std::memcpy(blocks.data() + i * 2, &bits, sizeof bits);
    }
    for (const tried_device & tried : devices(false)) {
        check_both(tried, tensor_type::f16, blocks, {1, 65536});
        check_both(tried, tensor_type::bf16, blocks, {1, 65536});
    }
}

TEST(dequantize_gpu_rounds_floats_to_even) {
    const std::vector<uint32_t> bits = {0x00000001u, 0x807fffffu, 0x00800000u, 0x7f7fffffu, 0x7f7f7fffu, 0x7f7f8000u, 0x7f800000u, 0xff800000u, 0x7f800001u, 0x7fc00000u, 0x3f808000u,
                                        0x3f818000u, 0x3f80ffffu, 0x3f807fffu, 0x0000ffffu, 0x00017fffu, 0x00008000u, 0x80008000u, 0xffffffffu, 0x00000000u, 0x80000000u};
    bytes blocks(bits.size() * sizeof(uint32_t));
    std::memcpy(blocks.data(), bits.data(), blocks.size());
    for (const tried_device & tried : devices(false)) {
        check_both(tried, tensor_type::f32, blocks, {1, static_cast<int64_t>(bits.size())});
    }
}

TEST(dequantize_gpu_of_nothing_launches_nothing) {
    for (const tried_device & tried : devices(false)) {
        const int64_t before = emulator::launches();
        const on_device<float> out(tried.on, std::vector<float>(4, guard));
        for (const layout & l : {layout{0, 256}, layout{0, 256, 2, 1}, layout{3, 0}, layout{3, 0, 2, 1}}) {
            const int64_t row_stride = row_bytes(tensor_type::q4_k, l.columns) + l.row_gap;
            dequantize(gpu_context{*tried.on}, tensor_type::q4_k, static_cast<const void *>(nullptr), row_stride, l.rows, l.columns, out.data(), l.columns + l.out_gap);
        }
        CHECK_EQ(emulator::launches(), before);
        CHECK(same_bits(out.values(), std::vector<float>(4, guard)));
    }
}
