// What one row's loss is made of: row_targets (cross_entropy.h) seen from a row.
#pragma once

#include <cstdint>

namespace continual {

struct cross_entropy_row {
    int64_t vocabulary;
    const float * logits;
    int32_t token; // −1: none
    float weight;
    const int32_t * teacher_token; // null: none
    const float * teacher_log_prob;
    int32_t teacher_k;
    float teacher_weight;
    const float * reference; // null: none
    float reference_weight;
    float scale;
};

} // namespace continual
