// What ops/quant_cpu.cpp offers for each set of instructions.
#pragma once

#include "runtime/types.h"

#include <cstdint>

namespace continual {

// As dequantize in ops/quant.h.
struct quant_kernels {
    void (*to_float)(tensor_type type, const void * blocks, float * out, int64_t n) noexcept;
    void (*to_bf16)(tensor_type type, const void * blocks, bf16 * out, int64_t n) noexcept;
};

} // namespace continual
