#include "ops/embedding.h"

#include "ops/quant.h"

namespace continual {

namespace {

constexpr int block = 128;
constexpr int64_t tile = 512;
constexpr int64_t columns_of_block = block * 4;

} // namespace

void embedding_forward(const gpu_context & gpu, int64_t rows, int64_t width, const int32_t * tokens, const void * table, tensor_type type, int64_t row_stride, float * x) {
    if (width > 0) {
        launch(gpu, std::string("embedding_forward_") + name(type), {rows}, block, 0, width, tokens, table, row_stride, x);
    }
}

int64_t embedding_backward_scratch(int64_t rows) noexcept {
    return rows * static_cast<int64_t>(sizeof(uint64_t));
}

void embedding_backward(const gpu_context & gpu, int64_t rows, int64_t width, const int32_t * tokens, const float * dx, float * d_table, [[maybe_unused]] int64_t vocabulary,
                        void * scratch) {
    uint64_t * const sorted = static_cast<uint64_t *>(scratch);
    launch(gpu, "embedding_sort", {pieces(rows, block)}, block, sizeof(int32_t) * tile, rows, tokens, sorted);
    launch(gpu, "embedding_backward", {rows, pieces(width, columns_of_block)}, block, 0, rows, width, static_cast<const uint64_t *>(sorted), dx, d_table);
}

} // namespace continual
