// The trainer as a whole against the double oracle: losses, gradients by finite differences, and what must be equal bit for bit.
#include "harness.h"
#include "small_model.h"

#include "ops/dropout.h"

#include <cstdio>

using namespace continual;
using namespace continual_tests;

namespace {

doubles values_of(trainer & t) {
    return {t.values(), t.values() + t.layout().count()};
}

struct comparison {
    double cosine;
    double ratio; // of the norms
    double loss;  // relative error
};

// The gradient against central differences of the oracle: in every parameter, or in `samples` of them.
comparison compare(trainer & t, const oracle_batch & batch, const doubles & reference, int64_t samples = 0,
                   const std::function<double(int, int, int64_t)> & mask = nullptr) {
    model_oracle oracle(t.base(), t.layout());
    oracle.mask = mask;
    t.forget_gradients();
    const cn_batch_train b = view(batch);
    const cn_loss loss = t.accumulate(b);
    doubles p = values_of(t);
    const double expected = oracle.loss(batch, p, reference);
    std::mt19937 random(5);
    double dot = 0;
    double own = 0;
    double right = 0;
    const int64_t count = samples == 0 ? t.layout().count() : samples;
    for (int64_t s = 0; s < count; s++) {
        const int64_t i = samples == 0 ? s : static_cast<int64_t>(random() % static_cast<uint64_t>(t.layout().count()));
        const auto at = static_cast<size_t>(i);
        const double kept = p[at];
        constexpr double h = 1e-4;
        p[at] = kept + h;
        const double above = oracle.loss(batch, p, reference);
        p[at] = kept - h;
        const double below = oracle.loss(batch, p, reference);
        p[at] = kept;
        const double g = (above - below) / (2 * h);
        const double mine = t.gradients()[i];
        dot += g * mine;
        own += mine * mine;
        right += g * g;
    }
    t.forget_gradients();
    comparison c{dot / std::sqrt(own * right), std::sqrt(own / right), std::abs(loss.loss - expected) / std::abs(expected)};
    std::printf("cosine %.9f, norms' ratio %.6f, loss's relative error %.2e\n", c.cosine, c.ratio, c.loss);
    return c;
}

// Measured worst of all cases below. f32: cosine 1 − 1e-10, norms 1e-5, loss 1e-7. bf16: see each case.
void check_f32(const comparison & c) {
    CHECK(c.cosine >= 0.999999);
    CHECK(std::abs(c.ratio - 1) < 1e-4);
    CHECK(c.loss < 1e-5);
}

void check_bf16(const comparison & c) {
    CHECK(c.cosine >= 0.999);
    CHECK(std::abs(c.ratio - 1) < 0.03);
    CHECK(c.loss < 0.02);
}

comparison lora_gradient(const shape & s, int32_t precision, uint32_t targets) {
    const built_model built = build(s, 3);
    cn_trainer_config config = small_config();
    config.precision = precision;
    config.targets = targets;
    trainer t(built.model, config);
    shake(t, 7, 0.3f);
    return compare(t, some_batch(*built.model, {9, 1, 6}, 11), {});
}

} // namespace

TEST(trainer_gradient_llama) {
    check_f32(lora_gradient({}, CN_PRECISION_F32, CN_TARGET_ALL));
}

TEST(trainer_gradient_llama_with_rope_factors_and_output_adapter) {
    shape s;
    s.rope_factors = true;
    s.rope_scale = 4;
    check_f32(lora_gradient(s, CN_PRECISION_F32, CN_TARGET_ALL | CN_TARGET_OUTPUT));
}

TEST(trainer_gradient_qwen2) {
    shape s;
    s.architecture = "qwen2";
    s.biases = true;
    s.tied = true;
    check_f32(lora_gradient(s, CN_PRECISION_F32, CN_TARGET_ALL));
}

TEST(trainer_gradient_qwen3) {
    shape s;
    s.architecture = "qwen3";
    check_f32(lora_gradient(s, CN_PRECISION_F32, CN_TARGET_ALL));
}

TEST(trainer_gradient_of_some_targets) {
    for (int targets : {CN_TARGET_Q + 0, CN_TARGET_V | CN_TARGET_DOWN, CN_TARGET_O | CN_TARGET_UP, CN_TARGET_OUTPUT + 0, CN_TARGET_K | CN_TARGET_GATE | CN_TARGET_OUTPUT}) {
        shape s;
        s.layers = 1;
        check_f32(lora_gradient(s, CN_PRECISION_F32, static_cast<uint32_t>(targets)));
    }
}

