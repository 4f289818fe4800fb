#include "model/model.h"

#include "ops/quant.h"

#include <cmath>
#include <cstring>
#include <set>
#include <unordered_map>

namespace continual {

int64_t matrix::row_stride() const {
    return row_bytes(type, columns);
}

gemm_right matrix::right(bool transposed) const {
    return {data, type, rows, columns, row_stride(), transposed};
}

namespace {

std::string shape_text(const tensor_entry & tensor) {
    std::string text = std::to_string(tensor.ne[0]);
    for (int i = 1; i < tensor.dimensions; i++) {
        text += " × " + std::to_string(tensor.ne[i]);
    }
    return text;
}

// The tensors of a model by name, each taken once: what is left over at the end would be ignored silently, so it is refused.
class tensor_table {
public:
    explicit tensor_table(const std::vector<tensor_entry> & tensors) {
        for (const tensor_entry & tensor : tensors) {
            if (!by_name_.emplace(tensor.name, &tensor).second) {
                throw error(failure::file, "the tensor '" + tensor.name + "' occurs twice");
            }
        }
    }

    const tensor_entry * take(const std::string & name) {
        const auto found = by_name_.find(name);
        if (found == by_name_.end()) {
            return nullptr;
        }
        const tensor_entry * tensor = found->second;
        if (!is_supported(tensor->type)) {
            throw error(failure::unsupported,
                        "the tensor '" + name + "' is of type " + continual::name(static_cast<tensor_type>(tensor->type)) +
                            ", which the trainer does not read; quantize the model to one of F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K … Q6_K, IQ4_NL, IQ4_XS");
        }
        taken_.insert(name);
        return tensor;
    }

    matrix take_matrix(const std::string & name, int64_t rows, int64_t columns) {
        const tensor_entry * tensor = take(name);
        if (tensor == nullptr) {
            throw error(failure::file, "the tensor '" + name + "' is missing");
        }
        if (tensor->ne[0] != columns || tensor->ne[1] != rows || tensor->ne[2] != 1 || tensor->ne[3] != 1) {
            throw error(failure::file, "the tensor '" + name + "' has the shape " + shape_text(*tensor) + " and should have " + std::to_string(columns) + " × " +
                                           std::to_string(rows));
        }
        return {tensor->data, static_cast<tensor_type>(tensor->type), rows, columns};
    }

    // Vectors are a few thousand numbers: copied as floats, whatever they are stored in.
    std::vector<float> take_vector(const std::string & name, int64_t length, bool required) {
        const tensor_entry * tensor = take(name);
        if (tensor == nullptr) {
            if (required) {
                throw error(failure::file, "the tensor '" + name + "' is missing");
            }
            return {};
        }
        if (tensor->ne[0] != length || tensor->ne[1] != 1 || tensor->ne[2] != 1 || tensor->ne[3] != 1) {
            throw error(failure::file, "the tensor '" + name + "' has the shape " + shape_text(*tensor) + " and should have " + std::to_string(length));
        }
        const auto type = static_cast<tensor_type>(tensor->type);
        if (length % block_elements(type) != 0) {
            throw error(failure::file, "the tensor '" + name + "' has a length that its type's blocks don't divide");
        }
        std::vector<float> values(static_cast<size_t>(length));
        dequantize(isa::portable, type, tensor->data, values.data(), length);
        for (float value : values) {
            if (!std::isfinite(value)) {
                throw error(failure::file, "the tensor '" + name + "' holds a value that is not finite; the model cannot be trained");
            }
        }
        return values;
    }

    void nothing_left(const std::string & architecture) const {
        for (const auto & [name, tensor] : by_name_) {
            if (taken_.count(name) == 0) {
                throw error(failure::unsupported,
                            "the tensor '" + name + "' is not one that the trainer knows of architecture '" + architecture + "'; models with it are not supported");
            }
        }
    }

private:
    std::map<std::string, const tensor_entry *> by_name_;
    std::set<std::string> taken_;
};

class keys {
public:
    keys(const metadata_table & table, const std::string & prefix) : table_(table), prefix_(prefix + ".") {}

    bool number(const std::string & key, double & value) const {
        const auto found = table_.numbers.find(prefix_ + key);
        if (found == table_.numbers.end()) {
            return false;
        }
        value = found->second;
        return true;
    }

    double number_or(const std::string & key, double otherwise) const {
        double value;
        return number(key, value) ? value : otherwise;
    }

    int32_t count(const std::string & key, int64_t otherwise, int64_t most) const {
        double value;
        if (!number(key, value)) {
            if (otherwise < 0) {
                throw error(failure::file, "the key '" + prefix_ + key + "' is missing or no number");
            }
            value = static_cast<double>(otherwise);
        }
        if (!(value >= 1) || value > static_cast<double>(most) || value != std::floor(value)) {
            throw error(failure::file, "the key '" + prefix_ + key + "' is " + std::to_string(value) + "; it must be a whole number from 1 to " + std::to_string(most));
        }
        return static_cast<int32_t>(value);
    }

