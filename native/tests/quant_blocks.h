// Blocks of quantized numbers, seen from outside.
#pragma once

#include "runtime/types.h"

#include <cstddef>
#include <vector>

namespace ops_check {

using continual::tensor_type;

// Where the halves of a block lie.
inline std::vector<std::size_t> halves_of(tensor_type type) {
    switch (type) {
    case tensor_type::q4_1:
    case tensor_type::q5_1:
    case tensor_type::q4_k:
    case tensor_type::q5_k:
        return {0, 2};
    case tensor_type::q2_k:
        return {80, 82};
    case tensor_type::q3_k:
        return {108};
    case tensor_type::q6_k:
        return {208};
    case tensor_type::f32:
    case tensor_type::bf16:
        return {};
    default:
        return {0};
    }
}

} // namespace ops_check
