#include "ops/philox.h"
#include "ops/vec.h"

#if defined(__AVX512F__) || defined(__AVX2__) || defined(__SSE2__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace continual::CN_ISA {

namespace {

// Counters whose words are made at once.
constexpr int counters = 16;

// Words in lanes of 64 bits of which the low half counts: a product of two words then is one instruction, and both its halves are where the next round wants
// them. By hand, since compilers make full 64-bit products of it.
#if defined(__AVX512F__)
struct words {
    static constexpr int lanes = 8;
    __m512i x;
};
CN_INLINE words same(uint32_t x) { return {_mm512_set1_epi64(static_cast<long long>(x))}; }
CN_INLINE words read(const uint64_t * x) { return {_mm512_loadu_si512(x)}; }
CN_INLINE void write(uint32_t * to, words x) { _mm512_storeu_si512(to, x.x); }
CN_INLINE words multiply(words a, words b) { return {_mm512_mul_epu32(a.x, b.x)}; }
CN_INLINE words high(words a) { return {_mm512_srli_epi64(a.x, 32)}; }
CN_INLINE words raised(words a) { return {_mm512_slli_epi64(a.x, 32)}; }
CN_INLINE words exclusive_or(words a, words b) { return {_mm512_xor_si512(a.x, b.x)}; }
#elif defined(__AVX2__)
struct words {
    static constexpr int lanes = 4;
    __m256i x;
};
CN_INLINE words same(uint32_t x) { return {_mm256_set1_epi64x(static_cast<long long>(x))}; }
CN_INLINE words read(const uint64_t * x) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i *>(x))}; }
CN_INLINE void write(uint32_t * to, words x) { _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), x.x); }
CN_INLINE words multiply(words a, words b) { return {_mm256_mul_epu32(a.x, b.x)}; }
CN_INLINE words high(words a) { return {_mm256_srli_epi64(a.x, 32)}; }
CN_INLINE words raised(words a) { return {_mm256_slli_epi64(a.x, 32)}; }
CN_INLINE words exclusive_or(words a, words b) { return {_mm256_xor_si256(a.x, b.x)}; }
#elif defined(__SSE2__) || defined(_M_X64)
struct words {
    static constexpr int lanes = 2;
    __m128i x;
};
CN_INLINE words same(uint32_t x) { return {_mm_set1_epi64x(static_cast<long long>(x))}; }
CN_INLINE words read(const uint64_t * x) { return {_mm_loadu_si128(reinterpret_cast<const __m128i *>(x))}; }
CN_INLINE void write(uint32_t * to, words x) { _mm_storeu_si128(reinterpret_cast<__m128i *>(to), x.x); }
CN_INLINE words multiply(words a, words b) { return {_mm_mul_epu32(a.x, b.x)}; }
CN_INLINE words high(words a) { return {_mm_srli_epi64(a.x, 32)}; }
CN_INLINE words raised(words a) { return {_mm_slli_epi64(a.x, 32)}; }
CN_INLINE words exclusive_or(words a, words b) { return {_mm_xor_si128(a.x, b.x)}; }
#else
struct words {
    static constexpr int lanes = 1;
    uint64_t x;
};
CN_INLINE words same(uint32_t x) { return {x}; }
CN_INLINE words read(const uint64_t * x) { return {*x}; }
CN_INLINE void write(uint32_t * to, words x) {
    to[0] = static_cast<uint32_t>(x.x);
    to[1] = static_cast<uint32_t>(x.x >> 32);
}
CN_INLINE words multiply(words a, words b) { return {(a.x & 0xffffffffu) * (b.x & 0xffffffffu)}; }
CN_INLINE words high(words a) { return {a.x >> 32}; }
CN_INLINE words raised(words a) { return {a.x << 32}; }
CN_INLINE words exclusive_or(words a, words b) { return {a.x ^ b.x}; }
#endif

// Word w of counter `counter` + i goes to out[w][i].
CN_INLINE void philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4][counters]) {
    // Even counters in one vector, odd ones in another: their words interleave with a shift.
    for (int first = 0; first < counters; first += 2 * words::lanes) {
        words c[2][4];
        for (int odd = 0; odd < 2; odd++) {
            uint64_t numbers[words::lanes];
            for (int lane = 0; lane < words::lanes; lane++) {
                numbers[lane] = counter + static_cast<uint64_t>(first + 2 * lane + odd);
            }
            c[odd][0] = read(numbers);
            c[odd][1] = high(c[odd][0]);
            c[odd][2] = same(static_cast<uint32_t>(stream));
            c[odd][3] = same(static_cast<uint32_t>(stream >> 32));
        }
        uint32_t k0 = static_cast<uint32_t>(seed);
        uint32_t k1 = static_cast<uint32_t>(seed >> 32);
        for (int round = 0; round < philox_rounds; round++) {
            for (int odd = 0; odd < 2; odd++) {
                const words a = multiply(c[odd][0], same(philox_multiplier[0]));
                const words b = multiply(c[odd][2], same(philox_multiplier[1]));
                c[odd][0] = exclusive_or(exclusive_or(high(b), c[odd][1]), same(k0));
                c[odd][1] = b;
                c[odd][2] = exclusive_or(exclusive_or(high(a), c[odd][3]), same(k1));
                c[odd][3] = a;
            }
            k0 += philox_weyl[0];
            k1 += philox_weyl[1];
        }
        for (int word = 0; word < 4; word++) {
            // (even's low half) | (odd's low half << 32); what is above even's low half cancels.
            const words above = raised(high(c[0][word]));
            write(&out[word][first], exclusive_or(exclusive_or(c[0][word], above), raised(c[1][word])));
        }
    }
}

constexpr int64_t group = 4 * counters;

template <typename T>
CN_INLINE void mask(const uint32_t * random, int64_t count, uint32_t threshold, float scale, const T * x, T * y) {
    CN_SIMD
    for (int64_t i = 0; i < count; i++) {
        store(y[i], random[i] < threshold ? 0.0f : load(x[i]) * scale);
    }
}

} // namespace

// begin: index of the first element, a multiple of 64.
template <typename T>
void dropout_range(uint64_t seed, uint64_t stream, int64_t begin, int64_t n, uint32_t threshold, float scale, const T * x, T * y) {
    uint32_t random[4][counters];
    int64_t done = 0;
    for (; done + group <= n; done += group) {
        philox(seed, stream, static_cast<uint64_t>(begin + done) / 4, random);
        mask(random[0], group, threshold, scale, x + done, y + done);
    }
    if (done < n) {
        philox(seed, stream, static_cast<uint64_t>(begin + done) / 4, random);
        mask(random[0], n - done, threshold, scale, x + done, y + done);
    }
}

template void dropout_range(uint64_t, uint64_t, int64_t, int64_t, uint32_t, float, const float *, float *);
template void dropout_range(uint64_t, uint64_t, int64_t, int64_t, uint32_t, float, const bf16 *, bf16 *);

} // namespace continual::CN_ISA
