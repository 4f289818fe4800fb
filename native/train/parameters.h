// What is trained, and how it lies in memory: one run of floats each for values, gradients and the two moments.
#pragma once

#include "continual_native.h"
#include "model/model.h"

#include <cstdint>
#include <string>
#include <vector>

namespace continual {

// Linear layers that read the same input share a group, so that the input is multiplied with all their A matrices at once.
struct lora_member {
    int linear;
    int64_t b; // offset of Bᵀ [rank × outputs]
};

struct lora_group {
    int64_t inputs = 0;
    int64_t a = 0; // offset of the members' A [members × rank × inputs], one after the other
    std::vector<lora_member> members;

    int64_t ranks(int64_t rank) const { return static_cast<int64_t>(members.size()) * rank; }
};

enum group : int { group_attn, group_o, group_ffn, group_down, groups_of_layer };

// In full-parameter mode: one tensor of the model.
struct full_tensor {
    std::string name;
    int64_t offset;
    int64_t rows; // 1: a vector
    int64_t columns;
};

struct full_layer {
    int64_t weight[linears_of_layer];
    int64_t bias[linears_of_layer]; // -1: none
    int64_t attn_norm;
    int64_t ffn_norm;
    int64_t q_norm; // -1: none
    int64_t k_norm;
};

class parameter_layout {
public:
    parameter_layout(const model & model, const cn_trainer_config & config);

    int64_t count() const { return count_; }
    bool full() const { return full_; }
    int64_t rank() const { return rank_; }
    float scale() const { return scale_; } // of the adapter's product: alpha / rank, or alpha / sqrt(rank)

    // LoRA: groups[layer × groups_of_layer + group]; a group without members trains nothing. A matrices stand before all B: [0, b_begin) and [b_begin, count).
    const lora_group & group_of(int32_t layer, int group) const { return groups_[static_cast<size_t>(layer * groups_of_layer + group)]; }
    const lora_group & output_group() const { return groups_.back(); }
    int64_t b_begin() const { return b_begin_; }
    // The lowest layer that has an adapter; gradients need not go below it. The number of layers when none has.
    int32_t lowest_layer() const { return lowest_layer_; }
    int64_t most_ranks() const;

    // Full mode. Matrices stand before all vectors: [0, vectors_begin) decays, [vectors_begin, count) does not.
    const std::vector<full_tensor> & tensors() const { return tensors_; }
    const full_layer & layer(int32_t i) const { return layers_[static_cast<size_t>(i)]; }
    int64_t embedding() const { return embedding_; }
    int64_t output() const { return output_; } // the embedding's when tied
    int64_t output_norm() const { return output_norm_; }
    int64_t output_bias() const { return output_bias_; } // -1: none
    int64_t vectors_begin() const { return vectors_begin_; }

    // Start values. LoRA: A uniform in ±1/sqrt(inputs), as PEFT draws it, and B zero. Full: the model's own weights.
    void initialize(const model & model, uint64_t seed, float * values) const;

private:
    void lay_out_lora(const model & model, uint32_t targets);
    void lay_out_full(const model & model);

    bool full_ = false;
    int64_t rank_ = 0;
    float scale_ = 0;
    int64_t count_ = 0;
    std::vector<lora_group> groups_;
    int64_t b_begin_ = 0;
    int32_t lowest_layer_ = 0;
    std::vector<full_tensor> tensors_;
    std::vector<full_layer> layers_;
    int64_t embedding_ = 0;
    int64_t output_ = 0;
    int64_t output_norm_ = 0;
    int64_t output_bias_ = -1;
    int64_t vectors_begin_ = 0;
};

} // namespace continual
