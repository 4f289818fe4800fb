// Rotary position embedding (Su et al. 2021, arXiv 2104.09864, eq. 34), with llama.cpp's scalings.
#pragma once

#include "runtime/device.h"
#include "runtime/thread_pool.h"
#include "runtime/types.h"

#include <cstdint>

namespace continual {

enum class rope_style : int32_t {
    adjacent = 0, // pairs (0,1), (2,3), …: llama
    halves = 1,   // pairs (0, d/2), (1, d/2+1), …: qwen ("neox")
};

struct rope_config {
    rope_style style = rope_style::adjacent;
    // Rotated elements of each head, even; those behind stay.
    int32_t dimensions = 0;
    float base = 10000.0f;
    // 1/factor for linear scaling, otherwise 1.
    float scale = 1.0f;
    // YaRN (Peng et al. 2023, arXiv 2309.00071): ext_factor 0 switches it off.
    float ext_factor = 0.0f;
    // Multiplies cosine and sine. With YaRN the table multiplies by 1 + 0.1 · ln(1 / scale) besides, as ggml does: for a file that says nothing of it this stays 1.
    float attention_factor = 1.0f;
    float beta_fast = 32.0f;
    float beta_slow = 1.0f;
    int32_t original_context = 0;
    // dimensions/2 divisors of the frequencies (Llama 3's rope_freqs), or null.
    const float * factors = nullptr;
};

// table [positions × dimensions]: cosine and sine by turns for positions 0 … positions−1, as ggml computes them
// (theta by repeated multiplication in float is not needed; angles are computed in double).
void rope_table(const rope_config & config, int64_t positions, float * table);

// Turns x in place: rows of `heads` heads of `width` elements, rows `stride` elements apart; position[row] chooses the table's row.
// backward: by the opposite angle, which is the gradient. T: float or bf16.
template <typename T>
void rope(const cpu_context & cpu, const rope_config & config, const float * table, int64_t rows, int64_t heads, int64_t width, int64_t stride, const int32_t * position, T * x,
          bool backward);

// The same on a GPU: table, position and x are the device's, config the host's.
template <typename T>
void rope(const gpu_context & gpu, const rope_config & config, const float * table, int64_t rows, int64_t heads, int64_t width, int64_t stride, const int32_t * position, T * x,
          bool backward);

} // namespace continual
