// Every op but the matrix products, on shapes of a training step of Qwen2 0.5B (width 896, 14 heads and 2 kv heads of 64, feed-forward 4864, vocabulary 151,936) with
// 512 rows: against copying memory for those that only stream, and against one large matrix product for attention. Medians, all in one run.
//
//     ops_bench [threads] [repeats] [part of an op's name]
#include "ops/adamw.h"
#include "ops/attention.h"
#include "ops/cross_entropy.h"
#include "ops/dropout.h"
#include "ops/embedding.h"
#include "ops/rmsnorm.h"
#include "ops/rope.h"
#include "ops/swiglu.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

using namespace continual;

namespace {

int repeats = 15;
const char * part = "";

template <typename Body>
double seconds(const Body & body) {
    body();
    std::vector<double> all;
    for (int i = 0; i < repeats; i++) {
        const auto start = std::chrono::steady_clock::now();
        body();
        all.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::sort(all.begin(), all.end());
    return all[all.size() / 2];
}

template <typename T>
std::vector<T> numbers(int64_t n, float scale = 1.0f) {
    std::vector<T> x(static_cast<std::size_t>(n));
    uint32_t state = 1;
    for (T & value : x) {
        state = state * 1664525u + 1013904223u;
        value = from_float<T>((static_cast<float>(state >> 8) * 0x1p-24f - 0.5f) * scale);
    }
    return x;
}

double copy_rate = 1.0;

// An op that reads and writes so many bytes in all.
template <typename Body>
void stream(const char * what, double bytes, const Body & body) {
    if (std::strstr(what, part) == nullptr) {
        return;
    }
    const double time = seconds(body);
    std::printf("%-44s %9.3f ms %8.2f GB/s %6.2f of a copy\n", what, time * 1e3, bytes / time * 1e-9, bytes / time / copy_rate);
}

double product_rate = 1.0;

template <typename Body>
void compute(const char * what, double operations, const Body & body) {
    if (std::strstr(what, part) == nullptr) {
        return;
    }
    const double time = seconds(body);
    std::printf("%-44s %9.3f ms %8.1f GFLOP/s %6.2f of a large product\n", what, time * 1e3, operations / time * 1e-9, operations / time / product_rate);
}

template <typename T>
void attention(const cpu_context & cpu, int32_t sequences, int32_t length) {
    std::vector<int32_t> bounds;
    for (int32_t s = 0; s <= sequences; s++) {
        bounds.push_back(s * length);
    }
    attention_shape shape;
    shape.bounds = bounds.data();
    shape.sequences = sequences;
    shape.heads = 14;
    shape.kv_heads = 2;
    shape.width = shape.v_width = 64;
    shape.q_stride = shape.o_stride = 896;
    shape.k_stride = shape.v_stride = 128;
    shape.scale = 0.125f;
    const int64_t rows = static_cast<int64_t>(sequences) * length;
    const auto q = numbers<T>(rows * 896);
    const auto k = numbers<T>(rows * 128);
    const auto v = numbers<T>(rows * 128);
    auto o = q;
    auto dq = q;
    auto dk = k;
    auto dv = v;
    std::vector<float> lse(static_cast<std::size_t>(rows * 14));
    const int64_t bytes = (attention_scratch_bytes(shape, cpu.pool.threads(), length) + 63) / 64 * 64;
    const std::unique_ptr<void, decltype(&std::free)> scratch(std::aligned_alloc(64, static_cast<std::size_t>(bytes)), &std::free);
    // Multiply-adds that count: only where a query may look.
    const double pairs = static_cast<double>(sequences) * 14.0 * length * (length + 1.0) / 2.0;
    char what[80];
    const char * const kind = std::is_same_v<T, bf16> ? "bf16" : "f32";
    std::snprintf(what, sizeof what, "attention forward %s %dx%d", kind, sequences, length);
    compute(what, pairs * 64 * 2 * 2, [&] { attention_forward(cpu, shape, q.data(), k.data(), v.data(), o.data(), lse.data(), scratch.get()); });
    std::snprintf(what, sizeof what, "attention backward %s %dx%d", kind, sequences, length);
    compute(what, pairs * 64 * 2 * 5,
            [&] { attention_backward(cpu, shape, q.data(), k.data(), v.data(), o.data(), lse.data(), q.data(), dq.data(), dk.data(), dv.data(), scratch.get()); });
}

template <typename T>
void products(const cpu_context & cpu) {
    const int64_t m = 512;
    const int64_t n = 2048;
    const int64_t k = 1024;
    const auto a = numbers<T>(m * k);
    const auto b = numbers<T>(n * k);
    std::vector<float> c(static_cast<std::size_t>(m * n));
    const bool is_bf16 = std::is_same_v<T, bf16>;
    const gemm_term term = {{a.data(), is_bf16, k, false}, {b.data(), is_bf16 ? tensor_type::bf16 : tensor_type::f32, n, k, k * static_cast<int64_t>(sizeof(T)), true}, k, 1.0f};
    const int64_t bytes = (gemm_scratch_bytes(cpu.pool.threads(), m, k) + 63) / 64 * 64;
    const std::unique_ptr<void, decltype(&std::free)> scratch(std::aligned_alloc(64, static_cast<std::size_t>(bytes)), &std::free);
    const double time = seconds([&] { gemm(cpu, is_bf16 ? precision::bf16 : precision::f32, m, n, &term, 1, {c.data(), false, n, false, nullptr}, scratch.get()); });
    product_rate = 2.0 * m * n * k / time;
    std::printf("%-44s %9.3f ms %8.1f GFLOP/s\n", is_bf16 ? "product bf16 512x2048x1024" : "product f32 512x2048x1024", time * 1e3, product_rate * 1e-9);
}

template <typename T>
void streams(const cpu_context & cpu) {
    constexpr int64_t rows = 512;
    constexpr double b = sizeof(T);
    {
        const auto x = numbers<T>(rows * 896);
        auto y = x;
        const auto w = numbers<float>(896);
        std::vector<float> inverse(rows);
        std::vector<float> dw(896);
        stream("rmsnorm forward", rows * 896 * 2 * b, [&] { rmsnorm_forward(cpu, rows, 896, 896, x.data(), w.data(), 1e-6f, y.data(), inverse.data()); });
        stream("rmsnorm backward", rows * 896 * 3 * b,
               [&] { rmsnorm_backward(cpu, rows, 896, 896, x.data(), w.data(), inverse.data(), x.data(), y.data(), false, nullptr); });
        stream("rmsnorm backward with dw", rows * 896 * 5 * b,
               [&] { rmsnorm_backward(cpu, rows, 896, 896, x.data(), w.data(), inverse.data(), x.data(), y.data(), false, dw.data()); });
        for (const rope_style style : {rope_style::adjacent, rope_style::halves}) {
            rope_config config;
            config.style = style;
            config.dimensions = 64;
            std::vector<float> table(rows * 64);
            rope_table(config, rows, table.data());
            std::vector<int32_t> position(rows);
            for (int32_t i = 0; i < rows; i++) {
                position[static_cast<std::size_t>(i)] = i;
            }
            stream(style == rope_style::halves ? "rope halves" : "rope adjacent", rows * 896 * 2 * b,
                   [&] { rope(cpu, config, table.data(), rows, 14, 64, 896, position.data(), y.data(), false); });
        }
        stream("dropout", rows * 896 * 2 * b, [&] { dropout(cpu, 1, 2, rows * 896, 0.1f, x.data(), y.data()); });
    }
    {
        const int64_t n = rows * 4864;
        const auto gate = numbers<T>(n, 8.0f);
        const auto up = numbers<T>(n);
        auto y = up;
        auto z = up;
        stream("swiglu forward", static_cast<double>(n) * 3 * b, [&] { swiglu_forward(cpu, n, gate.data(), up.data(), y.data()); });
        stream("swiglu backward", static_cast<double>(n) * 5 * b, [&] { swiglu_backward(cpu, n, gate.data(), up.data(), up.data(), y.data(), z.data()); });
    }
    {
        constexpr int64_t vocabulary = 151936;
        constexpr int64_t some = 64;
        auto logits = numbers<float>(some * vocabulary, 12.0f);
        const auto reference = numbers<float>(some * vocabulary, 12.0f);
        std::vector<T> d_logits(static_cast<std::size_t>(some * vocabulary));
        const std::vector<int32_t> token(some, 77);
        const std::vector<float> weight(some, 1.0f);
        std::vector<row_result> results(some);
        row_targets targets;
        targets.token = token.data();
        targets.weight = weight.data();
        stream("cross entropy, evaluation", some * vocabulary * 4.0,
               [&] { cross_entropy<T>(cpu, some, vocabulary, vocabulary, logits.data(), targets, 1.0f, results.data(), nullptr, 0); });
        stream("cross entropy with gradient", some * vocabulary * (8.0 + b),
               [&] { cross_entropy(cpu, some, vocabulary, vocabulary, logits.data(), targets, 1.0f, results.data(), d_logits.data(), vocabulary); });
        targets.reference_logits = reference.data();
        targets.stride_reference = vocabulary;
        targets.reference_weight = weight.data();
        stream("cross entropy with gradient and anchor", some * vocabulary * (20.0 + b),
               [&] { cross_entropy(cpu, some, vocabulary, vocabulary, logits.data(), targets, 1.0f, results.data(), d_logits.data(), vocabulary); });
    }
}

} // namespace

int main(int argc, char ** argv) {
    const int32_t threads = argc > 1 ? std::atoi(argv[1]) : 2;
    repeats = argc > 2 ? std::atoi(argv[2]) : repeats;
    part = argc > 3 ? argv[3] : part;
    thread_pool pool(threads, scheduling::normal);
    const cpu_context cpu{pool, preferred_isa()};
    std::printf("%s, %d threads, median of %d\n", name(cpu.level), static_cast<int>(threads), repeats);
    {
        const auto from = numbers<float>(16 << 20);
        auto to = from;
        constexpr int64_t pieces = 64;
        const std::size_t piece = from.size() / pieces;
        const double time = seconds([&] { pool.run(pieces, [&](int64_t task, int32_t) { std::memcpy(&to[static_cast<std::size_t>(task) * piece], &from[static_cast<std::size_t>(task) * piece], piece * 4); }); });
        copy_rate = 2.0 * static_cast<double>(from.size()) * 4.0 / time;
        std::printf("%-44s %9.3f ms %8.2f GB/s\n", "copy of 64 MiB", time * 1e3, copy_rate * 1e-9);
    }
    std::printf("f32\n");
    streams<float>(cpu);
    std::printf("bf16\n");
    streams<bf16>(cpu);
    {
        const int64_t n = 8 << 20; // near the 8.8 million values of a rank 16 adapter
        auto value = numbers<float>(n);
        const auto gradient = numbers<float>(n);
        auto first = value;
        std::vector<float> second(static_cast<std::size_t>(n), 1.0f);
        adamw_config config;
        stream("adamw", static_cast<double>(n) * 28, [&] { adamw(cpu, config, n, value.data(), gradient.data(), first.data(), second.data()); });
        double sum = 0.0;
        stream("sum of squares", static_cast<double>(n) * 4, [&] { sum += sum_of_squares(cpu, n, value.data()); });
        const int64_t rows = 512;
        std::vector<int32_t> tokens(static_cast<std::size_t>(rows));
        for (int64_t i = 0; i < rows; i++) {
            tokens[static_cast<std::size_t>(i)] = static_cast<int32_t>(i * 37 % 9000);
        }
        stream("embedding backward", static_cast<double>(rows) * 896 * 12, [&] { embedding_backward(cpu, rows, 896, tokens.data(), gradient.data(), value.data(), 9000); });
    }
    products<float>(cpu);
    attention<float>(cpu, 4, 128);
    attention<float>(cpu, 1, 2048);
    products<bf16>(cpu);
    attention<bf16>(cpu, 4, 128);
    attention<bf16>(cpu, 1, 2048);
}
