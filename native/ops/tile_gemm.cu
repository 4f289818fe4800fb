#include "ops/tile_gemm_sizes.h"
#include "runtime/kernel.h"

namespace continual {

namespace {

// Tiles of out follow each other down columns of so many tiles, so that blocks that run at the same time share tiles of both operands in the cache.
constexpr int group = 8;

struct tile_place {
    int64_t row;
    int64_t column;
};

CN_DEVICE tile_place place_of_tile(int64_t m, int64_t n, int side) {
    const int down = static_cast<int>((m + side - 1) / side);
    const int across = static_cast<int>((n + side - 1) / side);
    const int first = block_x() / (group * across) * group;
    const int height = down - first < group ? down - first : group;
    const int in_group = block_x() - first * across;
    return {static_cast<int64_t>(first + in_group % height) * side, static_cast<int64_t>(in_group / height) * side};
}

CN_DEVICE int at_most(int64_t n, int most) { return n < most ? static_cast<int>(n) : most; }

// Up to 8 elements from a place of any alignment, then zeros.
CN_DEVICE quad gathered(const bf16 * from, int count) {
    uint32_t words[4];
    if (count == 8 && reinterpret_cast<uint64_t>(from) % 4 == 0) {
        CN_UNROLL
        for (int i = 0; i < 4; i++) {
            words[i] = reinterpret_cast<const uint32_t *>(from)[i];
        }
    } else {
        CN_UNROLL
        for (int i = 0; i < 4; i++) {
            const uint32_t low = 2 * i < count ? from[2 * i].bits : 0;
            const uint32_t high = 2 * i + 1 < count ? from[2 * i + 1].bits : 0;
            words[i] = low | high << 16;
        }
    }
    return {words[0], words[1], words[2], words[3]};
}

// One operand of a product, as a block sees it: `side` rows or columns (here: lines) of it, and tile_depth of k at a time. along: in memory k is what runs fastest.
template <int side, bool along>
class operand {
public:
    CN_DEVICE operand(const bf16 * data, int64_t stride, int64_t first, int64_t lines, bool aligned)
        : row_(thread_index() / units), unit_(thread_index() % units), stride_(stride), aligned_(aligned) {
        from_ = data + (along ? (first + row_) * stride : row_ * stride + first) + unit_ * 8;
        left_ = at_most(lines - first - (along ? row_ : unit_ * 8), side);
    }

    // Begins to bring what is between k and the end of the sum into shared memory; zeros beyond, and for lines that are none.
    CN_DEVICE void fetch(const shared_array<bf16> & memory, int tile, int64_t k, int64_t end) const {
        CN_UNROLL
        for (int pass = 0; pass < passes; pass++) {
            const int row = row_ + pass * rows;
            const bf16 * const from = from_ + (along ? pass * rows * stride_ + k : (k + pass * rows) * stride_);
            const int count = along ? (pass * rows < left_ ? at_most(end - k - unit_ * 8, 8) : 0) : (k + row < end ? at_most(left_, 8) : 0);
            const int at = tile + (along ? place(row, unit_ * 8) : place(unit_ * 8, row));
            if (aligned_ && (count == 8 || count <= 0)) {
                copy_async(memory, at, count == 8 ? from : from_, count == 8);
            } else {
                memory.template store_as<quad>(at, gathered(from, count));
            }
        }
    }

    // The fragments of mma for 16 lines from `line` and 16 of k: as a left side, or as a right one, two fragments of 8 lines then.
    template <bool left>
    CN_DEVICE static void load(uint32_t (&to)[4], const shared_array<bf16> & memory, int tile, int line, int k) {
        const int matrix = lane_index() / 8;
        const int row = lane_index() % 8;
        line += (left ? matrix % 2 : matrix / 2) * 8 + (along ? row : 0);
        k += (left ? matrix / 2 : matrix % 2) * 8 + (along ? 0 : row);
        load_matrix<!along>(to, memory, tile + place(line, k));
    }

private:
    // 8 elements are moved at once. A row here is one in memory.
    static constexpr int units = (along ? tile_depth : side) / 8;
    static constexpr int rows = tile_threads(side) / units;
    static constexpr int passes = (along ? side : tile_depth) / rows;

    // Of an element in its tile. Units are mixed within rows, so that the eight that one matrix of load_matrix reads, and eight neighbours that are written, are in
    // different banks: a row is 64 bytes and more.
    CN_DEVICE static int place(int line, int k) {
        return along ? line * tile_depth + ((k / 8) ^ (line / 2 % 4)) * 8 + k % 8 : k * side + ((line / 8) ^ (k % 8)) * 8 + line % 8;
    }

