#include "ops/attention.h"
#include "ops/attention_tiles.cuh"

#include <algorithm>

namespace continual {

namespace {

namespace tiles = attention_tiles;

// Heads are taken as wide as the next width that there are kernels for; what is beyond their own is zero.
template <typename T>
int padded_width(const attention_shape & shape) {
    const int32_t wider = std::max(shape.width, shape.v_width);
    for (const int width : {32, 64, 96, 128, 256}) {
        if (wider <= width && (std::is_same_v<T, bf16> || (width != 32 && width != 96))) {
            return width;
        }
    }
    throw error(failure::unsupported, "a GPU's attention has heads of at most 256, not of " + std::to_string(wider));
}

template <typename T>
bool are_aligned(const attention_shape & shape, std::initializer_list<const void *> pointers) {
    bool all = true;
    for (const void * const pointer : pointers) {
        all = all && reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
    }
    for (const int64_t elements : {static_cast<int64_t>(shape.width), static_cast<int64_t>(shape.v_width), shape.q_stride, shape.k_stride, shape.v_stride, shape.o_stride}) {
        all = all && elements * static_cast<int64_t>(sizeof(T)) % 16 == 0;
    }
    return all;
}

template <typename... Arguments>
void launch_for(const gpu_context & gpu, const std::string & kernel, const attention_shape & shape, int64_t longest, grid_size grid, int threads, int64_t bytes, bool aligned,
                Arguments... arguments) {
    // A window that no sequence fills is none.
    const int32_t window = shape.window > 0 && shape.window < longest ? shape.window : 0;
    launch(gpu, kernel, grid, threads, bytes, shape.bounds, shape.sequences, shape.heads, shape.kv_heads, shape.width, shape.v_width, shape.q_stride, shape.k_stride,
           shape.v_stride, shape.o_stride, shape.scale, window, static_cast<int32_t>(aligned), arguments...);
}

template <typename T>
std::string kernel_for(const char * op, int width) {
    return kernel_of<T>(op) + "_" + std::to_string(width);
}

} // namespace

int64_t attention_gpu_scratch_bytes(const attention_shape & shape, int64_t rows) noexcept {
    return rows * shape.heads * static_cast<int64_t>(sizeof(float));
}

template <typename T>
void attention_forward(const gpu_context & gpu, const attention_shape & shape, int64_t longest, const T * q, const T * k, const T * v, T * o, float * lse) {
    const int width = padded_width<T>(shape);
    const bool aligned = are_aligned<T>(shape, {q, k, v, o});
    launch_for(gpu, kernel_for<T>("attention_forward", width), shape, longest, {pieces(longest, tiles::forward_rows<T>(width)) * shape.sequences, shape.heads}, tiles::threads,
               tiles::forward_bytes<T>(width), aligned, q, k, v, o, lse);
}

template <typename T>
void attention_backward(const gpu_context & gpu, const attention_shape & shape, int64_t longest, const T * q, const T * k, const T * v, const T * o, const float * lse,
                        const T * d_o, T * dq, T * dk, T * dv, void * scratch) {
    const int width = padded_width<T>(shape);
    const bool aligned = are_aligned<T>(shape, {q, k, v, o, d_o, dq, dk, dv});
    float * const dots = static_cast<float *>(scratch);
    // Enough for any GPU; each goes through the rows in steps.
    constexpr int64_t most_blocks = 4096;
    const int64_t rows = longest * shape.sequences;
    launch_for(gpu, kernel_of<T>("attention_dots"), shape, longest, {std::min(most_blocks, pieces(rows, tiles::dots_threads / 32))}, tiles::dots_threads, 0, aligned, d_o, o, dots);

    const int64_t blocks = pieces(longest, tiles::backward_rows<T>(width)) * shape.sequences;
    const int64_t parts = std::is_same_v<T, bf16> && tiles::is_split(width) ? 2 : 1;
    launch_for(gpu, kernel_for<T>("attention_keys", width), shape, longest, {blocks, shape.kv_heads, parts}, tiles::threads, tiles::backward_bytes<T>(width), aligned, q, k, v,
               lse, d_o, static_cast<const float *>(dots), dk, dv);
    launch_for(gpu, kernel_for<T>("attention_queries", width), shape, longest, {blocks, shape.heads}, tiles::threads, tiles::backward_bytes<T>(width), aligned, q, k, v, lse, d_o,
               static_cast<const float *>(dots), dq);
}

#define CN_FOR(T)                                                                                                                                                       \
    template void attention_forward(const gpu_context &, const attention_shape &, int64_t, const T *, const T *, const T *, T *, float *);                              \
    template void attention_backward(const gpu_context &, const attention_shape &, int64_t, const T *, const T *, const T *, const T *, const float *, const T *, T *,  \
                                     T *, T *, void *);
CN_FOR(float)
CN_FOR(bf16)

} // namespace continual