TEST(trainer_gradient_bf16) {
    shape s;
    s.width = 64;
    s.feed_forward = 96;
    s.head_width = 16;
    for (const char * architecture : {"llama", "qwen2", "qwen3"}) {
        s.architecture = architecture;
        const built_model built = build(s, 3);
        cn_trainer_config config = small_config();
        config.precision = CN_PRECISION_BF16;
        trainer t(built.model, config);
        shake(t, 7, 0.1f);
        check_bf16(compare(t, some_batch(*built.model, {9, 1, 6}, 11), {}, 250));
    }
}

TEST(trainer_gradient_with_teacher_and_anchor) {
    const built_model built = build({}, 4);
    cn_trainer_config config = small_config();
    config.teacher_k = 4;
    config.use_reference = 1;
    config.targets = CN_TARGET_ALL | CN_TARGET_OUTPUT;
    trainer t(built.model, config);
    shake(t, 8, 0.3f);
    t.set_reference();
    const doubles reference = values_of(t);
    shake(t, 9, 0.2f);
    oracle_batch batch = some_batch(*built.model, {7, 8}, 12);
    add_teacher(batch, built.model->config().vocabulary, 4);
    batch.anchor = 0.4f;
    check_f32(compare(t, batch, reference));
}

TEST(trainer_gradient_of_preferences) {
    const built_model built = build({}, 5);
    cn_trainer_config config = small_config();
    config.use_reference = 1;
    trainer t(built.model, config);
    const doubles reference = values_of(t);
    shake(t, 9, 0.2f);
    oracle_batch batch = some_batch(*built.model, {7, 8, 5, 6}, 13);
    batch.dpo_beta = 0.3f;
    check_f32(compare(t, batch, reference));
}

TEST(trainer_gradient_under_dropout) {
    const built_model built = build({}, 6);
    cn_trainer_config config = small_config();
    config.dropout = 0.3f;
    trainer t(built.model, config);
    shake(t, 9, 0.3f);
    const oracle_batch batch = some_batch(*built.model, {9, 6}, 14);
    // The masks of the first batch, from the op itself: the oracle checks that forward and backward use the same ones.
    thread_pool pool(1, scheduling::normal);
    const cpu_context cpu{pool, isa::portable};
    std::vector<std::vector<float>> masks;
    for (int layer = 0; layer < built.model->config().layers; layer++) {
        for (int g = 0; g < groups_of_layer; g++) {
            const int64_t inputs = t.layout().group_of(layer, g).inputs;
            std::vector<float> ones(batch.tokens.size() * static_cast<size_t>(inputs), 1.0f);
            dropout(cpu, config.seed, static_cast<uint64_t>(layer) * groups_of_layer + static_cast<uint64_t>(g), static_cast<int64_t>(ones.size()), config.dropout,
                    static_cast<const float *>(ones.data()), ones.data());
            masks.push_back(std::move(ones));
        }
    }
    int64_t zeros = 0;
    for (float m : masks[0]) {
        zeros += m == 0 ? 1 : 0;
    }
    CHECK(zeros > 60 && zeros < 160); // of 360
    check_f32(compare(t, batch, {}, 0, [&](int layer, int g, int64_t index) { return static_cast<double>(masks[static_cast<size_t>(layer * groups_of_layer + g)][static_cast<size_t>(index)]); }));
}

