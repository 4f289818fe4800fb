#include "ops/tile_gemm.h"

#include "ops/tile_gemm_sizes.h"

#include <algorithm>

namespace continual {

namespace {

// Blocks that keep a GPU busy.
constexpr int64_t enough_blocks = 256;
// A part of a sum is worth its way through memory from here on.
constexpr int64_t fewest_steps = 8;

bool is_multiple(const void * data, int64_t bytes, int64_t stride, int64_t elements) {
    return reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(bytes) == 0 && stride % elements == 0;
}

int64_t tiles_of(int64_t m, int64_t n, int64_t side) {
    return pieces(m, side) * pieces(n, side);
}

int32_t side_for(int64_t m, int64_t n) {
    return m > 64 && n > 64 && tiles_of(m, n, 128) >= enough_blocks / 2 ? 128 : 64;
}

// Decision: by the product's size alone, never by the GPU's, so that every GPU adds in the same order.
int64_t parts_for(int64_t m, int64_t n, int64_t k, int32_t side) {
    if (side != 64) {
        return 1;
    }
    const int64_t steps = pieces(k, tile_depth);
    const int64_t most = std::max<int64_t>(1, std::min(enough_blocks / tiles_of(m, n, side), steps / fewest_steps));
    // As many as it takes where each has the same steps, but for the last.
    return pieces(steps, pieces(steps, most));
}

} // namespace

int64_t tile_gemm_scratch_bytes(int64_t m, int64_t n, int64_t k) noexcept {
    const int64_t parts = parts_for(m, n, k, side_for(m, n));
    return parts > 1 ? parts * m * n * static_cast<int64_t>(sizeof(float)) : 0;
}

void tile_gemm(const gpu_context & gpu, const device_product & product, void * scratch, int32_t side) {
    const int64_t m = product.m;
    const int64_t n = product.n;
    const int64_t k = product.k;
    const device_product::side & left = product.left;
    const device_product::side & right = product.right;
    if (left.is_bf16 != right.is_bf16 || m < 1 || n < 1 || k < 1) {
        throw error(failure::device, "no product of such operands");
    }
    const bool out_wide = is_multiple(product.out, product.out_is_bf16 ? 8 : 16, product.out_stride, 4);
    if (!left.is_bf16) {
        launch(gpu, "tile_gemm_f32", {tiles_of(m, n, plain_side)}, plain_threads, plain_shared_bytes, m, n, k, static_cast<const float *>(left.data), left.stride,
               static_cast<int32_t>(left.transposed), static_cast<const float *>(right.data), right.stride, static_cast<int32_t>(right.transposed), product.out,
               product.out_stride, static_cast<int32_t>(product.out_is_bf16), static_cast<int32_t>(out_wide), product.scale, static_cast<int32_t>(product.accumulate));
        return;
    }
    side = side != 0 ? side : side_for(m, n);
    // Of another side it could take more scratch than was said.
    const int64_t parts = scratch != nullptr && side == side_for(m, n) ? parts_for(m, n, k, side) : 1;
    const int32_t steps = static_cast<int32_t>(pieces(pieces(k, tile_depth), parts));
    const std::string kernel = std::string(side == 128 ? "tile_gemm_128_" : "tile_gemm_64_") + (left.transposed ? "t" : "n") + (right.transposed ? "t" : "n");
    const auto multiply = [&](void * to, int64_t stride, bool is_bf16, bool wide, float by, bool add) {
        launch(gpu, kernel, {tiles_of(m, n, side), parts}, tile_threads(side), tile_shared_bytes(side), m, n, k, steps, static_cast<const bf16 *>(left.data), left.stride,
               static_cast<int32_t>(is_multiple(left.data, 16, left.stride, 8)), static_cast<const bf16 *>(right.data), right.stride,
               static_cast<int32_t>(is_multiple(right.data, 16, right.stride, 8)), to, stride, static_cast<int32_t>(is_bf16), static_cast<int32_t>(wide), by,
               static_cast<int32_t>(add));
    };
    if (parts == 1) {
        multiply(product.out, product.out_stride, product.out_is_bf16, out_wide, product.scale, product.accumulate);
        return;
    }
    multiply(scratch, n, false, is_multiple(scratch, 16, n, 4) && m * n % 4 == 0, 1.0f, false);
    launch(gpu, "tile_gemm_add", {pieces(m * n, 256)}, 256, 0, m, n, static_cast<int32_t>(parts), static_cast<const float *>(scratch), product.out,
           product.out_stride, static_cast<int32_t>(product.out_is_bf16), product.scale, static_cast<int32_t>(product.accumulate));
}

} // namespace continual