    int row_;
    int unit_;
    int64_t stride_;
    bool aligned_;
    const bf16 * from_;
    int left_; // lines from this thread's first on
};

// A step's tiles, the left one at `stage`. A group of copies even where the sum has ended: a step's is always as many groups back.
template <int side, bool left_along, bool right_along>
CN_DEVICE void fetch(const operand<side, left_along> & lefts, const operand<side, right_along> & rights, const shared_array<bf16> & memory, int stage, int64_t k, int64_t end) {
    if (k < end) {
        lefts.fetch(memory, stage, k, end);
        rights.fetch(memory, stage + tile_elements(side), k, end);
    }
    copy_commit();
}

CN_DEVICE void read_four(const float * from, float (&to)[4]) {
    const float4 x = load_from<float4>(from);
    to[0] = x.x;
    to[1] = x.y;
    to[2] = x.z;
    to[3] = x.w;
}

CN_DEVICE void read_four(const bf16 * from, float (&to)[4]) {
    const uint64_t bits = *reinterpret_cast<const uint64_t *>(from);
    CN_UNROLL
    for (int i = 0; i < 4; i++) {
        to[i] = load(bf16{static_cast<uint16_t>(bits >> (16 * i))});
    }
}

CN_DEVICE void write_four(float * to, const float (&x)[4]) { store_to(to, float4{x[0], x[1], x[2], x[3]}); }

CN_DEVICE void write_four(bf16 * to, const float (&x)[4]) {
    *reinterpret_cast<uint64_t *>(to) = packed(x[0], x[1]) | static_cast<uint64_t>(packed(x[2], x[3])) << 32;
}

// Where sums go.
struct sink {
    void * out;
    int64_t stride;
    bool is_bf16;
    bool wide; // four neighbours can be written at once
    float scale;
    bool accumulate;

    // Four neighbours in a row, of which `count` are in out.
    CN_DEVICE void put(int64_t row, int64_t column, int64_t count, const quad & bits) const {
        const float sums[4] = {float_of_bits(bits.x) * scale, float_of_bits(bits.y) * scale, float_of_bits(bits.z) * scale, float_of_bits(bits.w) * scale};
        if (is_bf16) {
            put(static_cast<bf16 *>(out) + row * stride + column, count, sums);
        } else {
            put(static_cast<float *>(out) + row * stride + column, count, sums);
        }
    }

