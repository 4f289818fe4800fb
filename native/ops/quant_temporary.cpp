// Temporary, until the real one is merged: dense types and Q8_0 only. Weak, so that the real functions win where both are linked; delete this file then.
#include "ops/quant.h"

namespace continual {

static float half(uint16_t h) {
    const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
    const uint32_t exponent = (h >> 10) & 31u;
    const uint32_t mantissa = h & 1023u;
    uint32_t bits;
    float value;
    if (exponent == 0) {
        value = static_cast<float>(mantissa) * 5.9604644775390625e-8f;
        std::memcpy(&bits, &value, 4);
        bits |= sign;
    } else {
        bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13;
    }
    std::memcpy(&value, &bits, 4);
    return value;
}

__attribute__((weak)) int64_t block_elements(tensor_type type) noexcept {
    return type == tensor_type::q8_0 ? 32 : 1;
}

__attribute__((weak)) int64_t block_bytes(tensor_type type) noexcept {
    return type == tensor_type::q8_0 ? 34 : type == tensor_type::f32 ? 4 : 2;
}

__attribute__((weak)) int64_t row_bytes(tensor_type type, int64_t n) noexcept {
    return n / block_elements(type) * block_bytes(type);
}

__attribute__((weak)) void dequantize(isa, tensor_type type, const void * blocks, float * out, int64_t n) noexcept {
    const char * p = static_cast<const char *>(blocks);
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        switch (type) {
        case tensor_type::f32:
            std::memcpy(out + i, p + i * 4, 4);
            break;
        case tensor_type::bf16:
            std::memcpy(&h, p + i * 2, 2);
            out[i] = to_float(bf16{h});
            break;
        case tensor_type::f16:
            std::memcpy(&h, p + i * 2, 2);
            out[i] = half(h);
            break;
        default:
            std::memcpy(&h, p + i / 32 * 34, 2);
            out[i] = half(h) * static_cast<float>(static_cast<int8_t>(p[i / 32 * 34 + 2 + i % 32]));
        }
    }
}

__attribute__((weak)) void dequantize(isa level, tensor_type type, const void * blocks, bf16 * out, int64_t n) noexcept {
    for (int64_t i = 0; i < n; i += 32) {
        float x[32];
        const int64_t c = n - i < 32 ? n - i : 32;
        dequantize(level, type, static_cast<const char *>(blocks) + row_bytes(type, i), x, c);
        for (int64_t j = 0; j < c; j++) {
            out[i + j] = to_bf16(x[j]);
        }
    }
}

__attribute__((weak)) const char * name(tensor_type) noexcept { return "type"; }
} // namespace continual
