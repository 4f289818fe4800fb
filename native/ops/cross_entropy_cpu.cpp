#include "ops/cross_entropy.h"
#include "ops/cross_entropy_row.h"
#include "ops/vec.h"

namespace continual::CN_ISA {

namespace {

// Elements between two looks at the maximum: short enough that they are still in the first cache when they are read again for their sum.
constexpr int64_t chunk = 1024;

int64_t shorter(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// Of the logits read so far (Milakov and Gimelshein 2018, arXiv 1805.02867, algorithm 3, by chunks).
struct softmax_sum {
    float most = -HUGE_VALF;
    double sum = 0.0;      // Σ e^(x − most)
    int64_t most_in = 0;   // the chunk where `most` was first seen
};

// The factor for what was summed before, where a chunk whose highest is `most` follows.
double raise(softmax_sum & all, float most, int64_t begin) {
    if (!(most > all.most)) {
        return 1.0;
    }
    const double factor = exp(static_cast<double>(all.most) - static_cast<double>(most));
    all.most = most;
    all.most_in = begin;
    all.sum *= factor;
    return factor;
}

// With nothing but −inf and NaN so far there is no maximum to take off; −inf − −inf would make the one into the other.
float offset_of(const softmax_sum & all) {
    return all.most == -HUGE_VALF ? 0.0f : all.most;
}

softmax_sum sum_up(const float * x, int64_t n) {
    softmax_sum all;
    for (int64_t begin = 0; begin < n; begin += chunk) {
        const float * const xs = x + begin;
        const int64_t count = shorter(chunk, n - begin);
        raise(all, highest_of(xs, count), begin);
        const float offset = offset_of(all);
        all.sum += static_cast<double>(sum_of<float>(count, [&](int64_t i) { return exp_of(xs[i] - offset); }));
    }
    return all;
}

// The reference's sum, and in `apart` Σ p_reference · (reference − logit).
softmax_sum sum_up_reference(const float * reference, const float * logits, int64_t n, double & apart) {
    softmax_sum all;
    double weighted = 0.0;
    for (int64_t begin = 0; begin < n; begin += chunk) {
        const float * const rs = reference + begin;
        const float * const xs = logits + begin;
        const int64_t count = shorter(chunk, n - begin);
        weighted *= raise(all, highest_of(rs, count), begin);
        const float offset = offset_of(all);
        float part;
        all.sum += static_cast<double>(sums_of(count, part, [&](int64_t i, float & apart_here) {
            const float e = exp_of(rs[i] - offset);
            // What is impossible adds nothing, whatever the model gives it: 0 · log 0 = 0.
            apart_here = e == 0.0f ? 0.0f : e * (rs[i] - xs[i]);
            return e;
        }));
        weighted += static_cast<double>(part);
    }
    apart = weighted / all.sum;
    return all;
}

double logarithm(const softmax_sum & all) {
    return static_cast<double>(offset_of(all)) + log(all.sum);
}

// A teacher's k tokens, renormalized.
struct teacher_sum {
    float most = -HUGE_VALF;
    double sum = 0.0; // 0: the row has no teacher
};

teacher_sum sum_up_teacher(const cross_entropy_row & row) {
    teacher_sum all;
    for (int32_t k = 0; k < row.teacher_k; k++) {
        if (row.teacher_token[k] >= 0 && row.teacher_log_prob[k] > all.most) {
            all.most = row.teacher_log_prob[k];
        }
    }
    for (int32_t k = 0; k < row.teacher_k; k++) {
        // A place with −inf is as good as unused; a NaN goes on.
        if (row.teacher_token[k] >= 0 && row.teacher_log_prob[k] != -HUGE_VALF) {
            all.sum += exp(static_cast<double>(row.teacher_log_prob[k]) - static_cast<double>(all.most));
        }
    }
    return all;
}

} // namespace

template <typename Out>
void cross_entropy_one(const cross_entropy_row & row, row_result & result, Out * d_logits) {
    const int64_t n = row.vocabulary;
    const float * const x = row.logits;
    const softmax_sum all = sum_up(x, n);
    const double log_sum = logarithm(all);

    int64_t likeliest = all.most_in;
    const int64_t last = shorter(all.most_in + chunk, n) - 1;
    while (likeliest < last && x[likeliest] != all.most) {
        likeliest++;
    }
    // Where the first chunk holds no maximum (only −inf and NaN), any will do.
    result.argmax = static_cast<int32_t>(x[likeliest] == all.most ? likeliest : all.most_in);
    result.log_prob = row.token >= 0 ? static_cast<float>(static_cast<double>(x[row.token]) - log_sum) : 0.0f;

    const teacher_sum teacher = sum_up_teacher(row);
    const bool taught = teacher.sum != 0.0;
    double distilled = 0.0;
    if (taught) {
        for (int32_t k = 0; k < row.teacher_k; k++) {
            if (row.teacher_token[k] >= 0 && row.teacher_log_prob[k] != -HUGE_VALF) {
                const double log_q = static_cast<double>(row.teacher_log_prob[k]) - static_cast<double>(teacher.most) - log(teacher.sum);
                distilled += exp(log_q) * (log_q - (static_cast<double>(x[row.teacher_token[k]]) - log_sum));
            }
        }
    }
    result.distilled = static_cast<float>(distilled);

    softmax_sum reference;
    double apart = 0.0;
    if (row.reference != nullptr) {
        reference = sum_up_reference(row.reference, x, n, apart);
        result.anchored = static_cast<float>(apart - logarithm(reference) + log_sum);
    } else {
        result.anchored = 0.0f;
    }

    if (d_logits == nullptr) {
        return;
    }
    const double from_teacher = taught ? static_cast<double>(row.teacher_weight) : 0.0;
    const double from_reference = static_cast<double>(row.reference_weight);
    const double scale = static_cast<double>(row.scale);
    const double total = static_cast<double>(row.weight) + from_teacher + from_reference;
    if (row.weight == 0.0f && from_teacher == 0.0 && from_reference == 0.0) {
        memset(static_cast<void *>(d_logits), 0, static_cast<size_t>(n) * sizeof(Out));
        return;
    }
    const float p_scale = static_cast<float>(scale * total / all.sum);
    const float offset = offset_of(all);
    const float reference_scale = static_cast<float>(row.reference != nullptr ? scale * from_reference / reference.sum : 0.0);
    const float reference_offset = offset_of(reference);
    float gradient[chunk];
    for (int64_t begin = 0; begin < n; begin += chunk) {
        const float * const xs = x + begin;
        const int64_t count = shorter(chunk, n - begin);
        if (reference_scale != 0.0f) {
            const float * const rs = row.reference + begin;
            CN_SIMD
            for (int64_t i = 0; i < count; i++) {
                gradient[i] = p_scale * exp_of(xs[i] - offset) - reference_scale * exp_of(rs[i] - reference_offset);
            }
        } else {
            CN_SIMD
            for (int64_t i = 0; i < count; i++) {
                gradient[i] = p_scale * exp_of(xs[i] - offset);
            }
        }
        if (row.token >= begin && row.token < begin + count) {
            gradient[row.token - begin] -= static_cast<float>(scale * static_cast<double>(row.weight));
        }
        if (from_teacher != 0.0) {
            for (int32_t k = 0; k < row.teacher_k; k++) {
                const int64_t token = row.teacher_token[k];
                if (token >= begin && token < begin + count && row.teacher_log_prob[k] != -HUGE_VALF) {
                    const double q = exp(static_cast<double>(row.teacher_log_prob[k]) - static_cast<double>(teacher.most)) / teacher.sum;
                    gradient[token - begin] -= static_cast<float>(scale * from_teacher * q);
                }
            }
        }
        // Decision: through memory of its own, for d_logits may be the row of logits itself: what this chunk's gradient covers there has been read.
        Out * const to = d_logits + begin;
        CN_SIMD
        for (int64_t i = 0; i < count; i++) {
            store(to[i], gradient[i]);
        }
    }
}

template void cross_entropy_one(const cross_entropy_row &, row_result &, float *);
template void cross_entropy_one(const cross_entropy_row &, row_result &, bf16 *);

} // namespace continual::CN_ISA
