// Which instructions the processor has, and where the fast versions of the ops for each are.
#pragma once

#include <cstdint>

namespace continual {

// Sets of instructions, each including those before it. Every op exists for each, or falls to the next lower one.
enum class isa : int32_t {
    portable = 0,    // no assumption
    avx2 = 1,        // AVX2, FMA, F16C
    avx512 = 2,      // AVX-512 F, BW, CD, DQ, VL
    avx512_bf16 = 3, // and vdpbf16ps
};

inline constexpr int32_t isa_count = 4;

// The highest set that this processor and operating system offer. Asked once.
isa best_isa() noexcept;

// The set to run on unless told otherwise: best_isa(), or avx512 where vdpbf16ps is there but slower than the same work done by
// FMA on floats. Decided by the processor's maker, not by a measurement, so that a machine always takes the same one.
isa preferred_isa() noexcept;

const char * name(isa level) noexcept;

} // namespace continual
