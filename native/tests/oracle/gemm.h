// Matrix products, plainly and in double.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace oracle {

// Row-major.
struct matrix {
    int64_t rows = 0;
    int64_t columns = 0;
    std::vector<double> at;

    matrix() = default;
    matrix(int64_t r, int64_t c) : rows(r), columns(c), at(static_cast<size_t>(r * c)) {}
    double & operator()(int64_t r, int64_t c) { return at[static_cast<size_t>(r * columns + c)]; }
    double operator()(int64_t r, int64_t c) const { return at[static_cast<size_t>(r * columns + c)]; }
};

inline matrix transpose(const matrix & x) {
    matrix y(x.columns, x.rows);
    for (int64_t r = 0; r < x.rows; r++) {
        for (int64_t c = 0; c < x.columns; c++) {
            y(c, r) = x(r, c);
        }
    }
    return y;
}

// out += scale · left · right; size += the same of magnitudes, against which errors are measured.
inline void multiply(const matrix & left, const matrix & right, double scale, matrix & out, matrix & size) {
    for (int64_t r = 0; r < left.rows; r++) {
        for (int64_t k = 0; k < left.columns; k++) {
            const double a = scale * left(r, k);
            for (int64_t c = 0; c < right.columns; c++) {
                out(r, c) += a * right(k, c);
                size(r, c) += std::fabs(a * right(k, c));
            }
        }
    }
}

} // namespace oracle
