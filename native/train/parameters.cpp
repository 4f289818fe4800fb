#include "train/parameters.h"

#include "ops/quant.h"

#include <algorithm>
#include <cmath>

namespace continual {

namespace {

constexpr int group_of_linear[linears_of_layer] = {group_attn, group_attn, group_attn, group_o, group_ffn, group_ffn, group_down};

// SplitMix64 (Steele, Lea and Flood 2014): a stream of its own for every matrix, so that start values don't depend on what else is trained.
uint64_t next(uint64_t & state) {
    uint64_t z = (state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

} // namespace

parameter_layout::parameter_layout(const model & model, const cn_trainer_config & config) {
    full_ = config.mode == CN_MODE_FULL;
    if (full_) {
        lay_out_full(model);
        return;
    }
    rank_ = config.rank;
    scale_ = config.rs_lora != 0 ? config.alpha / std::sqrt(static_cast<float>(config.rank)) : config.alpha / static_cast<float>(config.rank);
    lay_out_lora(model, config.targets);
}

void parameter_layout::lay_out_lora(const model & model, uint32_t targets) {
    const int32_t layers = model.config().layers;
    groups_.resize(static_cast<size_t>(layers) * groups_of_layer + 1);
    lowest_layer_ = layers;
    for (int32_t i = 0; i < layers; i++) {
        for (int l = 0; l < linears_of_layer; l++) {
            if ((targets & (1u << l)) == 0) {
                continue;
            }
            lora_group & group = groups_[static_cast<size_t>(i * groups_of_layer + group_of_linear[l])];
            group.inputs = model.inputs(l);
            group.members.push_back({l, 0});
            lowest_layer_ = std::min(lowest_layer_, i);
        }
    }
    if ((targets & CN_TARGET_OUTPUT) != 0) {
        groups_.back().inputs = model.inputs(linear_output);
        groups_.back().members.push_back({linear_output, 0});
    }
    for (lora_group & group : groups_) {
        group.a = count_;
        count_ += group.ranks(rank_) * group.inputs;
    }
    b_begin_ = count_;
    for (lora_group & group : groups_) {
        for (lora_member & member : group.members) {
            member.b = count_;
            count_ += rank_ * model.outputs(member.linear);
        }
    }
}

void parameter_layout::lay_out_full(const model & model) {
    const model_config & c = model.config();
    const auto matrix = [&](const std::string & name, int64_t rows, int64_t columns) {
        tensors_.push_back({name, count_, rows, columns});
        count_ += rows * columns;
        return tensors_.back().offset;
    };
    const auto vector = [&](const std::string & name, int64_t length) {
        return length == 0 ? int64_t{-1} : matrix(name, 1, length);
    };
    embedding_ = matrix("token_embd.weight", c.vocabulary, c.width);
    output_ = model.tied() ? embedding_ : matrix("output.weight", c.vocabulary, c.width);
    layers_.resize(static_cast<size_t>(c.layers));
    for (int32_t i = 0; i < c.layers; i++) {
        for (int l = 0; l < linears_of_layer; l++) {
            layers_[static_cast<size_t>(i)].weight[l] = matrix("blk." + std::to_string(i) + "." + linear_names[l] + ".weight", model.outputs(l), model.inputs(l));
        }
    }
    vectors_begin_ = count_;
    for (int32_t i = 0; i < c.layers; i++) {
        const model_layer & source = model.layers()[static_cast<size_t>(i)];
        full_layer & layer = layers_[static_cast<size_t>(i)];
        const std::string prefix = "blk." + std::to_string(i) + ".";
        for (int l = 0; l < linears_of_layer; l++) {
            layer.bias[l] = vector(prefix + linear_names[l] + ".bias", static_cast<int64_t>(source.bias[l].size()));
        }
        layer.attn_norm = vector(prefix + "attn_norm.weight", c.width);
        layer.ffn_norm = vector(prefix + "ffn_norm.weight", c.width);
        layer.q_norm = vector(prefix + "attn_q_norm.weight", static_cast<int64_t>(source.q_norm.size()));
        layer.k_norm = vector(prefix + "attn_k_norm.weight", static_cast<int64_t>(source.k_norm.size()));
    }
    output_norm_ = vector("output_norm.weight", c.width);
    output_bias_ = vector("output.bias", static_cast<int64_t>(model.output_bias().size()));
}

int64_t parameter_layout::most_ranks() const {
    int64_t most = 0;
    for (const lora_group & group : groups_) {
        most = std::max(most, group.ranks(rank_));
    }
    return most;
}

void parameter_layout::initialize(const model & model, uint64_t seed, float * values) const {
    if (!full_) {
        std::fill(values + b_begin_, values + count_, 0.0f);
        uint64_t number = 0;
        for (const lora_group & group : groups_) {
            const float bound = group.inputs > 0 ? 1.0f / std::sqrt(static_cast<float>(group.inputs)) : 0.0f;
            for (size_t m = 0; m < group.members.size(); m++) {
                const auto layer = static_cast<uint64_t>(number / groups_of_layer);
                uint64_t state = seed ^ (0xd1b54a32d192ed03ull * (layer * linear_count + static_cast<uint64_t>(group.members[m].linear) + 1));
                float * a = values + group.a + static_cast<int64_t>(m) * rank_ * group.inputs;
                for (int64_t i = 0; i < rank_ * group.inputs; i++) {
                    // 24 bits: every value is a float exactly.
                    const auto unit = static_cast<float>(next(state) >> 40) * (1.0f / 16777216.0f);
                    a[i] = bound * (2.0f * unit - 1.0f);
                }
            }
            number++;
        }
        return;
    }
    const auto copy_matrix = [&](const matrix & from, int64_t to) {
        for (int64_t row = 0; row < from.rows; row++) {
            dequantize(best_isa(), from.type, static_cast<const char *>(from.data) + row * from.row_stride(), values + to + row * from.columns, from.columns);
        }
    };
    const auto copy_vector = [&](const std::vector<float> & from, int64_t to) {
        if (!from.empty()) {
            std::copy(from.begin(), from.end(), values + to);
        }
    };
    copy_matrix(model.embedding(), embedding_);
    if (!model.tied()) {
        copy_matrix(model.output(), output_);
    }
    for (size_t i = 0; i < layers_.size(); i++) {
        const model_layer & source = model.layers()[i];
        for (int l = 0; l < linears_of_layer; l++) {
            copy_matrix(source.weight[l], layers_[i].weight[l]);
            copy_vector(source.bias[l], layers_[i].bias[l]);
        }
        copy_vector(source.attn_norm, layers_[i].attn_norm);
        copy_vector(source.ffn_norm, layers_[i].ffn_norm);
        copy_vector(source.q_norm, layers_[i].q_norm);
        copy_vector(source.k_norm, layers_[i].k_norm);
    }
    copy_vector(model.output_norm(), output_norm_);
    copy_vector(model.output_bias(), output_bias_);
}

} // namespace continual
