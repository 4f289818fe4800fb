#include "ops/cross_entropy.h"

#include "ops/cross_entropy_row.h"
#include "ops/every_isa.h"

namespace continual {

CN_EVERY_ISA(
    template <typename Out>
    void cross_entropy_one(const cross_entropy_row & row, row_result & result, Out * d_logits);)

template <typename Out>
void cross_entropy(const cpu_context & cpu, int64_t rows, int64_t vocabulary, int64_t stride, const float * logits, const row_targets & targets, float scale, row_result * results,
                   Out * d_logits, int64_t d_stride) {
    if (rows <= 0) {
        return;
    }
    cpu.pool.run(rows, [&](int64_t r, int32_t) {
        const bool teacher = targets.teacher_token != nullptr;
        const bool reference = targets.reference_logits != nullptr;
        const cross_entropy_row row = {
            .vocabulary = vocabulary,
            .logits = logits + r * stride,
            .token = targets.token != nullptr ? targets.token[r] : -1,
            .weight = targets.token != nullptr && targets.token[r] >= 0 && targets.weight != nullptr ? targets.weight[r] : 0.0f,
            .teacher_token = teacher ? targets.teacher_token + r * targets.teacher_k : nullptr,
            .teacher_log_prob = teacher ? targets.teacher_log_prob + r * targets.teacher_k : nullptr,
            .teacher_k = teacher ? targets.teacher_k : 0,
            .teacher_weight = teacher && targets.teacher_weight != nullptr ? targets.teacher_weight[r] : 0.0f,
            .reference = reference ? targets.reference_logits + r * targets.stride_reference : nullptr,
            .reference_weight = reference && targets.reference_weight != nullptr ? targets.reference_weight[r] : 0.0f,
            .scale = scale,
        };
        CN_DISPATCH(cpu.level, cross_entropy_one(row, results[r], d_logits != nullptr ? d_logits + r * d_stride : nullptr));
    });
}

template void cross_entropy(const cpu_context &, int64_t, int64_t, int64_t, const float *, const row_targets &, float, row_result *, float *, int64_t);
template void cross_entropy(const cpu_context &, int64_t, int64_t, int64_t, const float *, const row_targets &, float, row_result *, bf16 *, int64_t);

} // namespace continual
