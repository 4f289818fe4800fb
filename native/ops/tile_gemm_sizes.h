// The tiles of tile_gemm, for its kernels and for who launches them. A block makes side × side of out, by steps of tile_depth along k.
#pragma once

#include <stdint.h>

namespace continual {

constexpr int32_t tile_depth = 32;

// Warps make side / 2 × 32 each.
constexpr int32_t tile_threads(int32_t side) {
    return 2 * side;
}

// Tiles of both operands that are in shared memory at once, all but one on their way. A product of few blocks has more time to wait than to compute.
constexpr int32_t tile_stages(int32_t side) {
    return side == 128 ? 3 : 4;
}

constexpr int32_t tile_elements(int32_t side) {
    return side * tile_depth;
}

constexpr int32_t tile_shared_bytes(int32_t side) {
    return tile_stages(side) * 2 * tile_elements(side) * 2;
}

// Of the kernel for float.
constexpr int32_t plain_side = 64;
constexpr int32_t plain_depth = 16;
constexpr int32_t plain_threads = 256;
// Elements between rows in shared memory: more than plain_side, so that neighbours in a column are in different banks.
constexpr int32_t plain_pitch = plain_side + 4;
constexpr int32_t plain_shared_bytes = 2 * plain_depth * plain_pitch * 4;

} // namespace continual
