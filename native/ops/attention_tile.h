// A tile of scores: some queries of one head against some keys.
#pragma once

#include <cstdint>

namespace continual {

struct attention_tile {
    int64_t first_query; // places in the sequence
    int64_t queries;
    int64_t first_key;
    int64_t keys;
    int64_t window; // 0: none
    int64_t stride; // between rows of scores, probabilities and what else has a tile's shape
};

} // namespace continual
