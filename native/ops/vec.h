// What the loops of the _cpu.cpp files share; for those files only. Loops are plain and vectorized by the compiler.
#pragma once

#include "runtime/types.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define CN_INLINE static inline __attribute__((always_inline))
#else
#define CN_INLINE static __forceinline
#endif
#if defined(__clang__)
// Clang warns of loops that stay plain, which under a sanitizer are most.
#pragma clang diagnostic ignored "-Wpass-failed"
#endif
// The iterations of the next loop are independent. Only where the compiler was told to look at that (-fopenmp-simd), as for the _cpu.cpp files.
#if defined(__GNUC__) && defined(CN_ISA_LEVEL)
#define CN_SIMD _Pragma("omp simd")
#else
#define CN_SIMD
#endif

namespace continual::CN_ISA {

// Decision: everything here is static, and repeats what runtime/types.h has, so that no copy with wide instructions can become the one that the linker
// keeps for code which runs on any processor.
CN_INLINE uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

CN_INLINE float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

CN_INLINE float load(float x) {
    return x;
}

CN_INLINE float load(bf16 x) {
    return float_of(static_cast<uint32_t>(x.bits) << 16);
}

CN_INLINE void store(float & to, float x) {
    to = x;
}

// To nearest, ties to even; a NaN stays one. Without a branch: both ways are cheap.
CN_INLINE void store(bf16 & to, float x) {
    const uint32_t bits = bits_of(x);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const uint32_t quiet = (bits >> 16) | 0x40u;
    to.bits = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

// e^x for every float: 0 at −inf, infinity from 88.73 on, denormals, NaN for NaN. e^x = 2^n · e^r with |r| ≤ ln 2 / 2; e^r is 1 + r + r² · (a polynomial of
// degree 4), minimax by Remez' algorithm for the relative error (3.1e-9 before rounding). Measured over all floats whose exponential is normal: at most
// 0.99 ulp, with fused products 1.01.
CN_INLINE float exp_of(float x) {
    // Beyond these the result is 0 or infinity all the same; n stays within what two factors can express. A NaN passes both.
    x = x < -105.0f ? -105.0f : x;
    x = x > 89.0f ? 89.0f : x;
    // Adding 1.5 · 2^23 rounds to an integer, which then is in the low bits.
    const float shifted = x * 1.44269504088896341f + 12582912.0f;
    const float n = shifted - 12582912.0f;
    // ln 2 in two parts; n times the first is exact.
    float r = x - n * 0.693359375f;
    r = r - n * -0.000212194440054690583f;
    float p = 0.0013814540579915047f;
    p = p * r + 0.00836874544620514f;
    p = p * r + 0.04166838899254799f;
    p = p * r + 0.1666652113199234f;
    p = p * r + 0.4999999403953552f;
    p = p * (r * r) + r;
    p = p + 1.0f;
    // 2^n in two factors, so that neither overflows where the result does not.
    const int32_t whole = static_cast<int32_t>(bits_of(shifted) - 0x4b400000u);
    const int32_t half = whole >> 1;
    const float first = float_of(static_cast<uint32_t>(half + 127) << 23);
    const float second = float_of(static_cast<uint32_t>(whole - half + 127) << 23);
    return p * first * second;
}

// 1 / (1 + e^−x)
CN_INLINE float sigmoid_of(float x) {
    return 1.0f / (1.0f + exp_of(-x));
}

// Lanes that sums are made in before they are folded: four vectors of the widest kind, so that one addition need not wait for the last.
constexpr int64_t sum_lanes = 64;

// Decision: by hand, not with omp simd reduction: the order of a sum, and with it how exact it is, then is the same whether a compiler vectorizes it or not.
template <typename Sum>
CN_INLINE Sum fold(Sum * lanes) {
    for (int64_t half = sum_lanes / 2; half > 0; half /= 2) {
        CN_SIMD
        for (int64_t lane = 0; lane < half; lane++) {
            lanes[lane] += lanes[lane + half];
        }
    }
    return lanes[0];
}

// Σ term(i), i in [0, n)
template <typename Sum, typename Term>
CN_INLINE Sum sum_of(int64_t n, const Term & term) {
    Sum lanes[sum_lanes] = {};
    int64_t done = 0;
    for (; done + sum_lanes <= n; done += sum_lanes) {
        CN_SIMD
        for (int64_t lane = 0; lane < sum_lanes; lane++) {
            lanes[lane] += term(done + lane);
        }
    }
    const int64_t rest = n - done;
    CN_SIMD
    for (int64_t lane = 0; lane < rest; lane++) {
        lanes[lane] += term(done + lane);
    }
    return fold(lanes);
}

// Two sums at once: term(i, second) gives the first's summand and sets the second's.
template <typename Term>
CN_INLINE float sums_of(int64_t n, float & second, const Term & term) {
    float lanes[sum_lanes] = {};
    float others[sum_lanes] = {};
    int64_t done = 0;
    for (; done + sum_lanes <= n; done += sum_lanes) {
        CN_SIMD
        for (int64_t lane = 0; lane < sum_lanes; lane++) {
            float other;
            lanes[lane] += term(done + lane, other);
            others[lane] += other;
        }
    }
    const int64_t rest = n - done;
    CN_SIMD
    for (int64_t lane = 0; lane < rest; lane++) {
        float other;
        lanes[lane] += term(done + lane, other);
        others[lane] += other;
    }
    second = fold(others);
    return fold(lanes);
}

// The highest, passing over NaN; −inf where there is none. Clang 14 does not vectorize it any other way.
CN_INLINE float highest_of(const float * x, int64_t n) {
    float most[sum_lanes];
    for (int64_t lane = 0; lane < sum_lanes; lane++) {
        most[lane] = -HUGE_VALF;
    }
    int64_t done = 0;
    for (; done + sum_lanes <= n; done += sum_lanes) {
        CN_SIMD
        for (int64_t lane = 0; lane < sum_lanes; lane++) {
            const float value = x[done + lane];
            most[lane] = value > most[lane] ? value : most[lane];
        }
    }
    const int64_t rest = n - done;
    CN_SIMD
    for (int64_t lane = 0; lane < rest; lane++) {
        const float value = x[done + lane];
        most[lane] = value > most[lane] ? value : most[lane];
    }
    for (int64_t half = sum_lanes / 2; half > 0; half /= 2) {
        CN_SIMD
        for (int64_t lane = 0; lane < half; lane++) {
            most[lane] = most[lane + half] > most[lane] ? most[lane + half] : most[lane];
        }
    }
    return most[0];
}

} // namespace continual::CN_ISA
