#include "ops/dropout.h"
#include "padded.h"

using namespace continual;
using namespace gpu_check;
using namespace ops_check;

namespace {

constexpr uint64_t seed = 0x123456789abcdef0ull;
constexpr uint64_t stream = 0xfedcba9876543210ull;

template <typename T>
void equals_the_cpu(int64_t n, float rate) {
    // Large enough that a kept one overflows, small enough that it is denormal, and what is not a number.
    auto x = normals<T>(n, 1);
    x[0] = from_float<T>(3e38f);
    x[static_cast<std::size_t>(n / 2)] = from_float<T>(-1e-40f);
    x[static_cast<std::size_t>(n - 1)] = from_float<T>(-infinity);
    std::vector<T> expected(x.size());
    dropout(cpu_context{pool(), best_isa()}, seed, stream, n, rate, x.data(), expected.data());
    for (const tried_device & tried : devices()) {
        const gpu_context gpu{*tried.on};
        for (const int64_t offset : {0, 1}) {
            const padded<T> from(tried.on, x, offset);
            const padded<T> y(tried.on, n, offset);
            dropout(gpu, seed, stream, n, rate, from.data(), y.data());
            CHECK(same_bits(y.values(), expected));
            dropout(gpu, seed, stream, n, rate, from.data(), from.data());
            CHECK(same_bits(from.values(), expected));
        }
    }
}

} // namespace

TEST(dropout_gpu_equals_the_cpu) {
    for (const int64_t n : {1, 15, 63, 64, 65, 1000, 4133, 20480}) {
        equals_the_cpu<float>(n, 0.3f);
        equals_the_cpu<bf16>(n, 0.3f);
    }
}

TEST(dropout_gpu_equals_the_cpu_at_every_rate) {
    for (const float rate : {-1.0f, 0.0f, 1e-11f, 3e-10f, 0.05f, 0.5f, 0.999f, 1.0f, 2.0f, not_a_number}) {
        equals_the_cpu<float>(1001, rate);
        equals_the_cpu<bf16>(1001, rate);
    }
}

TEST(dropout_gpu_keeps_what_is_not_a_number) {
    const std::vector<bf16> x(640, from_float<bf16>(not_a_number));
    std::vector<bf16> expected(x.size());
    dropout(cpu_context{pool(), best_isa()}, seed, stream, 640, 0.5f, x.data(), expected.data());
    for (const tried_device & tried : devices()) {
        const on_device<bf16> there(tried.on, x);
        dropout(gpu_context{*tried.on}, seed, stream, 640, 0.5f, there.data(), there.data());
        const auto y = there.values();
        for (std::size_t i = 0; i < y.size(); i++) {
            CHECK(std::isnan(to_float(expected[i])) ? std::isnan(to_float(y[i])) : to_float(y[i]) == 0.0f);
        }
    }
}

TEST(dropout_gpu_of_nothing) {
    for (const tried_device & tried : devices()) {
        dropout<float>(gpu_context{*tried.on}, seed, stream, 0, 0.5f, nullptr, nullptr);
        dropout<bf16>(gpu_context{*tried.on}, seed, stream, 0, 1.0f, nullptr, nullptr);
    }
}
