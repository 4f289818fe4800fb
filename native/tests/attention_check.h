// Attention's results and the oracle's, head by head.
#pragma once

#include "ops/attention.h"
#include "ops_check.h"
#include "oracle/attention.h"

namespace ops_check {

using continual::attention_shape;

// Marks what must not be written to.
inline constexpr float untouched = 77.0f;

template <typename T, typename Lse = float>
struct attention_result {
    std::vector<T> o;
    std::vector<Lse> lse;
    std::vector<T> dq;
    std::vector<T> dk;
    std::vector<T> dv;
};

// Rows first … first+rows−1 of one head.
template <typename T>
std::vector<double> head_of(const std::vector<T> & x, int64_t first, int64_t rows, int64_t stride, int64_t head, int64_t width) {
    std::vector<double> result;
    for (int64_t row = first; row < first + rows; row++) {
        for (int64_t i = 0; i < width; i++) {
            result.push_back(static_cast<double>(continual::to_float(x[static_cast<std::size_t>(row * stride + head * width + i)])));
        }
    }
    return result;
}

template <typename T>
void append(std::vector<T> & to, const std::vector<T> & from) {
    to.insert(to.end(), from.begin(), from.end());
}

// in: q, k, v and d_o.
template <typename Inputs>
attention_result<double, double> oracle_of(const attention_shape & shape, const std::vector<int32_t> & bounds, const Inputs & in) {
    const std::size_t width = static_cast<std::size_t>(shape.width);
    const std::size_t v_width = static_cast<std::size_t>(shape.v_width);
    const double scale = static_cast<double>(shape.scale);
    const std::size_t window = static_cast<std::size_t>(shape.window);
    attention_result<double, double> expected;
    for (std::size_t s = 0; s + 1 < bounds.size(); s++) {
        const int64_t start = bounds[s];
        const int64_t length = bounds[s + 1] - start;
        const std::size_t rows = static_cast<std::size_t>(length);
        const int32_t group = shape.heads / shape.kv_heads;
        for (int32_t kv_head = 0; kv_head < shape.kv_heads; kv_head++) {
            const auto k = head_of(in.k, start, length, shape.k_stride, kv_head, shape.width);
            const auto v = head_of(in.v, start, length, shape.v_stride, kv_head, shape.v_width);
            std::vector<double> dk(rows * width, 0.0);
            std::vector<double> dv(rows * v_width, 0.0);
            for (int32_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
                const auto q = head_of(in.q, start, length, shape.q_stride, head, shape.width);
                const auto d_o = head_of(in.d_o, start, length, shape.o_stride, head, shape.v_width);
                const auto forward = oracle::attention(rows, width, v_width, scale, window, q, k, v);
                const auto backward = oracle::attention_backward(rows, width, v_width, scale, window, q, k, v, d_o);
                append(expected.o, forward.o);
                append(expected.lse, forward.lse);
                append(expected.dq, backward.dq);
                for (std::size_t i = 0; i < dk.size(); i++) {
                    dk[i] += backward.dk[i];
                }
                for (std::size_t i = 0; i < dv.size(); i++) {
                    dv[i] += backward.dv[i];
                }
            }
            append(expected.dk, dk);
            append(expected.dv, dv);
        }
    }
    return expected;
}

// All of it, against the oracle's.
template <typename T>
void check_attention(const attention_shape & shape, const std::vector<int32_t> & bounds, const attention_result<T> & got, const attention_result<double, double> & expected,
                     const std::string & where) {
    attention_result<double, double> flat;
    for (std::size_t s = 0; s + 1 < bounds.size(); s++) {
        const int64_t start = bounds[s];
        const int64_t length = bounds[s + 1] - start;
        for (int32_t head = 0; head < shape.heads; head++) {
            append(flat.o, head_of(got.o, start, length, shape.o_stride, head, shape.v_width));
            append(flat.lse, head_of(got.lse, start, length, shape.heads, head, 1));
            append(flat.dq, head_of(got.dq, start, length, shape.q_stride, head, shape.width));
        }
        for (int32_t head = 0; head < shape.kv_heads; head++) {
            append(flat.dk, head_of(got.dk, start, length, shape.k_stride, head, shape.width));
            append(flat.dv, head_of(got.dv, start, length, shape.v_stride, head, shape.v_width));
        }
    }
    constexpr bool is_bf16 = std::is_same_v<T, bf16>;
    check_error("attention o", is_bf16, error_of(flat.o, expected.o), where);
    check_error("attention lse", is_bf16, error_of(flat.lse, expected.lse), where);
    check_error("attention dq", is_bf16, error_of(flat.dq, expected.dq), where);
    check_error("attention dk", is_bf16, error_of(flat.dk, expected.dk), where);
    check_error("attention dv", is_bf16, error_of(flat.dv, expected.dv), where);
}

} // namespace ops_check
