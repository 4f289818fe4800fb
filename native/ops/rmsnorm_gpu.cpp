#include "ops/rmsnorm.h"

#include "ops/rmsnorm_narrow.h"

namespace continual {

namespace {

constexpr int block = 256;
constexpr int64_t scratch = sizeof(float) * block / 32;

} // namespace

template <typename In, typename Out>
void rmsnorm_forward(const gpu_context & gpu, int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, float eps, Out * y, float * inverse_rms) {
    if (width <= rmsnorm_narrow) {
        launch(gpu, kernel_of<In, Out>("rmsnorm_forward_narrow"), {pieces(rows, block / 32)}, block, 0, rows, width, stride, x, w, eps, y, inverse_rms);
        return;
    }
    launch(gpu, kernel_of<In, Out>("rmsnorm_forward"), {rows}, block, scratch, width, stride, x, w, eps, y, inverse_rms);
}

template <typename In, typename Dy, typename Dx>
void rmsnorm_backward(const gpu_context & gpu, int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, const float * inverse_rms, const Dy * dy, Dx * dx,
                      bool accumulate, float * dw) {
    // First: dx may be dy.
    if (dw != nullptr && rows > 0) {
        launch(gpu, kernel_of<In, Dy>("rmsnorm_weight"), {pieces(width, 32)}, block, sizeof(float) * block, rows, width, stride, x, inverse_rms, dy, dw);
    }
    if (width <= rmsnorm_narrow) {
        launch(gpu, kernel_of<In, Dy, Dx>("rmsnorm_backward_narrow"), {pieces(rows, block / 32)}, block, 0, rows, width, stride, x, w, inverse_rms, dy, dx, static_cast<int32_t>(accumulate));
        return;
    }
    launch(gpu, kernel_of<In, Dy, Dx>("rmsnorm_backward"), {rows}, block, scratch, width, stride, x, w, inverse_rms, dy, dx, static_cast<int32_t>(accumulate));
}

#define CN_FORWARD(In, Out) template void rmsnorm_forward(const gpu_context &, int64_t, int64_t, int64_t, const In *, const float *, float, Out *, float *);
CN_FORWARD(float, float)
CN_FORWARD(float, bf16)
CN_FORWARD(bf16, float)
CN_FORWARD(bf16, bf16)

#define CN_BACKWARD(In, Dy, Dx) \
    template void rmsnorm_backward(const gpu_context &, int64_t, int64_t, int64_t, const In *, const float *, const float *, const Dy *, Dx *, bool, float *);
CN_BACKWARD(float, float, float)
CN_BACKWARD(float, float, bf16)
CN_BACKWARD(float, bf16, float)
CN_BACKWARD(float, bf16, bf16)
CN_BACKWARD(bf16, float, float)
CN_BACKWARD(bf16, float, bf16)
CN_BACKWARD(bf16, bf16, float)
CN_BACKWARD(bf16, bf16, bf16)

} // namespace continual
