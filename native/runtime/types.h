// Number formats in memory.
#pragma once

#include <cstdint>
#include <cstring>

namespace continual {

// The upper half of a float: 8 bits of exponent, 7 of mantissa.
struct bf16 {
    uint16_t bits;
};

inline float to_float(float x) noexcept {
    return x;
}

inline float to_float(bf16 x) noexcept {
    const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// To nearest, ties to even; a NaN stays one (quiet). Denormals are kept.
inline bf16 to_bf16(float x) noexcept {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
    }
    return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

template <typename T>
T from_float(float x) noexcept;

template <>
inline float from_float<float>(float x) noexcept {
    return x;
}

template <>
inline bf16 from_float<bf16>(float x) noexcept {
    return to_bf16(x);
}

// Types of tensors in a GGUF file that the trainer reads; the numbers are ggml's.
enum class tensor_type : int32_t {
    f32 = 0,
    f16 = 1,
    q4_0 = 2,
    q4_1 = 3,
    q5_0 = 6,
    q5_1 = 7,
    q8_0 = 8,
    q2_k = 10,
    q3_k = 11,
    q4_k = 12,
    q5_k = 13,
    q6_k = 14,
    iq4_nl = 20,
    iq4_xs = 23,
    bf16 = 30,
};

} // namespace continual
