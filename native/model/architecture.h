// What the trainer knows of each architecture. A new one that is made of the same parts is one more row.
#pragma once

#include "ops/rope.h"

namespace continual {

struct architecture {
    const char * name; // general.architecture
    rope_style rope;
    bool qk_norms;   // RMS norms over each head of q and k, before the rotation
    bool qkv_biases; // may have attn_{q,k,v}.bias
    bool biases;     // may have biases on o, gate, up and down
};

// From llama.cpp v0.5.0, src/models/{llama,qwen2,qwen3}.cpp and its table of rope types.
inline constexpr architecture architectures[] = {
    {"llama", rope_style::adjacent, false, true, true},
    {"qwen2", rope_style::halves, false, true, false},
    {"qwen3", rope_style::halves, true, true, false},
};

// The linear layers of a block, in the order of cn's CN_TARGET_* bits; the output projection stands behind them.
enum linear : int {
    linear_q,
    linear_k,
    linear_v,
    linear_o,
    linear_gate,
    linear_up,
    linear_down,
    linears_of_layer,
    linear_output = linears_of_layer,
    linear_count,
};

// The part of a tensor's name between "blk.N." and ".weight".
inline constexpr const char * linear_names[] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down", "output"};

} // namespace continual