    template <typename T>
    CN_DEVICE void put(T * to, int64_t count, const float (&sums)[4]) const {
        if (wide && count >= 4) {
            float x[4] = {};
            if (accumulate) {
                read_four(to, x);
            }
            CN_UNROLL
            for (int i = 0; i < 4; i++) {
                x[i] = accumulate ? x[i] + sums[i] : sums[i];
            }
            write_four(to, x);
        } else {
            CN_UNROLL
            for (int i = 0; i < 4; i++) {
                if (i < count) {
                    store(to[i], accumulate ? load(to[i]) + sums[i] : sums[i]);
                }
            }
        }
    }
};

// The block's part of the sum is k's from block_y() · steps · tile_depth on, and its out is then the block_y()-th of them, m · n elements each.
template <int side, bool left_along, bool right_along>
CN_DEVICE void product(int64_t m, int64_t n, int64_t k, int32_t steps, const bf16 * left, int64_t left_stride, bool left_aligned, const bf16 * right, int64_t right_stride,
                       bool right_aligned, sink to) {
    using left_operand = operand<side, left_along>;
    using right_operand = operand<side, right_along>;
    constexpr int stages = tile_stages(side);
    constexpr int elements = tile_elements(side);
    constexpr int down = side / 2 / 16; // matrices of a warp, 16 × 8
    constexpr int across = 4;
    const shared_array<bf16> memory(0);
    const tile_place tile = place_of_tile(m, n, side);
    const left_operand lefts(left, left_stride, tile.row, m, left_aligned);
    const right_operand rights(right, right_stride, tile.column, n, right_aligned);

    const int64_t begin = static_cast<int64_t>(block_y()) * steps * tile_depth;
    const int64_t end = begin + static_cast<int64_t>(steps) * tile_depth < k ? begin + static_cast<int64_t>(steps) * tile_depth : k;
    const int own_steps = static_cast<int>((end - begin + tile_depth - 1) / tile_depth);

    const int warp_row = warp_index() / (side / 32) * (side / 2);
    const int warp_column = warp_index() % (side / 32) * 32;
    // Warps without any of out are there to fetch.
    const bool busy = tile.row + warp_row < m && tile.column + warp_column < n;
    float sums[down][across][4];
    CN_UNROLL
    for (int i = 0; i < down; i++) {
        CN_UNROLL
        for (int j = 0; j < across; j++) {
            CN_UNROLL
            for (int e = 0; e < 4; e++) {
                sums[i][j][e] = 0.0f;
            }
        }
    }
    for (int step = 0; step < stages - 1; step++) {
        fetch(lefts, rights, memory, step % stages * 2 * elements, begin + static_cast<int64_t>(step) * tile_depth, end);
    }
    for (int step = 0; step < own_steps; step++) {
        copy_wait<stages - 2>();
        // Now this step's tiles are whole, and all have done with those of the last, whose place the next to be fetched takes.
        block_barrier();
        fetch(lefts, rights, memory, (step + stages - 1) % stages * 2 * elements, begin + static_cast<int64_t>(step + stages - 1) * tile_depth, end);
        if (!busy) {
            continue;
        }
        const int stage = step % stages * 2 * elements;
        CN_UNROLL
        for (int at = 0; at < tile_depth; at += 16) {
            uint32_t a[down][4];
            uint32_t b[across / 2][4];
            CN_UNROLL
            for (int i = 0; i < down; i++) {
                left_operand::template load<true>(a[i], memory, stage, warp_row + i * 16, at);
            }
            CN_UNROLL
            for (int j = 0; j < across / 2; j++) {
                right_operand::template load<false>(b[j], memory, stage + elements, warp_column + j * 16, at);
            }
            CN_UNROLL
            for (int i = 0; i < down; i++) {
                CN_UNROLL
                for (int j = 0; j < across; j++) {
                    mma(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
                }
            }
        }
    }
    copy_wait<0>();
    block_barrier();
    if (!busy) {
        return;
    }

    // Through shared memory, where each warp has a place for 16 rows, so that whole lines of out are written. A pitch of 8 more banks than rows have makes the writes
    // of a half of a warp go to different banks.
    constexpr int pitch = 40;
    static_assert(tile_threads(side) / warp_size * 16 * pitch * 4 <= tile_shared_bytes(side));
    const shared_array<float> rows(warp_index() * 16 * pitch * 4);
    to.out = static_cast<char *>(to.out) + static_cast<int64_t>(block_y()) * m * n * static_cast<int64_t>(sizeof(float));
    CN_UNROLL
    for (int i = 0; i < down; i++) {
        CN_UNROLL
        for (int j = 0; j < across; j++) {
            CN_UNROLL
            for (int half = 0; half < 2; half++) {
                const uint64_t two = bits_of_float(sums[i][j][2 * half]) | static_cast<uint64_t>(bits_of_float(sums[i][j][2 * half + 1])) << 32;
                rows.store_as<uint64_t>((lane_index() / 4 + 8 * half) * pitch + j * 8 + lane_index() % 4 * 2, two);
            }
        }
        warp_barrier();
        const int column = lane_index() % 8 * 4;
        for (int row = lane_index() / 8; row < 16; row += 4) {
            const int64_t at = tile.row + warp_row + i * 16 + row;
            const quad four = rows.load_as<quad>(row * pitch + column);
            if (at < m) {
                to.put(at, tile.column + warp_column + column, n - tile.column - warp_column - column, four);
            }
        }
        warp_barrier();
    }
}

// Neighbours in memory are neighbouring threads'. along: k runs fastest there.
CN_DEVICE void plain_fetch(const shared_array<float> & to, const float * data, int64_t stride, bool along, int64_t first, int64_t lines, int64_t begin, int64_t k) {
    for (int i = thread_index(); i < plain_side * plain_depth; i += plain_threads) {
        const int line = along ? i / plain_depth : i % plain_side;
        const int at = along ? i % plain_depth : i / plain_side;
        const bool inside = first + line < lines && begin + at < k;
        to[at * plain_pitch + line] = inside ? data[along ? (first + line) * stride + begin + at : (begin + at) * stride + first + line] : 0.0f;
    }
}

// A thread's part of a tile is 4 × 4.
CN_DEVICE void plain_product(int64_t m, int64_t n, int64_t k, const float * left, int64_t left_stride, bool left_transposed, const float * right, int64_t right_stride,
                             bool right_transposed, const sink & to) {
    const shared_array<float> lefts(0);
    const shared_array<float> rights(plain_depth * plain_pitch * 4);
    const tile_place tile = place_of_tile(m, n, plain_side);
    const int row = thread_index() / 16 * 4;
    const int column = thread_index() % 16 * 4;
    float sums[4][4];
    CN_UNROLL
    for (int i = 0; i < 4; i++) {
        CN_UNROLL
        for (int j = 0; j < 4; j++) {
            sums[i][j] = 0.0f;
        }
    }
    for (int64_t begin = 0; begin < k; begin += plain_depth) {
        block_barrier();
        plain_fetch(lefts, left, left_stride, !left_transposed, tile.row, m, begin, k);
        plain_fetch(rights, right, right_stride, right_transposed, tile.column, n, begin, k);
        block_barrier();
        for (int at = 0; at < plain_depth; at++) {
            const float4 x = lefts.load_as<float4>(at * plain_pitch + row);
            const float4 y = rights.load_as<float4>(at * plain_pitch + column);
            const float a[4] = {x.x, x.y, x.z, x.w};
            const float b[4] = {y.x, y.y, y.z, y.w};
            CN_UNROLL
            for (int i = 0; i < 4; i++) {
                CN_UNROLL
                for (int j = 0; j < 4; j++) {
                    sums[i][j] = fused(a[i], b[j], sums[i][j]);
                }
            }
        }
    }
    CN_UNROLL
    for (int i = 0; i < 4; i++) {
        if (tile.row + row + i < m) {
            const quad four = {bits_of_float(sums[i][0]), bits_of_float(sums[i][1]), bits_of_float(sums[i][2]), bits_of_float(sums[i][3])};
            to.put(tile.row + row + i, tile.column + column, n - tile.column - column, four);
        }
    }
}

} // namespace

#define CN_PRODUCT(side, left_along, right_along, suffix)                                                                                                               \
    CN_KERNEL(2 * side, tile_gemm_##side##suffix,                                                                                                                       \
              (int64_t m, int64_t n, int64_t k, int32_t steps, const bf16 * left, int64_t left_stride, int32_t left_aligned, const bf16 * right, int64_t right_stride,  \
               int32_t right_aligned, void * out, int64_t out_stride, int32_t out_is_bf16, int32_t out_wide, float scale, int32_t accumulate)) {                        \
        product<side, left_along, right_along>(m, n, k, steps, left, left_stride, left_aligned != 0, right, right_stride, right_aligned != 0,                           \
                                               {out, out_stride, out_is_bf16 != 0, out_wide != 0, scale, accumulate != 0});                                             \
    }
CN_PRODUCT(64, true, false, _nn)
CN_PRODUCT(64, true, true, _nt)
CN_PRODUCT(64, false, false, _tn)
CN_PRODUCT(64, false, true, _tt)
CN_PRODUCT(128, true, false, _nn)
CN_PRODUCT(128, true, true, _nt)
CN_PRODUCT(128, false, false, _tn)
CN_PRODUCT(128, false, true, _tt)

CN_KERNEL(plain_threads, tile_gemm_f32,
          (int64_t m, int64_t n, int64_t k, const float * left, int64_t left_stride, int32_t left_transposed, const float * right, int64_t right_stride,
           int32_t right_transposed, void * out, int64_t out_stride, int32_t out_is_bf16, int32_t out_wide, float scale, int32_t accumulate)) {
    plain_product(m, n, k, left, left_stride, left_transposed != 0, right, right_stride, right_transposed != 0,
                  {out, out_stride, out_is_bf16 != 0, out_wide != 0, scale, accumulate != 0});
}

// What the parts of a sum come to, a thread an element.
CN_KERNEL(256, tile_gemm_add,
          (int64_t m, int64_t n, int32_t parts, const float * from, void * out, int64_t out_stride, int32_t out_is_bf16, float scale, int32_t accumulate)) {
    const int64_t at = static_cast<int64_t>(block_x()) * 256 + thread_index();
    if (at >= m * n) {
        return;
    }
    float sum = 0.0f;
    for (int part = 0; part < parts; part++) {
        sum += from[part * (m * n) + at];
    }
    const sink to = {out, out_stride, out_is_bf16 != 0, false, scale, accumulate != 0};
    to.put(at / n, at % n, 1, {bits_of_float(sum), 0, 0, 0});
}

} // namespace continual
