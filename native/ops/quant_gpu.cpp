#include "ops/quant.h"

namespace continual {

namespace {

constexpr int block = 256;
constexpr int64_t piece = 8;

} // namespace

template <typename Out>
void dequantize(const gpu_context & gpu, tensor_type type, const void * blocks, int64_t row_stride, int64_t rows, int64_t columns, Out * out, int64_t out_stride) {
    if (row_stride == row_bytes(type, columns) && out_stride == columns) {
        columns *= rows;
        rows = rows > 0 ? 1 : 0;
    }
    const int64_t row_pieces = pieces(columns, piece);
    launch(gpu, kernel_of<Out>((std::string("dequantize_") + name(type)).c_str()), {pieces(rows * row_pieces, block)}, block, 0, row_pieces, rows * row_pieces, blocks, row_stride,
           columns, out, out_stride);
}

template void dequantize(const gpu_context &, tensor_type, const void *, int64_t, int64_t, int64_t, float *, int64_t);
template void dequantize(const gpu_context &, tensor_type, const void *, int64_t, int64_t, int64_t, bf16 *, int64_t);

} // namespace continual
