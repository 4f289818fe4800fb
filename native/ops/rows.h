// What the trainer does with rows of arrays on a GPU; all pointers are the device's.
#pragma once

#include "runtime/device.h"
#include "runtime/types.h"

#include <cstdint>

namespace continual {

// to [count × width]: to's row i is from's row row[i]; from's rows are from_stride elements apart. The two do not overlap.
void gather_rows(const gpu_context & gpu, int64_t count, int64_t width, const int32_t * row, const float * from, int64_t from_stride, float * to);

// The other way round: to's row row[i] is from's row i, from [count × width]; to's other rows stay. row is ascending and no row twice in it.
void scatter_rows(const gpu_context & gpu, int64_t count, int64_t width, const int32_t * row, const float * from, float * to, int64_t to_stride);

void fill(const gpu_context & gpu, int64_t n, float value, float * to);

// position [count]: which one in its sequence each of a batch's packed rows is. Sequence s has the rows from bounds[s] to before bounds[s + 1] (bounds
// [sequences + 1], ascending); rows outside all sequences get 0.
void positions_of(const gpu_context & gpu, const int32_t * bounds, int32_t sequences, int64_t count, int32_t * position);

// x[row][i] += bias[i], n elements of each row, rows `stride` elements apart. T: float or bf16.
template <typename T>
void add_bias(const gpu_context & gpu, int64_t rows, int64_t n, const float * bias, T * x, int64_t stride);

// sums[i] += Σ rows x[row][i], the gradient of a bias. In float, in an order that is always the same. T: float or bf16.
template <typename T>
void sum_of_rows(const gpu_context & gpu, int64_t rows, int64_t n, const T * x, int64_t stride, float * sums);

} // namespace continual
