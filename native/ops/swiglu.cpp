#include "ops/swiglu.h"

#include "ops/chunks.h"
#include "ops/every_isa.h"

namespace continual {

CN_EVERY_ISA(
    template <typename T>
    void swiglu_forward_range(int64_t n, const T * gate, const T * up, T * y);
    template <typename T>
    void swiglu_backward_range(int64_t n, const T * gate, const T * up, const T * dy, T * d_gate, T * d_up);)

namespace {

constexpr int64_t chunk = 16384;

} // namespace

template <typename T>
void swiglu_forward(const cpu_context & cpu, int64_t n, const T * gate, const T * up, T * y) {
    for_chunks(cpu, n, chunk, [&](int64_t begin, int64_t end) { CN_DISPATCH(cpu.level, swiglu_forward_range(end - begin, gate + begin, up + begin, y + begin)); });
}

template <typename T>
void swiglu_backward(const cpu_context & cpu, int64_t n, const T * gate, const T * up, const T * dy, T * d_gate, T * d_up) {
    for_chunks(cpu, n, chunk, [&](int64_t begin, int64_t end) {
        CN_DISPATCH(cpu.level, swiglu_backward_range(end - begin, gate + begin, up + begin, dy + begin, d_gate + begin, d_up + begin));
    });
}

template void swiglu_forward(const cpu_context &, int64_t, const float *, const float *, float *);
template void swiglu_forward(const cpu_context &, int64_t, const bf16 *, const bf16 *, bf16 *);
template void swiglu_backward(const cpu_context &, int64_t, const float *, const float *, const float *, float *, float *);
template void swiglu_backward(const cpu_context &, int64_t, const bf16 *, const bf16 *, const bf16 *, bf16 *, bf16 *);

} // namespace continual
