// Blocks to floats. Every format is unpacked in two steps: the block's bits to one signed byte an element (loops of whole bytes, which compilers turn into
// vectors well), then bytes to numbers, 32 at a time, by one piece of code for all formats.
//
// Why any set of instructions gives the same bits as ggml: a half has 11 bits, a scale in the block at most 8 with its sign, a code at most 7; so
// (half · scale) · code has at most 24 and is exact in float, and only the subtraction of the minimum rounds, once, fused or not. What is left to keep is
// ggml's order of the products, for the sign of a zero and for infinity · 0.
#include "ops/quant_kernels.h"

#include <cstdint>
#include <cstring>

#if CN_ISA_LEVEL > 0
#include <immintrin.h>
#endif

namespace continual::CN_ISA {

namespace {

inline uint16_t load16(const uint8_t * p) {
    uint16_t value;
    std::memcpy(&value, p, sizeof value);
    return value;
}

inline uint32_t load32(const uint8_t * p) {
    uint32_t value;
    std::memcpy(&value, p, sizeof value);
    return value;
}

inline float from_half(uint16_t h) {
#if CN_ISA_LEVEL > 0
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
#else
    const uint32_t exponent = (h >> 10) & 31u;
    // 112: the difference of the two formats' biases. A second time it takes the exponent of infinity to that of float's.
    uint32_t bits = (static_cast<uint32_t>(h & 0x7fffu) << 13) + (112u << 23);
    bits += exponent == 31u ? 112u << 23 : 0u;
    const float denormal = static_cast<float>(static_cast<int32_t>(h & 0x3ffu)) * 0x1p-24f;
    uint32_t denormal_bits;
    std::memcpy(&denormal_bits, &denormal, sizeof denormal);
    bits = (exponent == 0u ? denormal_bits : bits) | (static_cast<uint32_t>(h & 0x8000u) << 16);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
#endif
}

inline float half_at(const uint8_t * p) {
    return from_half(load16(p));
}

inline void set(float & out, float value) {
    out = value;
}

inline void set(bf16 & out, float value) {
    out = to_bf16(value);
}

// --- numbers to memory, many at a time ---

#if CN_ISA_LEVEL >= 2

constexpr int64_t lanes = 16;
using numbers = __m512;

inline numbers broadcast(float x) {
    return _mm512_set1_ps(x);
}

inline numbers from_bytes(const int8_t * p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p))));
}

inline numbers multiply(numbers x, numbers d) {
    return _mm512_mul_ps(x, d);
}

inline numbers multiply_subtract(numbers x, numbers d, numbers m) {
    return _mm512_fmsub_ps(x, d, m);
}

inline numbers from_floats(const uint8_t * p) {
    return _mm512_loadu_ps(p);
}

inline numbers from_halves(const uint8_t * p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)));
}

inline void store(float * out, numbers a, numbers b) {
    _mm512_storeu_ps(out, a);
    _mm512_storeu_ps(out + lanes, b);
}

// To nearest, ties to even; a NaN stays one. In the upper halves.
inline __m512i rounded(numbers x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    // Not by a comparison of floats: clang would compare the halves that they came from, one by one.
    const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
    const __mmask16 nan = _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(0x7f800000));
    return _mm512_mask_or_epi32(sum, nan, bits, _mm512_set1_epi32(0x400000));
}

alignas(64) constexpr uint16_t odd_places[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                                                  33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};

inline void store_any(bf16 * out, numbers a, numbers b) {
    _mm512_storeu_si512(out, _mm512_permutex2var_epi16(rounded(a), _mm512_load_si512(odd_places), rounded(b)));
}

inline void store(bf16 * out, numbers a, numbers b) {
#if CN_ISA_LEVEL >= 3
    // The instruction takes denormals for zero. There are none here: whatever comes from halves is 0 or at least 2^-24.
    const __m512bh both = _mm512_cvtne2ps_pbh(b, a);
    std::memcpy(out, &both, sizeof both);
#else
    store_any(out, a, b);
#endif
}

#elif CN_ISA_LEVEL == 1

constexpr int64_t lanes = 8;
using numbers = __m256;

inline numbers broadcast(float x) {
    return _mm256_set1_ps(x);
}

inline numbers from_bytes(const int8_t * p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(p))));
}

inline numbers multiply(numbers x, numbers d) {
    return _mm256_mul_ps(x, d);
}

inline numbers multiply_subtract(numbers x, numbers d, numbers m) {
    return _mm256_fmsub_ps(x, d, m);
}

inline numbers from_floats(const uint8_t * p) {
    return _mm256_loadu_ps(reinterpret_cast<const float *>(p));
}

