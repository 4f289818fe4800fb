// The device by the CUDA driver, on a driver that is made up: its memory is the host's, its kernels are the emulator's. What only a real one can show is for bench/gpu.
#include "continual_native.h"
#include "emulator/emulator.h"
#include "gpu_check.h"
#include "model/device_weights.h"
#include "runtime/cuda_device.h"
#include "runtime/kernel_code.h"
#include "small_model.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <thread>

using namespace continual;
using namespace continual_tests;

namespace {

// What the driver is to do wrong, and what it has seen.
struct made_up {
    int32_t devices = 1;
    int32_t major = 9;
    int64_t memory = int64_t{1} << 40;
    int64_t used = 0;
    int32_t contexts = 0;
    int32_t streams = 0;
    int32_t events = 0;
    int32_t modules = 0;
    int32_t current = 0; // contexts pushed
    int32_t pinned = 0;
    int32_t shared_bytes = 227 * 1024;
    cu_result next_launch = cu_success;
    bool lost = false;
    bool compiles = true;
    std::map<cu_address, size_t> blocks;
    std::set<std::string> names;
    float clock = 0; // milliseconds: each launch takes one, products none
    std::map<cu_event, float> marked;
};

made_up world;

cu_result alive() {
    return world.lost ? 999 : cu_success;
}

cuda_driver driver() {
    world = {};
    cuda_driver d;
    d.error_name = [](cu_result result, const char ** name) {
        *name = result == cu_out_of_memory ? "CUDA_ERROR_OUT_OF_MEMORY" : result == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR_UNKNOWN";
        return cu_success;
    };
    d.error_text = [](cu_result, const char ** text) {
        *text = "made up";
        return cu_success;
    };
    d.device_count = [](int32_t * count) {
        *count = world.devices;
        return cu_success;
    };
    d.device_get = [](cu_device * device, int32_t ordinal) {
        *device = ordinal;
        return cu_success;
    };
    d.device_name = [](char * name, int32_t capacity, cu_device) {
        std::strncpy(name, "a made-up GPU", static_cast<size_t>(capacity));
        return cu_success;
    };
    d.device_attribute = [](int32_t * value, int32_t attribute, cu_device) {
        *value = attribute == cu_attribute_capability_major ? world.major : attribute == cu_attribute_multiprocessors ? 132 : attribute == cu_attribute_shared_optin ? world.shared_bytes : 0;
        return cu_success;
    };
    d.context_retain = [](cu_context * context, cu_device) {
        world.contexts++;
        *context = reinterpret_cast<cu_context>(&world);
        return cu_success;
    };
    d.context_release = [](cu_device) {
        world.contexts--;
        return cu_success;
    };
    d.context_push = [](cu_context) {
        world.current++;
        return cu_success;
    };
    d.context_pop = [](cu_context *) {
        world.current--;
        return cu_success;
    };
    d.host_allocate = [](void ** memory, size_t bytes, uint32_t) {
        world.pinned++;
        *memory = std::malloc(bytes);
        return cu_success;
    };
    d.host_free = [](void * memory) {
        world.pinned--;
        std::free(memory);
        return cu_success;
    };
    d.context_priorities = [](int32_t * lowest, int32_t * highest) {
        *lowest = 0;
        *highest = -5;
        return cu_success;
    };
    d.memory_info = [](size_t * available, size_t * total) {
        *available = static_cast<size_t>(world.memory - world.used);
        *total = static_cast<size_t>(world.memory);
        return alive();
    };
    d.memory_allocate = [](cu_address * address, size_t bytes) {
        if (world.used + static_cast<int64_t>(bytes) > world.memory) {
            return cu_out_of_memory;
        }
        *address = reinterpret_cast<cu_address>(::operator new(bytes, std::align_val_t(256)));
        world.used += static_cast<int64_t>(bytes);
        world.blocks[*address] = bytes;
        return cu_success;
    };
    d.memory_free = [](cu_address address) {
        world.used -= static_cast<int64_t>(world.blocks.at(address));
        world.blocks.erase(address);
        ::operator delete(reinterpret_cast<void *>(address), std::align_val_t(256));
        return cu_success;
    };
    d.copy_up = [](cu_address to, const void * from, size_t bytes, cu_stream) {
        std::memcpy(reinterpret_cast<void *>(to), from, bytes);
        return alive();
    };
    d.copy_down = [](void * to, cu_address from, size_t bytes, cu_stream) {
        std::memcpy(to, reinterpret_cast<void *>(from), bytes);
        return alive();
    };
    d.copy_within = [](cu_address to, cu_address from, size_t bytes, cu_stream) {
        std::memcpy(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes);
        return alive();
    };
    d.memory_set = [](cu_address to, uint8_t value, size_t bytes, cu_stream) {
        std::memset(reinterpret_cast<void *>(to), value, bytes);
        return alive();
    };
    d.stream_create = [](cu_stream * stream, uint32_t, int32_t priority) {
        world.streams += priority == 0 ? 1 : 100;
        *stream = reinterpret_cast<cu_stream>(&world);
        return cu_success;
    };
    d.stream_destroy = [](cu_stream) {
        world.streams--;
        return cu_success;
    };
    d.stream_synchronize = [](cu_stream) { return alive(); };
    d.event_create = [](cu_event * event, uint32_t) {
        world.events++;
        *event = reinterpret_cast<cu_event>(new char);
        return cu_success;
    };
    d.event_destroy = [](cu_event event) {
        world.events--;
        delete reinterpret_cast<char *>(event);
        return cu_success;
    };
    d.event_record = [](cu_event event, cu_stream) {
        world.marked[event] = world.clock;
        return alive();
    };
    d.event_elapsed = [](float * milliseconds, cu_event from, cu_event to) {
        *milliseconds = world.marked.at(to) - world.marked.at(from);
        return alive();
    };
    d.event_synchronize = [](cu_event) { return alive(); };
    d.module_load = [](cu_module * module, const void * text, uint32_t count, int32_t * options, void ** values) -> cu_result {
        if (!world.compiles) {
            CHECK(count == 2 && options[0] == cu_jit_error_log);
            std::strcpy(static_cast<char *>(values[0]), "line 7: no such instruction");
            return 218;
        }
        world.modules++;
        *module = reinterpret_cast<cu_module>(const_cast<void *>(text));
        return cu_success;
    };
    d.module_unload = [](cu_module) {
        world.modules--;
        return cu_success;
    };
    d.module_function = [](cu_function * function, cu_module module, const char * name) -> cu_result {
        // As the real one: only what stands in that text.
        if (std::strstr(reinterpret_cast<const char *>(module), (std::string(".entry ") + name + "(").c_str()) == nullptr) {
            return 500;
        }
        *function = reinterpret_cast<cu_function>(const_cast<std::string *>(&*world.names.insert(name).first));
        return cu_success;
    };
    d.function_set = [](cu_function, int32_t attribute, int32_t bytes) -> cu_result { return attribute == cu_function_shared_bytes && bytes <= 227 * 1024 ? cu_success : 1; };
    d.launch = [](cu_function function, uint32_t x, uint32_t y, uint32_t z, uint32_t threads, uint32_t, uint32_t, uint32_t shared_bytes, cu_stream, void ** arguments, void **) -> cu_result {
        if (world.next_launch != cu_success) {
            return std::exchange(world.next_launch, cu_success);
        }
        world.clock += 1;
        emulator::launch(reinterpret_cast<const std::string *>(function)->c_str(), {static_cast<int>(x), static_cast<int>(y), static_cast<int>(z)}, static_cast<int>(threads), shared_bytes, arguments);
        return alive();
    };
    return d;
}

// Its text; empty when nothing was refused.
std::string refusal(const std::function<void()> & call, failure expected = failure::device) {
    try {
        call();
        return "";
    } catch (const error & e) {
        CHECK(e.kind() == expected);
        return e.what();
    }
}

bool has(const std::string & text, const char * part) {
    if (text.find(part) == std::string::npos) {
        std::fprintf(stderr, "said: %s\n", text.c_str());
        return false;
    }
    return true;
}

} // namespace

