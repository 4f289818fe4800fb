#include "ops/adamw.h"

#include "ops/chunks.h"
#include "ops/adamw_step.h"
#include "ops/every_isa.h"

#include <cmath>

namespace continual {

CN_EVERY_ISA(
    void adamw_range(const adamw_step & step, int64_t n, float * value, const float * gradient, float * first, float * second);
    void sum_of_squares_range(int64_t n, const float * x, double * sum);)

adamw_step step_of(const adamw_config & config) {
    // 1 − β^t in double: with β = 0.999 a float has lost half its digits in the first steps.
    const double steps = static_cast<double>(config.step);
    const double correction1 = 1.0 - std::pow(static_cast<double>(config.beta1), steps);
    const double correction2 = 1.0 - std::pow(static_cast<double>(config.beta2), steps);
    return {
        .gradient_scale = config.gradient_scale,
        .beta1 = config.beta1,
        .rest1 = static_cast<float>(1.0 - static_cast<double>(config.beta1)),
        .beta2 = config.beta2,
        .rest2 = static_cast<float>(1.0 - static_cast<double>(config.beta2)),
        .rate = static_cast<float>(static_cast<double>(config.learning_rate) / correction1),
        .root_scale = static_cast<float>(1.0 / std::sqrt(correction2)),
        .eps = config.eps,
        .kept = static_cast<float>(1.0 - static_cast<double>(config.learning_rate) * static_cast<double>(config.weight_decay)),
    };
}

void adamw(const cpu_context & cpu, const adamw_config & config, int64_t n, float * value, const float * gradient, float * first, float * second) {
    const adamw_step step = step_of(config);
    for_chunks(cpu, n, 16384, [&](int64_t begin, int64_t end) {
        CN_DISPATCH(cpu.level, adamw_range(step, end - begin, value + begin, gradient + begin, first + begin, second + begin));
    });
}

double sum_of_squares(const cpu_context & cpu, int64_t n, const float * x) {
    // At most so many pieces, whose sums fit on the stack and are added in order.
    constexpr int64_t most = 1024;
    double sums[most];
    const int64_t chunk = std::max<int64_t>(16384, (n + most - 1) / most);
    for_chunks(cpu, n, chunk, [&](int64_t begin, int64_t end) { CN_DISPATCH(cpu.level, sum_of_squares_range(end - begin, x + begin, sums + begin / chunk)); });
    double sum = 0.0;
    for (int64_t i = 0; i * chunk < n; i++) {
        sum += sums[i];
    }
    return sum;
}

} // namespace continual
