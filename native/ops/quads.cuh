// Arrays that a kernel goes through 16 bytes at a time.
#pragma once

#include "runtime/kernel.h"

namespace continual {

template <typename T>
constexpr int per_quad = 16 / static_cast<int>(sizeof(T));

CN_DEVICE bool is_aligned(const void * at) { return reinterpret_cast<uint64_t>(at) % 16 == 0; }

CN_DEVICE void load_quad(const float * from, float (&to)[4]) {
    const float4 x = load_from<float4>(from);
    to[0] = x.x;
    to[1] = x.y;
    to[2] = x.z;
    to[3] = x.w;
}

CN_DEVICE void load_quad(const bf16 * from, float (&to)[8]) {
    const quad x = load_from<quad>(from);
    const uint32_t words[4] = {x.x, x.y, x.z, x.w};
    CN_UNROLL
    for (int i = 0; i < 4; i++) {
        to[2 * i] = float_of_bits(words[i] << 16);
        to[2 * i + 1] = float_of_bits(words[i] & 0xffff0000u);
    }
}

CN_DEVICE void store_quad(float * to, const float (&from)[4]) { store_to(to, float4{from[0], from[1], from[2], from[3]}); }

CN_DEVICE void store_quad(bf16 * to, const float (&from)[8]) {
    store_to(to, quad{packed(from[0], from[1]), packed(from[2], from[3]), packed(from[4], from[5]), packed(from[6], from[7])});
}

// Elements from `at` on, of every array that a kernel goes through: as many as are in 16 bytes, or one.
template <int elements>
struct share {
    static constexpr int count = elements;
    int64_t at;

    template <typename T>
    CN_DEVICE void read(const T * from, float (&to)[elements]) const {
        if constexpr (elements == 1) {
            to[0] = load(from[at]);
        } else {
            load_quad(from + at, to);
        }
    }

    template <typename T>
    CN_DEVICE void write(const float (&from)[elements], T * to) const {
        if constexpr (elements == 1) {
            store(to[at], from[0]);
        } else {
            store_quad(to + at, from);
        }
    }
};

// body(share) for what is this thread's of arrays of n elements, of which a block takes threads · per_quad<T>: 16 bytes at once where all the arrays are `aligned`
// to that, otherwise single elements, those of a warp side by side. body reads and writes its share only, so that an array may be another.
template <typename T, int threads, typename Body>
CN_DEVICE void for_shares(int64_t n, bool aligned, const Body & body) {
    constexpr int count = per_quad<T>;
    const int64_t first = static_cast<int64_t>(block_x()) * (threads * count) + thread_index() * (aligned ? count : 1);
    if (aligned && first + count <= n) {
        body(share<count>{first});
        return;
    }
    const int step = aligned ? 1 : threads;
    for (int i = 0; i < count; i++) {
        const int64_t at = first + i * step;
        if (at < n) {
            body(share<1>{at});
        }
    }
}

} // namespace continual
