// y = x / sqrt(mean(x²) + eps) · w, by rows (Zhang and Sennrich 2019, arXiv 1910.07467, eq. 4).
#pragma once

#include "runtime/device.h"
#include "runtime/thread_pool.h"
#include "runtime/types.h"

#include <cstdint>

namespace continual {

// A NaN in a row makes all of that row's results NaN.
// x [rows × width], w [width], y [rows × width] (may be x when In is Out), inverse_rms [rows]. Rows are `stride` elements apart in both.
// In: float or bf16, Out: float or bf16.
template <typename In, typename Out>
void rmsnorm_forward(const cpu_context & cpu, int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, float eps, Out * y, float * inverse_rms);

// dx = inverse_rms · (w·dy − x̂ · mean(x̂ · w·dy)), x̂ = x · inverse_rms. With accumulate, dx is added to (dx of Dx float or bf16).
// dx may be dy where both are of one type. dw [width], or null where w is frozen: Σ rows dy · x̂ is added to it, column by column in the order of the rows, so that
// it is the same on any number of threads.
template <typename In, typename Dy, typename Dx>
void rmsnorm_backward(const cpu_context & cpu, int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, const float * inverse_rms, const Dy * dy, Dx * dx,
                      bool accumulate, float * dw);

// The same on a GPU; all pointers are the device's. dw's sums are in float, in an order of their own that is always the same.
template <typename In, typename Out>
void rmsnorm_forward(const gpu_context & gpu, int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, float eps, Out * y, float * inverse_rms);

template <typename In, typename Dy, typename Dx>
void rmsnorm_backward(const gpu_context & gpu, int64_t rows, int64_t width, int64_t stride, const In * x, const float * w, const float * inverse_rms, const Dy * dy, Dx * dx,
                      bool accumulate, float * dw);

} // namespace continual