TEST(trainer_gradient_of_all_weights) {
    for (const char * architecture : {"llama", "qwen2", "qwen3"}) {
        shape s;
        s.architecture = architecture;
        s.tied = std::strcmp(architecture, "llama") != 0;
        s.biases = std::strcmp(architecture, "qwen2") == 0;
        const built_model built = build(s, 7);
        cn_trainer_config config = small_config();
        config.mode = CN_MODE_FULL;
        trainer t(built.model, config);
        check_f32(compare(t, some_batch(*built.model, {9, 6}, 15), {}, 500));
        // Vectors are few among many: look at each of them.
        double worst = 0;
        const oracle_batch batch = some_batch(*built.model, {9, 6}, 15);
        model_oracle oracle(t.base(), t.layout());
        t.accumulate(view(batch));
        doubles p = values_of(t);
        for (const full_tensor & tensor : t.layout().tensors()) {
            if (tensor.rows != 1) {
                continue;
            }
            const auto at = static_cast<size_t>(tensor.offset);
            const double kept = p[at];
            p[at] = kept + 1e-4;
            const double above = oracle.loss(batch, p, {});
            p[at] = kept - 1e-4;
            const double below = oracle.loss(batch, p, {});
            p[at] = kept;
            worst = std::max(worst, std::abs((above - below) / 2e-4 - t.gradients()[at]) / (1e-3 + std::abs(above - below) / 2e-4));
        }
        t.forget_gradients();
        std::printf("vectors: worst relative error %.2e\n", worst);
        CHECK(worst < 1e-2);
    }
}

TEST(trainer_plan_does_not_change_the_gradient) {
    shape s;
    s.layers = 3;
    const built_model built = build(s, 8);
    const oracle_batch batch = some_batch(*built.model, {20, 11, 17}, 16);
    std::vector<float> first;
    double first_loss = 0;
    cn_trainer_config config = small_config();
    config.targets = CN_TARGET_ALL;
    cn_memory most = trainer::plan(*built.model, config);
    CHECK_EQ(most.stored_layers, 3);
    int64_t smaller = 0;
    // Less and less memory, and one to five threads: every bit stays.
    for (int round = 0; round < 8; round++) {
        config.memory_budget = round == 0 ? 0 : most.total - most.activations / 12 * round;
        config.threads = 1 + round % 5;
        cn_memory plan;
        try {
            plan = trainer::plan(*built.model, config);
        } catch (const error & e) {
            CHECK(e.kind() == failure::budget);
            break;
        }
        smaller += plan.stored_layers < 3 ? 1 : 0;
        trainer t(built.model, config);
        CHECK_EQ(t.memory().total, plan.total);
        shake(t, 3, 0.2f);
        const cn_loss loss = t.accumulate(view(batch));
        if (round == 0) {
            first.assign(t.gradients(), t.gradients() + t.layout().count());
            first_loss = loss.loss;
        } else {
            CHECK(std::memcmp(first.data(), t.gradients(), first.size() * sizeof(float)) == 0);
            CHECK_EQ(loss.loss, first_loss);
        }
    }
    CHECK(smaller > 0);
}

TEST(trainer_untrained_adapter_is_the_base) {
    const built_model built = build({}, 9);
    cn_trainer_config config = small_config();
    trainer t(built.model, config);
    const oracle_batch batch = some_batch(*built.model, {12}, 17);
    std::vector<float> log_probs(batch.tokens.size());
    const cn_loss loss = t.evaluate(view(batch), log_probs.data());
    const model_oracle oracle(t.base(), t.layout());
    const doubles logits = oracle.logits(batch, doubles(static_cast<size_t>(t.layout().count())));
    double sum = 0;
    const int64_t v = built.model->config().vocabulary;
    for (size_t i = 0; i < batch.tokens.size(); i++) {
        if (batch.weight[i] == 0) {
            CHECK_EQ(log_probs[i], 0.0f);
            continue;
        }
        const double * row = logits.data() + static_cast<int64_t>(i) * v;
        const double expected = row[batch.target[i]] - model_oracle::log_sum(row, v);
        CHECK(std::abs(expected - static_cast<double>(log_probs[i])) < 1e-5);
        sum -= expected * static_cast<double>(batch.weight[i]);
    }
    CHECK(std::abs(sum - loss.loss) < 1e-4);
}