TEST(cuda_device_trains_as_the_cpu_does) {
    if (kernel_code_count == 0) {
        SKIP(kernel_code_absence);
    }
    const cuda_driver by = driver();
    const built_model built = build({}, 20);
    const oracle_batch batch = some_batch(*built.model, {12, 9}, 1);
    {
        const auto on = std::make_shared<cuda_device>(0, by);
        CHECK_EQ(on->info().name, "a made-up GPU");
        CHECK_EQ(on->info().multiprocessors, 132);
        const auto weights = std::make_shared<const device_weights>(on, built.model, std::vector<tensor_entry>{}, nullptr);
        trainer there(built.model, small_config(), on, weights);
        trainer here(built.model, small_config());
        int slices = 0;
        there.set_slice([](void * user) { return ++*static_cast<int *>(user) < 0 ? 1 : 0; }, &slices);
        for (int i = 0; i < 2; i++) {
            const double expected = here.accumulate(view(batch)).loss;
            CHECK(std::abs(there.accumulate(view(batch)).loss - expected) < 1e-5 * expected);
            here.update();
            CHECK_EQ(there.update().skipped, 0);
        }
        CHECK(slices > 10);
        const cn_slice_costs costs = there.slice_costs();
        // The first launch of each kernel is not measured.
        CHECK(costs.slices > 0 && costs.slices <= slices);
        CHECK(costs.layer_forward > 0);
        CHECK(costs.layer_backward > costs.layer_forward);
        CHECK(costs.longest >= 1e-3);
        CHECK(costs.seconds <= static_cast<double>(world.clock) / 1000);
        // More than lies in the staging memory at once.
        const auto many = ops_check::normals<float>(5 << 20, 3);
        const gpu_check::on_device<float> moved(on, many);
        CHECK(ops_check::same_bits(moved.values(), many));
        CHECK_EQ(world.current, 0);
    }
    CHECK_EQ(world.used, int64_t{0});
    CHECK_EQ(world.pinned, 0);
    CHECK_EQ(world.current, 0);
    CHECK_EQ(world.contexts, 0);
    CHECK_EQ(world.streams, 0);
    CHECK_EQ(world.events, 0);
    CHECK_EQ(world.modules, 0);
}

