// Small models and batches for tests of the trainer.
#pragma once

#include "oracle/model_oracle.h"

#include "io/gguf.h"
#include "train/trainer.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <random>

namespace continual_tests {

using namespace continual;

struct shape {
    const char * architecture = "llama";
    int32_t layers = 2;
    int32_t width = 24;
    int32_t feed_forward = 40;
    int32_t heads = 4;
    int32_t kv_heads = 2;
    int32_t head_width = 6;
    int32_t vocabulary = 37;
    bool tied = false;
    bool biases = false;
    bool rope_factors = false;
    double rope_scale = 0;
};

// Random weights of a size that keeps every part of the model alive.
struct built_model {
    std::vector<tensor_entry> tensors;
    metadata_table table;
    std::vector<std::vector<float>> memory;
    std::shared_ptr<const continual::model> model;
};

inline built_model build(const shape & s, uint32_t seed) {
    built_model built;
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<tensor_entry> tensors;
    const auto add = [&](const std::string & name, int64_t columns, int64_t rows, float mean, float spread) {
        std::vector<float> values(static_cast<size_t>(columns * rows));
        for (float & v : values) {
            v = mean + spread * normal(random);
        }
        tensor_entry entry;
        entry.name = name;
        entry.dimensions = rows == 1 ? 1 : 2;
        entry.ne[0] = columns;
        entry.ne[1] = rows;
        built.memory.push_back(std::move(values));
        entry.data = built.memory.back().data();
        tensors.push_back(entry);
    };
    const auto inverse_root = [](int64_t n) { return 1.0f / std::sqrt(static_cast<float>(n)); };
    const int64_t q = static_cast<int64_t>(s.heads) * s.head_width;
    const int64_t kv = static_cast<int64_t>(s.kv_heads) * s.head_width;
    add("token_embd.weight", s.width, s.vocabulary, 0, 1);
    add("output_norm.weight", s.width, 1, 1, 0.2f);
    if (!s.tied) {
        add("output.weight", s.width, s.vocabulary, 0, 2 * inverse_root(s.width));
    }
    if (s.rope_factors) {
        add("rope_freqs.weight", s.head_width / 2, 1, 2, 0.3f);
    }
    for (int32_t i = 0; i < s.layers; i++) {
        const std::string p = "blk." + std::to_string(i) + ".";
        const int64_t outputs[] = {q, kv, kv, s.width, s.feed_forward, s.feed_forward, s.width};
        const int64_t inputs[] = {s.width, s.width, s.width, q, s.width, s.width, s.feed_forward};
        for (int l = 0; l < linears_of_layer; l++) {
            add(p + linear_names[l] + ".weight", inputs[l], outputs[l], 0, 1.5f * inverse_root(inputs[l]));
            if (s.biases && l <= linear_v) {
                add(p + linear_names[l] + ".bias", outputs[l], 1, 0, 0.5f);
            }
        }
        add(p + "attn_norm.weight", s.width, 1, 1, 0.2f);
        add(p + "ffn_norm.weight", s.width, 1, 1, 0.2f);
        if (std::strcmp(s.architecture, "qwen3") == 0) {
            add(p + "attn_q_norm.weight", s.head_width, 1, 1, 0.2f);
            add(p + "attn_k_norm.weight", s.head_width, 1, 1, 0.2f);
        }
    }
    metadata_table table;
    const std::string a = std::string(s.architecture) + ".";
    table.texts["general.architecture"] = s.architecture;
    table.numbers = {{a + "block_count", s.layers},
                     {a + "embedding_length", s.width},
                     {a + "feed_forward_length", s.feed_forward},
                     {a + "attention.head_count", s.heads},
                     {a + "attention.head_count_kv", s.kv_heads},
                     {a + "attention.key_length", s.head_width},
                     {a + "attention.value_length", s.head_width},
                     {a + "attention.layer_norm_rms_epsilon", 1e-5},
                     {a + "context_length", 256}};
    if (s.rope_scale > 0) {
        table.numbers[a + "rope.scaling.factor"] = s.rope_scale;
    }
    built.tensors = tensors;
    built.table = table;
    built.model = std::make_shared<const continual::model>(tensors, table, nullptr);
    return built;
}

inline void write_model(const built_model & built, const std::string & path) {
    gguf_writer writer;
    for (const auto & [key, text] : built.table.texts) {
        writer.set(key, std::string_view(text));
    }
    for (const auto & [key, number] : built.table.numbers) {
        if (number == std::floor(number)) {
            writer.set(key, static_cast<uint32_t>(number));
        } else {
            writer.set(key, static_cast<float>(number));
        }
    }
    for (const tensor_entry & tensor : built.tensors) {
        writer.add(tensor.name, static_cast<tensor_type>(tensor.type), std::span<const int64_t>(tensor.ne, static_cast<size_t>(tensor.dimensions)), tensor.data);
    }
    writer.write(path);
}

inline cn_trainer_config small_config() {
    cn_trainer_config config;
    cn_trainer_defaults(&config);
    config.precision = CN_PRECISION_F32;
    config.threads = 2;
    config.max_tokens = 64;
    config.max_sequences = 8;
    config.rank = 2;
    config.alpha = 3;
    return config;
}

inline oracle_batch some_batch(const model & model, std::vector<int32_t> lengths, uint32_t seed) {
    std::mt19937 random(seed);
    oracle_batch batch;
    batch.bounds.push_back(0);
    for (int32_t length : lengths) {
        for (int32_t i = 0; i < length; i++) {
            batch.tokens.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(model.config().vocabulary)));
        }
        batch.bounds.push_back(static_cast<int32_t>(batch.tokens.size()));
    }
    for (size_t s = 0; s + 1 < batch.bounds.size(); s++) {
        for (int32_t i = batch.bounds[s]; i < batch.bounds[s + 1]; i++) {
            const bool last = i + 1 == batch.bounds[s + 1];
            batch.target.push_back(last ? -1 : batch.tokens[static_cast<size_t>(i) + 1]);
            // Some rows without a loss, as prompts have, and weights of several sizes.
            batch.weight.push_back(last || i % 3 == 0 ? 0.0f : 0.5f + 0.25f * static_cast<float>(i % 4));
        }
    }
    return batch;
}

