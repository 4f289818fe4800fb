#include "ops/adamw.h"
#include "ops/adamw_step.h"

#include <algorithm>

namespace continual {

namespace {

constexpr int block = 256;
// A thread takes 4 elements.
constexpr int64_t block_elements = 4 * block;
// So few elements are not worth a block of their own.
constexpr int64_t least_piece = 4 * block_elements;

} // namespace

void adamw(const gpu_context & gpu, const adamw_config & config, int64_t n, float * value, const float * gradient, float * first, float * second) {
    const adamw_step s = step_of(config);
    launch(gpu, "adamw_update", {pieces(n, block_elements)}, block, 0, s.gradient_scale, s.beta1, s.rest1, s.beta2, s.rest2, s.rate, s.root_scale, s.eps, s.kept, n, value,
           gradient, first, second);
}

void adamw_clipped(const gpu_context & gpu, const adamw_config & config, double clip_norm, double scale, const double * sum, int64_t n, float * value, const float * gradient,
                   float * first, float * second) {
    if (n < 1) {
        return;
    }
    const adamw_step s = step_of(config);
    const int64_t blocks = pieces(n, block_elements);
    const int64_t most = static_cast<int64_t>(std::clamp(gpu.on.most_work("adamw_clipped"), 1.0, static_cast<double>(blocks)));
    for (int64_t done = 0; done < n; done += most * block_elements) {
        const int64_t count = std::min(n - done, most * block_elements);
        launch(gpu, "adamw_clipped", {pieces(count, block_elements)}, block, 2 * sizeof(float), clip_norm, scale, sum, s.beta1, s.rest1, s.beta2, s.rest2, s.rate, s.root_scale, s.eps,
               s.kept, count, value + done, gradient + done, first + done, second + done);
    }
}

void sum_of_squares(const gpu_context & gpu, int64_t n, const float * x, double * sums) {
    // Whole blocks of threads' elements, so that pieces are aligned as x is. Even without an element one sum is made: 0.
    const int64_t piece = std::max(least_piece, pieces(pieces(n, sum_of_squares_pieces), block_elements) * block_elements);
    const int32_t count = static_cast<int32_t>(std::max<int64_t>(1, pieces(n, piece)));
    launch(gpu, "sum_of_squares_parts", {count}, block, sizeof(double) * block, n, piece, x, sums);
    launch(gpu, "sum_of_squares_total", {1}, block, sizeof(double) * block, count, sums);
}

} // namespace continual