inline numbers from_halves(const uint8_t * p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
}

inline void store(float * out, numbers a, numbers b) {
    _mm256_storeu_ps(out, a);
    _mm256_storeu_ps(out + lanes, b);
}

// To nearest, ties to even; a NaN stays one. In the lower halves, the upper ones zero.
inline __m256i rounded(numbers x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    // Not by a comparison of floats: clang would compare the halves that they came from, one by one.
    const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
    const __m256i nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000));
    return _mm256_srli_epi32(_mm256_blendv_epi8(sum, quiet, nan), 16);
}

inline void store(bf16 * out, numbers a, numbers b) {
    // The packing works in each half for itself; the permutation puts the four quarters in order.
    const __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded(a), rounded(b)), 0xd8);
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(out), both);
}

inline void store_any(bf16 * out, numbers a, numbers b) {
    store(out, a, b);
}

#endif

#if CN_ISA_LEVEL > 0

template <bool has_minimum>
inline numbers scaled(const int8_t * codes, const float * d, const float * m) {
    if constexpr (has_minimum) {
        return multiply_subtract(from_bytes(codes), broadcast(*d), broadcast(*m));
    } else {
        return multiply(from_bytes(codes), broadcast(*d));
    }
}

// 32 elements; the first 16 have scale d[0] and minimum m[0], the others those of [second].
template <bool has_minimum, int64_t second, typename Out>
inline void put(const int8_t * codes, const float * d, const float * m, Out * out) {
    for (int64_t i = 0; i < 32; i += 2 * lanes) {
        const int64_t a = i / 16 * second;
        const int64_t b = (i + lanes) / 16 * second;
        store(out + i, scaled<has_minimum>(codes + i, d + a, m + a), scaled<has_minimum>(codes + i + lanes, d + b, m + b));
    }
}

#else

template <bool has_minimum, int64_t second, typename Out>
inline void put(const int8_t * codes, const float * d, const float * m, Out * out) {
    for (int64_t i = 0; i < 32; i++) {
        const float product = d[i / 16 * second] * static_cast<float>(codes[i]);
        set(out[i], has_minimum ? product - m[i / 16 * second] : product);
    }
}

#endif

// --- bits to bytes ---

#if CN_ISA_LEVEL > 0

// 16 bytes to 32: the low halves first. In a register, and from there in one store: a load of 32 bytes behind two stores of 16 would wait for the cache.
inline __m256i halves_of_bytes(const uint8_t * packed) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(packed));
    return _mm256_and_si256(_mm256_setr_m128i(bytes, _mm_srli_epi16(bytes, 4)), _mm256_set1_epi8(15));
}

// Bit i of the 32 at `bits` becomes 16 or 0 in byte i.
inline __m256i fifth_bits(const uint8_t * bits) {
#if CN_ISA_LEVEL >= 2
    return _mm256_maskz_set1_epi8(load32(bits), 16);
#else
    const __m256i all = _mm256_set1_epi32(static_cast<int32_t>(load32(bits)));
    const __m256i which = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i mask = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201u));
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(all, which), mask), mask);
    return _mm256_and_si256(set, _mm256_set1_epi8(16));
#endif
}

#endif

// 16 bytes to 32 codes, the low halves first, less `zero`.
template <int zero>
inline void four_bits(const uint8_t * packed, int8_t * out) {
#if CN_ISA_LEVEL > 0
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(out), _mm256_sub_epi8(halves_of_bytes(packed), _mm256_set1_epi8(zero)));
#else
    for (int i = 0; i < 16; i++) {
        out[i] = static_cast<int8_t>((packed[i] & 15) - zero);
        out[i + 16] = static_cast<int8_t>((packed[i] >> 4) - zero);
    }
#endif
}

// The same with a fifth bit for each of the 32 codes.
template <int zero>
inline void five_bits(const uint8_t * packed, const uint8_t * bits, int8_t * out) {
#if CN_ISA_LEVEL > 0
    const __m256i codes = _mm256_or_si256(halves_of_bytes(packed), fifth_bits(bits));
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(out), _mm256_sub_epi8(codes, _mm256_set1_epi8(zero)));
#else
    const uint32_t word = load32(bits);
    for (int i = 0; i < 16; i++) {
        out[i] = static_cast<int8_t>(((packed[i] & 15) | ((word >> i & 1u) << 4)) - zero);
        out[i + 16] = static_cast<int8_t>(((packed[i] >> 4) | ((word >> (i + 16) & 1u) << 4)) - zero);
    }
#endif
}

