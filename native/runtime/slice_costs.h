// What slices of training took.
#pragma once

#include <algorithm>
#include <cstdint>

namespace continual {

// What a slice is part of.
enum class pass : int32_t { rest, forward, backward };
inline constexpr int pass_count = 3;

struct slice_costs {
    int64_t slices = 0;
    double longest = 0;               // seconds
    double seconds[pass_count] = {};  // of all slices of each pass

    void add(pass what, double took) {
        slices++;
        longest = std::max(longest, took);
        seconds[static_cast<int>(what)] += took;
    }
};

} // namespace continual
