#include "ops/vec.h"

namespace continual::CN_ISA {

template <typename In, typename Out>
void rmsnorm_forward_rows(int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, float eps, Out * y, float * inverse_rms) {
    for (int64_t row = 0; row < rows; row++, x += stride, y += stride) {
        const float sum = sum_of<float>(width, [&](int64_t i) { return load(x[i]) * load(x[i]); });
        const float inverse = 1.0f / sqrtf(sum / static_cast<float>(width) + eps);
        inverse_rms[row] = inverse;
        CN_SIMD
        for (int64_t i = 0; i < width; i++) {
            store(y[i], load(x[i]) * inverse * w[i]);
        }
    }
}

template <typename In, typename Dy, typename Dx>
void rmsnorm_backward_rows(int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, const float * inverse_rms, const Dy * dy, Dx * dx, bool accumulate) {
    for (int64_t row = 0; row < rows; row++, x += stride, dy += stride, dx += stride) {
        const float sum = sum_of<float>(width, [&](int64_t i) { return load(x[i]) * (w[i] * load(dy[i])); });
        const float inverse = inverse_rms[row];
        const float along = sum * inverse * inverse / static_cast<float>(width);
        if (accumulate) {
            CN_SIMD
            for (int64_t i = 0; i < width; i++) {
                store(dx[i], load(dx[i]) + inverse * (w[i] * load(dy[i]) - load(x[i]) * along));
            }
        } else {
            CN_SIMD
            for (int64_t i = 0; i < width; i++) {
                store(dx[i], inverse * (w[i] * load(dy[i]) - load(x[i]) * along));
            }
        }
    }
}

// Columns begin … end−1 (at most 128) of dw.
template <typename In, typename Dy>
void rmsnorm_weight_columns(int64_t rows, int64_t begin, int64_t end, int64_t stride, const In * x, const float * inverse_rms, const Dy * dy, float * dw) {
    double sums[128] = {};
    const int64_t count = end - begin;
    for (int64_t row = 0; row < rows; row++) {
        const In * const xs = x + row * stride + begin;
        const Dy * const dys = dy + row * stride + begin;
        const float inverse = inverse_rms[row];
        CN_SIMD
        for (int64_t i = 0; i < count; i++) {
            sums[i] += static_cast<double>(load(dys[i]) * (load(xs[i]) * inverse));
        }
    }
    for (int64_t i = 0; i < count; i++) {
        dw[begin + i] = static_cast<float>(static_cast<double>(dw[begin + i]) + sums[i]);
    }
}

#define CN_FORWARD(In, Out) template void rmsnorm_forward_rows(int64_t, int64_t, int64_t, const In *, const float *, float, Out *, float *);
CN_FORWARD(float, float)
CN_FORWARD(float, bf16)
CN_FORWARD(bf16, float)
CN_FORWARD(bf16, bf16)

#define CN_BACKWARD(In, Dy, Dx) template void rmsnorm_backward_rows(int64_t, int64_t, int64_t, const In *, const float *, const float *, const Dy *, Dx *, bool);
CN_BACKWARD(float, float, float)
CN_BACKWARD(float, float, bf16)
CN_BACKWARD(float, bf16, float)
CN_BACKWARD(float, bf16, bf16)
CN_BACKWARD(bf16, float, float)
CN_BACKWARD(bf16, float, bf16)
CN_BACKWARD(bf16, bf16, float)
CN_BACKWARD(bf16, bf16, bf16)

#define CN_WEIGHT(In, Dy) template void rmsnorm_weight_columns(int64_t, int64_t, int64_t, int64_t, const In *, const float *, const Dy *, float *);
CN_WEIGHT(float, float)
CN_WEIGHT(float, bf16)
CN_WEIGHT(bf16, float)
CN_WEIGHT(bf16, bf16)

} // namespace continual::CN_ISA
