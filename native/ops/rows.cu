#include "ops/quads.cuh"
#include "ops/row_tiles.h"
#include "runtime/kernel.h"

namespace continual {

namespace {

constexpr int block = 256;
// Of sum_of_rows, which has few blocks.
constexpr int large_block = 1024;
constexpr int warps = large_block / warp_size;
// Rows that a thread of add_bias takes: it reads the bias once for them.
constexpr int rows_of_thread = 4;

// A piece of a row is 16 bytes where that is wide, otherwise one element.
CN_DEVICE void move(int32_t piece, int32_t wide, const float * from, float * to) {
    if (wide != 0) {
        store_to(to + static_cast<int64_t>(piece) * 4, load_from<quad>(from + static_cast<int64_t>(piece) * 4));
    } else {
        to[piece] = from[piece];
    }
}

// To `rows` rows from x on. All are read before one is written, so that none is waited for alone.
template <int count, int rows, typename T>
CN_DEVICE void add(const float (&b)[count], T * x, int64_t stride) {
    float own[rows][count];
    CN_UNROLL
    for (int k = 0; k < rows; k++) {
        share<count>{k * stride}.read(x, own[k]);
    }
    CN_UNROLL
    for (int k = 0; k < rows; k++) {
        CN_UNROLL
        for (int i = 0; i < count; i++) {
            own[k][i] += b[i];
        }
        share<count>{k * stride}.write(own[k], x);
    }
}

template <int count, typename T>
CN_DEVICE void add_to_rows(int64_t row, int64_t rows, const float (&b)[count], T * x, int64_t stride) {
    x += row * stride;
    if (row + rows_of_thread <= rows) {
        add<count, rows_of_thread>(b, x, stride);
        return;
    }
    for (; row < rows; row++, x += stride) {
        add<count, 1>(b, x, stride);
    }
}

template <typename T>
CN_DEVICE void bias(const row_tiles & tiles, int32_t wide, int64_t rows, const float * all, T * x, int64_t stride) {
    const row_place place = place_of(tiles, (rows + rows_of_thread - 1) / rows_of_thread, block_x(), block, thread_index());
    if (!place.inside) {
        return;
    }
    if (wide != 0) {
        constexpr int count = per_quad<T>;
        const int64_t column = static_cast<int64_t>(place.piece) * count;
        float b[count];
        CN_UNROLL
        for (int i = 0; i < count; i += 4) {
            float some[4];
            load_quad(all + column + i, some);
            CN_UNROLL
            for (int k = 0; k < 4; k++) {
                b[i + k] = some[k];
            }
        }
        add_to_rows(place.row * rows_of_thread, rows, b, x + column, stride);
    } else {
        const float b[1] = {all[place.piece]};
        add_to_rows(place.row * rows_of_thread, rows, b, x + place.piece, stride);
    }
}

// 32 columns a block. Each warp takes every 32nd row, four at a time so that it waits less, and their sums are added in order.
template <typename T>
CN_DEVICE void sum(int64_t rows, int64_t n, const T * x, int64_t stride, float * sums) {
    constexpr int at_once = 4;
    const shared_array<float> of_warps(0);
    const int64_t column = static_cast<int64_t>(block_x()) * warp_size + lane_index();
    float own[at_once] = {};
    if (column < n) {
        int64_t row = warp_index();
        for (; row + (at_once - 1) * warps < rows; row += at_once * warps) {
            float value[at_once];
            CN_UNROLL
            for (int k = 0; k < at_once; k++) {
                value[k] = load(x[(row + k * warps) * stride + column]);
            }
            CN_UNROLL
            for (int k = 0; k < at_once; k++) {
                own[k] += value[k];
            }
        }
        for (; row < rows; row += warps) {
            own[0] += load(x[row * stride + column]);
        }
    }
    of_warps[thread_index()] = (own[0] + own[1]) + (own[2] + own[3]);
    block_barrier();
    if (warp_index() == 0 && column < n) {
        float total = 0.0f;
        for (int warp = 0; warp < warps; warp++) {
            total += of_warps[warp * warp_size + lane_index()];
        }
        sums[column] += total;
    }
}

} // namespace

CN_KERNEL(block, rows_gather,
          (int32_t pieces, int32_t rows_of_block, int32_t parts, int32_t wide, int64_t count, int64_t width, const int32_t * row, const float * from, int64_t from_stride,
           float * to)) {
    const row_place place = place_of({pieces, rows_of_block, parts}, count, block_x(), block, thread_index());
    if (place.inside) {
        move(place.piece, wide, from + row[place.row] * from_stride, to + place.row * width);
    }
}

CN_KERNEL(block, rows_scatter,
          (int32_t pieces, int32_t rows_of_block, int32_t parts, int32_t wide, int64_t count, int64_t width, const int32_t * row, const float * from, float * to,
           int64_t to_stride)) {
    const row_place place = place_of({pieces, rows_of_block, parts}, count, block_x(), block, thread_index());
    if (place.inside) {
        move(place.piece, wide, from + place.row * width, to + row[place.row] * to_stride);
    }
}

CN_KERNEL(block, rows_fill, (int64_t n, float value, float * to)) {
    for_shares<float, block>(n, is_aligned(to), [&](auto own) {
        float values[own.count];
        CN_UNROLL
        for (int i = 0; i < own.count; i++) {
            values[i] = value;
        }
        own.write(values, to);
    });
}

CN_KERNEL(block, rows_positions, (const int32_t * bounds, int32_t sequences, int64_t count, int32_t * position)) {
    const int64_t row = static_cast<int64_t>(block_x()) * block + thread_index();
    if (row >= count) {
        return;
    }
    // The first of the bounds that is beyond the row; the one before it begins its sequence.
    int32_t low = 0;
    int32_t high = sequences + 1;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (bounds[middle] > row) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    position[row] = low > 0 && low <= sequences ? static_cast<int32_t>(row - bounds[low - 1]) : 0;
}

#define CN_ROWS(T, suffix)                                                                                                                                   \
    CN_KERNEL(block, rows_add_bias##suffix,                                                                                                                  \
              (int32_t pieces, int32_t rows_of_block, int32_t parts, int32_t wide, int64_t rows, const float * all, T * x, int64_t stride)) {                \
        bias({pieces, rows_of_block, parts}, wide, rows, all, x, stride);                                                                                    \
    }                                                                                                                                                        \
    CN_KERNEL(large_block, rows_sum##suffix, (int64_t rows, int64_t n, const T * x, int64_t stride, float * sums)) {                                         \
        sum(rows, n, x, stride, sums);                                                                                                                       \
    }
CN_ROWS(float, _f32)
CN_ROWS(bf16, _bf16)

} // namespace continual
