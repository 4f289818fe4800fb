// Matrix products on kernels of our own: for where there is no cuBLAS, and for thin ones.
#pragma once

#include "runtime/device.h"

#include <cstdint>

namespace continual {

// What device_product says, for m, n, k ≥ 1 and any strides and alignments; out overlaps no operand. bf16 operands go through tensor cores, fastest where they are
// aligned to 16 and their strides are multiples of 8; float ones through a plain kernel. The same call gives the same bits.
// scratch: tile_gemm_scratch_bytes on the device, aligned to 16, for products whose out is too small to keep a GPU busy: their sums over k are made in parts, which
// then are added up in order. Null: in one piece.
// side: of the tiles, 64 or 128; 0: what suits the product.
void tile_gemm(const gpu_context & gpu, const device_product & product, void * scratch = nullptr, int32_t side = 0);

inline constexpr int64_t most_tile_gemm_scratch_bytes = int64_t{4} << 20;

// At most most_tile_gemm_scratch_bytes; 0 where there are no parts.
int64_t tile_gemm_scratch_bytes(int64_t m, int64_t n, int64_t k) noexcept;

} // namespace continual
