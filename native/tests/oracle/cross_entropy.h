// The losses of one row of logits and their gradient, plainly, in double.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace oracle {

inline std::vector<double> log_softmax(const std::vector<double> & logits) {
    double most = logits[0];
    for (const double x : logits) {
        most = std::fmax(most, x);
    }
    double sum = 0.0;
    for (const double x : logits) {
        sum += std::exp(x - most);
    }
    std::vector<double> result;
    for (const double x : logits) {
        result.push_back(x - most - std::log(sum));
    }
    return result;
}

struct row_loss {
    int token = -1;
    double weight = 0.0;
    std::vector<int> teacher_token; // −1: unused
    std::vector<double> teacher_log_prob;
    double teacher_weight = 0.0;
    std::vector<double> reference; // empty: none
    double reference_weight = 0.0;
};

struct row_losses {
    double log_prob = 0.0;
    double distilled = 0.0;
    double anchored = 0.0;
    double total = 0.0; // weighted
};

// q of every token, renormalized; all zeros where there is no teacher.
inline std::vector<double> teacher_of(const row_loss & row, std::size_t vocabulary) {
    std::vector<double> q(vocabulary, 0.0);
    double sum = 0.0;
    for (std::size_t k = 0; k < row.teacher_token.size(); k++) {
        if (row.teacher_token[k] >= 0) {
            sum += std::exp(row.teacher_log_prob[k]);
        }
    }
    for (std::size_t k = 0; k < row.teacher_token.size(); k++) {
        if (row.teacher_token[k] >= 0 && sum > 0.0) {
            q[static_cast<std::size_t>(row.teacher_token[k])] += std::exp(row.teacher_log_prob[k]) / sum;
        }
    }
    return q;
}

inline double divergence(const std::vector<double> & p, const std::vector<double> & log_model) {
    double sum = 0.0;
    for (std::size_t i = 0; i < p.size(); i++) {
        sum += p[i] > 0.0 ? p[i] * (std::log(p[i]) - log_model[i]) : 0.0;
    }
    return sum;
}

inline row_losses losses(const row_loss & row, const std::vector<double> & logits) {
    const std::vector<double> log_p = log_softmax(logits);
    row_losses result;
    if (row.token >= 0) {
        result.log_prob = log_p[static_cast<std::size_t>(row.token)];
    }
    result.distilled = divergence(teacher_of(row, logits.size()), log_p);
    if (!row.reference.empty()) {
        std::vector<double> p = log_softmax(row.reference);
        for (double & x : p) {
            x = std::exp(x);
        }
        result.anchored = divergence(p, log_p);
    }
    result.total = -row.weight * result.log_prob + row.teacher_weight * result.distilled + row.reference_weight * result.anchored;
    return result;
}

// Of losses().total.
inline std::vector<double> losses_gradient(const row_loss & row, const std::vector<double> & logits) {
    const std::vector<double> log_p = log_softmax(logits);
    const std::vector<double> q = teacher_of(row, logits.size());
    double mass = 0.0;
    for (const double x : q) {
        mass += x;
    }
    std::vector<double> gradient;
    for (std::size_t i = 0; i < logits.size(); i++) {
        const double p = std::exp(log_p[i]);
        gradient.push_back(row.weight * (row.token >= 0 ? p : 0.0) + row.teacher_weight * (p * mass - q[i]));
    }
    if (row.token >= 0) {
        gradient[static_cast<std::size_t>(row.token)] -= row.weight;
    }
    if (!row.reference.empty()) {
        const std::vector<double> log_r = log_softmax(row.reference);
        for (std::size_t i = 0; i < logits.size(); i++) {
            gradient[i] += row.reference_weight * (std::exp(log_p[i]) - std::exp(log_r[i]));
        }
    }
    return gradient;
}

} // namespace oracle
