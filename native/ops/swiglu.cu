#include "ops/quads.cuh"
#include "runtime/kernel.h"

namespace continual {

namespace {

constexpr int block = 256;

template <typename T>
CN_DEVICE void forward(int64_t n, const T * gate, const T * up, T * y) {
    for_shares<T, block>(n, is_aligned(gate) && is_aligned(up) && is_aligned(y), [&](auto own) {
        float g[own.count];
        float u[own.count];
        own.read(gate, g);
        own.read(up, u);
        CN_UNROLL
        for (int i = 0; i < own.count; i++) {
            u[i] = g[i] * sigmoid_of(g[i]) * u[i];
        }
        own.write(u, y);
    });
}

// With s = sigmoid(g): silu′ = s · (1 + g · (1 − s)).
template <typename T>
CN_DEVICE void backward(int64_t n, const T * gate, const T * up, const T * dy, T * d_gate, T * d_up) {
    for_shares<T, block>(n, is_aligned(gate) && is_aligned(up) && is_aligned(dy) && is_aligned(d_gate) && is_aligned(d_up), [&](auto own) {
        float g[own.count];
        float u[own.count];
        float d[own.count];
        own.read(gate, g);
        own.read(up, u);
        own.read(dy, d);
        CN_UNROLL
        for (int i = 0; i < own.count; i++) {
            const float s = sigmoid_of(g[i]);
            u[i] = d[i] * u[i] * s * (1.0f + g[i] * (1.0f - s));
            d[i] = d[i] * g[i] * s;
        }
        own.write(u, d_gate);
        own.write(d, d_up);
    });
}

} // namespace

#define CN_SWIGLU(T, suffix)                                                                                                                          \
    CN_KERNEL(block, swiglu_forward##suffix, (int64_t n, const T * gate, const T * up, T * y)) {                                                      \
        forward(n, gate, up, y);                                                                                                                      \
    }                                                                                                                                                 \
    CN_KERNEL(block, swiglu_backward##suffix, (int64_t n, const T * gate, const T * up, const T * dy, T * d_gate, T * d_up)) {                        \
        backward(n, gate, up, dy, d_gate, d_up);                                                                                                      \
    }
CN_SWIGLU(float, _f32)
CN_SWIGLU(bf16, _bf16)

} // namespace continual
