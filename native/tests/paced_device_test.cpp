// Slices of a bounded time, on an emulated device whose clock is ours.
#include "emulator/emulated_device.h"
#include "gpu_check.h"
#include "harness.h"
#include "io_check.h"
#include "model/device_weights.h"
#include "ops/rows.h"
#include "runtime/paced_device.h"
#include "small_model.h"

using namespace continual;
using namespace continual_tests;

namespace {

// Seconds of each slice, as between them sees the clock.
struct watched {
    std::shared_ptr<emulator::emulated_device> device = std::make_shared<emulator::emulated_device>();
    paced_device paced{device};
    int asked = 0;

    void cut(double seconds) {
        paced.cut(seconds, [this] { asked++; });
    }
};

// A product of rows that are 1 each, so that each element of the result is k.
void multiply(watched & w, std::vector<float> & out, int64_t m, int64_t n, int64_t k, bool transposed) {
    const std::vector<float> ones(static_cast<std::size_t>(std::max({m, n, k}) * std::max({m, n, k})), 1.0f);
    const gpu_check::on_device<float> a(w.device, ones);
    const gpu_check::on_device<float> c(w.device, out);
    device_product p;
    p.m = m;
    p.n = n;
    p.k = k;
    p.left = {a.data(), false, transposed ? m : k, transposed};
    p.right = {a.data(), false, n, false};
    p.out = c.data();
    p.out_stride = n;
    w.paced.multiply(p);
    out = c.values();
}

} // namespace

TEST(paced_device_learns_what_things_take_and_keeps_slices_below_the_limit) {
    watched w;
    // A microsecond a block, and 30 more a launch.
    w.device->launch_takes = [](const std::string &, double work) { return 30e-6 + 1e-6 * work; };
    w.cut(2e-3);
    const gpu_check::on_device<float> x(w.device, std::vector<float>(1 << 16, 1.0f));
    const gpu_context gpu{w.paced};
    for (int i = 0; i < 400; i++) {
        fill(gpu, 1 << 16, 1.0f, x.data());
    }
    w.paced.synchronize();
    const slice_costs & costs = w.paced.costs();
    CHECK(costs.longest <= 2e-3);
    // Many a slice, not one: after the first two, each but the last is nearly full. The very first, which loads the kernel, is not measured.
    CHECK(costs.slices >= 10);
    CHECK(costs.slices <= 2 + static_cast<int64_t>(w.device->clock / 1.5e-3));
    CHECK_EQ(w.asked, static_cast<int>(costs.slices));
    CHECK(std::abs(costs.seconds[0] - (w.device->clock - 94e-6)) < 1e-9);
}

TEST(paced_device_cuts_a_product_by_rows_into_the_same_result) {
    for (const bool transposed : {false, true}) {
        watched w;
        std::vector<int64_t> rows;
        w.device->product_takes = [&](const device_product & p) {
            rows.push_back(p.m);
            return 10e-6 * static_cast<double>(p.m);
        };
        // One multiprocessor makes 10¹² operations a second or more: in a slice of 6 ns 200 rows of 2 · 3 · 5, which is one tile of 128.
        w.cut(6e-9);
        std::vector<float> out(700 * 3, 0.0f);
        for (int i = 0; i < 2; i++) {
            rows.clear();
            std::fill(out.begin(), out.end(), 0.0f);
            multiply(w, out, 700, 3, 5, transposed);
            CHECK(std::all_of(out.begin(), out.end(), [](float v) { return v == 5.0f; }));
            // The same the first time and later, whatever it took.
            CHECK(rows == (std::vector<int64_t>{128, 128, 128, 128, 128, 60}));
        }
        w.cut(2e-3);
        rows.clear();
        multiply(w, out, 700, 3, 5, transposed);
        CHECK(rows == std::vector<int64_t>{700});
    }
}

TEST(paced_device_follows_a_slower_and_a_faster_device) {
    watched w;
    double each = 100e-6;
    w.device->launch_takes = [&](const std::string &, double) { return each; };
    w.cut(2e-3);
    const gpu_check::on_device<float> x(w.device, std::vector<float>(256, 1.0f));
    const auto launches_of_a_slice = [&] {
        const int64_t before = w.paced.costs().slices;
        for (int i = 0; i < 600; i++) {
            fill(gpu_context{w.paced}, 256, 1.0f, x.data());
        }
        return 600.0 / static_cast<double>(w.paced.costs().slices - before);
    };
    CHECK(std::abs(launches_of_a_slice() - 20) < 2);
    each = 400e-6; // somebody else runs, too
    launches_of_a_slice();
    CHECK(std::abs(launches_of_a_slice() - 5) < 1);
    each = 50e-6;
    launches_of_a_slice();
    CHECK(std::abs(launches_of_a_slice() - 40) < 4);
}

