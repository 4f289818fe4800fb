// SwiGLU, plainly, in double.
#pragma once

#include <cmath>

namespace oracle {

inline double silu(double g) {
    return g / (1.0 + std::exp(-g));
}

inline double silu_slope(double g) {
    const double s = 1.0 / (1.0 + std::exp(-g));
    return s + g * s * (1.0 - s);
}

inline double swiglu(double gate, double up) {
    return silu(gate) * up;
}

} // namespace oracle
