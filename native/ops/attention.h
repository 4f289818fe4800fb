// Causal attention over packed sequences with grouped queries: softmax(q kᵀ · scale) v, each sequence for itself. Rows of scores live in tiles only
// (Dao 2023, arXiv 2307.08691): memory grows with the length, not with its square.
#pragma once

#include "ops/gemm.h"
#include "runtime/device.h"

#include <cstdint>
#include <vector>

namespace continual {

struct attention_shape {
    // Token rows are packed: sequence s has rows bounds[s] … bounds[s+1]−1.
    const int32_t * bounds = nullptr;
    int32_t sequences = 0;
    int32_t heads = 0;    // of q
    int32_t kv_heads = 0; // divides heads; head h looks at kv head h / (heads / kv_heads)
    int32_t width = 0;    // of a head of q and k
    int32_t v_width = 0;  // of a head of v
    // Elements between rows of q and o (usually heads × width) and of k and v.
    int64_t q_stride = 0;
    int64_t k_stride = 0;
    int64_t v_stride = 0;
    int64_t o_stride = 0;
    float scale = 1.0f;
    // A token sees itself and window−1 before it; 0: all before it.
    int32_t window = 0;
};

// Bytes of scratch (aligned to 64 by the caller) for `threads` threads, forward or backward, whichever needs more.
int64_t attention_scratch_bytes(const attention_shape & shape, int32_t threads, int64_t longest) noexcept;

// q [rows × heads × width], k, v, o likewise; lse [rows × heads]: logarithm of each row's sum of exponentials. T: float or bf16, which also
// chooses the products' precision (sums in float always).
template <typename T>
void attention_forward(const cpu_context & cpu, const attention_shape & shape, const T * q, const T * k, const T * v, T * o, float * lse, void * scratch);

// A NaN that a row looks at makes its output and lse NaN. Rows that belong to no sequence are neither read nor written.
// dq, dk, dv: replaced, same shapes as q, k, v. dO has o's shape. Same result on any number of threads. At most
// sequences × kv_heads threads have work to do.
template <typename T>
void attention_backward(const cpu_context & cpu, const attention_shape & shape, const T * q, const T * k, const T * v, const T * o, const float * lse, const T * d_o, T * dq, T * dk,
                        T * dv, void * scratch);

// Which rows each block of the GPU's kernels takes: pairs of a sequence and the first row in it, those with most to do first (the last queries, which see most keys, and the
// first keys, which most queries see). No block is without work, however the lengths differ.
struct attention_blocks {
    std::vector<int32_t> list; // of forward, then of backward's queries, then of its keys
    std::vector<int32_t> work; // of each pair: keys or queries that it goes through, about
    int64_t forward = 0;       // pairs
    int64_t backward = 0;      // pairs, of queries and of keys each
    int64_t rows = 0;          // of all sequences
    int32_t longest = 0;       // rows of the longest sequence
    const int32_t * there = nullptr; // the list on the device, for its user to set
};

// bounds: the host's.
template <typename T>
attention_blocks attention_blocks_of(const attention_shape & shape, const int32_t * bounds);

// Entries of any such list, at most.
int64_t most_attention_blocks(int64_t rows, int32_t sequences) noexcept;

// The same on a GPU; all pointers are the device's, shape.bounds and blocks.there too. Heads of up to 256; wider ones throw
// failure::unsupported. With bf16 and all widths, strides and pointers multiples of 16 bytes rows are read much faster. Always the same result.
template <typename T>
void attention_forward(const gpu_context & gpu, const attention_shape & shape, const attention_blocks & blocks, const T * q, const T * k, const T * v, T * o, float * lse);

// Bytes of scratch for sequences whose last row is before `rows`.
int64_t attention_gpu_scratch_bytes(const attention_shape & shape, int64_t rows) noexcept;

template <typename T>
void attention_backward(const gpu_context & gpu, const attention_shape & shape, const attention_blocks & blocks, const T * q, const T * k, const T * v, const T * o, const float * lse,
                        const T * d_o, T * dq, T * dk, T * dv, void * scratch);

} // namespace continual
