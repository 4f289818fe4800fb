#include "ops/embedding.h"
#include "ops_check.h"

using namespace ops_check;
using namespace continual;

namespace {

template <typename T>
void forward_matches(tensor_type type) {
    for (const isa level : levels()) {
        for (const int64_t width : {1, 33, 896}) {
            const int64_t stride = width + 3;
            const auto table = normals<T>(50 * stride, 1);
            std::vector<int32_t> tokens = {49, 0, 7, 7, 31};
            for (int32_t i = 0; i < 40; i++) {
                tokens.push_back(i);
            }
            const int64_t rows = static_cast<int64_t>(tokens.size());
            std::vector<float> x(static_cast<std::size_t>(rows * width));
            embedding_forward(cpu_context{pool(), level}, rows, width, tokens.data(), table.data(), type, stride * static_cast<int64_t>(sizeof(T)), x.data());
            std::vector<double> expected;
            for (const int32_t token : tokens) {
                for (int64_t i = 0; i < width; i++) {
                    expected.push_back(static_cast<double>(to_float(table[static_cast<std::size_t>(token * stride + i)])));
                }
            }
            check_error("embedding forward", x, expected, name(level));
        }
    }
}

std::vector<float> gradient(const cpu_context & cpu, int64_t rows, int64_t width, int64_t vocabulary) {
    random_source source(9);
    std::vector<int32_t> tokens;
    for (int64_t row = 0; row < rows; row++) {
        tokens.push_back(static_cast<int32_t>(source.next() % static_cast<uint64_t>(vocabulary)));
    }
    const auto dx = normals<float>(rows * width, 2);
    std::vector<float> table(static_cast<std::size_t>(vocabulary * width), 1.0f);
    embedding_backward(cpu, rows, width, tokens.data(), dx.data(), table.data(), vocabulary);

    std::vector<double> expected(table.size(), 1.0);
    for (std::size_t i = 0; i < dx.size(); i++) {
        const std::size_t w = static_cast<std::size_t>(width);
        expected[static_cast<std::size_t>(tokens[i / w]) * w + i % w] += static_cast<double>(dx[i]);
    }
    check_error("embedding backward", table, expected, name(cpu.level));
    return table;
}

} // namespace

TEST(embedding_forward_takes_the_rows) {
    forward_matches<float>(tensor_type::f32);
    forward_matches<bf16>(tensor_type::bf16);
}

TEST(embedding_backward_adds_to_each_token) {
    for (const isa level : levels()) {
        gradient({pool(), level}, 1, 1, 1);
        gradient({pool(), level}, 100, 65, 7);
        gradient({pool(), level}, 300, 130, 500);
    }
}

TEST(embedding_backward_is_the_same_on_any_number_of_threads) {
    check_same_on_any_threads<float>([](const cpu_context & cpu) { return gradient(cpu, 200, 333, 11); });
}
