// Causal attention of one sequence and one query head, plainly, in double.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace oracle {

struct attention_result {
    std::vector<double> o;   // rows × v_width
    std::vector<double> lse; // rows
    std::vector<double> p;   // rows × rows
};

// q, k: rows × width; v: rows × v_width.
inline attention_result attention(std::size_t rows, std::size_t width, std::size_t v_width, double scale, std::size_t window, const std::vector<double> & q, const std::vector<double> & k,
                                  const std::vector<double> & v) {
    attention_result result;
    result.p.assign(rows * rows, 0.0);
    for (std::size_t i = 0; i < rows; i++) {
        const std::size_t from = window > 0 && i + 1 > window ? i + 1 - window : 0;
        double sum = 0.0;
        for (std::size_t j = from; j <= i; j++) {
            double score = 0.0;
            for (std::size_t c = 0; c < width; c++) {
                score += q[i * width + c] * k[j * width + c];
            }
            result.p[i * rows + j] = std::exp(score * scale);
            sum += result.p[i * rows + j];
        }
        for (std::size_t j = from; j <= i; j++) {
            result.p[i * rows + j] /= sum;
        }
        for (std::size_t c = 0; c < v_width; c++) {
            double value = 0.0;
            for (std::size_t j = from; j <= i; j++) {
                value += result.p[i * rows + j] * v[j * v_width + c];
            }
            result.o.push_back(value);
        }
        result.lse.push_back(std::log(sum));
    }
    return result;
}

struct attention_gradient {
    std::vector<double> dq;
    std::vector<double> dk;
    std::vector<double> dv;
};

inline attention_gradient attention_backward(std::size_t rows, std::size_t width, std::size_t v_width, double scale, std::size_t window, const std::vector<double> & q,
                                             const std::vector<double> & k, const std::vector<double> & v, const std::vector<double> & d_o) {
    const attention_result forward = attention(rows, width, v_width, scale, window, q, k, v);
    attention_gradient result;
    result.dq.assign(rows * width, 0.0);
    result.dk.assign(rows * width, 0.0);
    result.dv.assign(rows * v_width, 0.0);
    for (std::size_t i = 0; i < rows; i++) {
        std::vector<double> dp(rows, 0.0);
        double mean = 0.0;
        for (std::size_t j = 0; j <= i; j++) {
            const double p = forward.p[i * rows + j];
            for (std::size_t c = 0; c < v_width; c++) {
                dp[j] += d_o[i * v_width + c] * v[j * v_width + c];
                result.dv[j * v_width + c] += p * d_o[i * v_width + c];
            }
            mean += p * dp[j];
        }
        for (std::size_t j = 0; j <= i; j++) {
            const double ds = forward.p[i * rows + j] * (dp[j] - mean) * scale;
            for (std::size_t c = 0; c < width; c++) {
                result.dq[i * width + c] += ds * k[j * width + c];
                result.dk[j * width + c] += ds * q[i * width + c];
            }
        }
    }
    return result;
}

} // namespace oracle
