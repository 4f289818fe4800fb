// The trainer on a GPU (emulated where there is none) against the trainer on the CPU, which faces the double oracle in trainer_test.cpp.
#include "gpu_check.h"
#include "io_check.h"
#include "model/device_weights.h"
#include "small_model.h"
#include "train/files.h"

#include <cstdio>

using namespace continual;
using namespace continual_tests;

namespace {

struct on_both {
    std::unique_ptr<trainer> cpu;
    std::unique_ptr<trainer> gpu;
};

std::shared_ptr<const device_weights> placed(const std::shared_ptr<device> & on, const built_model & built) {
    return std::make_shared<const device_weights>(on, built.model, std::vector<tensor_entry>{}, nullptr);
}

std::unique_ptr<trainer> on_gpu(const std::shared_ptr<device> & on, const built_model & built, const cn_trainer_config & config) {
    return std::make_unique<trainer>(built.model, config, on, placed(on, built));
}

on_both make(const std::shared_ptr<device> & on, const built_model & built, const cn_trainer_config & config) {
    return {std::make_unique<trainer>(built.model, config), on_gpu(on, built, config)};
}

struct difference {
    double cosine = 0;
    double ratio = 0;
    double loss = 0;
};

// Gradients of the same batch.
difference compare(on_both & both, const oracle_batch & batch) {
    const cn_loss here = both.cpu->accumulate(view(batch));
    const cn_loss there = both.gpu->accumulate(view(batch));
    double dot = 0;
    double own = 0;
    double right = 0;
    const float * a = both.cpu->gradients();
    const float * b = both.gpu->gradients();
    for (int64_t i = 0; i < both.cpu->layout().count(); i++) {
        dot += static_cast<double>(a[i]) * static_cast<double>(b[i]);
        own += static_cast<double>(b[i]) * static_cast<double>(b[i]);
        right += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    }
    CHECK_EQ(there.rows, here.rows);
    CHECK_EQ(there.weight, here.weight);
    const difference d{dot / std::sqrt(own * right), std::sqrt(own / right), std::abs(there.loss - here.loss) / std::abs(here.loss)};
    std::printf("cosine %.9f, norms' ratio %.6f, loss's relative difference %.2e\n", d.cosine, d.ratio, d.loss);
    both.cpu->forget_gradients();
    both.gpu->forget_gradients();
    return d;
}

void check_f32(const difference & d) {
    CHECK(d.cosine >= 0.9999999);
    CHECK(std::abs(d.ratio - 1) < 1e-4);
    CHECK(d.loss < 1e-5);
}

// The CPU rounds a sum of several products once, the GPU after each.
void check_bf16(const difference & d) {
    CHECK(d.cosine >= 0.999);
    CHECK(std::abs(d.ratio - 1) < 0.03);
    CHECK(d.loss < 0.02);
}

void shake_both(on_both & both, uint32_t seed, float spread) {
    shake(*both.cpu, seed, spread);
    shake(*both.gpu, seed, spread);
}

difference lora_gradient(const shape & s, int32_t precision, uint32_t targets) {
    const built_model built = build(s, 3);
    cn_trainer_config config = small_config();
    config.precision = precision;
    config.targets = targets;
    on_both both = make(gpu_check::devices(false)[0].on, built, config);
    shake_both(both, 7, 0.2f);
    return compare(both, some_batch(*built.model, {9, 1, 6}, 11));
}

// A model whose matrices are in Q8_0 or Q4_0, made without care for the best scale.
built_model quantized(const shape & s, tensor_type type) {
    built_model built = build(s, 3);
    for (tensor_entry & tensor : built.tensors) {
        if (tensor.dimensions != 2) {
            continue;
        }
        const auto * from = static_cast<const float *>(tensor.data);
        const int64_t blocks = tensor.ne[0] * tensor.ne[1] / 32;
        const bool eight = type == tensor_type::q8_0;
        const int64_t bytes = eight ? 34 : 18;
        std::vector<float> memory(static_cast<size_t>((blocks * bytes + 3) / 4));
        auto * to = reinterpret_cast<uint8_t *>(memory.data());
        for (int64_t block = 0; block < blocks; block++, from += 32, to += bytes) {
            // A scale of 2^-5 or 2^-3 as a half: exact, and enough for weights of this size.
            const uint16_t scale = eight ? 0x2800 : 0x3000;
            const float step = eight ? 0x1p-5f : 0x1p-3f;
            std::memcpy(to, &scale, sizeof scale);
            const auto code = [&](int i) { return static_cast<int>(std::lround(std::fmax(eight ? -127.0f : -8.0f, std::fmin(eight ? 127.0f : 7.0f, from[i] / step)))); };
            for (int i = 0; i < (eight ? 32 : 16); i++) {
                to[2 + i] = static_cast<uint8_t>(eight ? code(i) : (code(i) + 8) | (code(i + 16) + 8) << 4);
            }
        }
        built.memory.push_back(std::move(memory));
        tensor.data = built.memory.back().data();
        tensor.type = static_cast<int32_t>(type);
    }
    built.model = std::make_shared<const continual::model>(built.tensors, built.table, nullptr);
    return built;
}

std::vector<float> copy_of(trainer & t) {
    std::vector<float> all(t.values(), t.values() + t.layout().count());
    all.insert(all.end(), t.first_moments(), t.first_moments() + t.layout().count());
    all.insert(all.end(), t.second_moments(), t.second_moments() + t.layout().count());
    return all;
}

} // namespace

