// Blocks of ggml's formats to floats in kernels, eight elements at once. ops/quant_cpu.cpp says why any machine gets the same bits of them.
#pragma once

#include "runtime/kernel.h"

namespace continual::formats {

// Elements that a thread unpacks: a piece. They lie in one block and have one scale.
constexpr int piece = 8;

// What the codes of a piece are: a byte for each element, not negative.
struct codes {
    uint32_t low;
    uint32_t high;
};

// A piece before it is multiplied: its elements are scale · (code − zero of the format) − minimum.
struct packed_piece {
    codes code;
    float scale;
    float minimum;
};

CN_DEVICE bool is_aligned(const void * at, int to) { return (reinterpret_cast<uint64_t>(at) & static_cast<uint64_t>(to - 1)) == 0; }

// --- reading; unit: 2, 4, 8 or 16, what the blocks are aligned to, and with them all that is read of them at once, up to its own size ---

// What the blocks of a row are aligned to when the first is.
constexpr int unit_of(int block_bytes) { return block_bytes % 16 == 0 ? 16 : block_bytes % 8 == 0 ? 8 : block_bytes % 4 == 0 ? 4 : 2; }

CN_DEVICE uint16_t short_at(const uint8_t * p) { return *reinterpret_cast<const uint16_t *>(p); }

template <int unit>
CN_DEVICE uint32_t word_at(const uint8_t * p) {
    if constexpr (unit >= 4) {
        return *reinterpret_cast<const uint32_t *>(p);
    } else {
        return short_at(p) | static_cast<uint32_t>(short_at(p + 2)) << 16;
    }
}

template <int unit>
CN_DEVICE codes bytes_at(const uint8_t * p) {
    if constexpr (unit >= 8) {
        // One number, so that it is one access.
        const uint64_t both = *reinterpret_cast<const uint64_t *>(p);
        return {static_cast<uint32_t>(both), static_cast<uint32_t>(both >> 32)};
    } else {
        return {word_at<unit>(p), word_at<unit>(p + 4)};
    }
}

template <int unit>
CN_DEVICE quad quad_at(const uint8_t * p) {
    if constexpr (unit >= 16) {
        return load_from<quad>(p);
    } else {
        return {word_at<unit>(p), word_at<unit>(p + 4), word_at<unit>(p + 8), word_at<unit>(p + 12)};
    }
}

CN_DEVICE float low_half(uint32_t word) { return float_of_half(static_cast<uint16_t>(word)); }
CN_DEVICE float high_half(uint32_t word) { return float_of_half(static_cast<uint16_t>(word >> 16)); }
CN_DEVICE float half_at(const uint8_t * p) { return float_of_half(short_at(p)); }

// --- bits to numbers ---

// 2^23: a float of that size has ones in its last place, so that the bits of a small number below it make their sum. Faster than a conversion.
constexpr uint32_t big_bits = 0x4b000000u;
constexpr float big = 8388608.0f;

// n − zero
CN_DEVICE float number(uint32_t n, int zero) { return float_of_bits(big_bits | n) - (big + static_cast<float>(zero)); }

// Byte i of the word, less zero.
CN_DEVICE float number_of_byte(uint32_t word, int i, int zero) {
    return float_of_bits(permuted(word, big_bits, 0x7440u | static_cast<uint32_t>(i))) - (big + static_cast<float>(zero));
}

// Some bits of every byte: those of mask (the same for each byte) after a shift to the right.
CN_DEVICE codes bits_of(codes c, int shift, uint32_t mask) { return {c.low >> shift & mask, c.high >> shift & mask}; }

// c and, above it, another's bits.
CN_DEVICE codes joined(codes c, codes above, int shift) { return {c.low | above.low << shift, c.high | above.high << shift}; }

// Four bits become 16 or 0 in a byte each. The product's four summands have no bit in common.
CN_DEVICE uint32_t fifth_bits(uint32_t four) { return four * 0x02040810u & 0x10101010u; }

// Of 32 elements in 16 bytes, the lower halves first: those from element `first` on.
template <int unit>
CN_DEVICE codes four_bits(const uint8_t * bytes, int first) {
    return bits_of(bytes_at<unit>(bytes + first % 16), first / 16 * 4, 0x0f0f0f0fu);
}

// The same with a fifth bit for each of the 32.
template <int unit>
CN_DEVICE codes five_bits(const uint8_t * bytes, const uint8_t * fifths, int first) {
    const codes c = four_bits<unit>(bytes, first);
    const uint32_t fifth = fifths[first / 8];
    return {c.low | fifth_bits(fifth & 15), c.high | fifth_bits(fifth >> 4)};
}

// The values that the codes 4·i to 4·i + 3 of IQ4_NL and IQ4_XS stand for, and 128 (ggml-common.h, kvalues_iq4nl).
constexpr uint32_t nonlinear(int i) {
    constexpr int values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    uint32_t word = 0;
    for (int byte = 3; byte >= 0; byte--) {
        word = word << 8 | static_cast<uint32_t>(values[4 * i + byte] + 128);
    }
    return word;
}

// Each byte, 0 to 15, becomes its value.
CN_DEVICE uint32_t looked_up(uint32_t bytes) {
    constexpr uint32_t words[4] = {nonlinear(0), nonlinear(1), nonlinear(2), nonlinear(3)};
    const uint32_t pairs = bytes | bytes >> 4;
    const uint32_t digits = permuted(pairs, 0, 0x4420u);
    const uint32_t from_first = permuted(words[0], words[1], digits & 0x7777u);
    const uint32_t from_second = permuted(words[2], words[3], digits & 0x7777u);
    return permuted(from_first, from_second, 0x3210u | (digits & 0x8888u) >> 1);
}

CN_DEVICE codes looked_up(codes c) { return {looked_up(c.low), looked_up(c.high)}; }

// --- the formats; piece_at: the piece from element `first` of a block on ---

struct q4_0 {
    static constexpr int elements = 32, bytes = 18, zero = 8;
    static constexpr bool has_minimum = false;
    template <int unit>
    CN_DEVICE static packed_piece piece_at(const uint8_t * block, int first) {
        return {four_bits<unit>(block + 2, first), half_at(block), 0.0f};
    }
};

struct q4_1 {
    static constexpr int elements = 32, bytes = 20, zero = 0;
    static constexpr bool has_minimum = true;
    template <int unit>
    CN_DEVICE static packed_piece piece_at(const uint8_t * block, int first) {
        const uint32_t halves = word_at<unit>(block);
        return {four_bits<unit>(block + 4, first), low_half(halves), -high_half(halves)};
    }
};

struct q5_0 {
    static constexpr int elements = 32, bytes = 22, zero = 16;
    static constexpr bool has_minimum = false;
    template <int unit>
    CN_DEVICE static packed_piece piece_at(const uint8_t * block, int first) {
        return {five_bits<unit>(block + 6, block + 2, first), half_at(block), 0.0f};
    }
};

struct q5_1 {
    static constexpr int elements = 32, bytes = 24, zero = 0;
    static constexpr bool has_minimum = true;
    template <int unit>
    CN_DEVICE static packed_piece piece_at(const uint8_t * block, int first) {
        const uint32_t halves = word_at<unit>(block);
        return {five_bits<unit>(block + 8, block + 4, first), low_half(halves), -high_half(halves)};
    }
};

struct q8_0 {
    static constexpr int elements = 32, bytes = 34, zero = 128;
    static constexpr bool has_minimum = false;
    template <int unit>
    CN_DEVICE static packed_piece piece_at(const uint8_t * block, int first) {
        const codes c = bytes_at<unit>(block + 2 + first);
        return {{c.low ^ 0x80808080u, c.high ^ 0x80808080u}, half_at(block), 0.0f};
    }
};

struct q2_k {
    static constexpr int elements = 256, bytes = 84, zero = 0;
    static constexpr bool has_minimum = true;
    template <int unit>
    CN_DEVICE static packed_piece piece_at(const uint8_t * block, int first) {
        const codes c = bytes_at<unit>(block + 16 + first / 128 * 32 + first % 32);
        const uint32_t scales = block[first / 16];
        const uint32_t halves = word_at<unit>(block + 80);
        return {bits_of(c, first % 128 / 32 * 2, 0x03030303u), low_half(halves) * number(scales & 15, 0), high_half(halves) * number(scales >> 4, 0)};
    }
};

struct q3_k {
    static constexpr int elements = 256, bytes = 110, zero = 4;
    static constexpr bool has_minimum = false;
    template <int unit>
    CN_DEVICE static packed_piece piece_at(const uint8_t * block, int first) {
        const codes low = bits_of(bytes_at<unit>(block + 32 + first / 128 * 32 + first % 32), first % 128 / 32 * 2, 0x03030303u);
        const codes high = bits_of(bytes_at<unit>(block + first % 32), first / 32, 0x01010101u);
        const uint8_t * const scales = block + 96;
        const int group = first / 16;
        const uint32_t scale_low = static_cast<uint32_t>(scales[group % 8]) >> (group / 8 * 4) & 15;
        const uint32_t scale_high = static_cast<uint32_t>(scales[8 + group % 4]) >> (group / 4 * 2) & 3;
        return {joined(low, high, 2), half_at(block + 108) * number(scale_low | scale_high << 4, 32), 0.0f};
    }
};

// Scale and minimum of a group of Q4_K and Q5_K, of which the first 16 bytes of a block are two halves, and then eight scales and eight minima of 6 bits: the first
// four of each in the low 6 bits of words y and z; the others' low 4 bits in w, their high 2 bits in the top of y's and z's bytes.
CN_DEVICE void six_bits(const quad & header, int group, float & scale, float & minimum) {
    const int shift = group % 4 * 8;
    const uint32_t y = header.y >> shift & 0xff;
    const uint32_t z = header.z >> shift & 0xff;
    const uint32_t w = header.w >> shift & 0xff;
    // Both ways are computed alike: a warp has groups of either kind.
    const bool is_early = group < 4;
    const uint32_t low_bits = is_early ? 63 : 15;
    const uint32_t high_bits = is_early ? 0 : 48;
    scale = low_half(header.x) * number(((is_early ? y : w) & low_bits) | (y >> 2 & high_bits), 0);
    minimum = high_half(header.x) * number(((is_early ? z : w >> 4) & low_bits) | (z >> 2 & high_bits), 0);
}

struct q4_k {
    static constexpr int elements = 256, bytes = 144, zero = 0;
    static constexpr bool has_minimum = true;
    template <int unit>
    CN_DEVICE static packed_piece piece_at(const uint8_t * block, int first) {
        packed_piece p;
        p.code = bits_of(bytes_at<unit>(block + 16 + first / 64 * 32 + first % 32), first % 64 / 32 * 4, 0x0f0f0f0fu);
        six_bits(quad_at<unit>(block), first / 32, p.scale, p.minimum);
        return p;
    }
};

struct q5_k {
    static constexpr int elements = 256, bytes = 176, zero = 0;
    static constexpr bool has_minimum = true;
    template <int unit>
    CN_DEVICE static packed_piece piece_at(const uint8_t * block, int first) {
        packed_piece p;
        const codes low = bits_of(bytes_at<unit>(block + 48 + first / 64 * 32 + first % 32), first % 64 / 32 * 4, 0x0f0f0f0fu);
        const codes high = bits_of(bytes_at<unit>(block + 16 + first % 32), first / 32, 0x01010101u);
        p.code = joined(low, high, 4);
        six_bits(quad_at<unit>(block), first / 32, p.scale, p.minimum);
        return p;
    }
};

struct q6_k {
    static constexpr int elements = 256, bytes = 210, zero = 32;
    static constexpr bool has_minimum = false;
    template <int unit>
    CN_DEVICE static packed_piece piece_at(const uint8_t * block, int first) {
        const int half = first / 128;
        const int quarter = first % 128 / 32;
        const codes low = bits_of(bytes_at<unit>(block + half * 64 + quarter % 2 * 32 + first % 32), quarter / 2 * 4, 0x0f0f0f0fu);
        const codes high = bits_of(bytes_at<unit>(block + 128 + half * 32 + first % 32), quarter * 2, 0x03030303u);
        return {joined(low, high, 4), half_at(block + 208) * number(block[192 + first / 16] ^ 0x80u, 128), 0.0f};
    }
};

struct iq4_nl {
    static constexpr int elements = 32, bytes = 18, zero = 128;
    static constexpr bool has_minimum = false;
    template <int unit>
    CN_DEVICE static packed_piece piece_at(const uint8_t * block, int first) {
        return {looked_up(four_bits<unit>(block + 2, first)), half_at(block), 0.0f};
    }
};

struct iq4_xs {
    static constexpr int elements = 256, bytes = 136, zero = 128;
    static constexpr bool has_minimum = false;
    template <int unit>
    CN_DEVICE static packed_piece piece_at(const uint8_t * block, int first) {
        const codes c = looked_up(four_bits<unit>(block + 8 + first / 32 * 16, first % 32));
        const int group = first / 32;
        const codes header = bytes_at<unit>(block);
        const uint32_t scale = (header.high >> (group * 4) & 15) | (header.low >> (16 + group * 2) & 3) << 4;
        return {c, low_half(header.low) * number(scale, 32), 0.0f};
    }
};

// Of one element a block; eight_at: a whole piece, however it is aligned.

struct f32 {
    static constexpr int elements = 1, bytes = 4;
    CN_DEVICE static float one_at(const uint8_t * p) { return float_of_bits(is_aligned(p, 4) ? word_at<4>(p) : word_at<2>(p)); }
    CN_DEVICE static void eight_at(const uint8_t * p, float (&x)[piece]) {
        if (is_aligned(p, 16)) {
            const float4 a = load_from<float4>(p);
            const float4 b = load_from<float4>(p + 16);
            x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w;
            x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
        } else if (is_aligned(p, 4)) {
            for (int i = 0; i < piece; i++) {
                x[i] = float_of_bits(word_at<4>(p + 4 * i));
            }
        } else {
            for (int i = 0; i < piece; i++) {
                x[i] = float_of_bits(word_at<2>(p + 4 * i));
            }
        }
    }
};

template <typename Format>
CN_DEVICE void eight_of_16_bits(const uint8_t * p, float (&x)[piece]) {
    if (is_aligned(p, 16)) {
        const quad q = load_from<quad>(p);
        const uint32_t words[4] = {q.x, q.y, q.z, q.w};
        for (int i = 0; i < piece; i++) {
            x[i] = Format::number_of(static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16)));
        }
    } else {
        for (int i = 0; i < piece; i++) {
            x[i] = Format::one_at(p + 2 * i);
        }
    }
}