    float positive(const std::string & key, double otherwise) const {
        double value;
        if (!number(key, value)) {
            value = otherwise;
        }
        if (!(value > 0) || !std::isfinite(value)) {
            throw error(failure::file, "the key '" + prefix_ + key + "' is missing or not a positive number");
        }
        return static_cast<float>(value);
    }

    std::string text_or(const std::string & key, const std::string & otherwise) const {
        const auto found = table_.texts.find(prefix_ + key);
        return found == table_.texts.end() ? otherwise : found->second;
    }

private:
    const metadata_table & table_;
    std::string prefix_;
};

const architecture & find_architecture(const metadata_table & metadata) {
    const auto named = metadata.texts.find("general.architecture");
    if (named == metadata.texts.end()) {
        throw error(failure::file, "the key 'general.architecture' is missing: this is no model file");
    }
    std::string known;
    for (const architecture & candidate : architectures) {
        if (named->second == candidate.name) {
            return candidate;
        }
        known += (known.empty() ? "" : ", ") + std::string(candidate.name);
    }
    throw error(failure::unsupported, "the trainer does not know the architecture '" + named->second + "'; it knows " + known);
}

uint64_t fnv1a(uint64_t hash, const void * data, size_t bytes) {
    const auto * at = static_cast<const unsigned char *>(data);
    for (size_t i = 0; i < bytes; i++) {
        hash = (hash ^ at[i]) * 0x100000001b3ull;
    }
    return hash;
}

} // namespace

model::model(const std::vector<tensor_entry> & tensors, const metadata_table & metadata, std::shared_ptr<const void> keep) : keep_(std::move(keep)) {
    const architecture * kind = nullptr;
    read_config(metadata, kind);
    model_config & c = config_;
    tensor_table table(tensors);
    if (const tensor_entry * embedding = table.take("token_embd.weight")) {
        c.vocabulary = embedding->ne[1] > 0 && embedding->ne[1] < (1 << 24) ? static_cast<int32_t>(embedding->ne[1]) : 0;
    }
    embedding_ = table.take_matrix("token_embd.weight", c.vocabulary, c.width);
    if (c.vocabulary < 2) {
        throw error(failure::file, "the tensor 'token_embd.weight' has no rows that make a vocabulary");
    }
    output_norm_ = table.take_vector("output_norm.weight", c.width, true);
    tied_ = table.take("output.weight") == nullptr;
    output_ = tied_ ? embedding_ : table.take_matrix("output.weight", c.vocabulary, c.width);
    output_bias_ = table.take_vector("output.bias", c.vocabulary, false);
    rope_factors_ = table.take_vector("rope_freqs.weight", c.rope.dimensions / 2, false);
    c.rope.factors = rope_factors_.empty() ? nullptr : rope_factors_.data();
    layers_.resize(static_cast<size_t>(c.layers));
    for (int32_t i = 0; i < c.layers; i++) {
        model_layer & layer = layers_[static_cast<size_t>(i)];
        const std::string prefix = "blk." + std::to_string(i) + ".";
        for (int l = 0; l < linears_of_layer; l++) {
            layer.weight[l] = table.take_matrix(prefix + linear_names[l] + ".weight", outputs(l), inputs(l));
            const bool may_have_bias = l <= linear_v ? kind->qkv_biases : kind->biases;
            if (may_have_bias) {
                layer.bias[l] = table.take_vector(prefix + linear_names[l] + ".bias", outputs(l), false);
            }
        }
        layer.attn_norm = table.take_vector(prefix + "attn_norm.weight", c.width, true);
        layer.ffn_norm = table.take_vector(prefix + "ffn_norm.weight", c.width, true);
        if (kind->qk_norms) {
            layer.q_norm = table.take_vector(prefix + "attn_q_norm.weight", c.head_width, true);
            layer.k_norm = table.take_vector(prefix + "attn_k_norm.weight", c.head_width, true);
        }
    }
    table.nothing_left(c.architecture);

    fingerprint_ = 0xcbf29ce484222325ull;
    for (const tensor_entry & tensor : tensors) {
        fingerprint_ = fnv1a(fingerprint_, tensor.name.data(), tensor.name.size());
        fingerprint_ = fnv1a(fingerprint_, &tensor.type, sizeof tensor.type);
        fingerprint_ = fnv1a(fingerprint_, tensor.ne, sizeof tensor.ne);
        const auto type = static_cast<tensor_type>(tensor.type);
        const int64_t rows = tensor.ne[1] * tensor.ne[2] * tensor.ne[3];
        const int64_t bytes = row_bytes(type, tensor.ne[0]) * rows;
        parameters_ += tensor.ne[0] * rows;
        weight_bytes_ += bytes;
        // A few kilobytes of each tensor, spread over it: reading gigabytes would cost more than it tells.
        constexpr int64_t sample = 64;
        for (int64_t i = 0; i < 16; i++) {
            const int64_t at = bytes <= sample ? 0 : (bytes - sample) * i / 15;
            fingerprint_ = fnv1a(fingerprint_, static_cast<const char *>(tensor.data) + at, static_cast<size_t>(bytes < sample ? bytes : sample));
        }
    }
}

void model::read_config(const metadata_table & metadata, const architecture *& kind) {
    kind = &find_architecture(metadata);
    model_config & c = config_;
    c.architecture = kind->name;
    const auto named = metadata.texts.find("general.name");
    c.name = named == metadata.texts.end() ? "" : named->second;
    const keys key(metadata, c.architecture);
    c.layers = key.count("block_count", -1, 4096);
    c.width = key.count("embedding_length", -1, 1 << 20);
    c.feed_forward = key.count("feed_forward_length", -1, 1 << 22);
    c.heads = key.count("attention.head_count", -1, 4096);
    c.kv_heads = key.count("attention.head_count_kv", c.heads, 4096);
    c.context = key.count("context_length", 1 << 20, 1 << 30);
    if (c.heads % c.kv_heads != 0) {
        throw error(failure::file, "the model has " + std::to_string(c.heads) + " heads of queries and " + std::to_string(c.kv_heads) + " of keys, which don't divide them");
    }
    double experts;
    if (key.number("expert_count", experts) && experts > 0) {
        throw error(failure::unsupported, "mixtures of experts are not supported; this model has " + std::to_string(static_cast<int64_t>(experts)) + " experts");
    }
    const int64_t head = c.width / c.heads;
    c.head_width = key.count("attention.key_length", head > 0 ? head : -1, 4096);
    c.v_width = key.count("attention.value_length", head > 0 ? head : -1, 4096);
    c.norm_eps = key.positive("attention.layer_norm_rms_epsilon", -1);
    c.attention_scale = 1.0f / std::sqrt(static_cast<float>(c.head_width));

    rope_config & rope = c.rope;
    rope.style = kind->rope;
    rope.dimensions = key.count("rope.dimension_count", c.head_width, c.head_width);
    if (rope.dimensions % 2 != 0) {
        throw error(failure::file, "the model turns " + std::to_string(rope.dimensions) + " elements of each head, which is no even number");
    }
    rope.base = key.positive("rope.freq_base", 10000.0);
    rope.original_context = key.count("rope.scaling.original_context_length", c.context, 1 << 30);
    const std::string scaling = key.text_or("rope.scaling.type", "linear");
    double factor = key.number_or("rope.scaling.factor", key.number_or("rope.scale_linear", 0.0));
    if (!(factor >= 0) || !std::isfinite(factor)) {
        throw error(failure::file, "the key 'rope.scaling.factor' is not a positive number");
    }
    if (scaling == "none") {
        factor = 0;
    } else if (scaling != "linear" && scaling != "yarn") {
        throw error(failure::unsupported, "the trainer does not know the scaling '" + scaling + "' of rotary embeddings; it knows none, linear and yarn");
    }
    rope.scale = factor == 0 ? 1.0f : 1.0f / static_cast<float>(factor);
    // YaRN's own keys in the file are not read by llama.cpp for these architectures, so not here.
    rope.ext_factor = scaling == "yarn" ? 1.0f : 0.0f;
    if (rope.ext_factor != 0) {
        // As llama.cpp: the magnitude that the rotation itself will put in is taken out again, so the two meet at YaRN's 0.1 ln(factor) + 1.
        const float stretch = 1.0f / rope.scale;
        const float magnitude = stretch <= 1.0f ? 1.0f : 0.1f * std::log(stretch) + 1.0f;
        rope.attention_factor = magnitude / (1.0f + 0.1f * std::log(stretch));
    }
    rope.attention_factor *= static_cast<float>(key.number_or("rope.scaling.attn_factor", 1.0));
}

int64_t model::inputs(int linear) const {
    switch (linear) {
    case linear_o:
        return static_cast<int64_t>(config_.heads) * config_.v_width;
    case linear_down:
        return config_.feed_forward;
    default:
        return config_.width;
    }
}

int64_t model::outputs(int linear) const {
    switch (linear) {
    case linear_q:
        return static_cast<int64_t>(config_.heads) * config_.head_width;
    case linear_k:
        return static_cast<int64_t>(config_.kv_heads) * config_.head_width;
    case linear_v:
        return static_cast<int64_t>(config_.kv_heads) * config_.v_width;
    case linear_gate:
    case linear_up:
        return config_.feed_forward;
    case linear_output:
        return config_.vocabulary;
    default:
        return config_.width;
    }
}

} // namespace continual