// The 16 values that a code of IQ4_NL and IQ4_XS stands for (ggml-common.h, kvalues_iq4nl).
alignas(16) constexpr int8_t nonlinear[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// 16 bytes to 32 values: the low halves' first.
inline void look_up(const uint8_t * packed, int8_t * out) {
#if CN_ISA_LEVEL > 0
    const __m128i table = _mm_load_si128(reinterpret_cast<const __m128i *>(nonlinear));
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(packed));
    const __m128i low = _mm_set1_epi8(15);
    _mm_storeu_si128(reinterpret_cast<__m128i *>(out), _mm_shuffle_epi8(table, _mm_and_si128(bytes, low)));
    _mm_storeu_si128(reinterpret_cast<__m128i *>(out + 16), _mm_shuffle_epi8(table, _mm_and_si128(_mm_srli_epi16(bytes, 4), low)));
#else
    for (int i = 0; i < 16; i++) {
        out[i] = nonlinear[packed[i] & 15];
        out[i + 16] = nonlinear[packed[i] >> 4];
    }
#endif
}

// Eight scales and eight minima of 6 bits in 12 bytes (Q4_K, Q5_K): the first four of each in the low 6 bits of bytes 0–3 and 4–7; the others' low 4 bits
// in bytes 8–11, their high 2 bits in the top of bytes 0–3 and 4–7.
inline void six_bits(const uint8_t * packed, uint8_t * scales, uint8_t * minima) {
    const uint32_t a = load32(packed);
    const uint32_t b = load32(packed + 4);
    const uint32_t c = load32(packed + 8);
    const uint32_t s[2] = {a & 0x3f3f3f3fu, (c & 0x0f0f0f0fu) | ((a >> 2) & 0x30303030u)};
    const uint32_t m[2] = {b & 0x3f3f3f3fu, ((c >> 4) & 0x0f0f0f0fu) | ((b >> 2) & 0x30303030u)};
    std::memcpy(scales, s, sizeof s);
    std::memcpy(minima, m, sizeof m);
}

// --- the formats (ggml-common.h) ---
//
// unpack: codes[i] of a block; d and m (subtracted) of each `group` of elements.

struct q4_0 {
    static constexpr int64_t elements = 32, bytes = 18, group = 32;
    static constexpr bool has_minimum = false;
    static inline void unpack(const uint8_t * block, int8_t * codes, float * d, float *) {
        *d = half_at(block);
        four_bits<8>(block + 2, codes);
    }
};

struct q4_1 {
    static constexpr int64_t elements = 32, bytes = 20, group = 32;
    static constexpr bool has_minimum = true;
    static inline void unpack(const uint8_t * block, int8_t * codes, float * d, float * m) {
        *d = half_at(block);
        *m = -half_at(block + 2);
        four_bits<0>(block + 4, codes);
    }
};

struct q5_0 {
    static constexpr int64_t elements = 32, bytes = 22, group = 32;
    static constexpr bool has_minimum = false;
    static inline void unpack(const uint8_t * block, int8_t * codes, float * d, float *) {
        *d = half_at(block);
        five_bits<16>(block + 6, block + 2, codes);
    }
};

struct q5_1 {
    static constexpr int64_t elements = 32, bytes = 24, group = 32;
    static constexpr bool has_minimum = true;
    static inline void unpack(const uint8_t * block, int8_t * codes, float * d, float * m) {
        *d = half_at(block);
        *m = -half_at(block + 2);
        five_bits<0>(block + 8, block + 4, codes);
    }
};

struct q8_0 {
    static constexpr int64_t elements = 32, bytes = 34, group = 32;
    static constexpr bool has_minimum = false;
    static inline void unpack(const uint8_t * block, int8_t * codes, float * d, float *) {
        *d = half_at(block);
        std::memcpy(codes, block + 2, 32);
    }
};

struct q2_k {
    static constexpr int64_t elements = 256, bytes = 84, group = 16;
    static constexpr bool has_minimum = true;
    static inline void unpack(const uint8_t * block, int8_t * codes, float * d, float * m) {
        const float scale = half_at(block + 80);
        const float minimum = half_at(block + 82);
        for (int i = 0; i < 16; i++) {
            d[i] = scale * static_cast<float>(block[i] & 15);
            m[i] = minimum * static_cast<float>(block[i] >> 4);
        }
        for (int part = 0; part < 8; part++) {
            const uint8_t * const bits = block + 16 + part / 4 * 32;
            for (int i = 0; i < 32; i++) {
                codes[part * 32 + i] = static_cast<int8_t>((bits[i] >> (part % 4 * 2)) & 3);
            }
        }
    }
};