TEST(paced_device_counts_no_time_between_calls) {
    watched w;
    w.device->launch_takes = [](const std::string &, double) { return 100e-6; };
    w.cut(2e-3);
    const gpu_check::on_device<float> x(w.device, std::vector<float>(256, 1.0f));
    for (int i = 0; i < 10; i++) {
        fill(gpu_context{w.paced}, 256, 1.0f, x.data());
        w.paced.close();
        w.device->clock += 5; // nobody asks for anything
    }
    w.paced.synchronize();
    CHECK(w.paced.costs().longest < 2e-3);
}

TEST(paced_device_without_slices_is_the_device) {
    watched w;
    std::vector<float> out(300 * 3, 0.0f);
    multiply(w, out, 300, 3, 5, false);
    w.paced.synchronize();
    CHECK_EQ(w.paced.costs().slices, int64_t{0});
    CHECK_EQ(out[899], 5.0f);
}

// Attention and AdamW in pieces: as with whole launches, bit for bit.
TEST(trainer_gpu_in_slices_computes_the_same) {
    const built_model built = build({}, 21);
    const oracle_batch batch = some_batch(*built.model, {40, 70, 3, 1}, 5);
    std::vector<float> whole;
    double loss = 0;
    for (const bool sliced : {false, true}) {
        const auto on = std::make_shared<emulator::emulated_device>();
        // A block of attention is more than a slice, so that each is a launch of its own; so is a block of AdamW.
        on->launch_takes = [](const std::string & kernel, double work) { return (kernel.starts_with("attention") || kernel.starts_with("adamw") ? 1e-3 : 1e-7) * work; };
        on->product_takes = [](const device_product & p) { return 1e-5 * static_cast<double>(p.m); };
        cn_trainer_config config = small_config();
        config.max_tokens = 128;
        config.max_length = 128;
        trainer t(built.model, config, on, std::make_shared<const device_weights>(on, built.model, std::vector<tensor_entry>{}, nullptr));
        int asked = 0;
        if (sliced) {
            t.set_slice([](void * user) { return ++*static_cast<int *>(user) < 0 ? 1 : 0; }, &asked);
        }
        double last = 0;
        for (int i = 0; i < 3; i++) {
            last = t.accumulate(view(batch)).loss;
            t.update();
        }
        std::vector<float> values(t.values(), t.values() + t.layout().count());
        if (!sliced) {
            whole = values;
            loss = last;
            CHECK_EQ(t.slice_costs().slices, int64_t{0});
        } else {
            CHECK(asked > 100);
            CHECK_EQ(last, loss);
            CHECK(std::memcmp(whole.data(), values.data(), whole.size() * sizeof(float)) == 0);
            const cn_slice_costs costs = t.slice_costs();
            CHECK(costs.layer_forward > 0 && costs.layer_backward > 0);
            // But for what ran for the first time.
            CHECK(costs.seconds < on->clock && costs.seconds > 0.6 * on->clock);
        }
    }
}

TEST(trainer_gpu_stops_at_a_slice_and_goes_on) {
    const built_model built = build({}, 12);
    const oracle_batch batch = some_batch(*built.model, {12, 4}, 20);
    const auto on = std::make_shared<emulator::emulated_device>();
    on->launch_takes = [](const std::string &, double) { return 1e-3; };
    trainer t(built.model, small_config(), on, std::make_shared<const device_weights>(on, built.model, std::vector<tensor_entry>{}, nullptr));
    t.accumulate(view(batch));
    const std::vector<float> whole(t.gradients(), t.gradients() + t.layout().count());
    t.forget_gradients();
    slice_counter counts;
    t.set_slice(slice_counter::call, &counts);
    t.state().batches = 0;
    // Once to learn what things take, and once to count.
    t.accumulate(view(batch));
    t.forget_gradients();
    counts = {};
    t.accumulate(view(batch));
    const int all = counts.calls * 3 / 4;
    CHECK(all > 10);
    t.forget_gradients();
    for (int at = 0; at < all; at += 7) {
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
        t.forget_gradients();
    }
    // An update that has begun is made to its end.
    t.accumulate(view(batch));
    counts = {0, 0};
    CHECK_EQ(t.update().step, int64_t{1});
    CHECK(counts.calls > 0);
}
