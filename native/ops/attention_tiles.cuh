// Sizes that the kernels of attention and their launches agree on. In both: `own` rows are a block's for good, those of a `step` come one step after the other.
#pragma once

#include "runtime/types.h"

#include <cstdint>
#include <type_traits>

namespace continual::attention_tiles {

constexpr int threads = 128;
constexpr int warps = threads / 32;

// With bf16 a warp owns that many times 16 rows: the more, the less it reads of shared memory for each product, as far as its sums have room in registers.
constexpr int forward_height(int width) {
    return width <= 128 ? 2 : 1;
}
constexpr int backward_height(int width) {
    return width <= 64 ? 2 : 1;
}

constexpr int float_rows = 32;

template <typename T>
constexpr int forward_rows(int width) {
    return std::is_same_v<T, bf16> ? warps * 16 * forward_height(width) : float_rows;
}
template <typename T>
constexpr int backward_rows(int width) {
    return std::is_same_v<T, bf16> ? warps * 16 * backward_height(width) : float_rows;
}
template <typename T>
constexpr int forward_step = std::is_same_v<T, bf16> ? 64 : float_rows;
constexpr int backward_step = 32;

// Elements between rows in shared memory: 16 bytes more than they have, so that eight rows' 16 bytes of one column are in different banks.
template <typename T>
constexpr int pitch(int width) {
    return width + 16 / static_cast<int>(sizeof(T));
}
// The same of rows of probabilities, which only the kernels in float keep.
constexpr int float_pitch = float_rows + 4;

// In bytes, one after the other: q, k, v, probabilities.
template <typename T>
constexpr int forward_bytes(int width) {
    const int rows = (forward_rows<T>(width) + 2 * forward_step<T>)*pitch<T>(width) * static_cast<int>(sizeof(T));
    return rows + (std::is_same_v<T, bf16> ? 0 : float_rows * float_pitch * static_cast<int>(sizeof(float)));
}

// What two rows are multiplied with two others: own, own, then the steps' (with bf16 twice, the next step comes while one is worked on), and from here on two floats
// for each row of a step, then probabilities and the scores' gradients.
template <typename T>
constexpr int backward_stats(int width) {
    const int stages = std::is_same_v<T, bf16> ? 2 : 1;
    return (2 * backward_rows<T>(width) + stages * 2 * backward_step) * pitch<T>(width) * static_cast<int>(sizeof(T));
}
template <typename T>
constexpr int backward_bytes(int width) {
    const int floats = std::is_same_v<T, bf16> ? 2 * 2 * backward_step : 2 * backward_step + 2 * float_rows * float_pitch;
    return backward_stats<T>(width) + floats * static_cast<int>(sizeof(float));
}

// Two blocks a multiprocessor, and one of the widest.
static_assert(forward_bytes<bf16>(128) <= 100 * 1024 && backward_bytes<bf16>(128) <= 100 * 1024);
static_assert(forward_bytes<bf16>(256) <= 200 * 1024 && backward_bytes<bf16>(256) <= 200 * 1024);
static_assert(forward_bytes<float>(256) <= 200 * 1024 && backward_bytes<float>(256) <= 200 * 1024);

// dk and dv have no room in registers together: each is made by a block of its own.
constexpr bool is_split(int width) {
    return width > 128;
}

constexpr int dots_threads = 256;

} // namespace continual::attention_tiles
