#include "ops/quant_blocks.cuh"

namespace continual {

namespace {

constexpr int block = 256;

// A piece of a row a thread. row_pieces: of one row; pieces: of all rows.
template <typename Format, typename Out>
CN_DEVICE void convert(int64_t row_pieces, int64_t pieces, const void * blocks, int64_t row_stride, int64_t columns, Out * out, int64_t out_stride) {
    int64_t at = static_cast<int64_t>(block_x()) * block + thread_index();
    if (at >= pieces) {
        return;
    }
    const uint8_t * row = static_cast<const uint8_t *>(blocks);
    // A matrix without gaps comes as one row and needs no division.
    if (row_pieces < pieces) {
        const uint64_t i = static_cast<uint64_t>(at) / static_cast<uint64_t>(row_pieces);
        at -= static_cast<int64_t>(i) * row_pieces;
        row += static_cast<int64_t>(i) * row_stride;
        out += static_cast<int64_t>(i) * out_stride;
    }
    formats::convert_piece<Format>(row, at * formats::piece, columns, out);
}

} // namespace

#define CN_DEQUANTIZE(format, name)                                                                                                                                     \
    CN_KERNEL(block, dequantize_##name##_f32,                                                                                                                           \
              (int64_t row_pieces, int64_t pieces, const void * blocks, int64_t row_stride, int64_t columns, float * out, int64_t out_stride)) {                        \
        convert<formats::format>(row_pieces, pieces, blocks, row_stride, columns, out, out_stride);                                                                     \
    }                                                                                                                                                                   \
    CN_KERNEL(block, dequantize_##name##_bf16,                                                                                                                          \
              (int64_t row_pieces, int64_t pieces, const void * blocks, int64_t row_stride, int64_t columns, bf16 * out, int64_t out_stride)) {                         \
        convert<formats::format>(row_pieces, pieces, blocks, row_stride, columns, out, out_stride);                                                                     \
    }
CN_EVERY_FORMAT(CN_DEQUANTIZE)

} // namespace continual
