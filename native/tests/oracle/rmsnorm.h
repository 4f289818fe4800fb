// RMSNorm, plainly, in double.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace oracle {

struct rmsnorm_result {
    std::vector<double> y;
    std::vector<double> inverse_rms;
};

inline rmsnorm_result rmsnorm(std::size_t rows, std::size_t width, const std::vector<double> & x, const std::vector<double> & w, double eps) {
    rmsnorm_result result;
    for (std::size_t row = 0; row < rows; row++) {
        double sum = 0.0;
        for (std::size_t i = 0; i < width; i++) {
            sum += x[row * width + i] * x[row * width + i];
        }
        const double inverse = 1.0 / std::sqrt(sum / static_cast<double>(width) + eps);
        result.inverse_rms.push_back(inverse);
        for (std::size_t i = 0; i < width; i++) {
            result.y.push_back(x[row * width + i] * inverse * w[i]);
        }
    }
    return result;
}

struct rmsnorm_gradient {
    std::vector<double> dx;
    std::vector<double> dw;
};

// By the chain rule element by element: d y_i / d x_j = w_i · (inverse · [i = j] − x_i x_j inverse³ / width).
inline rmsnorm_gradient rmsnorm_backward(std::size_t rows, std::size_t width, const std::vector<double> & x, const std::vector<double> & w, double eps, const std::vector<double> & dy) {
    rmsnorm_gradient result;
    result.dx.assign(rows * width, 0.0);
    result.dw.assign(width, 0.0);
    for (std::size_t row = 0; row < rows; row++) {
        double sum = 0.0;
        double along = 0.0;
        for (std::size_t i = 0; i < width; i++) {
            const std::size_t at = row * width + i;
            sum += x[at] * x[at];
            along += dy[at] * w[i] * x[at];
        }
        const double inverse = 1.0 / std::sqrt(sum / static_cast<double>(width) + eps);
        for (std::size_t i = 0; i < width; i++) {
            const std::size_t at = row * width + i;
            result.dx[at] = w[i] * dy[at] * inverse - x[at] * along * inverse * inverse * inverse / static_cast<double>(width);
            result.dw[i] += dy[at] * x[at] * inverse;
        }
    }
    return result;
}

} // namespace oracle