struct q3_k {
    static constexpr int64_t elements = 256, bytes = 110, group = 16;
    static constexpr bool has_minimum = false;
    static inline void unpack(const uint8_t * block, int8_t * codes, float * d, float *) {
        const float scale = half_at(block + 108);
        const uint8_t * const packed = block + 96;
        for (int i = 0; i < 16; i++) {
            // Low 4 bits: bytes 0–7, first the lower halves; high 2 bits: bytes 8–11, four scales in each.
            const int low = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4;
            const int high = (packed[8 + i % 4] >> (i / 4 * 2)) & 3;
            d[i] = scale * static_cast<float>((low | high << 4) - 32);
        }
        for (int part = 0; part < 8; part++) {
            const uint8_t * const bits = block + 32 + part / 4 * 32;
            for (int i = 0; i < 32; i++) {
                const int high = (block[i] >> part) & 1;
                codes[part * 32 + i] = static_cast<int8_t>(((bits[i] >> (part % 4 * 2)) & 3) + high * 4 - 4);
            }
        }
    }
};

struct q4_k {
    static constexpr int64_t elements = 256, bytes = 144, group = 32;
    static constexpr bool has_minimum = true;
    static inline void unpack(const uint8_t * block, int8_t * codes, float * d, float * m) {
        const float scale = half_at(block);
        const float minimum = half_at(block + 2);
        uint8_t scales[8];
        uint8_t minima[8];
        six_bits(block + 4, scales, minima);
        for (int i = 0; i < 8; i++) {
            d[i] = scale * static_cast<float>(scales[i]);
            m[i] = minimum * static_cast<float>(minima[i]);
        }
        for (int part = 0; part < 4; part++) {
            const uint8_t * const bits = block + 16 + part * 32;
            for (int i = 0; i < 32; i++) {
                codes[part * 64 + i] = static_cast<int8_t>(bits[i] & 15);
                codes[part * 64 + 32 + i] = static_cast<int8_t>(bits[i] >> 4);
            }
        }
    }
};

struct q5_k {
    static constexpr int64_t elements = 256, bytes = 176, group = 32;
    static constexpr bool has_minimum = true;
    static inline void unpack(const uint8_t * block, int8_t * codes, float * d, float * m) {
        const float scale = half_at(block);
        const float minimum = half_at(block + 2);
        uint8_t scales[8];
        uint8_t minima[8];
        six_bits(block + 4, scales, minima);
        for (int i = 0; i < 8; i++) {
            d[i] = scale * static_cast<float>(scales[i]);
            m[i] = minimum * static_cast<float>(minima[i]);
        }
        for (int part = 0; part < 4; part++) {
            const uint8_t * const bits = block + 48 + part * 32;
            for (int i = 0; i < 32; i++) {
                const int fifth = block[16 + i] >> (part * 2);
                codes[part * 64 + i] = static_cast<int8_t>((bits[i] & 15) | ((fifth & 1) << 4));
                codes[part * 64 + 32 + i] = static_cast<int8_t>((bits[i] >> 4) | ((fifth & 2) << 3));
            }
        }
    }
};

struct q6_k {
    static constexpr int64_t elements = 256, bytes = 210, group = 16;
    static constexpr bool has_minimum = false;
    static inline void unpack(const uint8_t * block, int8_t * codes, float * d, float *) {
        const float scale = half_at(block + 208);
        for (int i = 0; i < 16; i++) {
            d[i] = scale * static_cast<float>(static_cast<int8_t>(block[192 + i]));
        }
        for (int part = 0; part < 2; part++) {
            const uint8_t * const low = block + part * 64;
            const uint8_t * const high = block + 128 + part * 32;
            int8_t * const to = codes + part * 128;
            for (int i = 0; i < 32; i++) {
                to[i] = static_cast<int8_t>(((low[i] & 15) | ((high[i] & 3) << 4)) - 32);
                to[i + 32] = static_cast<int8_t>(((low[i + 32] & 15) | ((high[i] & 12) << 2)) - 32);
                to[i + 64] = static_cast<int8_t>(((low[i] >> 4) | (high[i] & 48)) - 32);
                to[i + 96] = static_cast<int8_t>(((low[i + 32] >> 4) | ((high[i] & 192) >> 2)) - 32);
            }
        }
    }
};

struct iq4_nl {
    static constexpr int64_t elements = 32, bytes = 18, group = 32;
    static constexpr bool has_minimum = false;
    static inline void unpack(const uint8_t * block, int8_t * codes, float * d, float *) {
        *d = half_at(block);
        look_up(block + 2, codes);
    }
};

