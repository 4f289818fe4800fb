// What a rate of dropout is for each element. Not for _cpu.cpp files: it is computed once.
#pragma once

#include <cstdint>

namespace continual {

struct dropout_rate {
    bool all;           // are dropped
    bool none;          // is
    uint32_t threshold; // a word below it drops
    float scale;        // of what is kept
};

inline dropout_rate dropout_rate_of(float rate) noexcept {
    const double threshold = static_cast<double>(rate) * 4294967296.0 + 0.5;
    if (threshold >= 4294967296.0) {
        return {true, false, 0, 0.0f};
    }
    if (!(threshold >= 1.0)) {
        return {false, true, 0, 1.0f};
    }
    return {false, false, static_cast<uint32_t>(threshold), static_cast<float>(1.0 / (1.0 - static_cast<double>(rate)))};
}

} // namespace continual
