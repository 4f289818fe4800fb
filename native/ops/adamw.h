// AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2), and what goes with it.
#pragma once

#include "runtime/device.h"
#include "runtime/thread_pool.h"

#include <cstdint>

namespace continual {

struct adamw_config {
    float learning_rate = 0.0f; // of this step
    float beta1 = 0.9f;
    float beta2 = 0.999f;
    float eps = 1e-8f;
    float weight_decay = 0.0f;
    int64_t step = 1; // counted from 1, for the bias correction
    // The gradient is multiplied by this first (clipping, mean over accumulated batches).
    float gradient_scale = 1.0f;
};

// value, gradient, first and second moment: n floats each. value −= lr · (m̂ / (sqrt(v̂) + eps) + weight_decay · value).
void adamw(const cpu_context & cpu, const adamw_config & config, int64_t n, float * value, const float * gradient, float * first, float * second);

// Σ x² in double, in an order that does not depend on the number of threads; infinity or NaN where x has one.
double sum_of_squares(const cpu_context & cpu, int64_t n, const float * x);

// The same on a GPU; all pointers are the device's.
void adamw(const gpu_context & gpu, const adamw_config & config, int64_t n, float * value, const float * gradient, float * first, float * second);

// So many parts of the sum are made at most.
inline constexpr int32_t sum_of_squares_pieces = 1024;

// sums [sum_of_squares_pieces + 1]: the sum goes to sums[0], so that what comes next need not wait for the host; the others are scratch. The order depends on n
// alone.
void sum_of_squares(const gpu_context & gpu, int64_t n, const float * x, double * sums);

// adamw with a gradient scale that the device finds out: with norm = sqrt(*sum) · scale, sum from sum_of_squares of the whole gradient (of which the n elements may be
// a part), it is scale · clip_norm / norm where clip_norm is positive and norm above it, otherwise scale. config's own gradient_scale is not looked at. Where norm is
// not finite nothing is changed; the host, which does not know, must read *sum before the next step to count them right.
void adamw_clipped(const gpu_context & gpu, const adamw_config & config, double clip_norm, double scale, const double * sum, int64_t n, float * value, const float * gradient,
                   float * first, float * second);

} // namespace continual
