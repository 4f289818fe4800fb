#include "ops/vec.h"

namespace continual::CN_ISA {

template <typename T>
void rope_rows(bool halves, int64_t dimensions, const float * table, int64_t rows, int64_t heads, int64_t width, int64_t stride, const int32_t * position, T * x, bool backward) {
    const int64_t half = dimensions / 2;
    const float direction = backward ? -1.0f : 1.0f;
    for (int64_t row = 0; row < rows; row++, x += stride) {
        const float * const turns = table + static_cast<int64_t>(position[row]) * dimensions;
        T * head = x;
        for (int64_t h = 0; h < heads; h++, head += width) {
            if (halves) {
                T * const upper = head + half;
                CN_SIMD
                for (int64_t i = 0; i < half; i++) {
                    const float cosine = turns[2 * i];
                    const float sine = turns[2 * i + 1] * direction;
                    const float a = load(head[i]);
                    const float b = load(upper[i]);
                    store(head[i], a * cosine - b * sine);
                    store(upper[i], a * sine + b * cosine);
                }
            } else {
                CN_SIMD
                for (int64_t i = 0; i < half; i++) {
                    const float cosine = turns[2 * i];
                    const float sine = turns[2 * i + 1] * direction;
                    const float a = load(head[2 * i]);
                    const float b = load(head[2 * i + 1]);
                    store(head[2 * i], a * cosine - b * sine);
                    store(head[2 * i + 1], a * sine + b * cosine);
                }
            }
        }
    }
}

template void rope_rows(bool, int64_t, const float *, int64_t, int64_t, int64_t, int64_t, const int32_t *, float *, bool);
template void rope_rows(bool, int64_t, const float *, int64_t, int64_t, int64_t, int64_t, const int32_t *, bf16 *, bool);

} // namespace continual::CN_ISA