TEST(trainer_learns_and_repeats_itself) {
    const built_model built = build({}, 10);
    const oracle_batch batch = some_batch(*built.model, {12, 9}, 18);
    std::vector<float> first;
    for (int run = 0; run < 2; run++) {
        cn_trainer_config config = small_config();
        config.rank = 8;
        config.learning_rate = 1e-2f;
        config.dropout = 0.05f;
        config.warmup_steps = 3;
        config.total_steps = 60;
        config.threads = 1 + run * 2;
        trainer t(built.model, config);
        const double before = t.evaluate(view(batch), nullptr).loss;
        for (int step = 0; step < 60; step++) {
            t.accumulate(view(batch));
            const cn_update update = t.update();
            CHECK_EQ(update.step, static_cast<int64_t>(step) + 1);
            CHECK(update.gradient_norm > 0);
            CHECK_EQ(update.skipped, 0);
        }
        const cn_loss after = t.evaluate(view(batch), nullptr);
        std::printf("loss %.4f, then %.4f; %d of %d right\n", before, after.loss, after.correct, after.rows);
        CHECK(after.loss < 0.2 * before);
        if (run == 0) {
            first.assign(t.values(), t.values() + t.layout().count());
        } else {
            CHECK(std::memcmp(first.data(), t.values(), first.size() * sizeof(float)) == 0);
        }
    }
}

TEST(trainer_skips_a_gradient_that_is_not_finite) {
    const built_model built = build({}, 11);
    trainer t(built.model, small_config());
    const oracle_batch batch = some_batch(*built.model, {12}, 19);
    std::vector<float> before(t.values(), t.values() + t.layout().count());
    t.accumulate(view(batch));
    t.gradients()[5] = NAN;
    cn_update update = t.update();
    CHECK_EQ(update.skipped, 1);
    CHECK_EQ(update.skipped_total, int64_t{1});
    CHECK_EQ(update.step, int64_t{0});
    CHECK(std::memcmp(before.data(), t.values(), before.size() * sizeof(float)) == 0);
    t.accumulate(view(batch));
    update = t.update();
    CHECK_EQ(update.skipped, 0);
    CHECK_EQ(update.step, int64_t{1});
    CHECK_EQ(update.skipped_total, int64_t{1});
}

TEST(trainer_stops_at_a_slice_and_goes_on) {
    const built_model built = build({}, 12);
    const oracle_batch batch = some_batch(*built.model, {12, 4}, 20);
    trainer t(built.model, small_config());
    t.accumulate(view(batch));
    const std::vector<float> whole(t.gradients(), t.gradients() + t.layout().count());
    t.forget_gradients();
    slice_counter counts;
    t.set_slice(slice_counter::call, &counts);
    t.state().batches = 0;
    t.accumulate(view(batch));
    const int all = counts.calls;
    CHECK(all > 10);
    for (int at = 0; at < all; at += 3) {
        t.forget_gradients();
        counts = {0, at};
        try {
            t.accumulate(view(batch));
            CHECK(false);
        } catch (const error & e) {
            CHECK(e.kind() == failure::cancelled);
        }
        counts = {0, -1};
        t.accumulate(view(batch));
        CHECK(std::memcmp(whole.data(), t.gradients(), whole.size() * sizeof(float)) == 0);
    }
}

TEST(trainer_refuses_bad_batches_by_name) {
    const built_model built = build({}, 13);
    trainer t(built.model, small_config());
    const oracle_batch good = some_batch(*built.model, {12, 4}, 21);
    const auto refused = [&](const oracle_batch & batch, const char * part) {
        try {
            t.accumulate(view(batch));
            CHECK_EQ(std::string("accepted"), std::string(part));
        } catch (const error & e) {
            CHECK(e.kind() == failure::argument);
            if (std::string(e.what()).find(part) == std::string::npos) {
                CHECK_EQ(std::string(e.what()), std::string(part));
            }
        }
    };
    oracle_batch bad = good;
    bad.tokens[3] = 37;
    refused(bad, "the vocabulary has 37");
    bad = good;
    bad.target[1] = -2;
    refused(bad, "row 1");
    bad = good;
    bad.weight[2] = INFINITY;
    refused(bad, "weights are finite");
    bad = good;
    bad.bounds[1] = 16;
    refused(bad, "sequence 1 has 0 tokens");
    bad = good;
    bad.bounds[2] = 15;
    refused(bad, "bounds");
    bad = good;
    bad.anchor = 1;
    refused(bad, "use_reference");
    bad = some_batch(*built.model, {40, 40}, 1);
    refused(bad, "80 tokens");
    const cn_loss nothing = [&] {
        oracle_batch masked = good;
        for (float & w : masked.weight) {
            w = 0;
        }
        return t.evaluate(view(masked), nullptr);
    }();
    CHECK_EQ(nothing.rows, 0);
    CHECK_EQ(nothing.loss, 0.0);
}

