#include "ops/cross_entropy.h"

#include "ops/row_tiles.h"

#include <cstddef>

namespace continual {

namespace {

constexpr int block = 512;

static_assert(sizeof(row_result) == 16 && offsetof(row_result, distilled) == 4 && offsetof(row_result, anchored) == 8 && offsetof(row_result, argmax) == 12,
              "the kernel writes it as four words");

// For what the warps find, and 12 bytes for each of the teacher's tokens and the token itself, by fours.
int64_t shared_bytes(int32_t teacher_k) {
    return 1024 + 12 * (4 * pieces(teacher_k + 1, 4));
}

} // namespace

template <typename Out>
void cross_entropy(const gpu_context & gpu, int64_t rows, int64_t vocabulary, int64_t stride, const float * logits, const row_targets & targets, float scale, row_result * results,
                   Out * d_logits, int64_t d_stride) {
    const int32_t teacher_k = targets.teacher_token != nullptr ? targets.teacher_k : 0;
    if (teacher_k > cross_entropy_most_teacher_k) {
        throw error(failure::unsupported, "a teacher may give " + std::to_string(cross_entropy_most_teacher_k) + " tokens of each row, not " + std::to_string(teacher_k));
    }
    // Decision: how a row's sums are dealt to threads depends on what is read alone, so that in place, elsewhere and without a gradient the results are the same bits.
    const bool no_reference = targets.reference_logits == nullptr;
    const bool wide =
        is_aligned_to_16(logits) && stride % 4 == 0 && (no_reference || (is_aligned_to_16(targets.reference_logits) && targets.stride_reference % 4 == 0));
    const bool wide_out = is_aligned_to_16(d_logits) && d_stride % 4 == 0;
    launch(gpu, kernel_of<Out>("cross_entropy"), {rows}, block, shared_bytes(teacher_k), vocabulary, stride, logits, targets.token, targets.weight, targets.teacher_token,
           targets.teacher_log_prob, teacher_k, targets.teacher_weight, targets.reference_logits, targets.stride_reference, targets.reference_weight, scale,
           reinterpret_cast<uint32_t *>(results), d_logits, d_stride, static_cast<int32_t>(wide), static_cast<int32_t>(wide_out));
}

template void cross_entropy(const gpu_context &, int64_t, int64_t, int64_t, const float *, const row_targets &, float, row_result *, float *, int64_t);
template void cross_entropy(const gpu_context &, int64_t, int64_t, int64_t, const float *, const row_targets &, float, row_result *, bf16 *, int64_t);

} // namespace continual
