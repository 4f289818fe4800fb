#include "emulator/emulator.h"
#include "gpu_check.h"
#include "ops/embedding.h"
#include "ops/quant.h"

#include <cstring>
#include <string>
#include <vector>

using namespace continual;
using namespace gpu_check;
using namespace ops_check;

namespace {

constexpr tensor_type all_types[] = {
    tensor_type::f32,  tensor_type::f16,  tensor_type::bf16, tensor_type::q4_0, tensor_type::q4_1, tensor_type::q5_0,   tensor_type::q5_1,   tensor_type::q8_0,
    tensor_type::q2_k, tensor_type::q3_k, tensor_type::q4_k, tensor_type::q5_k, tensor_type::q6_k, tensor_type::iq4_nl, tensor_type::iq4_xs,
};

std::size_t sized(int64_t n) {
    return static_cast<std::size_t>(n);
}

// Blocks without NaN: the exponents of halves stay below the largest.
std::vector<uint8_t> random_table(int64_t size) {
    random_source source(3);
    std::vector<uint8_t> table(sized(size));
    for (uint8_t & byte : table) {
        byte = static_cast<uint8_t>(source.next() >> 24 & 0xbb);
    }
    return table;
}

void forward_matches(const tried_device & tried, tensor_type type, int64_t width, int64_t gap) {
    constexpr int64_t vocabulary = 9;
    const std::vector<int32_t> tokens = {8, 0, 7, 7, 3};
    const int64_t rows = static_cast<int64_t>(tokens.size());
    const int64_t row_stride = row_bytes(type, width) + gap;
    const auto table = random_table((vocabulary - 1) * row_stride + row_bytes(type, width));
    const on_device<uint8_t> table_there(tried.on, table);
    const on_device<int32_t> tokens_there(tried.on, tokens);
    const on_device<float> x_there(tried.on, std::vector<float>(sized(rows * width + 1), 77.0f));
    embedding_forward(gpu_context{*tried.on}, rows, width, tokens_there.data(), table_there.data(), type, row_stride, x_there.data());
    std::vector<float> expected(sized(rows * width + 1), 77.0f);
    for (int64_t row = 0; row < rows; row++) {
        dequantize(isa::portable, type, table.data() + tokens[sized(row)] * row_stride, expected.data() + row * width, width);
    }
    if (!same_bits(x_there.values(), expected)) {
        continual_tests::report(__FILE__, __LINE__, std::string(name(type)) + " " + tried.name + " of width " + std::to_string(width) + ", gap " + std::to_string(gap));
    }
}

// dx_off, table_off: floats from an aligned address.
void backward_equals_a_loop(const tried_device & tried, const std::vector<int32_t> & tokens, int64_t width, int64_t vocabulary, int64_t dx_off = 0, int64_t table_off = 0) {
    const int64_t rows = static_cast<int64_t>(tokens.size());
    auto dx = normals<float>(dx_off + rows * width, 2);
    auto table = normals<float>(table_off + vocabulary * width, 5);
    // A sum that nothing is added to, or only what is −0, stays −0.
    for (std::size_t i = 0; i < table.size(); i += 3) {
        table[i] = -0.0f;
    }
    for (std::size_t i = 0; i < dx.size(); i += 2) {
        dx[i] = -0.0f;
    }
    const on_device<float> dx_there(tried.on, dx);
    const on_device<float> table_there(tried.on, table);
    const on_device<int32_t> tokens_there(tried.on, tokens);
    const on_device<uint8_t> scratch(tried.on, embedding_backward_scratch(rows));
    embedding_backward(gpu_context{*tried.on}, rows, width, tokens_there.data(), dx_there.data() + dx_off, table_there.data() + table_off, vocabulary, scratch.data());
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < width; i++) {
            table[sized(table_off + tokens[sized(row)] * width + i)] += dx[sized(dx_off + row * width + i)];
        }
    }
    if (!same_bits(table_there.values(), table)) {
        continual_tests::report(__FILE__, __LINE__, tried.name + ": " + std::to_string(rows) + " rows of width " + std::to_string(width) + ", " +
                                                        std::to_string(vocabulary) + " tokens");
    }
}

std::vector<int32_t> random_tokens(int64_t rows, int64_t vocabulary) {
    random_source source(9);
    std::vector<int32_t> tokens;
    for (int64_t row = 0; row < rows; row++) {
        tokens.push_back(static_cast<int32_t>(source.next() % static_cast<uint64_t>(vocabulary)));
    }
    return tokens;
}

} // namespace

TEST(embedding_gpu_forward_takes_the_rows) {
    for (const tried_device & tried : devices()) {
        for (const tensor_type type : all_types) {
            const int64_t one = block_elements(type);
            for (const int64_t blocks : {1, 5}) {
                forward_matches(tried, type, one * blocks, 0);
                forward_matches(tried, type, one * blocks, 6);
            }
        }
        // Wider than what a block makes at once.
        forward_matches(tried, tensor_type::f32, 2063, 4);
        forward_matches(tried, tensor_type::bf16, 1031, 2);
        forward_matches(tried, tensor_type::q4_k, 1280, 0);
    }
}

TEST(embedding_gpu_backward_adds_in_order) {
    for (const tried_device & tried : devices()) {
        backward_equals_a_loop(tried, {0}, 1, 1);
        backward_equals_a_loop(tried, {3, 1, 3, 3, 0, 1}, 3, 5);
        backward_equals_a_loop(tried, random_tokens(100, 7), 65, 7);
        backward_equals_a_loop(tried, random_tokens(150, 7), 68, 7);
        backward_equals_a_loop(tried, random_tokens(60, 500), 516, 500);
        backward_equals_a_loop(tried, random_tokens(20, 5), 517, 5);
        // Eight at a time: as many, one fewer, one more.
        for (const int count : {7, 8, 9, 16}) {
            std::vector<int32_t> tokens(sized(count), 2);
            tokens.push_back(1);
            backward_equals_a_loop(tried, tokens, 4, 3);
            backward_equals_a_loop(tried, std::vector<int32_t>(sized(count), 2), 5, 3);
        }
    }
}

// Misaligned, which takes another way.
TEST(embedding_gpu_backward_needs_no_alignment) {
    for (const tried_device & tried : devices()) {
        backward_equals_a_loop(tried, random_tokens(40, 7), 8, 7, 1, 0);
        backward_equals_a_loop(tried, random_tokens(40, 7), 8, 7, 0, 3);
    }
}

// Tiles before, with and after the block's own rows.
TEST(embedding_gpu_backward_of_many_rows) {
    for (const tried_device & tried : devices()) {
        backward_equals_a_loop(tried, random_tokens(1100, 300), 2, 300);
        backward_equals_a_loop(tried, random_tokens(1024, 262144), 1, 262144);
        backward_equals_a_loop(tried, std::vector<int32_t>(600, 4), 3, 5);
    }
}

TEST(embedding_gpu_of_no_rows_launches_nothing) {
    for (const tried_device & tried : devices(false)) {
        const int64_t before = emulator::launches();
        embedding_forward(gpu_context{*tried.on}, 0, 8, nullptr, nullptr, tensor_type::f32, 32, nullptr);
        embedding_backward(gpu_context{*tried.on}, 0, 8, nullptr, nullptr, nullptr, 5, nullptr);
        CHECK_EQ(emulator::launches(), before);
    }
}
