#include "train/graph.h"

#include "train/typed_graph.h"

#include <algorithm>
#include <cstring>

namespace continual {

namespace {

// The batch, the weights and everything else are where they are.
class cpu_processor {
public:
    using context = cpu_context;

    // To plan with, `cpu` and `memory` null.
    cpu_processor(int32_t threads, const cpu_context * cpu, const arena * memory) : threads_(threads), cpu_(cpu), memory_(memory) {}

    const cpu_context & on() const { return *cpu_; }

    void lay_out(const model &, const parameter_layout &, const graph_limits & limits, const gemm_bounds & bounds, const attention_shape & shape, arena_layout & layout, scratch_offsets & at) const {
        at.gemm = layout.add<char>(gemm_scratch_bytes(threads_, bounds.m, bounds.k));
        at.attention = layout.add<char>(attention_scratch_bytes(shape, threads_, limits.length));
    }

    void use(const scratch_offsets & at) {
        gemm_ = memory_->at<char>(at.gemm);
        attention_ = memory_->at<char>(at.attention);
    }

    template <typename E>
    E * at(int64_t offset) const {
        return memory_->at<E>(offset);
    }

    void * gemm_scratch() const { return gemm_; }
    void use_parameters(const float *, int64_t) const {}

    gemm_right parameters(const float * data, int64_t rows, int64_t columns, bool transposed) const {
        return {data, tensor_type::f32, rows, columns, columns * static_cast<int64_t>(sizeof(float)), transposed};
    }

    // Products round what they read.
    template <typename E>
    std::tuple<const void *, bool> operand(const float * x, E *, int64_t) const {
        return {x, false};
    }

    const matrix & placed(const matrix & weight) const { return weight; }
    const float * placed(const std::vector<float> & vector) const { return vector.empty() ? nullptr : vector.data(); }

    template <typename E>
    const E * staged(int64_t, const E * from, int64_t) const {
        return from;
    }

    row_result * results(int64_t, row_result * results) const { return results; }
    void fetch(row_result *, const row_result *, int64_t) const {}
    bool makes_slices() const { return false; }
    void enter(pass) const {}

    template <typename E>
    void use_sequences(const attention_shape &, const int32_t *, int64_t) const {}

    void put(float * to, const float * from, int64_t n) const { std::copy_n(from, n, to); }
    void fill(int64_t n, float value, float * to) const { std::fill_n(to, n, value); }
    void zero(float * to, int64_t n) const { std::fill_n(to, n, 0.0f); }

    template <typename E>
    void copy(E * to, const E * from, int64_t n) const {
        std::memcpy(to, from, sizeof(E) * static_cast<size_t>(n));
    }

    void positions(const int32_t * bounds, int32_t sequences, int64_t, int32_t * position) const {
        for (int32_t s = 0; s < sequences; s++) {
            for (int32_t i = bounds[s]; i < bounds[s + 1]; i++) {
                position[i] = i - bounds[s];
            }
        }
    }

    void gather(int64_t count, int64_t width, const int32_t * row, const float * from, float * to) const {
        for (int64_t i = 0; i < count; i++) {
            std::memcpy(to + i * width, from + row[i] * width, sizeof(float) * static_cast<size_t>(width));
        }
    }

    void scatter(int64_t count, int64_t width, const int32_t * row, const float * from, float * to) const {
        for (int64_t i = 0; i < count; i++) {
            std::memcpy(to + row[i] * width, from + i * width, sizeof(float) * static_cast<size_t>(width));
        }
    }

    template <typename E>
    void attention_forward(const attention_shape & shape, const E * q, const E * k, const E * v, E * o, float * lse) const {
        continual::attention_forward(*cpu_, shape, q, k, v, o, lse, attention_);
    }

    template <typename E>
    void attention_backward(const attention_shape & shape, const E * q, const E * k, const E * v, const E * o, const float * lse, const E * d_o, E * dq, E * dk, E * dv) const {
        continual::attention_backward(*cpu_, shape, q, k, v, o, lse, d_o, dq, dk, dv, attention_);
    }

    void embedding_backward(int64_t rows, int64_t width, const int32_t * tokens, const float * dx, float * d_table, int64_t vocabulary) const {
        continual::embedding_backward(*cpu_, rows, width, tokens, dx, d_table, vocabulary);
    }

private:
    int32_t threads_;
    const cpu_context * cpu_;
    const arena * memory_;
    void * gemm_ = nullptr;
    void * attention_ = nullptr;
};

} // namespace

graph_sizes plan_graph(const model & model, const parameter_layout & parameters, const graph_limits & limits, precision how, int32_t threads, arena_layout & layout) {
    graph_sizes sizes;
    const cpu_processor processor(threads, nullptr, nullptr);
    if (how == precision::bf16) {
        lay_out<bf16>(model, parameters, limits, processor, layout, sizes);
    } else {
        lay_out<float>(model, parameters, limits, processor, layout, sizes);
    }
    return sizes;
}

std::unique_ptr<graph> make_graph(const model & model, const parameter_layout & parameters, const graph_limits & limits, precision how, const cpu_context & cpu, const arena & memory,
                                  arena_layout & layout) {
    const cpu_processor processor(cpu.pool.threads(), &cpu, &memory);
    if (how == precision::bf16) {
        return std::make_unique<typed_graph<bf16, cpu_processor>>(model, parameters, limits, how, processor, layout);
    }
    return std::make_unique<typed_graph<float, cpu_processor>>(model, parameters, limits, how, processor, layout);
}

} // namespace continual
