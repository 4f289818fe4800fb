// What gemm.cpp needs of a set of instructions. Panels are made of 32-bit units: one float, or two bf16 that follow each other in k.
#pragma once

#include "ops/gemm.h"

namespace continual {

struct gemm_kernels {
    // The micro-kernel's tile: `rows` of the left panel by `columns` of the right panel.
    int32_t rows;
    int32_t columns;
    // Elements of k in one unit.
    int32_t pair;
    // Whether the right packers read bf16 (otherwise float).
    bool reads_bf16;

    // Rows [row, row + count), elements [k, k + depth) of the left side into panels of `rows` rows, one after the other: [panel][unit][row]. Rows beyond
    // the last stay unwritten (multiply does not read them); an odd last half unit is zero.
    void (*pack_left)(const gemm_left & left, int64_t row, int64_t count, int64_t k, int64_t depth, uint32_t * packed);

    // count ≤ columns rows of the right side, `stride` elements apart, `depth` elements from each, into one panel: [unit][column]. Missing columns and an
    // odd last half unit become zero.
    void (*pack_rows)(const void * source, int64_t stride, int64_t count, int64_t depth, uint32_t * packed);

    // One unit of k for `count` columns, which follow each other in memory: element c of the row(s) goes to panel c / columns at packed, panels being
    // panel_stride apart. `second` is the other row of a pair, or null when there is none. The last panel's missing columns become zero.
    void (*pack_unit)(const void * first, const void * second, int64_t count, uint32_t * packed, int64_t panel_stride);

    // c = (replace ? 0 : c) + scale · left · right for a tile of rows × columns, at most a whole one. c has room for whole vectors in every row. Meanwhile
    // the memory at `soon` (64 bytes for each unit; any address) is asked for.
    void (*multiply)(int64_t units, int32_t rows, int32_t columns, const uint32_t * left, const uint32_t * right, const uint32_t * soon, float scale, bool replace, float * c, int64_t stride);

    // Rows of sums to out, from element (row, column) on.
    void (*finish)(const float * c, int64_t stride, const gemm_out & out, int64_t row, int64_t rows, int64_t column, int64_t columns);
};

// One for each precision, by its number.
struct gemm_kernel_sets {
    gemm_kernels of[2];
};

} // namespace continual
