// Matrix products whose right side may be quantized: its tiles are unpacked into the micro-kernel's panels on the way, so that
// neither a dequantized nor a transposed copy ever exists.
#pragma once

#include "runtime/device.h"
#include "runtime/thread_pool.h"
#include "runtime/types.h"

#include <cstdint>

namespace continual {

// How products are computed. Sums are always in float.
enum class precision : int32_t {
    f32 = 0,  // operands in float
    bf16 = 1, // operands rounded to bf16, products exact
};

// The left side: m × k of activations, float or bf16 in memory.
struct gemm_left {
    const void * data = nullptr;
    bool is_bf16 = false;
    // Elements between the starts of two stored rows.
    int64_t stride = 0;
    // false: stored as m rows of k. true: stored as k rows of m (the product uses its transpose).
    bool transposed = false;
};

// The right side: a matrix in memory, row-major, `rows` rows of `columns` elements in `type`.
struct gemm_right {
    const void * data = nullptr;
    tensor_type type = tensor_type::f32;
    int64_t rows = 0;
    int64_t columns = 0;
    // Bytes between the starts of two rows.
    int64_t row_stride = 0;
    // true: out += left · rightᵀ, so k = columns and n = rows (a linear layer forwards: y = x Wᵀ).
    // false: out += left · right, so k = rows and n = columns (backwards: dx = dy W).
    bool transposed = true;
};

// scale · left · right(ᵀ); terms of one product may differ in k.
struct gemm_term {
    gemm_left left;
    gemm_right right;
    int64_t k = 0;
    float scale = 1.0f;
};

// Where results go: m × n, float or bf16 in memory.
struct gemm_out {
    void * data = nullptr;
    bool is_bf16 = false;
    int64_t stride = 0;
    // Adds to what is there instead of replacing it.
    bool accumulate = false;
    // n floats added to every row, or null.
    const float * bias = nullptr;
};

inline constexpr int32_t max_gemm_terms = 4;

// Bytes of scratch memory that gemm wants for a product of at most m rows on `threads` threads with k (of all terms together) at most k.
// Aligned to 64 by the caller.
int64_t gemm_scratch_bytes(int32_t threads, int64_t m, int64_t k) noexcept;

// out (+)= Σ terms + bias. All of m, n, k may be odd; n and k of a quantized right side are what its blocks allow. Each element of out is the same
// whatever the number of threads. Never allocates. `scratch` as sized above.
void gemm(const cpu_context & cpu, precision how, int64_t m, int64_t n, const gemm_term * terms, int32_t count, const gemm_out & out, void * scratch);

// The same on the calling thread alone, for small products inside a task of a thread pool.
void gemm_serial(isa level, precision how, int64_t m, int64_t n, const gemm_term * terms, int32_t count, const gemm_out & out, void * scratch);

// Scratch memory on the device for the GPU's products: sides that are converted to the products' precision.
struct gemm_gpu_sizes {
    int64_t left_bytes;
    int64_t right_bytes;
};

struct gemm_gpu_scratch {
    void * left = nullptr;
    int64_t left_bytes = 0;
    void * right = nullptr;
    int64_t right_bytes = 0;
};

// For left sides that are not in the products' precision, of at most left_elements with their rows padded to 8, and right sides of at most right_rows × right_columns.
// Both aligned to 256.
gemm_gpu_sizes gemm_gpu_sizes_of(precision how, int64_t left_elements, int64_t right_rows, int64_t right_columns) noexcept;

// The same as gemm on a GPU: all pointers are the device's. A result in bf16 is rounded once for each term.
void gemm(const gpu_context & gpu, precision how, int64_t m, int64_t n, const gemm_term * terms, int32_t count, const gemm_out & out, const gemm_gpu_scratch & scratch);

} // namespace continual
