// AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2), and what goes with it.
#pragma once

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

} // namespace continual
