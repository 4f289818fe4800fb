// One element of a block, in double: exact, since every format's value is a sum of two short products.
#pragma once

#include "runtime/types.h"

#include <cmath>
#include <cstdint>
#include <limits>

namespace oracle {

inline double half_value(const uint8_t * p) {
    const int bits = p[0] | p[1] << 8;
    const int exponent = (bits >> 10) & 31;
    const int mantissa = bits & 1023;
    double value;
    if (exponent == 31) {
        value = mantissa != 0 ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
    } else if (exponent == 0) {
        value = std::ldexp(mantissa, -24);
    } else {
        value = std::ldexp(1024 + mantissa, exponent - 25);
    }
    return (bits & 0x8000) != 0 ? -value : value;
}

// Scale (which 0) or minimum (which 1) number i of Q4_K and Q5_K.
inline int packed_scale(const uint8_t * packed, int i, int which) {
    if (i < 4) {
        return packed[i + which * 4] & 63;
    }
    const int low = which == 0 ? packed[i + 4] & 15 : packed[i + 4] >> 4;
    return low + 16 * (packed[i - 4 + which * 4] >> 6);
}

inline double quant_element(continual::tensor_type type, const uint8_t * b, int i) {
    using continual::tensor_type;
    static const double nonlinear[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    // Of 32 elements in 16 bytes.
    const auto nibble = [](const uint8_t * p, int j) { return j < 16 ? p[j] & 15 : p[j - 16] >> 4; };
    const auto bit = [](const uint8_t * p, int j) { return (p[j / 8] >> (j % 8)) & 1; };
    switch (type) {
    case tensor_type::f32: {
        float value;
        std::memcpy(&value, b, sizeof value);
        return value;
    }
    case tensor_type::f16:
        return half_value(b);
    case tensor_type::bf16: {
        const uint32_t bits = static_cast<uint32_t>(b[0] | b[1] << 8) << 16;
        float value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
    case tensor_type::q4_0:
        return half_value(b) * (nibble(b + 2, i) - 8);
    case tensor_type::q4_1:
        return half_value(b) * nibble(b + 4, i) + half_value(b + 2);
    case tensor_type::q5_0:
        return half_value(b) * (nibble(b + 6, i) + 16 * bit(b + 2, i) - 16);
    case tensor_type::q5_1:
        return half_value(b) * (nibble(b + 8, i) + 16 * bit(b + 4, i)) + half_value(b + 2);
    case tensor_type::q8_0:
        return half_value(b) * static_cast<int8_t>(b[2 + i]);
    case tensor_type::q2_k: {
        const int code = (b[16 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
        const uint8_t scale = b[i / 16];
        return half_value(b + 80) * (scale & 15) * code - half_value(b + 82) * (scale >> 4);
    }
    case tensor_type::q3_k: {
        const int low = (b[32 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
        const int high = (b[i % 32] >> (i / 32)) & 1;
        const int group = i / 16;
        const int scale_low = (b[96 + group % 8] >> (group / 8 * 4)) & 15;
        const int scale_high = (b[104 + group % 4] >> (group / 4 * 2)) & 3;
        return half_value(b + 108) * (scale_low + 16 * scale_high - 32) * (low + 4 * high - 4);
    }
    case tensor_type::q4_k: {
        const int code = (b[16 + i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4)) & 15;
        return half_value(b) * packed_scale(b + 4, i / 32, 0) * code - half_value(b + 2) * packed_scale(b + 4, i / 32, 1);
    }
    case tensor_type::q5_k: {
        const int low = (b[48 + i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4)) & 15;
        const int high = (b[16 + i % 32] >> (i / 32)) & 1;
        return half_value(b) * packed_scale(b + 4, i / 32, 0) * (low + 16 * high) - half_value(b + 2) * packed_scale(b + 4, i / 32, 1);
    }
    case tensor_type::q6_k: {
        const int part = i / 128;
        const int quarter = i % 128 / 32;
        const int low = (b[part * 64 + quarter % 2 * 32 + i % 32] >> (quarter / 2 * 4)) & 15;
        const int high = (b[128 + part * 32 + i % 32] >> (quarter * 2)) & 3;
        return half_value(b + 208) * static_cast<int8_t>(b[192 + i / 16]) * (low + 16 * high - 32);
    }
    case tensor_type::iq4_nl:
        return half_value(b) * nonlinear[nibble(b + 2, i)];
    case tensor_type::iq4_xs: {
        const int group = i / 32;
        const int scale_low = (b[4 + group / 2] >> (group % 2 * 4)) & 15;
        const int scale_high = ((b[2] | b[3] << 8) >> (group * 2)) & 3;
        return half_value(b) * (scale_low + 16 * scale_high - 32) * nonlinear[nibble(b + 8 + group * 16, i % 32)];
    }
    }
    return 0.0;
}

} // namespace oracle