TEST(trainer_refuses_bad_options_by_name) {
    const built_model built = build({}, 14);
    const auto refused = [&](auto change, const char * part) {
        cn_trainer_config config = small_config();
        change(config);
        try {
            trainer::plan(*built.model, config);
            CHECK_EQ(std::string("accepted"), std::string(part));
        } catch (const error & e) {
            if (std::string(e.what()).find(part) == std::string::npos) {
                CHECK_EQ(std::string(e.what()), std::string(part));
            }
        }
    };
    refused([](auto & c) { c.rank = 0; }, "rank");
    refused([](auto & c) { c.dropout = 1; }, "dropout");
    refused([](auto & c) { c.targets = 0; }, "targets");
    refused([](auto & c) { c.learning_rate = NAN; }, "learning_rate");
    refused([](auto & c) { c.max_tokens = 0; }, "max_tokens");
    refused([](auto & c) { c.memory_budget = 1000; }, "the least is");
    refused([](auto & c) { c.isa = 9; }, "isa");
}

TEST(model_refuses_what_it_does_not_know) {
    const auto refused = [](auto change, const char * part, failure kind) {
        std::vector<float> memory(64 * 64, 0.5f);
        std::vector<tensor_entry> tensors;
        const auto add = [&](const char * name, int64_t columns, int64_t rows) {
            tensor_entry entry;
            entry.name = name;
            entry.dimensions = 2;
            entry.ne[0] = columns;
            entry.ne[1] = rows;
            entry.data = memory.data();
            tensors.push_back(entry);
        };
        add("token_embd.weight", 8, 16);
        add("output_norm.weight", 8, 1);
        for (const char * name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
            add((std::string("blk.0.") + name + ".weight").c_str(), 8, 8);
        }
        add("blk.0.ffn_gate.weight", 8, 12);
        add("blk.0.ffn_up.weight", 8, 12);
        add("blk.0.ffn_down.weight", 12, 8);
        add("blk.0.attn_norm.weight", 8, 1);
        add("blk.0.ffn_norm.weight", 8, 1);
        metadata_table table;
        table.texts["general.architecture"] = "llama";
        table.numbers = {{"llama.block_count", 1}, {"llama.embedding_length", 8}, {"llama.feed_forward_length", 12}, {"llama.attention.head_count", 2},
                         {"llama.attention.layer_norm_rms_epsilon", 1e-5}};
        change(tensors, table, memory);
        try {
            model m(tensors, table, nullptr);
            CHECK_EQ(std::string("accepted"), std::string(part));
        } catch (const error & e) {
            CHECK(e.kind() == kind);
            if (std::string(e.what()).find(part) == std::string::npos) {
                CHECK_EQ(std::string(e.what()), std::string(part));
            }
        }
    };
    using tensors = std::vector<tensor_entry>;
    using memory = std::vector<float>;
    refused([](tensors &, metadata_table & t, memory &) { t.texts["general.architecture"] = "gemma9"; }, "'gemma9'", failure::unsupported);
    refused([](tensors & t, metadata_table &, memory &) { t.pop_back(); }, "blk.0.ffn_norm.weight", failure::file);
    refused([](tensors & t, metadata_table &, memory &) { t.push_back(t.back()); t.back().name = "blk.0.attn_qkv.weight"; }, "blk.0.attn_qkv.weight", failure::unsupported);
    refused([](tensors & t, metadata_table &, memory &) { t[2].type = 17; }, "blk.0.attn_q.weight", failure::unsupported);
    refused([](tensors & t, metadata_table &, memory &) { t[2].ne[1] = 9; }, "blk.0.attn_q.weight", failure::file);
    refused([](tensors & t, metadata_table &, memory &) { t.push_back(t[3]); }, "twice", failure::file);
    refused([](tensors &, metadata_table & t, memory &) { t.numbers["llama.expert_count"] = 8; }, "experts", failure::unsupported);
    refused([](tensors &, metadata_table & t, memory &) { t.texts["llama.rope.scaling.type"] = "longrope"; }, "longrope", failure::unsupported);
    refused([](tensors &, metadata_table &, memory & m) { m[3] = NAN; }, "not finite", failure::file);
    refused([](tensors &, metadata_table & t, memory &) { t.numbers.erase("llama.block_count"); }, "llama.block_count", failure::file);
}
