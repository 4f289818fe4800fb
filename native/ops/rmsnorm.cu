#include "ops/rmsnorm_narrow.h"
#include "runtime/kernel.h"

namespace continual {

namespace {

// Elements of a row that a thread keeps in registers, so that a row of up to threads × kept is read once.
constexpr int kept = 8;
constexpr int block = 256;

// One block a row.
template <typename In, typename Out>
CN_DEVICE void forward(int64_t width, int64_t stride, const In * x, const float * w, float eps, Out * y, float * inverse_rms) {
    const shared_array<float> scratch(0);
    const int64_t row = block_x();
    x += row * stride;
    y += row * stride;
    float sum = 0.0f;
    float own[kept];
    for (int i = 0; i < kept; i++) {
        const int64_t at = thread_index() + static_cast<int64_t>(i) * block;
        own[i] = at < width ? load(x[at]) : 0.0f;
        sum += own[i] * own[i];
    }
    for (int64_t at = thread_index() + static_cast<int64_t>(kept) * block; at < width; at += block) {
        const float value = load(x[at]);
        sum += value * value;
    }
    const float inverse = 1.0f / root_of(sum_of_block(sum, scratch) / static_cast<float>(width) + eps);
    if (thread_index() == 0) {
        inverse_rms[row] = inverse;
    }
    for (int i = 0; i < kept; i++) {
        const int64_t at = thread_index() + static_cast<int64_t>(i) * block;
        if (at < width) {
            store(y[at], own[i] * inverse * w[at]);
        }
    }
    for (int64_t at = thread_index() + static_cast<int64_t>(kept) * block; at < width; at += block) {
        store(y[at], load(x[at]) * inverse * w[at]);
    }
}

// One block a row. dx may be dy: each thread writes what it alone reads.
template <typename In, typename Dy, typename Dx>
CN_DEVICE void backward(int64_t width, int64_t stride, const In * x, const float * w, const float * inverse_rms, const Dy * dy, Dx * dx, int32_t accumulate) {
    const shared_array<float> scratch(0);
    const int64_t row = block_x();
    x += row * stride;
    dy += row * stride;
    dx += row * stride;
    float sum = 0.0f;
    float xs[kept];
    float ds[kept];
    for (int i = 0; i < kept; i++) {
        const int64_t at = thread_index() + static_cast<int64_t>(i) * block;
        xs[i] = at < width ? load(x[at]) : 0.0f;
        ds[i] = at < width ? w[at] * load(dy[at]) : 0.0f;
        sum += xs[i] * ds[i];
    }
    for (int64_t at = thread_index() + static_cast<int64_t>(kept) * block; at < width; at += block) {
        sum += load(x[at]) * (w[at] * load(dy[at]));
    }
    const float inverse = inverse_rms[row];
    const float along = sum_of_block(sum, scratch) * inverse * inverse / static_cast<float>(width);
    for (int i = 0; i < kept; i++) {
        const int64_t at = thread_index() + static_cast<int64_t>(i) * block;
        if (at < width) {
            const float before = accumulate != 0 ? load(dx[at]) : 0.0f;
            store(dx[at], before + inverse * (ds[i] - xs[i] * along));
        }
    }
    for (int64_t at = thread_index() + static_cast<int64_t>(kept) * block; at < width; at += block) {
        const float before = accumulate != 0 ? load(dx[at]) : 0.0f;
        store(dx[at], before + inverse * (w[at] * load(dy[at]) - load(x[at]) * along));
    }
}

// Narrow rows, as those of a head: a warp each, with all of it in registers and no barrier.
constexpr int narrow_kept = rmsnorm_narrow / warp_size;

template <typename In, typename Out>
CN_DEVICE void forward_narrow(int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, float eps, Out * y, float * inverse_rms) {
    const int64_t row = static_cast<int64_t>(block_x()) * (block / warp_size) + warp_index();
    if (row >= rows) {
        return; // the whole warp
    }
    x += row * stride;
    y += row * stride;
    float sum = 0.0f;
    float own[narrow_kept];
    CN_UNROLL
    for (int i = 0; i < narrow_kept; i++) {
        const int at = lane_index() + i * warp_size;
        own[i] = at < width ? load(x[at]) : 0.0f;
        sum += own[i] * own[i];
    }
    const float inverse = 1.0f / root_of(sum_of_warp(sum) / static_cast<float>(width) + eps);
    if (lane_index() == 0) {
        inverse_rms[row] = inverse;
    }
    CN_UNROLL
    for (int i = 0; i < narrow_kept; i++) {
        const int at = lane_index() + i * warp_size;
        if (at < width) {
            store(y[at], own[i] * inverse * w[at]);
        }
    }
}

template <typename In, typename Dy, typename Dx>
CN_DEVICE void backward_narrow(int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, const float * inverse_rms, const Dy * dy, Dx * dx, int32_t accumulate) {
    const int64_t row = static_cast<int64_t>(block_x()) * (block / warp_size) + warp_index();
    if (row >= rows) {
        return;
    }
    x += row * stride;
    dy += row * stride;
    dx += row * stride;
    float sum = 0.0f;
    float xs[narrow_kept];
    float ds[narrow_kept];
    CN_UNROLL
    for (int i = 0; i < narrow_kept; i++) {
        const int at = lane_index() + i * warp_size;
        xs[i] = at < width ? load(x[at]) : 0.0f;
        ds[i] = at < width ? w[at] * load(dy[at]) : 0.0f;
        sum += xs[i] * ds[i];
    }
    const float inverse = inverse_rms[row];
    const float along = sum_of_warp(sum) * inverse * inverse / static_cast<float>(width);
    CN_UNROLL
    for (int i = 0; i < narrow_kept; i++) {
        const int at = lane_index() + i * warp_size;
        if (at < width) {
            const float before = accumulate != 0 ? load(dx[at]) : 0.0f;
            store(dx[at], before + inverse * (ds[i] - xs[i] * along));
        }
    }
}

// dw of 32 columns a block: each warp takes every eighth row, and their sums are added in order.
template <typename In, typename Dy>
CN_DEVICE void weight(int64_t rows, int64_t width, int64_t stride, const In * x, const float * inverse_rms, const Dy * dy, float * dw) {
    const shared_array<float> sums(0);
    const int64_t column = static_cast<int64_t>(block_x()) * warp_size + lane_index();
    float sum = 0.0f;
    if (column < width) {
        for (int64_t row = warp_index(); row < rows; row += block / warp_size) {
            sum += load(dy[row * stride + column]) * (load(x[row * stride + column]) * inverse_rms[row]);
        }
    }
    sums[thread_index()] = sum;
    block_barrier();
    if (warp_index() == 0 && column < width) {
        float total = dw[column];
        for (int warp = 0; warp < block / warp_size; warp++) {
            total += sums[warp * warp_size + lane_index()];
        }
        dw[column] = total;
    }
}

} // namespace

#define CN_FORWARD(In, Out, suffix)                                                                                                                                     \
    CN_KERNEL(block, rmsnorm_forward##suffix, (int64_t width, int64_t stride, const In * x, const float * w, float eps, Out * y, float * inverse_rms)) {                 \
        forward(width, stride, x, w, eps, y, inverse_rms);                                                                                                              \
    }                                                                                                                                                                   \
    CN_KERNEL(block, rmsnorm_forward_narrow##suffix, (int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, float eps, Out * y, float * inverse_rms)) { \
        forward_narrow(rows, width, stride, x, w, eps, y, inverse_rms);                                                                                                 \
    }
CN_FORWARD(float, float, _f32_f32)
CN_FORWARD(float, bf16, _f32_bf16)
CN_FORWARD(bf16, float, _bf16_f32)
CN_FORWARD(bf16, bf16, _bf16_bf16)

#define CN_BACKWARD(In, Dy, Dx, suffix)                                                                                                                                 \
    CN_KERNEL(block, rmsnorm_backward##suffix,                                                                                                                          \
              (int64_t width, int64_t stride, const In * x, const float * w, const float * inverse_rms, const Dy * dy, Dx * dx, int32_t accumulate)) {                  \
        backward(width, stride, x, w, inverse_rms, dy, dx, accumulate);                                                                                                 \
    }                                                                                                                                                                   \
    CN_KERNEL(block, rmsnorm_backward_narrow##suffix,                                                                                                                   \
              (int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, const float * inverse_rms, const Dy * dy, Dx * dx, int32_t accumulate)) {    \
        backward_narrow(rows, width, stride, x, w, inverse_rms, dy, dx, accumulate);                                                                                    \
    }
CN_BACKWARD(float, float, float, _f32_f32_f32)
CN_BACKWARD(float, float, bf16, _f32_f32_bf16)
CN_BACKWARD(float, bf16, float, _f32_bf16_f32)
CN_BACKWARD(float, bf16, bf16, _f32_bf16_bf16)
CN_BACKWARD(bf16, float, float, _bf16_f32_f32)
CN_BACKWARD(bf16, float, bf16, _bf16_f32_bf16)
CN_BACKWARD(bf16, bf16, float, _bf16_bf16_f32)
CN_BACKWARD(bf16, bf16, bf16, _bf16_bf16_bf16)

#define CN_WEIGHT(In, Dy, suffix)                                                                                                                                       \
    CN_KERNEL(block, rmsnorm_weight##suffix, (int64_t rows, int64_t width, int64_t stride, const In * x, const float * inverse_rms, const Dy * dy, float * dw)) {        \
        weight(rows, width, stride, x, inverse_rms, dy, dw);                                                                                                            \
    }
CN_WEIGHT(float, float, _f32_f32)
CN_WEIGHT(float, bf16, _f32_bf16)
CN_WEIGHT(bf16, float, _bf16_f32)
CN_WEIGHT(bf16, bf16, _bf16_bf16)

} // namespace continual
