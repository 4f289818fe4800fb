// Rows with something between them.
#pragma once

#include "ops_check.h"

namespace ops_check {

struct shape {
    int64_t rows;
    int64_t width;
    int64_t stride;
};

// The rows' elements without what lies between the rows.
template <typename T>
std::vector<double> dense(const std::vector<T> & x, const shape & s) {
    std::vector<double> result;
    for (int64_t row = 0; row < s.rows; row++) {
        for (int64_t i = 0; i < s.width; i++) {
            result.push_back(static_cast<double>(continual::to_float(x[static_cast<std::size_t>(row * s.stride + i)])));
        }
    }
    return result;
}

} // namespace ops_check
