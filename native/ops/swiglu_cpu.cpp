#include "ops/vec.h"

namespace continual::CN_ISA {

template <typename T>
void swiglu_forward_range(int64_t n, const T * gate, const T * up, T * y) {
    CN_SIMD
    for (int64_t i = 0; i < n; i++) {
        const float g = load(gate[i]);
        store(y[i], g * sigmoid_of(g) * load(up[i]));
    }
}

// With s = sigmoid(g): silu′ = s · (1 + g · (1 − s)).
template <typename T>
void swiglu_backward_range(int64_t n, const T * gate, const T * up, const T * dy, T * d_gate, T * d_up) {
    CN_SIMD
    for (int64_t i = 0; i < n; i++) {
        const float g = load(gate[i]);
        const float u = load(up[i]);
        const float d = load(dy[i]);
        const float s = sigmoid_of(g);
        store(d_gate[i], d * u * s * (1.0f + g * (1.0f - s)));
        store(d_up[i], d * g * s);
    }
}

template void swiglu_forward_range(int64_t, const float *, const float *, float *);
template void swiglu_forward_range(int64_t, const bf16 *, const bf16 *, bf16 *);
template void swiglu_backward_range(int64_t, const float *, const float *, const float *, float *, float *);
template void swiglu_backward_range(int64_t, const bf16 *, const bf16 *, const bf16 *, bf16 *, bf16 *);

} // namespace continual::CN_ISA
