#include "ops/rmsnorm.h"

#include "ops/chunks.h"
#include "ops/every_isa.h"

namespace continual {

CN_EVERY_ISA(
    template <typename In, typename Out>
    void rmsnorm_forward_rows(int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, float eps, Out * y, float * inverse_rms);
    template <typename In, typename Dy, typename Dx>
    void rmsnorm_backward_rows(int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, const float * inverse_rms, const Dy * dy, Dx * dx, bool accumulate);
    template <typename In, typename Dy>
    void rmsnorm_weight_columns(int64_t rows, int64_t begin, int64_t end, int64_t stride, const In * x, const float * inverse_rms, const Dy * dy, float * dw);)

template <typename In, typename Out>
void rmsnorm_forward(const cpu_context & cpu, int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, float eps, Out * y, float * inverse_rms) {
    for_chunks(cpu, rows, chunk_rows(width), [&](int64_t begin, int64_t end) {
        CN_DISPATCH(cpu.level, rmsnorm_forward_rows(end - begin, width, stride, x + begin * stride, w, eps, y + begin * stride, inverse_rms + begin));
    });
}

template <typename In, typename Dy, typename Dx>
void rmsnorm_backward(const cpu_context & cpu, int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, const float * inverse_rms, const Dy * dy, Dx * dx,
                      bool accumulate, float * dw) {
    // First, since dx may be dy.
    if (dw != nullptr) {
        for_chunks(cpu, width, 128, [&](int64_t begin, int64_t end) { CN_DISPATCH(cpu.level, rmsnorm_weight_columns(rows, begin, end, stride, x, inverse_rms, dy, dw)); });
    }
    for_chunks(cpu, rows, chunk_rows(width), [&](int64_t begin, int64_t end) {
        CN_DISPATCH(cpu.level, rmsnorm_backward_rows(end - begin, width, stride, x + begin * stride, w, inverse_rms + begin, dy + begin * stride, dx + begin * stride, accumulate));
    });
}

#define CN_FORWARD(In, Out) template void rmsnorm_forward(const cpu_context &, int64_t, int64_t, int64_t, const In *, const float *, float, Out *, float *);
CN_FORWARD(float, float)
CN_FORWARD(float, bf16)
CN_FORWARD(bf16, float)
CN_FORWARD(bf16, bf16)

#define CN_BACKWARD(In, Dy, Dx) \
    template void rmsnorm_backward(const cpu_context &, int64_t, int64_t, int64_t, const In *, const float *, const float *, const Dy *, Dx *, bool, float *);
CN_BACKWARD(float, float, float)
CN_BACKWARD(float, float, bf16)
CN_BACKWARD(float, bf16, float)
CN_BACKWARD(float, bf16, bf16)
CN_BACKWARD(bf16, float, float)
CN_BACKWARD(bf16, float, bf16)
CN_BACKWARD(bf16, bf16, float)
CN_BACKWARD(bf16, bf16, bf16)

} // namespace continual