TEST(trainer_gpu_gradient_of_each_architecture) {
    for (const char * architecture : {"llama", "qwen2", "qwen3"}) {
        shape s;
        s.architecture = architecture;
        s.biases = std::strcmp(architecture, "qwen2") == 0;
        s.tied = s.biases;
        s.rope_factors = std::strcmp(architecture, "llama") == 0;
        check_f32(lora_gradient(s, CN_PRECISION_F32, s.tied ? CN_TARGET_ALL : CN_TARGET_ALL | CN_TARGET_OUTPUT));
    }
    for (int targets : {CN_TARGET_V | CN_TARGET_DOWN, CN_TARGET_O | CN_TARGET_UP, CN_TARGET_OUTPUT + 0}) {
        shape s;
        s.layers = 1;
        check_f32(lora_gradient(s, CN_PRECISION_F32, static_cast<uint32_t>(targets)));
    }
}

TEST(trainer_gpu_gradient_bf16) {
    shape s;
    s.width = 64;
    s.feed_forward = 96;
    s.head_width = 16;
    for (const char * architecture : {"llama", "qwen3"}) {
        s.architecture = architecture;
        check_bf16(lora_gradient(s, CN_PRECISION_BF16, CN_TARGET_ALL));
    }
}

TEST(trainer_gpu_gradient_on_quantized_weights) {
    shape s;
    s.width = 64;
    s.feed_forward = 96;
    s.head_width = 16;
    for (const tensor_type type : {tensor_type::q8_0, tensor_type::q4_0}) {
        const built_model built = quantized(s, type);
        for (const int32_t precision : {CN_PRECISION_F32, CN_PRECISION_BF16}) {
            cn_trainer_config config = small_config();
            config.precision = precision;
            on_both both = make(gpu_check::devices(false)[0].on, built, config);
            shake_both(both, 7, 0.1f);
            const difference d = compare(both, some_batch(*built.model, {9, 1, 6}, 11));
            precision == CN_PRECISION_F32 ? check_f32(d) : check_bf16(d);
        }
    }
}

TEST(trainer_gpu_gradient_with_teacher_and_anchor) {
    const built_model built = build({}, 4);
    cn_trainer_config config = small_config();
    config.teacher_k = 4;
    config.use_reference = 1;
    config.targets = CN_TARGET_ALL | CN_TARGET_OUTPUT;
    on_both both = make(gpu_check::devices(false)[0].on, built, config);
    shake_both(both, 8, 0.3f);
    both.cpu->set_reference();
    both.gpu->set_reference();
    shake_both(both, 9, 0.2f);
    oracle_batch batch = some_batch(*built.model, {7, 8}, 12);
    add_teacher(batch, built.model->config().vocabulary, 4);
    batch.anchor = 0.4f;
    check_f32(compare(both, batch));
}

