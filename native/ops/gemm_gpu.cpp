// A product on a GPU: the right side becomes plain numbers piece by piece in scratch memory, and each piece is a product of the device.
#include "ops/gemm.h"

#include "ops/quant.h"
#include "ops/rows.h"

#include <algorithm>
#include <string>

namespace continual {

namespace {

constexpr int64_t element_bytes(bool is_bf16) {
    return is_bf16 ? 2 : 4;
}

// Of a piece of an unpacked weight: large enough that products run at full speed, small beside what training needs anyway.
constexpr int64_t most_right_bytes = int64_t{128} << 20;

constexpr int64_t aligned(int64_t bytes) {
    return pieces(bytes, 256) * 256;
}

// Rows in the precision of the product.
void unpack(const gpu_context & gpu, bool wanted, tensor_type type, const void * from, int64_t row_stride, int64_t rows, int64_t columns, void * to, int64_t stride) {
    if (wanted) {
        dequantize(gpu, type, from, row_stride, rows, columns, static_cast<bf16 *>(to), stride);
    } else {
        dequantize(gpu, type, from, row_stride, rows, columns, static_cast<float *>(to), stride);
    }
}

// The left side in the precision of the product.
device_product::side left_side(const gpu_context & gpu, const gemm_left & left, bool wanted, int64_t m, int64_t k, const gemm_gpu_scratch & scratch) {
    if (left.is_bf16 == wanted) {
        return {left.data, wanted, left.stride, left.transposed};
    }
    const int64_t rows = left.transposed ? k : m;
    const int64_t columns = left.transposed ? m : k;
    // Rows of whole vectors of 16 bytes.
    const int64_t stride = pieces(columns, 8) * 8;
    if (rows * stride * element_bytes(wanted) > scratch.left_bytes) {
        throw error(failure::device, "a product's left side of " + std::to_string(rows) + " x " + std::to_string(columns) + " has no room in " + std::to_string(scratch.left_bytes) + " bytes");
    }
    const tensor_type type = left.is_bf16 ? tensor_type::bf16 : tensor_type::f32;
    unpack(gpu, wanted, type, left.data, left.stride * element_bytes(left.is_bf16), rows, columns, scratch.left, stride);
    return {scratch.left, wanted, stride, left.transposed};
}

void term(const gpu_context & gpu, bool wanted, int64_t m, int64_t n, const gemm_term & t, const gemm_out & out, bool accumulate, const gemm_gpu_scratch & scratch) {
    const device_product::side left = left_side(gpu, t.left, wanted, m, t.k, scratch);
    const gemm_right & right = t.right;
    const bool plain = right.type == (wanted ? tensor_type::bf16 : tensor_type::f32) && right.row_stride % element_bytes(wanted) == 0;
    const int64_t rows = right.transposed ? n : t.k;
    const int64_t columns = right.transposed ? t.k : n;
    const int64_t stride = plain ? right.row_stride / element_bytes(wanted) : pieces(columns, 8) * 8;
    const int64_t piece = plain ? rows : std::min(rows, scratch.right_bytes / (stride * element_bytes(wanted)));
    if (piece < 1) {
        throw error(failure::device, "a product's right side of " + std::to_string(columns) + " columns has no room in " + std::to_string(scratch.right_bytes) + " bytes");
    }
    for (int64_t first = 0; first < rows; first += piece) {
        const int64_t count = std::min(piece, rows - first);
        const char * from = static_cast<const char *>(right.data) + first * right.row_stride;
        device_product p;
        p.m = m;
        p.n = right.transposed ? count : n;
        p.k = right.transposed ? t.k : count;
        p.left = left;
        p.right = {from, wanted, stride, right.transposed};
        if (!plain) {
            unpack(gpu, wanted, right.type, from, right.row_stride, count, columns, scratch.right, stride);
            p.right.data = scratch.right;
        }
        int64_t out_at = 0;
        if (right.transposed) {
            out_at = first;
        } else {
            const int64_t left_at = first * (left.transposed ? left.stride : 1);
            p.left.data = static_cast<const char *>(left.data) + left_at * element_bytes(wanted);
        }
        p.out = static_cast<char *>(out.data) + out_at * element_bytes(out.is_bf16);
        p.out_is_bf16 = out.is_bf16;
        p.out_stride = out.stride;
        p.scale = t.scale;
        p.accumulate = accumulate || (!right.transposed && first > 0);
        gpu.on.multiply(p);
    }
}

} // namespace

gemm_gpu_sizes gemm_gpu_sizes_of(precision how, int64_t left_elements, int64_t right_rows, int64_t right_columns) noexcept {
    const int64_t each = element_bytes(how == precision::bf16);
    const int64_t row = (pieces(right_columns, 8) * 8) * each;
    return {aligned(left_elements * each), aligned(std::max(row, std::min(row * right_rows, most_right_bytes)))};
}

void gemm(const gpu_context & gpu, precision how, int64_t m, int64_t n, const gemm_term * terms, int32_t count, const gemm_out & out, const gemm_gpu_scratch & scratch) {
    if (m < 1 || n < 1) {
        return;
    }
    const bool wanted = how == precision::bf16;
    int32_t order[max_gemm_terms] = {0, 1, 2, 3};
    // Decision: short terms first. Where out is bf16 every term but the last is rounded on the way, and an adapter's is the smaller part.
    std::stable_sort(order, order + count, [terms](int32_t a, int32_t b) { return terms[a].k < terms[b].k; });
    bool accumulate = out.accumulate;
    for (int32_t i = 0; i < count; i++) {
        const gemm_term & t = terms[order[i]];
        if (t.k > 0) {
            term(gpu, wanted, m, n, t, out, accumulate, scratch);
            accumulate = true;
        }
    }
    if (!accumulate) {
        throw error(failure::device, "a product without a term");
    }
    if (out.bias != nullptr) {
        if (out.is_bf16) {
            add_bias(gpu, m, n, out.bias, static_cast<bf16 *>(out.data), out.stride);
        } else {
            add_bias(gpu, m, n, out.bias, static_cast<float *>(out.data), out.stride);
        }
    }
}

} // namespace continual
