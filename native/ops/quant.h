// Quantized rows to floats.
#pragma once

#include "runtime/cpu.h"
#include "runtime/device.h"
#include "runtime/types.h"

#include <cstdint>

namespace continual {

// Whether the trainer reads tensors of ggml's type number `type`.
bool is_supported(int32_t type) noexcept;

// "Q4_K"; for a number that is not supported, ggml's name where it is known, otherwise "type N" (a static string).
const char * name(tensor_type type) noexcept;

// Elements of one block: 1, 32 or 256. A row holds whole blocks.
int64_t block_elements(tensor_type type) noexcept;

// Bytes of one block.
int64_t block_bytes(tensor_type type) noexcept;

// Bytes of a row of n elements, n a multiple of block_elements.
int64_t row_bytes(tensor_type type, int64_t n) noexcept;

// n elements (a multiple of block_elements) from blocks to out: bit for bit what ggml's to_float gives.
// blocks needs no alignment beyond 2 bytes. The version for `level` or the next lower one that exists.
void dequantize(isa level, tensor_type type, const void * blocks, float * out, int64_t n) noexcept;

// The same, rounded to bf16 (to nearest, ties to even) from the float value.
void dequantize(isa level, tensor_type type, const void * blocks, bf16 * out, int64_t n) noexcept;

// The same on a GPU for a matrix: `rows` rows of `columns` elements, row_stride bytes apart (even), to rows out_stride elements apart; both pointers are the device's.
// Bit for bit what the CPU gives, but for NaN: a NaN is one here too, with bits that may be others (0x7fff in bf16). Out: float or bf16. Fastest where blocks, out
// and the distances of their rows are aligned to 16 bytes. out must not overlap blocks.
template <typename Out>
void dequantize(const gpu_context & gpu, tensor_type type, const void * blocks, int64_t row_stride, int64_t rows, int64_t columns, Out * out, int64_t out_stride);

} // namespace continual