TEST(trainer_gpu_gradient_of_preferences_and_under_dropout) {
    const built_model built = build({}, 5);
    cn_trainer_config config = small_config();
    config.use_reference = 1;
    config.dropout = 0.3f;
    on_both both = make(gpu_check::devices(false)[0].on, built, config);
    shake_both(both, 9, 0.2f);
    oracle_batch batch = some_batch(*built.model, {7, 8, 5, 6}, 13);
    check_f32(compare(both, batch));
    batch.dpo_beta = 0.3f;
    check_f32(compare(both, batch));
}

TEST(trainer_gpu_gradient_of_all_weights) {
    for (const char * architecture : {"llama", "qwen2", "qwen3"}) {
        shape s;
        s.layers = 1;
        s.architecture = architecture;
        s.tied = std::strcmp(architecture, "llama") != 0;
        s.biases = std::strcmp(architecture, "qwen2") == 0;
        const built_model built = build(s, 7);
        cn_trainer_config config = small_config();
        config.mode = CN_MODE_FULL;
        on_both both = make(gpu_check::devices(false)[0].on, built, config);
        check_f32(compare(both, some_batch(*built.model, {9, 6}, 15)));
    }
}

TEST(trainer_gpu_takes_the_steps_of_the_cpu) {
    const built_model built = build({}, 20);
    const oracle_batch batch = some_batch(*built.model, {12, 9}, 1);
    cn_trainer_config config = small_config();
    config.learning_rate = 1e-2f;
    config.clip_norm = 0.5f;
    on_both both = make(gpu_check::devices(false)[0].on, built, config);
    for (int i = 0; i < 5; i++) {
        const cn_loss here = both.cpu->accumulate(view(batch));
        const cn_loss there = both.gpu->accumulate(view(batch));
        CHECK(std::abs(there.loss - here.loss) < 1e-4 * here.loss);
        const cn_update a = both.cpu->update();
        const cn_update b = both.gpu->update();
        CHECK_EQ(b.step, a.step);
        CHECK(std::abs(b.gradient_norm - a.gradient_norm) < 1e-3 * a.gradient_norm);
    }
    const float first = static_cast<float>(both.gpu->evaluate(view(batch), nullptr).loss);
    both.gpu->accumulate(view(batch));
    both.gpu->update();
    CHECK(both.gpu->evaluate(view(batch), nullptr).loss < static_cast<double>(first));
}

TEST(trainer_gpu_resumes_bit_for_bit_in_any_order_of_threads) {
    const io_check::folder folder;
    const built_model built = build({}, 20);
    const oracle_batch batch = some_batch(*built.model, {12, 9}, 1);
    cn_trainer_config config = small_config();
    config.dropout = 0.1f;
    config.learning_rate = 1e-2f;
    config.use_reference = 1;
    const auto tried = gpu_check::devices();
    const auto whole = on_gpu(tried[0].on, built, config);
    step(*whole, batch, 2);
    save_checkpoint(*whole, folder / "c", "position 2", 10);
    step(*whole, batch, 2);
    const auto resumed = on_gpu(tried[1].on, built, config);
    load_checkpoint(*resumed, folder / "c");
    step(*resumed, batch, 2);
    CHECK(copy_of(*whole) == copy_of(*resumed));
}

TEST(trainer_gpu_skips_a_gradient_that_is_not_finite) {
    const built_model built = build({}, 21);
    const oracle_batch batch = some_batch(*built.model, {12, 9}, 1);
    const auto t = on_gpu(gpu_check::devices(false)[0].on, built, small_config());
    step(*t, batch, 1);
    const std::vector<float> before = copy_of(*t);
    t->accumulate(view(batch));
    t->gradients()[3] = std::numeric_limits<float>::infinity();
    const cn_update skipped = t->update();
    CHECK_EQ(skipped.skipped, 1);
    CHECK_EQ(skipped.step, int64_t{1});
    CHECK(copy_of(*t) == before);
    step(*t, batch, 1);
    CHECK(copy_of(*t) != before);
}

