// A model's description and the places of its weights. The weights stay where they are, quantized.
#pragma once

#include "model/architecture.h"
#include "ops/gemm.h"
#include "runtime/error.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace continual {

// One tensor as it lies in memory; ne in ggml's order.
struct tensor_entry {
    std::string name;
    int32_t type = 0;
    int32_t dimensions = 1;
    int64_t ne[4] = {1, 1, 1, 1};
    const void * data = nullptr;
};

// Metadata in GGUF's terms: what the description needs is numbers and texts.
struct metadata_table {
    std::map<std::string, double> numbers;
    std::map<std::string, std::string> texts;
};

// A matrix in memory: `rows` rows (outputs) of `columns` elements (inputs).
struct matrix {
    const void * data = nullptr;
    tensor_type type = tensor_type::f32;
    int64_t rows = 0;
    int64_t columns = 0;

    int64_t row_stride() const;
    gemm_right right(bool transposed) const;
};

struct model_layer {
    matrix weight[linears_of_layer];
    std::vector<float> bias[linears_of_layer]; // empty: none
    std::vector<float> attn_norm;
    std::vector<float> ffn_norm;
    std::vector<float> q_norm; // empty: none
    std::vector<float> k_norm;
};

struct model_config {
    std::string architecture;
    std::string name;
    int32_t layers = 0;
    int32_t width = 0;
    int32_t feed_forward = 0;
    int32_t heads = 0;
    int32_t kv_heads = 0;
    int32_t head_width = 0; // of q and k
    int32_t v_width = 0;    // of v
    int32_t vocabulary = 0;
    int32_t context = 0;
    int32_t window = 0; // 0: none
    float norm_eps = 0.0f;
    float attention_scale = 0.0f;
    rope_config rope; // factors: see model::rope_factors
};

class model {
public:
    // Checks everything that the trainer will rely on; throws error (unsupported, file) naming the tensor or key. keep: whatever must live as long
    // as the tensors' memory.
    model(const std::vector<tensor_entry> & tensors, const metadata_table & metadata, std::shared_ptr<const void> keep);

    // Maps a GGUF file.
    static std::shared_ptr<model> open(const std::string & path);

    const model_config & config() const { return config_; }
    const std::vector<model_layer> & layers() const { return layers_; }
    const matrix & embedding() const { return embedding_; }
    const matrix & output() const { return output_; }
    const std::vector<float> & output_bias() const { return output_bias_; }
    const std::vector<float> & output_norm() const { return output_norm_; }
    bool tied() const { return tied_; }
    int64_t parameters() const { return parameters_; }
    int64_t weight_bytes() const { return weight_bytes_; }

    // Inputs and outputs of a linear layer.
    int64_t inputs(int linear) const;
    int64_t outputs(int linear) const;

    // Identifies the weights in checkpoints and adapters: a hash of names, types, shapes and samples of the data.
    uint64_t fingerprint() const { return fingerprint_; }

    // The file it was opened from; empty for a table.
    const std::string & path() const { return path_; }
    // Whether that file is no longer what was opened.
    bool changed() const;

private:
    void read_config(const metadata_table & metadata, const architecture *& kind);

    std::shared_ptr<const void> keep_;
    model_config config_;
    std::vector<model_layer> layers_;
    std::vector<float> rope_factors_;
    matrix embedding_;
    matrix output_;
    std::vector<float> output_norm_;
    std::vector<float> output_bias_;
    bool tied_ = false;
    int64_t parameters_ = 0;
    int64_t weight_bytes_ = 0;
    uint64_t fingerprint_ = 0;
    std::string path_;
};

} // namespace continual
