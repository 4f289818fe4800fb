#include "ops/philox.h"
#include "ops/quads.cuh"
#include "runtime/kernel.h"

namespace continual {

namespace {

constexpr int block = 256;
// Elements that neighbours among the counters share out: word w of counter c of a group is for element 16 · w + c of it.
constexpr int group = 64;
constexpr int counters = 16;
constexpr int words = group / counters;

// Bit w · width + i: whether word w of counter + i keeps its element.
template <int width>
CN_DEVICE uint32_t kept_by(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t threshold) {
    uint32_t kept = 0;
    for (int i = 0; i < width; i++, counter++) {
        uint32_t c[4] = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)};
        uint32_t k0 = static_cast<uint32_t>(seed);
        uint32_t k1 = static_cast<uint32_t>(seed >> 32);
        for (int round = 0; round < philox_rounds; round++) {
            const uint32_t high0 = high_product(philox_multiplier[0], c[0]);
            const uint32_t high1 = high_product(philox_multiplier[1], c[2]);
            const uint32_t low0 = philox_multiplier[0] * c[0];
            const uint32_t low1 = philox_multiplier[1] * c[2];
            c[0] = high1 ^ c[1] ^ k0;
            c[1] = low1;
            c[2] = high0 ^ c[3] ^ k1;
            c[3] = low0;
            k0 += philox_weyl[0];
            k1 += philox_weyl[1];
        }
        for (int w = 0; w < words; w++) {
            kept |= (c[w] < threshold ? 0u : 1u) << (w * width + i);
        }
    }
    return kept;
}

// A thread has as many counters as elements are in 16 bytes, so that each of their words makes 16 bytes of the mask.
template <typename T>
CN_DEVICE void drop(uint64_t seed, uint64_t stream, int64_t n, uint32_t threshold, float scale, const T * x, T * y) {
    constexpr int width = per_quad<T>;
    constexpr int sharers = counters / width;
    const int64_t thread = static_cast<int64_t>(block_x()) * block + thread_index();
    const int64_t begin_of_group = thread / sharers * group;
    const int64_t first = thread % sharers * width;
    const int64_t begin = begin_of_group + first;
    if (begin >= n) {
        return;
    }
    const uint32_t kept = kept_by<width>(seed, stream, static_cast<uint64_t>(begin_of_group / words + first), threshold);
    if (begin_of_group + group <= n && is_aligned(x) && is_aligned(y)) {
        float own[words][width];
        CN_UNROLL
        for (int w = 0; w < words; w++) {
            load_quad(x + begin + w * counters, own[w]);
        }
        CN_UNROLL
        for (int w = 0; w < words; w++) {
            CN_UNROLL
            for (int i = 0; i < width; i++) {
                own[w][i] = (kept >> (w * width + i) & 1) != 0 ? own[w][i] * scale : 0.0f;
            }
            store_quad(y + begin + w * counters, own[w]);
        }
        return;
    }
    for (int bit = 0; bit < words * width; bit++) {
        const int64_t at = begin + bit / width * counters + bit % width;
        if (at < n) {
            store(y[at], (kept >> bit & 1) != 0 ? load(x[at]) * scale : 0.0f);
        }
    }
}

} // namespace

#define CN_DROPOUT(T, suffix)                                                                                                                \
    CN_KERNEL(block, dropout##suffix, (uint64_t seed, uint64_t stream, int64_t n, uint32_t threshold, float scale, const T * x, T * y)) {    \
        drop(seed, stream, n, threshold, scale, x, y);                                                                                       \
    }
CN_DROPOUT(float, _f32)
CN_DROPOUT(bf16, _bf16)

} // namespace continual
