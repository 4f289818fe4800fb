// A LoRA adapter as a file: llama.cpp's GGUF form, and PEFT's folder (adapter_config.json, adapter_model.safetensors).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace continual {

// Names and the order of rows are GGUF's. The effect of a pair on its layer: W + alpha / rank · B A.
struct lora_file {
    struct pair {
        std::string name; // of the base's tensor: blk.0.attn_q.weight
        int64_t rank = 0;
        int64_t in = 0;
        int64_t out = 0;
        std::vector<float> a; // [rank × in], row-major
        std::vector<float> b; // [out × rank], row-major
    };
    std::string architecture;
    float alpha = 0.0f;
    std::vector<pair> pairs;
    // Of one's own: keys that the forms do not know themselves ("continual.base"), in the file's metadata.
    std::vector<std::pair<std::string, std::string>> metadata;

    // Null where there is none.
    const pair * find(std::string_view name) const noexcept;
};

// What PEFT's names do not tell. For the architecture "llama" a GGUF file has the rows of q and k in another order than Hugging Face (pairs of the rotary
// embedding side by side instead of half a head apart), so that the rows of B must be put in order on the way; that takes the numbers of heads.
struct peft_base {
    std::string architecture; // llama, qwen2, qwen3
    int32_t heads = 0;
    int32_t kv_heads = 0;
    int32_t layers = 0;
};

// All of these throw error: failure::file for what cannot be read or is damaged, unsupported for what this form of adapter cannot say, mismatch for shapes
// that do not fit each other or the heads; naming the tensor or key. Numbers that are not finite are refused both ways.

// Tensors in any type that the trainer reads.
lora_file read_gguf_lora(const std::string & path);
// Tensors in F32. Replaces path as a whole.
void write_gguf_lora(const lora_file & adapter, const std::string & path);

// Effects are kept: rsLoRA's alpha / sqrt(rank), alpha_pattern and rank_pattern become one alpha, and what one alpha cannot say goes into B.
lora_file read_peft_lora(const std::string & folder, const peft_base & base);
// Makes the folder where there is none; each of the two files is replaced as a whole, the config last. base_model: what it names as its base, or empty.
void write_peft_lora(const lora_file & adapter, const std::string & folder, const peft_base & base, const std::string & base_model);

} // namespace continual
