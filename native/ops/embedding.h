// Rows of the token table.
#pragma once

#include "runtime/device.h"
#include "runtime/thread_pool.h"
#include "runtime/types.h"

#include <cstdint>

namespace continual {

// x[i] = table[tokens[i]], dequantized; table has rows of `width` elements in `type`, row_stride bytes apart. Tokens are in range (the caller checks).
void embedding_forward(const cpu_context & cpu, int64_t rows, int64_t width, const int32_t * tokens, const void * table, tensor_type type, int64_t row_stride, float * x);

// d_table[tokens[i]] += dx[i], in order of i for each token, so that the result is the same on any number of threads. d_table: rows of width floats.
void embedding_backward(const cpu_context & cpu, int64_t rows, int64_t width, const int32_t * tokens, const float * dx, float * d_table, int64_t vocabulary);

// The same on a GPU, bit for bit but for what a NaN's bits are; all pointers are the device's. row_stride is even.
void embedding_forward(const gpu_context & gpu, int64_t rows, int64_t width, const int32_t * tokens, const void * table, tensor_type type, int64_t row_stride, float * x);

// scratch: embedding_backward_scratch(rows) bytes of the device, aligned to 8; what was in it does not matter. At most 2^31 − 1 rows.
void embedding_backward(const gpu_context & gpu, int64_t rows, int64_t width, const int32_t * tokens, const float * dx, float * d_table, int64_t vocabulary, void * scratch);

int64_t embedding_backward_scratch(int64_t rows) noexcept;

} // namespace continual