struct f16 {
    static constexpr int elements = 1, bytes = 2;
    CN_DEVICE static float number_of(uint16_t bits) { return float_of_half(bits); }
    CN_DEVICE static float one_at(const uint8_t * p) { return number_of(short_at(p)); }
    CN_DEVICE static void eight_at(const uint8_t * p, float (&x)[piece]) { eight_of_16_bits<f16>(p, x); }
};

struct b16 {
    static constexpr int elements = 1, bytes = 2;
    CN_DEVICE static float number_of(uint16_t bits) { return load(bf16{bits}); }
    CN_DEVICE static float one_at(const uint8_t * p) { return number_of(short_at(p)); }
    CN_DEVICE static void eight_at(const uint8_t * p, float (&x)[piece]) { eight_of_16_bits<b16>(p, x); }
};

// --- pieces of rows ---

// ggml's order of the products: the block's half and the scale first. Both are exact, and what is subtracted rounds once, fused or not.
template <typename Format, int unit>
CN_DEVICE void unpack(const uint8_t * block, int first, float (&x)[piece]) {
    const packed_piece p = Format::template piece_at<unit>(block, first);
    for (int i = 0; i < piece; i++) {
        const float product = p.scale * number_of_byte(i < 4 ? p.code.low : p.code.high, i % 4, Format::zero);
        x[i] = Format::has_minimum ? product - p.minimum : product;
    }
}