// A kernel that the PTX lacks would be found out by its first user.
TEST(cuda_device_has_every_kernel_that_the_emulator_has) {
    if (kernel_code_count == 0) {
        SKIP(kernel_code_absence);
    }
    int found = 0;
    for (const std::string & name : emulator::kernels()) {
        if (name.starts_with("emulator_")) {
            continue;
        }
        bool there = false;
        for (int32_t i = 0; i < kernel_code_count && !there; i++) {
            there = std::strstr(kernel_codes[i].ptx, (".entry " + name + "(").c_str()) != nullptr;
            CHECK(std::strlen(kernel_codes[i].ptx) == static_cast<size_t>(kernel_codes[i].size));
        }
        if (!there) {
            std::fprintf(stderr, "no PTX of %s\n", name.c_str());
        }
        CHECK(there);
        found++;
    }
    CHECK(found > 100);
}

TEST(cuda_device_is_shared_by_trainers_of_several_threads) {
    if (kernel_code_count == 0) {
        SKIP(kernel_code_absence);
    }
    const cuda_driver by = driver();
    const built_model built = build({}, 20);
    const oracle_batch batch = some_batch(*built.model, {12, 9}, 1);
    const auto on = std::make_shared<cuda_device>(0, by);
    const auto weights = std::make_shared<const device_weights>(on, built.model, std::vector<tensor_entry>{}, nullptr);
    trainer first(built.model, small_config(), on, weights);
    trainer second(built.model, small_config(), on, weights);
    double losses[2] = {};
    // The emulator itself runs one launch at a time, under the device's lock.
    std::thread other([&] { losses[1] = second.accumulate(view(batch)).loss; });
    losses[0] = first.accumulate(view(batch)).loss;
    other.join();
    CHECK_EQ(losses[0], losses[1]);
}

TEST(cuda_device_says_what_is_missing) {
    cuda_driver by = driver();
    world.devices = 0;
    CHECK(has(refusal([&] { cuda_device on(0, by); }), kernel_code_count == 0 ? "no GPU kernels" : "CUDA_VISIBLE_DEVICES"));
    if (kernel_code_count == 0) {
        return;
    }
    world.devices = 2;
    CHECK(has(refusal([&] { cuda_device on(2, by); }), "no GPU 2"));
    CHECK(has(refusal([&] { cuda_device on(-1, by); }), "no GPU -1"));
    world.major = 7;
    CHECK(has(refusal([&] { cuda_device on(0, by); }), "8.0"));
    world.major = 9;
    world.shared_bytes = 99 * 1024;
    {
        const auto on = std::make_shared<cuda_device>(0, by);
        CHECK(has(refusal([&] { launch(gpu_context{*on}, "swiglu_forward_f32", {1}, 256, 100 * 1024, int64_t{0}); }, failure::unsupported), "shared memory"));
    }
    world.memory = 1000;
    CHECK(has(refusal([&] { cuda_device on(0, by); }, failure::memory), "free"));
    CHECK_EQ(world.contexts, 0);
    CHECK_EQ(world.streams, 0);
}

