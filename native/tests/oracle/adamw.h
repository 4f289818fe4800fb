// AdamW (arXiv 1711.05101, algorithm 2), one element, plainly, in double.
#pragma once

#include <cmath>

namespace oracle {

struct adamw_element {
    double value;
    double first;
    double second;
};

inline adamw_element adamw(adamw_element at, double gradient, double rate, double beta1, double beta2, double eps, double decay, double step) {
    at.first = beta1 * at.first + (1.0 - beta1) * gradient;
    at.second = beta2 * at.second + (1.0 - beta2) * gradient * gradient;
    const double m = at.first / (1.0 - std::pow(beta1, step));
    const double v = at.second / (1.0 - std::pow(beta2, step));
    at.value -= rate * (m / (std::sqrt(v) + eps) + decay * at.value);
    return at;
}

} // namespace oracle
