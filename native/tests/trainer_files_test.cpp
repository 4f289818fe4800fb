// What a trainer writes and reads back: checkpoints, adapters in both forms, models.
#include "harness.h"
#include "io_check.h"
#include "small_model.h"

#include "io/gguf.h"
#include "train/files.h"

#include <cstdio>
#include <filesystem>
#include <fstream>

using namespace continual;
using namespace continual_tests;

namespace {

template <typename Call>
void refused(Call && call, failure kind, const char * part) {
    try {
        call();
        CHECK_EQ(std::string("accepted"), std::string(part));
    } catch (const error & e) {
        CHECK_EQ(static_cast<int>(e.kind()), static_cast<int>(kind));
        if (std::string(e.what()).find(part) == std::string::npos) {
            CHECK_EQ(std::string(e.what()), std::string(part));
        }
    }
}

std::vector<float> copy_of(trainer & t) {
    return {t.values(), t.values() + t.layout().count()};
}

} // namespace

TEST(checkpoint_resumes_bit_for_bit) {
    const io_check::folder folder;
    const built_model built = build({}, 20);
    const oracle_batch batch = some_batch(*built.model, {12, 9}, 1);
    cn_trainer_config config = small_config();
    config.dropout = 0.1f;
    config.learning_rate = 1e-2f;
    config.warmup_steps = 2;
    config.total_steps = 12;
    config.use_reference = 1;
    trainer whole(built.model, config);
    step(whole, batch, 5);
    whole.set_reference();
    save_checkpoint(whole, folder / "c", "position 5", 10);
    step(whole, batch, 7);

    config.threads = 1;
    trainer resumed(built.model, config);
    const std::vector<char> data = load_checkpoint(resumed, folder / "c");
    CHECK_EQ(std::string(data.begin(), data.end()), "position 5");
    CHECK_EQ(resumed.state().step, int64_t{5});
    step(resumed, batch, 7);
    CHECK(copy_of(whole) == copy_of(resumed));
    CHECK(std::memcmp(whole.reference(), resumed.reference(), sizeof(float) * static_cast<size_t>(whole.layout().count())) == 0);
    // Not by chance: without the moments it comes out otherwise.
    trainer forgetful(built.model, config);
    load_checkpoint(forgetful, folder / "c");
    std::memset(forgetful.first_moments(), 0, sizeof(float) * static_cast<size_t>(forgetful.layout().count()));
    step(forgetful, batch, 7);
    CHECK(copy_of(whole) != copy_of(forgetful));
}

TEST(checkpoint_of_other_options_is_refused_by_name) {
    const io_check::folder folder;
    const built_model built = build({}, 21);
    trainer t(built.model, small_config());
    save_checkpoint(t, folder / "c", nullptr, 0);
    const auto with = [&](auto change, const char * part) {
        cn_trainer_config config = small_config();
        change(config);
        trainer other(built.model, config);
        const std::vector<float> before = copy_of(other);
        refused([&] { load_checkpoint(other, folder / "c"); }, failure::mismatch, part);
        CHECK(before == copy_of(other));
    };
    with([](auto & c) { c.rank = 3; }, "rank 2, and this run has 3");
    with([](auto & c) { c.seed = 8; }, "seed 1, and this run has 8");
    with([](auto & c) { c.learning_rate = 1e-3f; }, "learning_rate");
    with([](auto & c) { c.targets = CN_TARGET_Q; }, "targets");
    const built_model another = build({}, 22);
    trainer other(another.model, small_config());
    refused([&] { load_checkpoint(other, folder / "c"); }, failure::mismatch, "another model file");
    refused([&] { load_checkpoint(other, folder / "none"); }, failure::file, "none");
    save_parameters(t, folder / "p");
    refused([&] { load_checkpoint(t, folder / "p"); }, failure::file, "no checkpoint");
}

