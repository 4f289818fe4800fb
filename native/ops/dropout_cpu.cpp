#include "ops/philox.h"
#include "ops/vec.h"

namespace continual::CN_ISA {

namespace {

constexpr int lanes = 16;

// Sixteen counters at once, so that a word of each makes a vector.
void philox_lanes(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4][lanes]) {
    uint32_t c0[lanes];
    uint32_t c1[lanes];
    uint32_t c2[lanes];
    uint32_t c3[lanes];
    for (int i = 0; i < lanes; i++) {
        c0[i] = static_cast<uint32_t>(counter + static_cast<uint64_t>(i));
        c1[i] = static_cast<uint32_t>((counter + static_cast<uint64_t>(i)) >> 32);
        c2[i] = static_cast<uint32_t>(stream);
        c3[i] = static_cast<uint32_t>(stream >> 32);
    }
    uint32_t k0 = static_cast<uint32_t>(seed);
    uint32_t k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < philox_rounds; round++) {
        CN_SIMD
        for (int i = 0; i < lanes; i++) {
            const uint64_t a = static_cast<uint64_t>(philox_multiplier[0]) * c0[i];
            const uint64_t b = static_cast<uint64_t>(philox_multiplier[1]) * c2[i];
            c0[i] = static_cast<uint32_t>(b >> 32) ^ c1[i] ^ k0;
            c1[i] = static_cast<uint32_t>(b);
            c2[i] = static_cast<uint32_t>(a >> 32) ^ c3[i] ^ k1;
            c3[i] = static_cast<uint32_t>(a);
        }
        k0 += philox_weyl[0];
        k1 += philox_weyl[1];
    }
    memcpy(out[0], c0, sizeof c0);
    memcpy(out[1], c1, sizeof c1);
    memcpy(out[2], c2, sizeof c2);
    memcpy(out[3], c3, sizeof c3);
}

} // namespace

// begin: index of the first element, a multiple of 64.
template <typename T>
void dropout_range(uint64_t seed, uint64_t stream, int64_t begin, int64_t n, uint32_t threshold, float scale, const T * x, T * y) {
    uint32_t words[4][lanes];
    const uint32_t * const flat = words[0];
    for (int64_t done = 0; done < n; done += 4 * lanes) {
        philox_lanes(seed, stream, static_cast<uint64_t>(begin + done) / 4, words);
        const int64_t count = n - done < 4 * lanes ? n - done : 4 * lanes;
        const T * const from = x + done;
        T * const to = y + done;
        CN_SIMD
        for (int64_t i = 0; i < count; i++) {
            store(to[i], flat[i] < threshold ? 0.0f : load(from[i]) * scale);
        }
    }
}

template void dropout_range(uint64_t, uint64_t, int64_t, int64_t, uint32_t, float, const float *, float *);
template void dropout_range(uint64_t, uint64_t, int64_t, int64_t, uint32_t, float, const bf16 *, bf16 *);

} // namespace continual::CN_ISA
