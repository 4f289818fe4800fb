// Rotary embedding with linear, YaRN and per-frequency scaling, plainly, in double.
#pragma once

#include "ops/rope.h"

#include <cmath>
#include <cstddef>
#include <vector>

namespace oracle {

// cosine and sine by turns of one position.
inline std::vector<double> rope_turns(const continual::rope_config & config, double position) {
    const int d = config.dimensions;
    const double pi = std::acos(-1.0);
    std::vector<double> turns;
    for (int pair = 0; pair < d / 2; pair++) {
        double wave = position * std::pow(static_cast<double>(config.base), -2.0 * pair / d);
        if (config.factors != nullptr) {
            wave /= static_cast<double>(config.factors[pair]);
        }
        double angle = wave * static_cast<double>(config.scale);
        double size = config.attention_factor;
        if (config.ext_factor != 0.0f) {
            const auto edge = [&](double beta) { return d * std::log(config.original_context / (beta * 2.0 * pi)) / (2.0 * std::log(static_cast<double>(config.base))); };
            const double low = std::fmax(0.0, std::floor(edge(config.beta_fast)));
            const double high = std::fmin(d - 1.0, std::ceil(edge(config.beta_slow)));
            const double along = (pair - low) / std::fmax(0.001, high - low);
            const double kept = (1.0 - std::fmin(1.0, std::fmax(0.0, along))) * static_cast<double>(config.ext_factor);
            angle = angle * (1.0 - kept) + wave * kept;
            size *= 1.0 + 0.1 * std::log(1.0 / static_cast<double>(config.scale));
        }
        turns.push_back(std::cos(angle) * size);
        turns.push_back(std::sin(angle) * size);
    }
    return turns;
}

// One head of `width` elements, turned; those from config.dimensions on stay.
inline std::vector<double> rope(const continual::rope_config & config, double position, const std::vector<double> & head) {
    const std::vector<double> turns = rope_turns(config, position);
    std::vector<double> result = head;
    const std::size_t half = static_cast<std::size_t>(config.dimensions) / 2;
    for (std::size_t pair = 0; pair < half; pair++) {
        const bool halves = config.style == continual::rope_style::halves;
        const std::size_t a = halves ? pair : 2 * pair;
        const std::size_t b = halves ? pair + half : 2 * pair + 1;
        result[a] = head[a] * turns[2 * pair] - head[b] * turns[2 * pair + 1];
        result[b] = head[a] * turns[2 * pair + 1] + head[b] * turns[2 * pair];
    }
    return result;
}

} // namespace oracle
