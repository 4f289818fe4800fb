// Rows of logits with targets, and what the oracle makes of them.
#pragma once

#include "ops/cross_entropy.h"
#include "ops_check.h"
#include "oracle/cross_entropy.h"

namespace ops_check {

using continual::row_targets;

// Rows with every mixture of terms, and the oracle's view of them.
struct batch {
    int64_t rows;
    int64_t vocabulary;
    int64_t stride;
    int32_t k = 5;
    std::vector<float> logits;
    std::vector<int32_t> token;
    std::vector<float> weight;
    std::vector<int32_t> teacher_token;
    std::vector<float> teacher_log_prob;
    std::vector<float> teacher_weight;
    std::vector<float> reference;
    std::vector<float> reference_weight;

    row_targets targets(bool teacher, bool anchor) const {
        row_targets all;
        all.token = token.data();
        all.weight = weight.data();
        if (teacher) {
            all.teacher_token = teacher_token.data();
            all.teacher_log_prob = teacher_log_prob.data();
            all.teacher_k = k;
            all.teacher_weight = teacher_weight.data();
        }
        if (anchor) {
            all.reference_logits = reference.data();
            all.stride_reference = vocabulary;
            all.reference_weight = reference_weight.data();
        }
        return all;
    }

    std::vector<float> row_of(const std::vector<float> & values, int64_t row, int64_t apart) const {
        return std::vector<float>(values.begin() + row * apart, values.begin() + row * apart + vocabulary);
    }

    std::vector<double> row_logits(int64_t row) const { return widened(row_of(logits, row, stride)); }

    oracle::row_loss loss(int64_t row, bool teacher, bool anchor) const {
        const std::size_t r = static_cast<std::size_t>(row);
        const std::size_t each = static_cast<std::size_t>(k);
        oracle::row_loss one;
        one.token = token[r];
        one.weight = static_cast<double>(weight[r]);
        if (teacher) {
            for (std::size_t i = r * each; i < (r + 1) * each; i++) {
                one.teacher_token.push_back(teacher_token[i]);
                one.teacher_log_prob.push_back(static_cast<double>(teacher_log_prob[i]));
            }
            one.teacher_weight = static_cast<double>(teacher_weight[r]);
        }
        if (anchor) {
            one.reference = widened(row_of(reference, row, vocabulary));
            one.reference_weight = static_cast<double>(reference_weight[r]);
        }
        return one;
    }
};

inline batch make_batch(int64_t rows, int64_t vocabulary, int64_t stride, int32_t k = 5) {
    batch all;
    all.rows = rows;
    all.vocabulary = vocabulary;
    all.stride = stride;
    all.k = k;
    all.logits = normals<float>(rows * stride, 1, 3.0f);
    all.reference = normals<float>(rows * vocabulary, 2, 3.0f);
    random_source source(3);
    for (int64_t row = 0; row < rows; row++) {
        const bool none = row % 4 == 3;
        all.token.push_back(none ? -1 : static_cast<int32_t>(source.next() % static_cast<uint64_t>(vocabulary)));
        all.weight.push_back(none ? 0.0f : static_cast<float>(source.uniform() + 0.5));
        all.teacher_weight.push_back(row % 3 == 1 ? 0.0f : static_cast<float>(source.uniform()));
        all.reference_weight.push_back(row % 5 == 2 ? 0.0f : static_cast<float>(source.uniform()));
        for (int32_t i = 0; i < k; i++) {
            // The first places hold tokens, all different where the vocabulary has enough; every fourth row has fewer.
            const bool unused = row % 4 == 2 ? i > 1 : i >= vocabulary;
            all.teacher_token.push_back(unused ? -1 : static_cast<int32_t>((row * 31 + i * (vocabulary / k + 1)) % vocabulary));
            all.teacher_log_prob.push_back(unused ? not_a_number : static_cast<float>(-0.5 - 3.0 * source.uniform()));
        }
    }
    return all;
}

} // namespace ops_check