struct iq4_xs {
    static constexpr int64_t elements = 256, bytes = 136, group = 32;
    static constexpr bool has_minimum = false;
    static inline void unpack(const uint8_t * block, int8_t * codes, float * d, float *) {
        const float scale = half_at(block);
        const int high = load16(block + 2);
        for (int i = 0; i < 8; i++) {
            const int low = (block[4 + i / 2] >> (i % 2 * 4)) & 15;
            d[i] = scale * static_cast<float>((low | ((high >> (i * 2)) & 3) << 4) - 32);
            look_up(block + 8 + i * 16, codes + i * 32);
        }
    }
};

// --- rows ---

template <typename Format, typename Out>
void blocks_to(const uint8_t * block, Out * out, int64_t n) {
    for (const Out * const end = out + n; out < end; block += Format::bytes) {
        alignas(64) int8_t codes[Format::elements];
        float d[Format::elements / Format::group];
        float m[Format::elements / Format::group];
        Format::unpack(block, codes, d, m);
        for (int64_t i = 0; i < Format::elements; i += 32, out += 32) {
            put<Format::has_minimum, 16 / Format::group>(codes + i, d + i / Format::group, m + i / Format::group, out);
        }
    }
}

void floats_to(const uint8_t * from, float * out, int64_t n) {
    std::memcpy(out, from, static_cast<uint64_t>(n) * sizeof *out);
}

void floats_to(const uint8_t * from, bf16 * out, int64_t n) {
    int64_t i = 0;
#if CN_ISA_LEVEL > 0
    for (; i + 2 * lanes <= n; i += 2 * lanes) {
        store_any(out + i, from_floats(from + i * 4), from_floats(from + (i + lanes) * 4));
    }
#endif
    for (; i < n; i++) {
        float value;
        std::memcpy(&value, from + i * 4, sizeof value);
        out[i] = to_bf16(value);
    }
}

template <typename Out>
void halves_to(const uint8_t * from, Out * out, int64_t n) {
    int64_t i = 0;
#if CN_ISA_LEVEL > 0
    for (; i + 2 * lanes <= n; i += 2 * lanes) {
        store(out + i, from_halves(from + i * 2), from_halves(from + (i + lanes) * 2));
    }
#endif
    for (; i < n; i++) {
        set(out[i], half_at(from + i * 2));
    }
}

void bf16_to(const uint8_t * from, float * out, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const uint32_t bits = static_cast<uint32_t>(load16(from + i * 2)) << 16;
        std::memcpy(out + i, &bits, sizeof bits);
    }
}

// A copy, but that a NaN becomes quiet.
void bf16_to(const uint8_t * from, bf16 * out, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const uint16_t bits = load16(from + i * 2);
        out[i].bits = static_cast<uint16_t>(bits | ((bits & 0x7fff) > 0x7f80 ? 0x40 : 0));
    }
}

template <typename Out>
void dequantize(tensor_type type, const void * blocks, Out * out, int64_t n) noexcept {
    const uint8_t * const from = static_cast<const uint8_t *>(blocks);
    switch (type) {
    case tensor_type::f32:
        return floats_to(from, out, n);
    case tensor_type::f16:
        return halves_to(from, out, n);
    case tensor_type::bf16:
        return bf16_to(from, out, n);
    case tensor_type::q4_0:
        return blocks_to<q4_0>(from, out, n);
    case tensor_type::q4_1:
        return blocks_to<q4_1>(from, out, n);
    case tensor_type::q5_0:
        return blocks_to<q5_0>(from, out, n);
    case tensor_type::q5_1:
        return blocks_to<q5_1>(from, out, n);
    case tensor_type::q8_0:
        return blocks_to<q8_0>(from, out, n);
    case tensor_type::q2_k:
        return blocks_to<q2_k>(from, out, n);
    case tensor_type::q3_k:
        return blocks_to<q3_k>(from, out, n);
    case tensor_type::q4_k:
        return blocks_to<q4_k>(from, out, n);
    case tensor_type::q5_k:
        return blocks_to<q5_k>(from, out, n);
    case tensor_type::q6_k:
        return blocks_to<q6_k>(from, out, n);
    case tensor_type::iq4_nl:
        return blocks_to<iq4_nl>(from, out, n);
    case tensor_type::iq4_xs:
        return blocks_to<iq4_xs>(from, out, n);
    }
}

} // namespace

extern const quant_kernels quant_table;
constexpr quant_kernels quant_table = {dequantize<float>, dequantize<bf16>};

} // namespace continual::CN_ISA
