// Losses on rows of logits, with their gradients, in one or two passes over a row.
#pragma once

#include "runtime/device.h"
#include "runtime/thread_pool.h"
#include "runtime/types.h"

#include <cstdint>

namespace continual {

// What to learn from each of `rows` rows. All loss is in nats; the total is Σ rows (…).
struct row_targets {
    // The right token of each row, or −1 for none (then its weight must be 0).
    const int32_t * token = nullptr;
    // Factor of −log p(token).
    const float * weight = nullptr;
    // Distillation from a teacher's k likeliest tokens (Hinton et al. 2015, arXiv 1503.02531): ids and log-probabilities [rows × teacher_k], −1 for an unused
    // place; −Σ q log p − the same with q = p is the Kullback-Leibler divergence of the teacher's distribution, q renormalized over its k tokens. Null: none.
    const int32_t * teacher_token = nullptr;
    const float * teacher_log_prob = nullptr;
    int32_t teacher_k = 0;
    // Factor of that term for each row; null: 0.
    const float * teacher_weight = nullptr;
    // Anchor: the reference model's logits [rows × stride_reference], and the factor of KL(reference ‖ model) for each row. Null: none.
    const float * reference_logits = nullptr;
    int64_t stride_reference = 0;
    const float * reference_weight = nullptr;
};

// Of one row, before weights.
struct row_result {
    float log_prob;   // of the token; 0 where there is none
    float distilled;  // KL(teacher ‖ model) over the teacher's tokens; 0 where there is none
    float anchored;   // KL(reference ‖ model); 0 where there is none
    int32_t argmax;   // the likeliest token (the lowest id of equals)
};

// logits [rows × vocabulary], `stride` elements apart; results [rows]. d_logits: gradient of the weighted total times `scale`, or null for evaluation only;
// Out: float (may be logits) or bf16 (may be the same memory as logits: row r's gradient occupies the first half of row r's memory or less, so strides in bytes agree
// when d_stride = 2·stride). A NaN in a row of logits makes that row's results NaN, and its gradient too; where all factors of a row are 0 its gradient is 0 whatever the
// logits. A logit of −inf is an impossible token.
template <typename Out>
void cross_entropy(const cpu_context & cpu, int64_t rows, int64_t vocabulary, int64_t stride, const float * logits, const row_targets & targets, float scale, row_result * results,
                   Out * d_logits, int64_t d_stride);

// The most that row_targets::teacher_k may be on a GPU, where a block keeps them in 48 KiB; more is an error.
inline constexpr int32_t cross_entropy_most_teacher_k = 3999;

// The same on a GPU; all pointers are the device's, those in row_targets too.
template <typename Out>
void cross_entropy(const gpu_context & gpu, int64_t rows, int64_t vocabulary, int64_t stride, const float * logits, const row_targets & targets, float scale, row_result * results,
                   Out * d_logits, int64_t d_stride);

} // namespace continual