TEST(cuda_device_tells_failures_and_can_be_closed_after) {
    if (kernel_code_count == 0) {
        SKIP(kernel_code_absence);
    }
    const cuda_driver by = driver();
    const built_model built = build({}, 20);
    const oracle_batch batch = some_batch(*built.model, {5}, 1);
    {
        const auto on = std::make_shared<cuda_device>(0, by);
        const auto weights = std::make_shared<const device_weights>(on, built.model, std::vector<tensor_entry>{}, nullptr);
        world.compiles = false;
        CHECK(has(refusal([&] { trainer refused(built.model, small_config(), on, weights); }), "no such instruction"));
        world.compiles = true;
        trainer t(built.model, small_config(), on, weights);
        // Between two launches somebody else takes what is left: nothing of ours needs any.
        world.memory = world.used;
        t.accumulate(view(batch));
        t.update();
        CHECK(has(refusal([&] { trainer more(built.model, small_config(), on, weights); }, failure::memory), "0 MiB"));
        world.next_launch = 700;
        CHECK(has(refusal([&] { t.accumulate(view(batch)); }), "CUDA_ERROR_ILLEGAL_ADDRESS"));
        // That launch alone was refused: the next step is as good as ever.
        t.accumulate(view(batch));
        CHECK_EQ(t.update().step, int64_t{2});
        world.lost = true;
        CHECK(has(refusal([&] { t.accumulate(view(batch)); }), "CUDA_ERROR_UNKNOWN"));
        CHECK(has(refusal([&] { t.values(); }), "CUDA_ERROR_UNKNOWN"));
    }
    CHECK_EQ(world.streams, 0);
    CHECK_EQ(world.contexts, 0);
    CHECK_EQ(world.pinned, 0);
    CHECK_EQ(world.current, 0);
    for (const auto & [address, bytes] : world.blocks) {
        ::operator delete(reinterpret_cast<void *>(address), std::align_val_t(256));
    }
}

TEST(cuda_interface_without_a_driver_says_so) {
    int32_t count = -1;
    CHECK_EQ(cn_device_count(&count), CN_OK);
    if (count > 0) {
        SKIP("this machine has a GPU");
    }
    cn_device_info info;
    CHECK_EQ(cn_device_describe(0, &info), CN_ERROR_DEVICE);
    char text[512];
    CHECK(cn_last_error(text, sizeof text) > 0);
    CHECK(has(text, "driver"));
    CHECK_EQ(cn_device_describe(0, nullptr), CN_ERROR_ARGUMENT);
    CHECK_EQ(cn_device_count(nullptr), CN_ERROR_ARGUMENT);

    const built_model built = build({}, 3);
    std::vector<cn_tensor> tensors;
    for (const tensor_entry & entry : built.tensors) {
        tensors.push_back({entry.name.c_str(), entry.type, entry.dimensions, {entry.ne[0], entry.ne[1], 1, 1}, entry.data});
    }
    std::vector<cn_metadata> metadata;
    for (const auto & [key, value] : built.table.texts) {
        metadata.push_back({key.c_str(), value.c_str(), 0});
    }
    for (const auto & [key, value] : built.table.numbers) {
        metadata.push_back({key.c_str(), nullptr, value});
    }
    cn_model * model = nullptr;
    CHECK_EQ(cn_model_create(tensors.data(), static_cast<int32_t>(tensors.size()), metadata.data(), static_cast<int32_t>(metadata.size()), &model), CN_OK);
    const cn_trainer_config config = small_config();
    cn_trainer * trainer = nullptr;
    cn_memory memory;
    CHECK_EQ(cn_trainer_create_on(model, 0, &config, &trainer), CN_ERROR_DEVICE);
    CHECK(trainer == nullptr);
    CHECK_EQ(cn_trainer_plan_on(model, 0, &config, &memory), CN_ERROR_DEVICE);
    CHECK_EQ(cn_model_lend(model, 0, tensors.data(), static_cast<int32_t>(tensors.size())), CN_OK);
    CHECK_EQ(cn_model_lend(model, 0, nullptr, 1), CN_ERROR_ARGUMENT);
    CHECK_EQ(cn_model_lend(model, 0, nullptr, 0), CN_OK);
    cn_model_free(model);
}
