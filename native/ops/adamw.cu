#include "ops/adamw_step.h"
#include "ops/quads.cuh"
#include "runtime/kernel.h"

namespace continual {

namespace {

constexpr int block = 256;
// Threads that add up a block's sums first, each its share, before one adds up theirs.
constexpr int adders = 16;
constexpr double largest = 0x1.fffffffffffffp1023;

CN_DEVICE void update(const adamw_step & step, int64_t n, float * value, const float * gradient, float * first, float * second) {
    for_shares<float, block>(n, is_aligned(value) && is_aligned(gradient) && is_aligned(first) && is_aligned(second), [&](auto own) {
        float x[own.count];
        float g[own.count];
        float m[own.count];
        float v[own.count];
        own.read(gradient, g);
        own.read(first, m);
        own.read(second, v);
        own.read(value, x);
        CN_UNROLL
        for (int i = 0; i < own.count; i++) {
            const float scaled = g[i] * step.gradient_scale;
            // Fused by hand: otherwise the compiler chooses which products are, and an element's bits could depend on the way it was taken.
            m[i] = fused(step.beta1, m[i], step.rest1 * scaled);
            v[i] = fused(step.beta2, v[i], step.rest2 * (scaled * scaled));
            x[i] = fused(x[i], step.kept, -(step.rate * m[i] / fused(root_of(v[i]), step.root_scale, step.eps)));
        }
        own.write(m, first);
        own.write(v, second);
        own.write(x, value);
    });
}

// The sum over the block in thread 0, the same on every run.
CN_DEVICE double total_of_block(double x, const shared_array<double> & scratch) {
    scratch[thread_index()] = x;
    block_barrier();
    double sum = 0.0;
    if (thread_index() < adders) {
        for (int i = thread_index(); i < block; i += adders) {
            sum += scratch[i];
        }
    }
    block_barrier();
    if (thread_index() < adders) {
        scratch[thread_index()] = sum;
    }
    block_barrier();
    sum = 0.0;
    if (thread_index() == 0) {
        for (int i = 0; i < adders; i++) {
            sum += scratch[i];
        }
    }
    return sum;
}

} // namespace

CN_KERNEL(block, adamw_update,
          (float gradient_scale, float beta1, float rest1, float beta2, float rest2, float rate, float root_scale, float eps, float kept, int64_t n, float * value,
           const float * gradient, float * first, float * second)) {
    update({gradient_scale, beta1, rest1, beta2, rest2, rate, root_scale, eps, kept}, n, value, gradient, first, second);
}

// One thread of each block finds out the gradient's scale: roots and quotients of doubles are slow.
CN_KERNEL(block, adamw_clipped,
          (double clip_norm, double scale, const double * sum, float beta1, float rest1, float beta2, float rest2, float rate, float root_scale, float eps, float kept, int64_t n,
           float * value, const float * gradient, float * first, float * second)) {
    const shared_array<float> found(0);
    if (thread_index() == 0) {
        const double norm = root_of(sum[0]) * scale;
        // By bounds, which no compiler fuses with the product before: norm − norm would be that product's rounding.
        found[0] = norm >= -largest && norm <= largest ? 1.0f : 0.0f;
        found[1] = static_cast<float>(clip_norm > 0.0 && norm > clip_norm ? scale * clip_norm / norm : scale);
    }
    block_barrier();
    if (found[0] != 0.0f) {
        update({found[1], beta1, rest1, beta2, rest2, rate, root_scale, eps, kept}, n, value, gradient, first, second);
    }
}

// One block a piece. The order does not depend on whether x is aligned.
CN_KERNEL(block, sum_of_squares_parts, (int64_t n, int64_t piece, const float * x, double * sums)) {
    const shared_array<double> scratch(0);
    const int64_t begin = block_x() * piece;
    const int64_t end = begin + piece < n ? begin + piece : n;
    const bool aligned = is_aligned(x);
    double squares[4] = {};
    for (int64_t at = begin + 4 * thread_index(); at < end; at += 4 * block) {
        float own[4];
        if (aligned && at + 4 <= end) {
            load_quad(x + at, own);
        } else {
            for (int i = 0; i < 4; i++) {
                own[i] = at + i < end ? x[at + i] : 0.0f;
            }
        }
        for (int i = 0; i < 4; i++) {
            squares[i] += static_cast<double>(own[i]) * static_cast<double>(own[i]);
        }
    }
    const double sum = total_of_block((squares[0] + squares[1]) + (squares[2] + squares[3]), scratch);
    if (thread_index() == 0) {
        sums[1 + block_x()] = sum;
    }
}

CN_KERNEL(block, sum_of_squares_total, (int32_t count, double * sums)) {
    const shared_array<double> scratch(0);
    double sum = 0.0;
    for (int i = thread_index(); i < count; i += block) {
        sum += sums[1 + i];
    }
    sum = total_of_block(sum, scratch);
    if (thread_index() == 0) {
        sums[0] = sum;
    }
}

} // namespace continual
