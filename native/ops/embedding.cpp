#include "ops/embedding.h"

#include "ops/chunks.h"
#include "ops/quant.h"

#include <cassert>

namespace continual {

void embedding_forward(const cpu_context & cpu, int64_t rows, int64_t width, const int32_t * tokens, const void * table, tensor_type type, int64_t row_stride, float * x) {
    for_chunks(cpu, rows, chunk_rows(width), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            dequantize(cpu.level, type, static_cast<const char *>(table) + tokens[row] * row_stride, x + row * width, width);
        }
    });
}

// Decision: columns are split among the tasks, not rows or tokens: no two tasks share an element, each adds in the order of the rows, and a token that is in
// every row costs no more than another. No version for each set of instructions: memory decides.
void embedding_backward(const cpu_context & cpu, int64_t rows, int64_t width, const int32_t * tokens, const float * dx, float * d_table, [[maybe_unused]] int64_t vocabulary) {
    for_chunks(cpu, width, 64, [&](int64_t begin, int64_t end) {
        for (int64_t row = 0; row < rows; row++) {
            assert(tokens[row] >= 0 && tokens[row] < vocabulary);
            const float * const from = dx + row * width;
            float * const to = d_table + tokens[row] * width;
            for (int64_t i = begin; i < end; i++) {
                to[i] += from[i];
            }
        }
    });
}

} // namespace continual
