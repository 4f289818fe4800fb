#include "ops/swiglu.h"

namespace continual {

namespace {

constexpr int block = 256;

// A thread takes 16 bytes.
template <typename T>
grid_size grid_of(int64_t n) {
    return {pieces(n, block * (16 / static_cast<int64_t>(sizeof(T))))};
}

} // namespace

template <typename T>
void swiglu_forward(const gpu_context & gpu, int64_t n, const T * gate, const T * up, T * y) {
    launch(gpu, kernel_of<T>("swiglu_forward"), grid_of<T>(n), block, 0, n, gate, up, y);
}

template <typename T>
void swiglu_backward(const gpu_context & gpu, int64_t n, const T * gate, const T * up, const T * dy, T * d_gate, T * d_up) {
    launch(gpu, kernel_of<T>("swiglu_backward"), grid_of<T>(n), block, 0, n, gate, up, dy, d_gate, d_up);
}

template void swiglu_forward(const gpu_context &, int64_t, const float *, const float *, float *);
template void swiglu_forward(const gpu_context &, int64_t, const bf16 *, const bf16 *, bf16 *);
template void swiglu_backward(const gpu_context &, int64_t, const float *, const float *, const float *, float *, float *);
template void swiglu_backward(const gpu_context &, int64_t, const bf16 *, const bf16 *, const bf16 *, bf16 *, bf16 *);

} // namespace continual