TEST(damaged_checkpoint_is_refused_and_changes_nothing) {
    const io_check::folder folder;
    const built_model built = build({}, 23);
    trainer t(built.model, small_config());
    save_checkpoint(t, folder / "c", "abc", 3);
    std::ifstream in(folder / "c", std::ios::binary);
    const std::string good((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    const std::vector<float> before = copy_of(t);
    std::mt19937 random(3);
    int refusals = 0;
    for (int i = 0; i < 200; i++) {
        std::string bad = good;
        if (i % 2 == 0) {
            bad.resize(random() % bad.size());
        } else {
            bad[random() % bad.size()] ^= static_cast<char>(1 << (random() % 8));
        }
        std::ofstream(folder / "bad", std::ios::binary) << bad;
        try {
            load_checkpoint(t, folder / "bad");
            // Only padding between sections may differ unseen.
            CHECK(bad.size() == good.size());
        } catch (const error &) {
            refusals++;
        }
        CHECK(before == copy_of(t));
    }
    CHECK(refusals > 180);
}

TEST(parameters_are_kept_aside_and_taken_back) {
    const io_check::folder folder;
    const built_model built = build({}, 24);
    const oracle_batch batch = some_batch(*built.model, {12, 9}, 2);
    trainer t(built.model, small_config());
    step(t, batch, 3);
    const std::vector<float> best = copy_of(t);
    save_parameters(t, folder / "best");
    step(t, batch, 3);
    CHECK(best != copy_of(t));
    load_parameters(t, folder / "best");
    CHECK(best == copy_of(t));
}

TEST(adapter_goes_out_and_comes_back) {
    const io_check::folder folder;
    for (const char * architecture : {"llama", "qwen2", "qwen3"}) {
        shape s;
        s.architecture = architecture;
        const built_model built = build(s, 25);
        const oracle_batch batch = some_batch(*built.model, {12, 9}, 3);
        cn_trainer_config config = small_config();
        config.rs_lora = 1;
        config.targets = CN_TARGET_ALL | CN_TARGET_OUTPUT;
        trainer t(built.model, config);
        shake(t, 4, 0.2f);
        const double loss = t.evaluate(view(batch), nullptr).loss;
        for (const char * name : {"adapter.gguf", "peft"}) {
            export_adapter(t, folder / name, "somebody/base");
            // Into the same kind of trainer, one of a higher rank, and one with another scale.
            for (int round = 0; round < 3; round++) {
                cn_trainer_config other = config;
                other.rank = round == 1 ? 5 : config.rank;
                other.alpha = round == 2 ? 11.0f : config.alpha;
                other.seed = 77;
                trainer u(built.model, other);
                import_adapter(u, folder / name);
                const double again = u.evaluate(view(batch), nullptr).loss;
                CHECK(std::abs(again - loss) < 1e-5 * loss);
            }
        }
        CHECK(std::filesystem::exists(folder / "peft/adapter_config.json"));
    }
}

TEST(adapter_of_another_base_is_refused) {
    const io_check::folder folder;
    const built_model built = build({}, 26);
    trainer t(built.model, small_config());
    shake(t, 4, 0.2f);
    export_adapter(t, folder / "a.gguf", "");
    const auto into = [&](const shape & s, auto change, const char * part) {
        const built_model another = build(s, 27);
        cn_trainer_config config = small_config();
        change(config);
        trainer u(another.model, config);
        const std::vector<float> before = copy_of(u);
        refused([&] { import_adapter(u, folder / "a.gguf"); }, failure::mismatch, part);
        CHECK(before == copy_of(u));
    };
    shape s;
    s.architecture = "qwen2";
    into(s, [](auto &) {}, "architecture 'llama'");
    s = {};
    s.feed_forward = 48;
    into(s, [](auto &) {}, "another base");
    into({}, [](auto & c) { c.rank = 1; }, "rank 2");
    into({}, [](auto & c) { c.targets = CN_TARGET_Q; }, "not among this run's targets");
    s = {};
    s.layers = 1;
    into(s, [](auto &) {}, "blk.1.");
}

TEST(trained_model_is_written_and_read) {
    const io_check::folder folder;
    shape s;
    s.width = 32;
    s.feed_forward = 40; // not whole blocks of Q8_0
    s.head_width = 8;
    s.rope_factors = true;
    const built_model built = build(s, 28);
    write_model(built, folder / "m.gguf");
    const oracle_batch batch = some_batch(*built.model, {12, 9}, 5);
    const auto opened = model::open(folder / "m.gguf");
    CHECK(!opened->changed());
    cn_trainer_config config = small_config();
    config.mode = CN_MODE_FULL;
    config.learning_rate = 1e-2f;
    trainer t(opened, config);
    step(t, batch, 5);
    const double loss = t.evaluate(view(batch), nullptr).loss;
    const struct {
        tensor_type type;
        double tolerance; // measured 0, 6e-4, 7e-4, 7e-3
    } types[] = {{tensor_type::f32, 0}, {tensor_type::f16, 3e-3}, {tensor_type::bf16, 1e-2}, {tensor_type::q8_0, 3e-2}};
    for (const auto & [type, tolerance] : types) {
        export_model(t, folder / "out.gguf", static_cast<int32_t>(type));
        const auto written = model::open(folder / "out.gguf");
        trainer u(written, small_config());
        const double again = u.evaluate(view(batch), nullptr).loss;
        std::printf("type %d: relative difference %.2e\n", static_cast<int>(type), std::abs(again - loss) / loss);
        CHECK(std::abs(again - loss) <= tolerance * loss);
        CHECK_EQ(written->config().rope.factors != nullptr, true);
    }
    refused([&] { export_model(t, folder / "out.gguf", 12); }, failure::unsupported, "llama-quantize");
    refused([&] { export_adapter(t, folder / "out.gguf", ""); }, failure::argument, "no adapter");
    refused([&] { export_model(t, folder / "no/such/folder/out.gguf", 0); }, failure::file, "no/such/folder");
    write_model(build(s, 29), folder / "m.gguf");
    CHECK(opened->changed());
}
