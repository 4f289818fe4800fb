#include "ops/rope.h"

#include "ops/chunks.h"
#include "ops/every_isa.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace continual {

CN_EVERY_ISA(
    template <typename T>
    void rope_rows(bool halves, int64_t dimensions, const float * table, int64_t rows, int64_t heads, int64_t width, int64_t stride, const int32_t * position, T * x, bool backward);)

namespace {

// The pair whose wave turns `rotations` times within the context that the model was trained on (YaRN, eq. 17 solved for the pair). In float, as llama.cpp has
// it: its result is rounded to an integer, and both should fall on the same side.
float pair_of_rotations(const rope_config & config, float rotations) {
    const float waves = static_cast<float>(config.original_context) / (rotations * 2.0f * std::numbers::pi_v<float>);
    return static_cast<float>(config.dimensions) * std::log(waves) / (2.0f * std::log(config.base));
}

} // namespace

void rope_table(const rope_config & config, int64_t positions, float * table) {
    const int64_t dimensions = config.dimensions;
    const bool yarn = config.ext_factor != 0.0f;
    double low = 0.0;
    double high = 0.0;
    double magnitude = config.attention_factor;
    if (yarn) {
        low = std::max(0.0f, std::floor(pair_of_rotations(config, config.beta_fast)));
        high = std::min(static_cast<float>(dimensions - 1), std::ceil(pair_of_rotations(config, config.beta_slow)));
        // YaRN's softmax temperature (its eq. 22), on the rotated vectors instead of the scores.
        magnitude *= 1.0 + 0.1 * std::log(1.0 / static_cast<double>(config.scale));
    }
    for (int64_t pair = 0; pair < dimensions / 2; pair++) {
        const double divisor = config.factors != nullptr ? config.factors[pair] : 1.0;
        const double own = std::pow(static_cast<double>(config.base), -2.0 * static_cast<double>(pair) / static_cast<double>(dimensions)) / divisor;
        double frequency = own * config.scale;
        if (yarn) {
            // 1 for fast waves, which keep their own frequency, 0 for slow ones, which are stretched.
            const double ramp = 1.0 - std::clamp((static_cast<double>(pair) - low) / std::max(0.001, high - low), 0.0, 1.0);
            const double kept = ramp * config.ext_factor;
            frequency = frequency * (1.0 - kept) + own * kept;
        }
        for (int64_t position = 0; position < positions; position++) {
            const double angle = static_cast<double>(position) * frequency;
            table[position * dimensions + 2 * pair] = static_cast<float>(std::cos(angle) * magnitude);
            table[position * dimensions + 2 * pair + 1] = static_cast<float>(std::sin(angle) * magnitude);
        }
    }
}

template <typename T>
void rope(const cpu_context & cpu, const rope_config & config, const float * table, int64_t rows, int64_t heads, int64_t width, int64_t stride, const int32_t * position, T * x,
          bool backward) {
    for_chunks(cpu, rows, chunk_rows(heads * width), [&](int64_t begin, int64_t end) {
        CN_DISPATCH(cpu.level, rope_rows(config.style == rope_style::halves, config.dimensions, table, end - begin, heads, width, stride, position + begin, x + begin * stride, backward));
    });
}

template void rope(const cpu_context &, const rope_config &, const float *, int64_t, int64_t, int64_t, int64_t, const int32_t *, float *, bool);
template void rope(const cpu_context &, const rope_config &, const float *, int64_t, int64_t, int64_t, int64_t, const int32_t *, bf16 *, bool);

} // namespace continual
