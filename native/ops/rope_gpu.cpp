#include "ops/rope.h"
#include "ops/row_tiles.h"

namespace continual {

namespace {

constexpr int block = 256;

} // namespace

template <typename T>
void rope(const gpu_context & gpu, const rope_config & config, const float * table, int64_t rows, int64_t heads, int64_t width, int64_t stride, const int32_t * position, T * x,
          bool backward) {
    constexpr int64_t per_quad = 16 / static_cast<int64_t>(sizeof(T));
    const int64_t half = config.dimensions / 2;
    if (half < 1 || heads < 1) {
        return;
    }
    const bool wide = half % per_quad == 0 && width % per_quad == 0 && stride % per_quad == 0 && is_aligned_to_16(x) && is_aligned_to_16(table);
    const int64_t of_head = wide ? half / per_quad : half;
    const row_tiles tiles = tiles_of(heads * of_head, block);
    launch(gpu, kernel_of<T>(config.style == rope_style::halves ? "rope_halves" : "rope_adjacent"), {blocks_of(tiles, rows)}, block, 0, tiles.pieces, tiles.rows, tiles.parts,
           static_cast<int32_t>(of_head), static_cast<int32_t>(wide), half, table, rows, width, stride, position, x, backward ? -1.0f : 1.0f);
}

template void rope(const gpu_context &, const rope_config &, const float *, int64_t, int64_t, int64_t, int64_t, const int32_t *, float *, bool);
template void rope(const gpu_context &, const rope_config &, const float *, int64_t, int64_t, int64_t, int64_t, const int32_t *, bf16 *, bool);

} // namespace continual