CN_DEVICE void store_piece(float * to, const float (&x)[piece]) {
    if (is_aligned(to, 16)) {
        store_to(to, float4{x[0], x[1], x[2], x[3]});
        store_to(to + 4, float4{x[4], x[5], x[6], x[7]});
    } else {
        for (int i = 0; i < piece; i++) {
            to[i] = x[i];
        }
    }
}

CN_DEVICE void store_piece(bf16 * to, const float (&x)[piece]) {
    const quad q = {packed(x[0], x[1]), packed(x[2], x[3]), packed(x[4], x[5]), packed(x[6], x[7])};
    if (is_aligned(to, 16)) {
        store_to(to, q);
    } else {
        const uint32_t words[4] = {q.x, q.y, q.z, q.w};
        for (int i = 0; i < 4; i++) {
            to[2 * i] = bf16{static_cast<uint16_t>(words[i])};
            to[2 * i + 1] = bf16{static_cast<uint16_t>(words[i] >> 16)};
        }
    }
}

// Elements `first` (a multiple of 8) to first + 7 of a row of `columns`, and no further, to their places in out, where the row's elements go.
// row: aligned to 2; faster where it is aligned to unit_of(a block's bytes), 16 for blocks of one element. out: faster where the piece is aligned to 16.
template <typename Format, typename Out>
CN_DEVICE void convert_piece(const uint8_t * row, int64_t first, int64_t columns, Out * out) {
    float x[piece];
    if constexpr (Format::elements == 1) {
        if (first + piece > columns) {
            for (int64_t i = first; i < columns; i++) {
                store(out[i], Format::one_at(row + i * Format::bytes));
            }
            return;
        }
        Format::eight_at(row + first * Format::bytes, x);
    } else {
        constexpr int unit = unit_of(Format::bytes);
        // Unsigned, so that the division is a shift.
        const uint8_t * const block = row + static_cast<uint64_t>(first) / Format::elements * Format::bytes;
        const int within = static_cast<int>(static_cast<uint64_t>(first) % Format::elements);
        if (unit > 2 && is_aligned(row, unit)) {
            unpack<Format, unit>(block, within, x);
        } else {
            unpack<Format, 2>(block, within, x);
        }
    }
    store_piece(out + first, x);
}

} // namespace continual::formats

// All formats with ggml's names: X(format, name).
#define CN_EVERY_FORMAT(X) \
    X(f32, F32)            \
    X(f16, F16)            \
    X(b16, BF16)           \
    X(q4_0, Q4_0)          \
    X(q4_1, Q4_1)          \
    X(q5_0, Q5_0)          \
    X(q5_1, Q5_1)          \
    X(q8_0, Q8_0)          \
    X(q2_k, Q2_K)          \
    X(q3_k, Q3_K)          \
    X(q4_k, Q4_K)          \
    X(q5_k, Q5_K)          \
    X(q6_k, Q6_K)          \
    X(iq4_nl, IQ4_NL)      \
    X(iq4_xs, IQ4_XS)
