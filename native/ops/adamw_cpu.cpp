#include "ops/adamw_step.h"
#include "ops/vec.h"

namespace continual::CN_ISA {

void adamw_range(const adamw_step & step, int64_t n, float * value, const float * gradient, float * first, float * second) {
    CN_SIMD
    for (int64_t i = 0; i < n; i++) {
        const float g = gradient[i] * step.gradient_scale;
        const float m = step.beta1 * first[i] + step.rest1 * g;
        const float v = step.beta2 * second[i] + step.rest2 * (g * g);
        first[i] = m;
        second[i] = v;
        value[i] = value[i] * step.kept - step.rate * m / (sqrtf(v) * step.root_scale + step.eps);
    }
}

void sum_of_squares_range(int64_t n, const float * x, double * sum) {
    *sum = sum_of<double>(n, [&](int64_t i) { return static_cast<double>(x[i]) * static_cast<double>(x[i]); });
}

} // namespace continual::CN_ISA
