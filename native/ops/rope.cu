#include "ops/quads.cuh"
#include "ops/row_tiles.h"
#include "runtime/kernel.h"

namespace continual {

namespace {

constexpr int block = 256;

// One head's pairs from `first` on, as many as the elements in 16 bytes: one 16 bytes are their first halves and another their second ones, or both hold whole pairs.
template <bool halves, typename T>
CN_DEVICE void turn_quads(int64_t half, const float * turns, float direction, int64_t first, T * head) {
    constexpr int count = per_quad<T>;
    T * const one = head + (halves ? first : 2 * first);
    T * const other = halves ? one + half : one + count;
    float x[2][count];
    load_quad(one, x[0]);
    load_quad(other, x[1]);
    float t[count / 2][4]; // cosine and sine of two pairs
    CN_UNROLL
    for (int i = 0; i < count / 2; i++) {
        load_quad(turns + 2 * first + 4 * i, t[i]);
    }
    CN_UNROLL
    for (int i = 0; i < count; i++) {
        float & a = halves ? x[0][i] : x[2 * i / count][2 * i % count];
        float & b = halves ? x[1][i] : x[2 * i / count][2 * i % count + 1];
        const float cosine = t[i / 2][i % 2 * 2];
        const float sine = t[i / 2][i % 2 * 2 + 1] * direction;
        const float turned = a * cosine - b * sine;
        b = a * sine + b * cosine;
        a = turned;
    }
    store_quad(one, x[0]);
    store_quad(other, x[1]);
}

template <bool halves, typename T>
CN_DEVICE void turn_pair(int64_t half, const float * turns, float direction, int64_t pair, T * head) {
    T & one = head[halves ? pair : 2 * pair];
    T & other = head[halves ? pair + half : 2 * pair + 1];
    const float cosine = turns[2 * pair];
    const float sine = turns[2 * pair + 1] * direction;
    const float a = load(one);
    const float b = load(other);
    store(one, a * cosine - b * sine);
    store(other, a * sine + b * cosine);
}

// A piece of a row is one of the `of_head` parts of one of its heads: a pair, or, where it is wide, those that turn_quads takes.
template <bool halves, typename T>
CN_DEVICE void turn(const row_tiles & tiles, int32_t of_head, int32_t wide, int64_t half, const float * table, int64_t rows, int64_t width, int64_t stride,
                    const int32_t * position, T * x, float direction) {
    const row_place place = place_of(tiles, rows, block_x(), block, thread_index());
    if (!place.inside) {
        return;
    }
    const int32_t head = place.piece / of_head;
    const int32_t part = place.piece - head * of_head;
    const float * const turns = table + position[place.row] * (2 * half);
    x += place.row * stride + head * width;
    if (wide != 0) {
        turn_quads<halves>(half, turns, direction, static_cast<int64_t>(part) * per_quad<T>, x);
    } else {
        turn_pair<halves>(half, turns, direction, part, x);
    }
}

} // namespace

#define CN_ROPE(halves, T, suffix)                                                                                                                                      \
    CN_KERNEL(block, rope##suffix,                                                                                                                                      \
              (int32_t pieces, int32_t rows_of_block, int32_t parts, int32_t of_head, int32_t wide, int64_t half, const float * table, int64_t rows, int64_t width,     \
               int64_t stride, const int32_t * position, T * x, float direction)) {                                                                                     \
        turn<halves>({pieces, rows_of_block, parts}, of_head, wide, half, table, rows, width, stride, position, x, direction);                                          \
    }
CN_ROPE(false, float, _adjacent_f32)
CN_ROPE(false, bf16, _adjacent_bf16)
CN_ROPE(true, float, _halves_f32)
CN_ROPE(true, bf16, _halves_bf16)

} // namespace continual