TEST(trainer_gpu_plan_fits_a_budget_and_gives_the_same_gradient) {
    shape s;
    s.layers = 3;
    const built_model built = build(s, 22);
    cn_trainer_config config = small_config();
    const auto on = gpu_check::devices(false)[0].on;
    const auto roomy = on_gpu(on, built, config);
    config.memory_budget = roomy->memory().total * 7 / 10;
    const auto tight = on_gpu(on, built, config);
    CHECK(tight->memory().total <= config.memory_budget);
    CHECK(tight->memory().stored_layers < 3);
    const oracle_batch batch = some_batch(*built.model, {12, 9}, 1);
    roomy->accumulate(view(batch));
    tight->accumulate(view(batch));
    double most = 0;
    double largest = 0;
    for (int64_t i = 0; i < roomy->layout().count(); i++) {
        most = std::fmax(most, std::abs(static_cast<double>(roomy->gradients()[i]) - static_cast<double>(tight->gradients()[i])));
        largest = std::fmax(largest, std::abs(static_cast<double>(roomy->gradients()[i])));
    }
    CHECK(largest > 0 && most <= 1e-6 * largest);
}

TEST(trainer_gpu_borrows_weights_that_are_the_files) {
    const built_model built = build({}, 23);
    const auto on = gpu_check::devices(false)[0].on;
    std::vector<tensor_entry> lent;
    std::vector<std::unique_ptr<gpu_check::on_device<float>>> memory;
    for (const tensor_entry & tensor : built.tensors) {
        const auto * from = static_cast<const float *>(tensor.data);
        memory.push_back(std::make_unique<gpu_check::on_device<float>>(on, std::vector<float>(from, from + tensor.ne[0] * tensor.ne[1])));
        lent.push_back(tensor);
        lent.back().data = memory.back()->data();
    }
    const auto weights = std::make_shared<const device_weights>(on, built.model, lent, nullptr);
    // Norms and biases are copied: they are kept in float, whatever the engine does.
    CHECK(weights->borrowed_bytes() > 20 * weights->copied_bytes());
    const cn_trainer_config config = small_config();
    const oracle_batch batch = some_batch(*built.model, {5}, 1);
    trainer borrowing(built.model, config, on, weights);
    const auto copying = on_gpu(on, built, config);
    CHECK_EQ(borrowing.evaluate(view(batch), nullptr).loss, copying->evaluate(view(batch), nullptr).loss);

    const auto refusal = [&](const std::vector<tensor_entry> & tensors) -> std::string {
        try {
            const device_weights refused(on, built.model, tensors, nullptr);
            return "";
        } catch (const error & e) {
            CHECK(e.kind() == failure::mismatch);
            return e.what();
        }
    };
    auto other = lent;
    other[0].ne[1]--;
    CHECK(refusal(other).find(other[0].name) != std::string::npos);
    other = lent;
    for (tensor_entry & tensor : other) {
        if (tensor.name == "blk.1.ffn_up.weight") {
            tensor.data = lent[0].data;
        }
    }
    CHECK(refusal(other).find("blk.1.ffn_up.weight") != std::string::npos);
}

TEST(trainer_gpu_without_memory_says_so_and_leaves_the_rest_alone) {
    const built_model built = build({}, 24);
    const auto on = std::make_shared<emulator::emulated_device>();
    const auto weights = placed(on, built);
    const cn_trainer_config config = small_config();
    trainer works(built.model, config, on, weights);
    on->capacity = 1;
    bool refused = false;
    try {
        const trainer more(built.model, config, on, weights);
    } catch (const error & e) {
        refused = e.kind() == failure::memory;
    }
    CHECK(refused);
    const oracle_batch batch = some_batch(*built.model, {5}, 1);
    works.accumulate(view(batch));
    CHECK_EQ(works.update().step, int64_t{1});
}
