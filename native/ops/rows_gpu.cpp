#include "ops/rows.h"
#include "ops/row_tiles.h"

namespace continual {

namespace {

constexpr int block = 256;
constexpr int large_block = 1024;
constexpr int64_t rows_of_thread = 4;

bool is_wide(int64_t width, int64_t stride, const void * one, const void * other, int64_t per_quad) {
    return width % per_quad == 0 && stride % per_quad == 0 && is_aligned_to_16(one) && is_aligned_to_16(other);
}

} // namespace

void gather_rows(const gpu_context & gpu, int64_t count, int64_t width, const int32_t * row, const float * from, int64_t from_stride, float * to) {
    if (width < 1) {
        return;
    }
    const bool wide = is_wide(width, from_stride, from, to, 4);
    const row_tiles tiles = tiles_of(wide ? width / 4 : width, block);
    launch(gpu, "rows_gather", {blocks_of(tiles, count)}, block, 0, tiles.pieces, tiles.rows, tiles.parts, static_cast<int32_t>(wide), count, width, row, from, from_stride, to);
}

void scatter_rows(const gpu_context & gpu, int64_t count, int64_t width, const int32_t * row, const float * from, float * to, int64_t to_stride) {
    if (width < 1) {
        return;
    }
    const bool wide = is_wide(width, to_stride, from, to, 4);
    const row_tiles tiles = tiles_of(wide ? width / 4 : width, block);
    launch(gpu, "rows_scatter", {blocks_of(tiles, count)}, block, 0, tiles.pieces, tiles.rows, tiles.parts, static_cast<int32_t>(wide), count, width, row, from, to, to_stride);
}

void fill(const gpu_context & gpu, int64_t n, float value, float * to) {
    launch(gpu, "rows_fill", {pieces(n, 4 * block)}, block, 0, n, value, to);
}

void positions_of(const gpu_context & gpu, const int32_t * bounds, int32_t sequences, int64_t count, int32_t * position) {
    launch(gpu, "rows_positions", {pieces(count, block)}, block, 0, bounds, sequences, count, position);
}

template <typename T>
void add_bias(const gpu_context & gpu, int64_t rows, int64_t n, const float * bias, T * x, int64_t stride) {
    if (n < 1) {
        return;
    }
    constexpr int64_t per_quad = 16 / static_cast<int64_t>(sizeof(T));
    const bool wide = is_wide(n, stride, x, bias, per_quad);
    const row_tiles tiles = tiles_of(wide ? n / per_quad : n, block);
    launch(gpu, kernel_of<T>("rows_add_bias"), {blocks_of(tiles, pieces(rows, rows_of_thread))}, block, 0, tiles.pieces, tiles.rows, tiles.parts, static_cast<int32_t>(wide), rows,
           bias, x, stride);
}

template <typename T>
void sum_of_rows(const gpu_context & gpu, int64_t rows, int64_t n, const T * x, int64_t stride, float * sums) {
    if (rows < 1) {
        return;
    }
    launch(gpu, kernel_of<T>("rows_sum"), {pieces(n, 32)}, large_block, sizeof(float) * large_block, rows, n, x, stride, sums);
}

template void add_bias(const gpu_context &, int64_t, int64_t, const float *, float *, int64_t);
template void add_bias(const gpu_context &, int64_t, int64_t, const float *, bf16 *, int64_t);
template void sum_of_rows(const gpu_context &, int64_t, int64_t, const float *, int64_t, float *);
template void sum_of_rows(const gpu_context &, int64_t, int64_t, const bf16 *, int64_t, float *);

} // namespace continual
