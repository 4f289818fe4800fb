// The kernels of attention. Those of each width of heads are a .cu file of their own, so that a driver compiles no more of them than are used.
#pragma once

#include "ops/attention_tiles.cuh"
#include "runtime/kernel.h"

namespace continual {

namespace {

using namespace attention_tiles;

constexpr float log2_of_e = 1.442695041f;
constexpr float log_of_2 = 0.693147181f;

struct problem {
    const int32_t * bounds;
    const int32_t * blocks;
    int sequences;
    int heads;
    int kv_heads;
    int width;
    int v_width;
    int64_t q_stride;
    int64_t k_stride;
    int64_t v_stride;
    int64_t o_stride;
    float scale;
    int window;
    bool aligned;
};

// The rows that a block owns, from `first` of a sequence on.
struct place {
    int64_t start;
    int length;
    int first;
};

CN_DEVICE place place_of_block(const problem & all) {
    const int sequence = all.blocks[2 * block_x()];
    const int32_t start = all.bounds[sequence];
    return {start, all.bounds[sequence + 1] - start, all.blocks[2 * block_x() + 1]};
}

// The keys that a query sees, or the queries that see a key.
struct sight {
    int first;
    int last;
};

template <bool of_keys>
CN_DEVICE sight sight_of(const problem & all, int length, int row) {
    if constexpr (of_keys) {
        return {row, all.window > 0 && row < length - all.window ? row + all.window - 1 : length - 1};
    } else {
        return {all.window > 0 && row >= all.window ? row - all.window + 1 : 0, row};
    }
}

// Whether rows `first` and the next `rows` − 1 see any, and all, of `step` places from `at` on.
struct view {
    bool any;
    bool all;
};

template <bool of_keys, int rows, int step>
CN_DEVICE view view_of(const problem & all, int length, int first, int at) {
    const sight top = sight_of<of_keys>(all, length, first);
    const sight bottom = sight_of<of_keys>(all, length, first + rows - 1);
    return {first < length && top.first < at + step && bottom.last >= at, bottom.first <= at && top.last >= at + step - 1};
}

// `rows` rows of W elements in shared memory from `count` of `width`; zeros beyond. Where not aligned the elements are there after the next barrier,
// otherwise after copy_wait and it.
template <typename T, int W, int rows>
CN_DEVICE void fetch(const shared_array<T> & memory, int to, const T * from, int64_t stride, int count, int width, bool aligned) {
    if (aligned) {
        constexpr int elements = 16 / static_cast<int>(sizeof(T));
        // A thread copies from one column, of every so many rows; with 96 columns some threads none.
        constexpr int slots = W == 96 ? 128 / elements : W / elements;
        constexpr int apart = threads / slots;
        static_assert(rows % apart == 0);
        const int column = thread_index() % slots * elements;
        const int row = thread_index() / slots;
        if (column < W) {
            const int left = column < width ? count - row : 0;
            from += row * stride + column;
            to = opaque(to + row * pitch<T>(W) + column);
            CN_UNROLL
            for (int n = 0; n < rows / apart; n++) {
                copy_async(memory, to + n * apart * pitch<T>(W), from, n * apart < left);
                from += apart * stride;
            }
        }
    } else {
        for (int i = thread_index(); i < rows * W; i += threads) {
            const int row = i / W;
            const int column = i % W;
            memory[to + row * pitch<T>(W) + column] = row < count && column < width ? from[row * stride + column] : T{};
        }
    }
}

// Where this lane's row of four matrices lies from the first one's first element on: of a left operand or a transposed right one, and of a right one.
template <int W>
CN_DEVICE int lane_by_rows() {
    return lane_index() % 16 * pitch<bf16>(W) + lane_index() / 16 * 8;
}
template <int W>
CN_DEVICE int lane_by_columns() {
    return (lane_index() % 8 + lane_index() / 16 * 8) * pitch<bf16>(W) + lane_index() / 8 % 2 * 8;
}

// M · 16 rows as left operands.
template <int W, int M>
CN_DEVICE void hold(uint32_t (&to)[M][W / 16][4], const shared_array<bf16> & memory, int at) {
    CN_UNROLL
    for (int m = 0; m < M; m++) {
        CN_UNROLL
        for (int k = 0; k < W / 16; k++) {
            load_matrix<false>(to[m][k], memory, at + lane_by_rows<W>() + m * 16 * pitch<bf16>(W) + k * 16);
        }
    }
}

// The products of M · 16 rows, which are `held` or lie at `left`, with N rows at `right`.
template <int W, int M, int N, bool is_held>
CN_DEVICE void row_products(float (&to)[M][N / 8][4], const shared_array<bf16> & memory, const uint32_t (&held)[M][W / 16][4], int left, int right) {
    CN_UNROLL
    for (int m = 0; m < M; m++) {
        CN_UNROLL
        for (int n = 0; n < N / 8; n++) {
            to[m][n][0] = to[m][n][1] = to[m][n][2] = to[m][n][3] = 0.0f;
        }
    }
    left = opaque(left + lane_by_rows<W>());
    right = opaque(right + lane_by_columns<W>());
    CN_UNROLL
    for (int k = 0; k < W / 16; k++) {
        uint32_t a[M][4];
        CN_UNROLL
        for (int m = 0; m < M; m++) {
            if constexpr (is_held) {
                CN_UNROLL
                for (int i = 0; i < 4; i++) {
                    a[m][i] = held[m][k][i];
                }
            } else {
                load_matrix<false>(a[m], memory, left + m * 16 * pitch<bf16>(W) + k * 16);
            }
        }
        CN_UNROLL
        for (int n = 0; n < N / 16; n++) {
            uint32_t b[4];
            load_matrix<false>(b, memory, right + n * 16 * pitch<bf16>(W) + k * 16);
            CN_UNROLL
            for (int m = 0; m < M; m++) {
                mma(to[m][2 * n], a[m], b[0], b[1]);
                mma(to[m][2 * n + 1], a[m], b[2], b[3]);
            }
        }
    }
}

// A product's result rounded to the left operand of another: each lane has what it needs.
template <int M, int N>
CN_DEVICE void pack(uint32_t (&to)[M][N / 16][4], const float (&from)[M][N / 8][4]) {
    CN_UNROLL
    for (int m = 0; m < M; m++) {
        CN_UNROLL
        for (int n = 0; n < N / 16; n++) {
            to[m][n][0] = packed(from[m][2 * n][0], from[m][2 * n][1]);
            to[m][n][1] = packed(from[m][2 * n][2], from[m][2 * n][3]);
            to[m][n][2] = packed(from[m][2 * n + 1][0], from[m][2 * n + 1][1]);
            to[m][n][3] = packed(from[m][2 * n + 1][2], from[m][2 * n + 1][3]);
        }
    }
}

// to += left · the N rows at `right`.
template <int W, int M, int N>
CN_DEVICE void add_rows(float (&to)[M][W / 8][4], const shared_array<bf16> & memory, const uint32_t (&left)[M][N / 16][4], int right) {
    right = opaque(right + lane_by_rows<W>());
    CN_UNROLL
    for (int k = 0; k < N / 16; k++) {
        CN_UNROLL
        for (int n = 0; n < W / 16; n++) {
            uint32_t b[4];
            load_matrix<true>(b, memory, right + k * 16 * pitch<bf16>(W) + n * 16);
            CN_UNROLL
            for (int m = 0; m < M; m++) {
                mma(to[m][2 * n], left[m][k], b[0], b[1]);
                mma(to[m][2 * n + 1], left[m][k], b[2], b[3]);
            }
        }
    }
}

// M · 16 rows times their factors to global memory, the first `count` of them, by way of as many rows of shared memory that are this warp's alone.
template <int W, int M>
CN_DEVICE void put(const float (&rows)[M][W / 8][4], const float (&factors)[M][2], const shared_array<bf16> & memory, int at, bf16 * to, int64_t stride, int count, int width,
                   bool aligned) {
    warp_barrier();
    CN_UNROLL
    for (int m = 0; m < M; m++) {
        CN_UNROLL
        for (int n = 0; n < W / 8; n++) {
            const int i = at + (m * 16 + lane_index() / 4) * pitch<bf16>(W) + n * 8 + lane_index() % 4 * 2;
            memory.store_as<uint32_t>(i, packed(rows[m][n][0] * factors[m][0], rows[m][n][1] * factors[m][0]));
            memory.store_as<uint32_t>(i + 8 * pitch<bf16>(W), packed(rows[m][n][2] * factors[m][1], rows[m][n][3] * factors[m][1]));
        }
    }
    warp_barrier();
    if (aligned) {
        for (int i = lane_index(); i < M * 16 * W / 8; i += warp_size) {
            const int row = i / (W / 8);
            const int column = i % (W / 8) * 8;
            if (row < count && column < width) {
                store_to(to + row * stride + column, memory.load_as<quad>(at + row * pitch<bf16>(W) + column));
            }
        }
    } else {
        for (int i = lane_index(); i < M * 16 * W; i += warp_size) {
            const int row = i / W;
            const int column = i % W;
            if (row < count && column < width) {
                to[row * stride + column] = memory[at + row * pitch<bf16>(W) + column];
            }
        }
    }
}

// --- bf16, forward ---

// Dao 2023, arXiv 2307.08691, algorithm 1, in powers of two. The values of a step come while its keys are worked on, the next step's keys meanwhile the values.
template <int W>
CN_DEVICE void forward(const problem & all, const bf16 * q, const bf16 * k, const bf16 * v, bf16 * o, float * lse) {
    constexpr int M = forward_height(W);
    constexpr int N = forward_step<bf16>;
    constexpr int rows = forward_rows<bf16>(W);
    constexpr bool is_held = W <= 64;
    constexpr int keys = rows * pitch<bf16>(W);
    constexpr int values = keys + N * pitch<bf16>(W);
    const shared_array<bf16> memory(0);
    const place own = place_of_block(all);
    const int head = block_y();
    const int kv_head = head / (all.heads / all.kv_heads);
    q += (own.start + own.first) * all.q_stride + static_cast<int64_t>(head) * all.width;
    k += own.start * all.k_stride + static_cast<int64_t>(kv_head) * all.width;
    v += own.start * all.v_stride + static_cast<int64_t>(kv_head) * all.v_width;
    const int mine = warp_index() * M * 16;
    const int first = own.first + mine;
    const int begin = sight_of<false>(all, own.length, own.first).first;
    const int end = own.first + rows < own.length ? own.first + rows : own.length;
    const float scale = all.scale * log2_of_e;

    fetch<bf16, W, rows>(memory, 0, q, all.q_stride, own.length - own.first, all.width, all.aligned);
    fetch<bf16, W, N>(memory, keys, k + begin * all.k_stride, all.k_stride, end - begin, all.width, all.aligned);
    copy_commit();
    uint32_t held[M][W / 16][4] = {};
    if constexpr (is_held) {
        copy_wait<0>();
        block_barrier();
        hold<W, M>(held, memory, mine * pitch<bf16>(W));
    }
    float out[M][W / 8][4] = {};
    float most[M][2];
    float sum[M][2]; // of this lane's columns
    CN_UNROLL
    for (int m = 0; m < M; m++) {
        most[m][0] = most[m][1] = -infinite();
        sum[m][0] = sum[m][1] = 0.0f;
    }
    for (int at = begin; at < end; at += N) {
        copy_wait<0>();
        block_barrier();
        fetch<bf16, W, N>(memory, values, v + at * all.v_stride, all.v_stride, end - at, all.v_width, all.aligned);
        copy_commit();
        const view seen = view_of<false, M * 16, N>(all, own.length, first, at);
        uint32_t p[M][N / 16][4];
        if (seen.any) {
            float s[M][N / 8][4];
            row_products<W, M, N, is_held>(s, memory, held, mine * pitch<bf16>(W), keys);
            CN_UNROLL
            for (int m = 0; m < M; m++) {
                CN_UNROLL
                for (int n = 0; n < N / 8; n++) {
                    CN_UNROLL
                    for (int e = 0; e < 4; e++) {
                        s[m][n][e] *= scale;
                    }
                }
            }
            if (!seen.all) {
                CN_UNROLL
                for (int m = 0; m < M; m++) {
                    CN_UNROLL
                    for (int e = 0; e < 4; e++) {
                        const sight row = sight_of<false>(all, own.length, opaque(first) + m * 16 + lane_index() / 4 + e / 2 * 8);
                        CN_UNROLL
                        for (int n = 0; n < N / 8; n++) {
                            const int key = at + n * 8 + lane_index() % 4 * 2 + e % 2;
                            s[m][n][e] = key >= row.first && key <= row.last ? s[m][n][e] : -infinite();
                        }
                    }
                }
            }
            CN_UNROLL
            for (int m = 0; m < M; m++) {
                CN_UNROLL
                for (int half = 0; half < 2; half++) {
                    // What is not a number is not the highest, and comes into the sum.
                    float highest = most[m][half];
                    CN_UNROLL
                    for (int n = 0; n < N / 8; n++) {
                        highest = __builtin_fmaxf(highest, __builtin_fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
                    }
                    highest = __builtin_fmaxf(highest, shuffle_xor(highest, 1));
                    highest = __builtin_fmaxf(highest, shuffle_xor(highest, 2));
                    // Nothing but −inf and NaN so far: there is no maximum to take off.
                    const float offset = highest == -infinite() ? 0.0f : highest;
                    const float factor = exp2_or_zero(most[m][half] - offset);
                    most[m][half] = highest;
                    float total = 0.0f;
                    CN_UNROLL
                    for (int n = 0; n < N / 8; n++) {
                        CN_UNROLL
                        for (int e = 2 * half; e < 2 * half + 2; e++) {
                            s[m][n][e] = exp2_or_zero(s[m][n][e] - offset);
                            total += s[m][n][e];
                        }
                    }
                    sum[m][half] = sum[m][half] * factor + total;
                    // Mostly the maximum stays what it is.
                    if (factor != 1.0f) {
                        CN_UNROLL
                        for (int n = 0; n < W / 8; n++) {
                            out[m][n][2 * half] *= factor;
                            out[m][n][2 * half + 1] *= factor;
                        }
                    }
                }
            }
            pack<M, N>(p, s);
        }
        copy_wait<0>();
        block_barrier();
        if (at + N < end) {
            fetch<bf16, W, N>(memory, keys, k + (at + N) * all.k_stride, all.k_stride, end - at - N, all.width, all.aligned);
            copy_commit();
        }
        if (seen.any) {
            add_rows<W, M, N>(out, memory, p, values);
        }
    }
    float shares[M][2];
    CN_UNROLL
    for (int m = 0; m < M; m++) {
        CN_UNROLL
        for (int half = 0; half < 2; half++) {
            float total = sum[m][half];
            total += shuffle_xor(total, 1);
            total += shuffle_xor(total, 2);
            shares[m][half] = 1.0f / total;
            const int row = first + m * 16 + lane_index() / 4 + half * 8;
            if (lane_index() % 4 == 0 && row < own.length) {
                const float offset = most[m][half] == -infinite() ? 0.0f : most[m][half];
                lse[(own.start + row) * all.heads + head] = (offset + log2_of(total)) * log_of_2;
            }
        }
    }
    // q is done with.
    put<W, M>(out, shares, memory, mine * pitch<bf16>(W), o + (own.start + first) * all.o_stride + static_cast<int64_t>(head) * all.v_width, all.o_stride, own.length - first,
              all.v_width, all.aligned);
}

// --- bf16, backward ---

// A step's rows of both arrays, one after the other.
template <int W>
CN_DEVICE void fetch_step(const shared_array<bf16> & memory, int to, const problem & all, const place & own, const bf16 * one, int64_t one_stride, const bf16 * other,
                          int64_t other_stride, int head, int at) {
    fetch<bf16, W, backward_step>(memory, to, one + (own.start + at) * one_stride + static_cast<int64_t>(head) * all.width, one_stride, own.length - at, all.width, all.aligned);
    fetch<bf16, W, backward_step>(memory, to + backward_step * pitch<bf16>(W), other + (own.start + at) * other_stride + static_cast<int64_t>(head) * all.v_width, other_stride,
                                  own.length - at, all.v_width, all.aligned);
}

// The logarithms of a row's sum of exponentials, in powers of two, and its Σ dO ∘ O; zeros beyond the sequence.
struct row_stats {
    float lse;
    float dot;
};

CN_DEVICE row_stats stats_of(const problem & all, const place & own, const float * lse, const float * dots, int head, int row) {
    if (row >= own.length) {
        return {0.0f, 0.0f};
    }
    const int64_t i = (own.start + row) * all.heads + head;
    return {lse[i] * log2_of_e, dots[i]};
}

// Rows of queries against all keys that they see, for dq, or rows of keys against all queries that see them, for dk and dv. With a row of queries or of keys in each row
// of the left operands both are the same: scores s = own1 · step1ᵀ, dp = own2 · step2ᵀ, p = e^(s − lse), ds = p ∘ (dp − dot); first += ds · step1 (dq or dk, times scale),
// second += p · step2 (dv). Sums go in one order: heads, then places.
template <int W, bool of_keys, bool with_first, bool with_second>
CN_DEVICE void backward(const problem & all, const bf16 * q, const bf16 * k, const bf16 * v, const float * lse, const bf16 * d_o, const float * dots, bf16 * d_first,
                        bf16 * d_second) {
    constexpr int M = backward_height(W);
    constexpr int N = backward_step;
    constexpr int rows = backward_rows<bf16>(W);
    constexpr bool is_held = !of_keys && (W == 96 || W == 128);
    constexpr int own2 = rows * pitch<bf16>(W);
    constexpr int steps = 2 * own2;
    constexpr int step_size = N * pitch<bf16>(W);
    const shared_array<bf16> memory(0);
    const shared_array<float> stats(backward_stats<bf16>(W));
    const place own = place_of_block(all);
    const int group = all.heads / all.kv_heads;
    int head = of_keys ? block_y() * group : block_y();
    const int end_head = of_keys ? head + group : head + 1;
    const int mine = warp_index() * M * 16;
    const int first = own.first + mine;
    const int last = own.first + rows < own.length ? own.first + rows - 1 : own.length - 1;
    const int begin = sight_of<of_keys>(all, own.length, own.first).first;
    const int end = sight_of<of_keys>(all, own.length, last).last + 1;
    const float scale = all.scale * log2_of_e;

    const bf16 * const one = of_keys ? q : k;
    const bf16 * const other = of_keys ? d_o : v;
    const int64_t one_stride = of_keys ? all.q_stride : all.k_stride;
    const int64_t other_stride = of_keys ? all.o_stride : all.v_stride;
    const int64_t first_stride = of_keys ? all.k_stride : all.q_stride;
    const int64_t second_stride = of_keys ? all.v_stride : all.o_stride;
    fetch<bf16, W, rows>(memory, 0, (of_keys ? k : q) + (own.start + own.first) * first_stride + static_cast<int64_t>(block_y()) * all.width, first_stride,
                         own.length - own.first, all.width, all.aligned);
    if constexpr (with_first) {
        fetch<bf16, W, rows>(memory, own2, (of_keys ? v : d_o) + (own.start + own.first) * second_stride + static_cast<int64_t>(block_y()) * all.v_width, second_stride,
                             own.length - own.first, all.v_width, all.aligned);
    }
    fetch_step<W>(memory, steps, all, own, one, one_stride, other, other_stride, of_keys ? head : head / group, begin);
    copy_commit();
    row_stats mine_stats[M][2] = {};
    if constexpr (of_keys) {
        if (thread_index() < N) {
            const row_stats one_row = stats_of(all, own, lse, dots, head, begin + thread_index());
            stats[2 * thread_index()] = one_row.lse;
            stats[2 * thread_index() + 1] = one_row.dot;
        }
    } else {
        CN_UNROLL
        for (int m = 0; m < M; m++) {
            mine_stats[m][0] = stats_of(all, own, lse, dots, head, first + m * 16 + lane_index() / 4);
            mine_stats[m][1] = stats_of(all, own, lse, dots, head, first + m * 16 + lane_index() / 4 + 8);
        }
    }
    uint32_t held1[M][W / 16][4] = {};
    uint32_t held2[M][W / 16][4] = {};
    if constexpr (is_held) {
        copy_wait<0>();
        block_barrier();
        hold<W, M>(held1, memory, mine * pitch<bf16>(W));
        hold<W, M>(held2, memory, own2 + mine * pitch<bf16>(W));
    }
    float first_sums[M][W / 8][4] = {};
    float second_sums[M][W / 8][4] = {};
    int at = begin;
    int stage = 0;
    while (true) {
        const bool last_place = at + N >= end;
        const int next_at = last_place ? begin : at + N;
        const int next_head = last_place ? head + 1 : head;
        const bool more = next_head < end_head;
        copy_wait<0>();
        block_barrier();
        // All have done with the other stage, which was the step's before this one.
        row_stats next_stats = {};
        if (more) {
            fetch_step<W>(memory, steps + (1 - stage) * 2 * step_size, all, own, one, one_stride, other, other_stride, of_keys ? next_head : next_head / group, next_at);
            copy_commit();
            if (of_keys && thread_index() < N) {
                next_stats = stats_of(all, own, lse, dots, next_head, next_at + thread_index());
            }
        }
        const view seen = view_of<of_keys, M * 16, N>(all, own.length, first, at);
        if (seen.any) {
            const int step1 = steps + stage * 2 * step_size;
            const int step2 = step1 + step_size;
            float s[M][N / 8][4];
            float dp[M][N / 8][4] = {};
            row_products<W, M, N, is_held>(s, memory, held1, mine * pitch<bf16>(W), step1);
            if constexpr (with_first) {
                row_products<W, M, N, is_held>(dp, memory, held2, own2 + mine * pitch<bf16>(W), step2);
            }
            CN_UNROLL
            for (int n = 0; n < N / 8; n++) {
                float4 of_columns = {};
                if constexpr (of_keys) {
                    of_columns = stats.load_as<float4>(2 * (stage * N + n * 8 + lane_index() % 4 * 2));
                }
                CN_UNROLL
                for (int m = 0; m < M; m++) {
                    CN_UNROLL
                    for (int e = 0; e < 4; e++) {
                        const float off = !of_keys ? mine_stats[m][e / 2].lse : e % 2 == 0 ? of_columns.x : of_columns.z;
                        const float dot = !of_keys ? mine_stats[m][e / 2].dot : e % 2 == 0 ? of_columns.y : of_columns.w;
                        s[m][n][e] = exp2_or_zero(fused(s[m][n][e], scale, -off));
                        dp[m][n][e] = s[m][n][e] * (dp[m][n][e] - dot);
                    }
                }
            }
            if (!seen.all) {
                CN_UNROLL
                for (int m = 0; m < M; m++) {
                    CN_UNROLL
                    for (int e = 0; e < 4; e++) {
                        const sight row = sight_of<of_keys>(all, own.length, opaque(first) + m * 16 + lane_index() / 4 + e / 2 * 8);
                        CN_UNROLL
                        for (int n = 0; n < N / 8; n++) {
                            const int column = at + n * 8 + lane_index() % 4 * 2 + e % 2;
                            const bool visible = column >= row.first && column <= row.last;
                            s[m][n][e] = visible ? s[m][n][e] : 0.0f;
                            dp[m][n][e] = visible ? dp[m][n][e] : 0.0f;
                        }
                    }
                }
            }
            uint32_t left[M][N / 16][4];
            if constexpr (with_second) {
                pack<M, N>(left, s);
                add_rows<W, M, N>(second_sums, memory, left, step2);
            }
            if constexpr (with_first) {
                pack<M, N>(left, dp);
                add_rows<W, M, N>(first_sums, memory, left, step1);
            }
        }
        if (!more) {
            break;
        }
        if (of_keys && thread_index() < N) {
            stats[2 * ((1 - stage) * N + thread_index())] = next_stats.lse;
            stats[2 * ((1 - stage) * N + thread_index()) + 1] = next_stats.dot;
        }
        at = next_at;
        head = next_head;
        stage = 1 - stage;
    }
    float factors[M][2];
    if constexpr (with_first) {
        CN_UNROLL
        for (int m = 0; m < M; m++) {
            factors[m][0] = factors[m][1] = all.scale;
        }
        put<W, M>(first_sums, factors, memory, mine * pitch<bf16>(W), d_first + (own.start + first) * first_stride + static_cast<int64_t>(block_y()) * all.width, first_stride,
                  own.length - first, all.width, all.aligned);
    }
    if constexpr (with_second) {
        CN_UNROLL
        for (int m = 0; m < M; m++) {
            factors[m][0] = factors[m][1] = 1.0f;
        }
        put<W, M>(second_sums, factors, memory, own2 + mine * pitch<bf16>(W), d_second + (own.start + first) * second_stride + static_cast<int64_t>(block_y()) * all.v_width,
                  second_stride, own.length - first, all.v_width, all.aligned);
    }
}

// Σ dO ∘ O: a warp takes a row, four heads at a time, eight lanes each.
template <typename T>
CN_DEVICE void row_dots(const problem & all, const T * d_o, const T * o, float * dots) {
    constexpr int elements = 16 / static_cast<int>(sizeof(T));
    const int64_t end = all.bounds[all.sequences];
    const int64_t apart = static_cast<int64_t>(blocks_x()) * (dots_threads / warp_size);
    for (int64_t row = all.bounds[0] + static_cast<int64_t>(block_x()) * (dots_threads / warp_size) + warp_index(); row < end; row += apart) {
        for (int some = 0; some < all.heads; some += 4) {
            const int head = some + lane_index() / 8;
            const int width = head < all.heads ? all.v_width : 0;
            const T * const a = d_o + row * all.o_stride + static_cast<int64_t>(head) * all.v_width;
            const T * const b = o + row * all.o_stride + static_cast<int64_t>(head) * all.v_width;
            float sum = 0.0f;
            if (all.aligned) {
                for (int i = lane_index() % 8 * elements; i < width; i += 8 * elements) {
                    const quad one = load_from<quad>(a + i);
                    const quad other = load_from<quad>(b + i);
                    const uint32_t x[4] = {one.x, one.y, one.z, one.w};
                    const uint32_t y[4] = {other.x, other.y, other.z, other.w};
                    CN_UNROLL
                    for (int n = 0; n < 4; n++) {
                        if constexpr (elements == 8) {
                            sum = fused(float_of_bits(x[n] << 16), float_of_bits(y[n] << 16), sum);
                            sum = fused(float_of_bits(x[n] & 0xffff0000u), float_of_bits(y[n] & 0xffff0000u), sum);
                        } else {
                            sum = fused(float_of_bits(x[n]), float_of_bits(y[n]), sum);
                        }
                    }
                }
            } else {
                for (int i = lane_index() % 8; i < width; i += 8) {
                    sum = fused(load(a[i]), load(b[i]), sum);
                }
            }
            sum += shuffle_xor(sum, 4);
            sum += shuffle_xor(sum, 2);
            sum += shuffle_xor(sum, 1);
            if (lane_index() % 8 == 0 && head < all.heads) {
                dots[row * all.heads + head] = sum;
            }
        }
    }
}

// --- float: the same without tensor cores ---

// A thread has four of a block's 32 own rows, and of the 32 of a step two; of sums, four columns in each 64.
CN_DEVICE int own_row() { return thread_index() / 16 * 4; }
CN_DEVICE int step_row() { return thread_index() % 16; }
CN_DEVICE int first_column() { return thread_index() % 16 * 4; }

template <int W>
CN_DEVICE void row_products(float (&to)[4][2], const shared_array<float> & memory, int left, int right, int width) {
    CN_UNROLL
    for (int i = 0; i < 4; i++) {
        to[i][0] = to[i][1] = 0.0f;
    }
    for (int c = 0; c < width; c += 4) {
        float4 b[2];
        CN_UNROLL
        for (int j = 0; j < 2; j++) {
            b[j] = memory.load_as<float4>(right + (step_row() + 16 * j) * pitch<float>(W) + c);
        }
        CN_UNROLL
        for (int i = 0; i < 4; i++) {
            const float4 a = memory.load_as<float4>(left + (own_row() + i) * pitch<float>(W) + c);
            CN_UNROLL
            for (int j = 0; j < 2; j++) {
                to[i][j] = fused(a.w, b[j].w, fused(a.z, b[j].z, fused(a.y, b[j].y, fused(a.x, b[j].x, to[i][j]))));
            }
        }
    }
}

template <int W>
CN_DEVICE void add_rows(float (&to)[4][W / 64][4], const shared_array<float> & memory, int left, int right, int width) {
    for (int n = 0; n < float_rows; n += 4) {
        float a[4][4];
        CN_UNROLL
        for (int i = 0; i < 4; i++) {
            const float4 four = memory.load_as<float4>(left + (own_row() + i) * float_pitch + n);
            a[i][0] = four.x;
            a[i][1] = four.y;
            a[i][2] = four.z;
            a[i][3] = four.w;
        }
        CN_UNROLL
        for (int j = 0; j < 4; j++) {
            CN_UNROLL
            for (int w = 0; w < W / 64; w++) {
                if (first_column() + 64 * w < width) {
                    const float4 b = memory.load_as<float4>(right + (n + j) * pitch<float>(W) + first_column() + 64 * w);
                    CN_UNROLL
                    for (int i = 0; i < 4; i++) {
                        to[i][w][0] = fused(a[i][j], b.x, to[i][w][0]);
                        to[i][w][1] = fused(a[i][j], b.y, to[i][w][1]);
                        to[i][w][2] = fused(a[i][j], b.z, to[i][w][2]);
                        to[i][w][3] = fused(a[i][j], b.w, to[i][w][3]);
                    }
                }
            }
        }
    }
}

template <int W>
CN_DEVICE void put(const float (&rows)[4][W / 64][4], const float (&factors)[4], float * to, int64_t stride, int count, int width, bool aligned) {
    CN_UNROLL
    for (int i = 0; i < 4; i++) {
        CN_UNROLL
        for (int w = 0; w < W / 64; w++) {
            const int column = first_column() + 64 * w;
            const float f = factors[i];
            const float4 four = {rows[i][w][0] * f, rows[i][w][1] * f, rows[i][w][2] * f, rows[i][w][3] * f};
            float * const at = to + (own_row() + i) * stride + column;
            if (own_row() + i >= count || column >= width) {
                continue;
            }
            if (aligned) {
                store_to(at, four);
                continue;
            }
            at[0] = four.x;
            if (column + 1 < width) {
                at[1] = four.y;
            }
            if (column + 2 < width) {
                at[2] = four.z;
            }
            if (column + 3 < width) {
                at[3] = four.w;
            }
        }
    }
}

template <int W>
CN_DEVICE void forward(const problem & all, const float * q, const float * k, const float * v, float * o, float * lse) {
    constexpr int rows = float_rows;
    constexpr int keys = rows * pitch<float>(W);
    constexpr int values = 2 * keys;
    constexpr int probabilities = 3 * keys;
    const shared_array<float> memory(0);
    const place own = place_of_block(all);
    const int head = block_y();
    const int kv_head = head / (all.heads / all.kv_heads);
    q += (own.start + own.first) * all.q_stride + static_cast<int64_t>(head) * all.width;
    k += own.start * all.k_stride + static_cast<int64_t>(kv_head) * all.width;
    v += own.start * all.v_stride + static_cast<int64_t>(kv_head) * all.v_width;
    const int begin = sight_of<false>(all, own.length, own.first).first;
    const int end = own.first + rows < own.length ? own.first + rows : own.length;
    fetch<float, W, rows>(memory, 0, q, all.q_stride, own.length - own.first, all.width, all.aligned);
    float out[4][W / 64][4] = {};
    float most[4];
    float sum[4];
    CN_UNROLL
    for (int i = 0; i < 4; i++) {
        most[i] = -infinite();
        sum[i] = 0.0f;
    }
    for (int at = begin; at < end; at += rows) {
        block_barrier();
        fetch<float, W, rows>(memory, keys, k + at * all.k_stride, all.k_stride, end - at, all.width, all.aligned);
        fetch<float, W, rows>(memory, values, v + at * all.v_stride, all.v_stride, end - at, all.v_width, all.aligned);
        copy_commit();
        copy_wait<0>();
        block_barrier();
        float s[4][2];
        row_products<W>(s, memory, 0, keys, all.width);
        CN_UNROLL
        for (int i = 0; i < 4; i++) {
            const sight row = sight_of<false>(all, own.length, own.first + own_row() + i);
            float highest = most[i];
            CN_UNROLL
            for (int j = 0; j < 2; j++) {
                const int key = at + step_row() + 16 * j;
                s[i][j] = key >= row.first && key <= row.last ? s[i][j] * all.scale : -infinite();
                highest = __builtin_fmaxf(highest, s[i][j]);
            }
            CN_UNROLL
            for (int mask = 8; mask > 0; mask /= 2) {
                highest = __builtin_fmaxf(highest, shuffle_xor(highest, mask));
            }
            const float offset = highest == -infinite() ? 0.0f : highest;
            const float factor = exp_of(most[i] - offset);
            most[i] = highest;
            sum[i] *= factor;
            CN_UNROLL
            for (int j = 0; j < 2; j++) {
                const float p = exp_of(s[i][j] - offset);
                sum[i] += p;
                memory[probabilities + (own_row() + i) * float_pitch + step_row() + 16 * j] = p;
            }
            CN_UNROLL
            for (int w = 0; w < W / 64; w++) {
                CN_UNROLL
                for (int e = 0; e < 4; e++) {
                    out[i][w][e] *= factor;
                }
            }
        }
        // A row's probabilities are of one warp.
        warp_barrier();
        add_rows<W>(out, memory, probabilities, values, all.v_width);
    }
    float shares[4];
    CN_UNROLL
    for (int i = 0; i < 4; i++) {
        CN_UNROLL
        for (int mask = 8; mask > 0; mask /= 2) {
            sum[i] += shuffle_xor(sum[i], mask);
        }
        shares[i] = 1.0f / sum[i];
        const int row = own.first + own_row() + i;
        if (step_row() == 0 && row < own.length) {
            lse[(own.start + row) * all.heads + head] = (most[i] == -infinite() ? 0.0f : most[i]) + log_of(sum[i]);
        }
    }
    put<W>(out, shares, o + (own.start + own.first) * all.o_stride + static_cast<int64_t>(head) * all.v_width, all.o_stride, own.length - own.first, all.v_width, all.aligned);
}

// As with bf16, above.
template <int W, bool of_keys, bool with_first, bool with_second>
CN_DEVICE void backward(const problem & all, const float * q, const float * k, const float * v, const float * lse, const float * d_o, const float * dots, float * d_first,
                        float * d_second) {
    constexpr int rows = float_rows;
    constexpr int own2 = rows * pitch<float>(W);
    constexpr int step1 = 2 * own2;
    constexpr int step2 = 3 * own2;
    constexpr int stats = 4 * own2;
    constexpr int probabilities = stats + 2 * rows;
    constexpr int gradients = probabilities + rows * float_pitch;
    const shared_array<float> memory(0);
    const place own = place_of_block(all);
    const int group = all.heads / all.kv_heads;
    const int first_head = of_keys ? block_y() * group : block_y();
    const int end_head = of_keys ? first_head + group : first_head + 1;
    const int last = own.first + rows < own.length ? own.first + rows - 1 : own.length - 1;
    const int begin = sight_of<of_keys>(all, own.length, own.first).first;
    const int end = sight_of<of_keys>(all, own.length, last).last + 1;
    const float * const one = (of_keys ? q : k) + own.start * (of_keys ? all.q_stride : all.k_stride);
    const float * const other = (of_keys ? d_o : v) + own.start * (of_keys ? all.o_stride : all.v_stride);
    const int64_t one_stride = of_keys ? all.q_stride : all.k_stride;
    const int64_t other_stride = of_keys ? all.o_stride : all.v_stride;
    const int64_t first_stride = of_keys ? all.k_stride : all.q_stride;
    const int64_t second_stride = of_keys ? all.v_stride : all.o_stride;
    const int64_t own_first = (own.start + own.first) * first_stride + static_cast<int64_t>(block_y()) * all.width;
    const int64_t own_second = (own.start + own.first) * second_stride + static_cast<int64_t>(block_y()) * all.v_width;
    fetch<float, W, rows>(memory, 0, (of_keys ? k : q) + own_first, first_stride, own.length - own.first, all.width, all.aligned);
    fetch<float, W, rows>(memory, own2, (of_keys ? v : d_o) + own_second, second_stride, own.length - own.first, all.v_width, all.aligned);
    float first_sums[4][W / 64][4] = {};
    float second_sums[4][W / 64][4] = {};
    for (int head = first_head; head < end_head; head++) {
        const int step_head = of_keys ? head : head / group;
        for (int at = begin; at < end; at += rows) {
            block_barrier();
            fetch<float, W, rows>(memory, step1, one + at * one_stride + static_cast<int64_t>(step_head) * all.width, one_stride, own.length - at, all.width, all.aligned);
            fetch<float, W, rows>(memory, step2, other + at * other_stride + static_cast<int64_t>(step_head) * all.v_width, other_stride, own.length - at, all.v_width,
                                  all.aligned);
            copy_commit();
            // Those of the queries, whichever they are.
            if (thread_index() < rows) {
                const int row = (of_keys ? at : own.first) + thread_index();
                const int64_t i = (own.start + row) * all.heads + head;
                memory[stats + 2 * thread_index()] = row < own.length ? lse[i] : 0.0f;
                memory[stats + 2 * thread_index() + 1] = row < own.length ? dots[i] : 0.0f;
            }
            copy_wait<0>();
            block_barrier();
            float s[4][2];
            float dp[4][2];
            row_products<W>(s, memory, 0, step1, all.width);
            row_products<W>(dp, memory, own2, step2, all.v_width);
            CN_UNROLL
            for (int i = 0; i < 4; i++) {
                const sight row = sight_of<of_keys>(all, own.length, own.first + own_row() + i);
                CN_UNROLL
                for (int j = 0; j < 2; j++) {
                    const int column = step_row() + 16 * j;
                    const int query = of_keys ? column : own_row() + i;
                    const bool visible = at + column >= row.first && at + column <= row.last;
                    const float p = exp_of(s[i][j] * all.scale - memory[stats + 2 * query]);
                    const float ds = p * (dp[i][j] - memory[stats + 2 * query + 1]);
                    const int to = (own_row() + i) * float_pitch + column;
                    memory[probabilities + to] = visible ? p : 0.0f;
                    memory[gradients + to] = visible ? ds : 0.0f;
                }
            }
            warp_barrier();
            add_rows<W>(first_sums, memory, gradients, step1, all.width);
            if constexpr (with_second) {
                add_rows<W>(second_sums, memory, probabilities, step2, all.v_width);
            }
        }
    }
    static_assert(with_first);
    const float scales[4] = {all.scale, all.scale, all.scale, all.scale};
    put<W>(first_sums, scales, d_first + own_first, first_stride, own.length - own.first, all.width, all.aligned);
    if constexpr (with_second) {
        const float ones[4] = {1.0f, 1.0f, 1.0f, 1.0f};
        put<W>(second_sums, ones, d_second + own_second, second_stride, own.length - own.first, all.v_width, all.aligned);
    }
}

} // namespace

#define CN_PROBLEM                                                                                                                                                        \
    const int32_t *bounds, const int32_t *blocks, int32_t sequences, int32_t heads, int32_t kv_heads, int32_t width, int32_t v_width, int64_t q_stride, int64_t k_stride, int64_t v_stride,      \
        int64_t o_stride, float scale, int32_t window, int32_t aligned
#define CN_ALL                                                                                                                                                            \
    problem { bounds, blocks, sequences, heads, kv_heads, width, v_width, q_stride, k_stride, v_stride, o_stride, scale, window, aligned != 0 }

// Grid: blocks of the list, heads.
#define CN_FORWARD(T, W, suffix)                                                                                                                                          \
    CN_KERNEL(threads, attention_forward##suffix, (CN_PROBLEM, const T * q, const T * k, const T * v, T * o, float * lse)) {                                              \
        forward<W>(CN_ALL, q, k, v, o, lse);                                                                                                                              \
    }

// dq. Grid: likewise.
#define CN_QUERIES(T, W, suffix)                                                                                                                                          \
    CN_KERNEL(threads, attention_queries##suffix, (CN_PROBLEM, const T * q, const T * k, const T * v, const float * lse, const T * d_o, const float * dots, T * dq)) {    \
        backward<W, false, true, false>(CN_ALL, q, k, v, lse, d_o, dots, dq, static_cast<T *>(nullptr));                                                                  \
    }

// dk and dv. Grid: blocks of the list, kv heads, and two where each is made by blocks of its own.
#define CN_KEYS(T, W, suffix, split)                                                                                                                                      \
    CN_KERNEL(threads, attention_keys##suffix, (CN_PROBLEM, const T * q, const T * k, const T * v, const float * lse, const T * d_o, const float * dots, T * dk, T * dv)) {\
        if constexpr (!split) {                                                                                                                                           \
            backward<W, true, true, true>(CN_ALL, q, k, v, lse, d_o, dots, dk, dv);                                                                                       \
        } else if (block_z() == 0) {                                                                                                                                      \
            backward<W, true, true, false>(CN_ALL, q, k, v, lse, d_o, dots, dk, dv);                                                                                      \
        } else {                                                                                                                                                          \
            backward<W, true, false, true>(CN_ALL, q, k, v, lse, d_o, dots, dk, dv);                                                                                      \
        }                                                                                                                                                                 \
    }

#define CN_ATTENTION_BF16(W)            \
    CN_FORWARD(bf16, W, _bf16_##W)      \
    CN_QUERIES(bf16, W, _bf16_##W)      \
    CN_KEYS(bf16, W, _bf16_##W, is_split(W))

#define CN_ATTENTION_FLOAT(W)           \
    CN_FORWARD(float, W, _f32_##W)      \
    CN_QUERIES(float, W, _f32_##W)      \
    CN_KEYS(float, W, _f32_##W, false)

#define CN_ATTENTION_DOTS(T, suffix)                                                                                              \
    CN_KERNEL(dots_threads, attention_dots##suffix, (CN_PROBLEM, const T * d_o, const T * o, float * dots)) {                     \
        row_dots(CN_ALL, d_o, o, dots);                                                                                           \
    }

} // namespace continual