inline void add_teacher(oracle_batch & batch, int32_t vocabulary, int32_t k) {
    batch.teacher_k = k;
    std::mt19937 random(99);
    for (size_t i = 0; i < batch.tokens.size(); i++) {
        batch.teacher_weight.push_back(i % 2 == 0 ? 0.7f : 0.0f);
        const uint32_t first = static_cast<uint32_t>(random());
        for (int32_t j = 0; j < k; j++) {
            batch.teacher_token.push_back(j == 2 && i % 4 == 0 ? -1 : static_cast<int32_t>((first + static_cast<uint32_t>(5 * j)) % static_cast<uint32_t>(vocabulary)));
            batch.teacher_log_prob.push_back(-0.5f - 0.8f * static_cast<float>(j));
        }
    }
}

inline cn_batch_train view(const oracle_batch & batch) {
    cn_batch_train b{};
    b.size = sizeof b;
    b.count = static_cast<int32_t>(batch.tokens.size());
    b.sequences = static_cast<int32_t>(batch.bounds.size()) - 1;
    b.tokens = batch.tokens.data();
    b.bounds = batch.bounds.data();
    b.target = batch.target.data();
    b.weight = batch.weight.data();
    if (batch.teacher_k > 0) {
        b.teacher_token = batch.teacher_token.data();
        b.teacher_log_prob = batch.teacher_log_prob.data();
        b.teacher_weight = batch.teacher_weight.data();
    }
    b.anchor = batch.anchor;
    b.dpo = batch.dpo_beta > 0 ? 1 : 0;
    b.dpo_beta = batch.dpo_beta;
    return b;
}

// B is zero at the start: half of the gradient would be, too.
inline void shake(trainer & t, uint32_t seed, float spread) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < t.layout().count(); i++) {
        t.values()[i] += spread * normal(random);
    }
}

inline void step(trainer & t, const oracle_batch & batch, int times) {
    for (int i = 0; i < times; i++) {
        t.accumulate(view(batch));
        t.update();
    }
}

// A slice callback that counts its calls, and stops from the one of that number on; −1: never.
struct slice_counter {
    int calls = 0;
    int stop_from = -1;

    static int32_t call(void * user) {
        auto & counter = *static_cast<slice_counter *>(user);
        return counter.calls++ >= counter.stop_from && counter.stop_from >= 0 ? 1 : 0;
    }
};

} // namespace continual_tests
