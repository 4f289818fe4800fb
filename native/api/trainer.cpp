// The trainer's exports: arguments are checked, exceptions stop here, and everything else is done by the classes behind.
#include "api/firewall.h"
#include "model/device_weights.h"
#include "ops/quant.h"
#include "runtime/cuda_device.h"
#include "train/files.h"
#include "train/trainer.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

using continual::error;
using continual::failure;
using continual::fail;
using continual::guarded;

struct cn_model {
    explicit cn_model(std::shared_ptr<const continual::model> opened) : model(std::move(opened)) {}

    std::shared_ptr<const continual::model> model;

    // On GPUs, by their number: what was lent, and the weights while a trainer uses them.
    struct place {
        std::vector<continual::tensor_entry> lent;
        std::weak_ptr<const continual::device_weights> weights;
    };
    mutable std::mutex mutex;
    mutable std::map<int32_t, place> places;
};

struct cn_trainer {
    std::unique_ptr<continual::trainer> trainer;
};

namespace {

int32_t missing(const char * what) noexcept {
    char text[128] = "the argument '";
    std::strncat(text, what, sizeof text - 40);
    std::strcat(text, "' is null");
    return fail(CN_ERROR_ARGUMENT, text);
}

template <size_t N>
void copy_text(char (&to)[N], const std::string & from) {
    size_t length = std::min(from.size(), N - 1);
    while (length > 0 && length < from.size() && (static_cast<unsigned char>(from[length]) & 0xC0u) == 0x80u) {
        length--;
    }
    std::memcpy(to, from.data(), length);
    to[length] = '\0';
}

std::vector<continual::tensor_entry> read(const cn_tensor * tensors, int32_t count) {
    std::vector<continual::tensor_entry> entries;
    for (int32_t i = 0; i < count; i++) {
        const cn_tensor & t = tensors[i];
        if (t.name == nullptr || t.data == nullptr || t.dimensions < 1 || t.dimensions > 4) {
            throw error(failure::argument, "tensor " + std::to_string(i) + " of the table has no name, no data, or not 1 to 4 dimensions");
        }
        continual::tensor_entry entry;
        entry.name = t.name;
        entry.type = t.type;
        entry.dimensions = t.dimensions;
        entry.data = t.data;
        int64_t elements = 1;
        for (int d = 0; d < 4; d++) {
            entry.ne[d] = d < t.dimensions ? t.ne[d] : 1;
            if (entry.ne[d] < 1 || entry.ne[d] > (int64_t{1} << 40) / elements) {
                throw error(failure::argument, "the tensor '" + entry.name + "' has an impossible shape");
            }
            elements *= entry.ne[d];
        }
        if (continual::is_supported(entry.type) && entry.ne[0] % continual::block_elements(static_cast<continual::tensor_type>(entry.type)) != 0) {
            throw error(failure::argument, "the tensor '" + entry.name + "' has rows that its type's blocks don't divide");
        }
        entries.push_back(std::move(entry));
    }
    return entries;
}

cn_trainer_config read(const cn_trainer_config * config) {
    if (config->size != sizeof(cn_trainer_config)) {
        throw error(failure::argument, "cn_trainer_config has the size " + std::to_string(config->size) + ", and this library's has " + std::to_string(sizeof(cn_trainer_config)) +
                                           ": call cn_trainer_defaults first, with the header of the same version");
    }
    return *config;
}

const cn_batch_train & read(const cn_batch_train * batch) {
    if (batch->size != sizeof(cn_batch_train)) {
        throw error(failure::argument, "cn_batch_train has the size " + std::to_string(batch->size) + ", and this library's has " + std::to_string(sizeof(cn_batch_train)));
    }
    return *batch;
}

// One for all trainers on a GPU that live at the same time.
std::shared_ptr<continual::cuda_device> device_of(int32_t ordinal) {
    static std::mutex mutex;
    static std::map<int32_t, std::weak_ptr<continual::cuda_device>> devices;
    const std::lock_guard lock(mutex);
    std::shared_ptr<continual::cuda_device> device = devices[ordinal].lock();
    if (device == nullptr) {
        device = std::make_shared<continual::cuda_device>(ordinal);
        devices[ordinal] = device;
    }
    return device;
}

std::shared_ptr<const continual::device_weights> weights_of(const cn_model & model, int32_t ordinal, const std::shared_ptr<continual::cuda_device> & device) {
    const std::lock_guard lock(model.mutex);
    cn_model::place & place = model.places[ordinal];
    std::shared_ptr<const continual::device_weights> weights = place.weights.lock();
    if (weights == nullptr) {
        weights = std::make_shared<const continual::device_weights>(device, model.model, place.lent, nullptr);
        place.weights = weights;
    }
    return weights;
}

// A budget of 0 is what is free, but for a little that the driver takes for kernels as they are loaded, and what else is to come.
cn_trainer_config within(cn_trainer_config config, int64_t free_memory, int64_t to_come) {
    constexpr int64_t kept_free = int64_t{256} << 20;
    if (config.memory_budget == 0) {
        config.memory_budget = std::max<int64_t>(1, free_memory - to_come - kept_free);
    }
    return config;
}

// Of weights that a trainer would have to copy first: all, where none lives there and nobody lends any.
int64_t to_copy(const cn_model & model, int32_t ordinal) {
    const std::lock_guard lock(model.mutex);
    const cn_model::place & place = model.places[ordinal];
    return place.lent.empty() && place.weights.expired() ? model.model->weight_bytes() : 0;
}

// Common to all calls on a trainer: the pointer is there, and the call is guarded.
template <typename Call>
int32_t with(cn_trainer * trainer, Call && call) noexcept {
    if (trainer == nullptr) {
        return missing("trainer");
    }
    return guarded([&]() -> int32_t {
        call(*trainer->trainer);
        return CN_OK;
    });
}

} // namespace

extern "C" {

int32_t cn_model_open(const char * path, cn_model ** model) CN_NOEXCEPT {
    if (model == nullptr) {
        return missing("model");
    }
    *model = nullptr;
    if (path == nullptr) {
        return missing("path");
    }
    return guarded([&]() -> int32_t {
        *model = new cn_model(continual::model::open(path));
        return CN_OK;
    });
}

int32_t cn_model_create(const cn_tensor * tensors, int32_t tensor_count, const cn_metadata * metadata, int32_t metadata_count, cn_model ** model) CN_NOEXCEPT {
    if (model == nullptr) {
        return missing("model");
    }
    *model = nullptr;
    if (tensors == nullptr || tensor_count < 1) {
        return missing("tensors");
    }
    if (metadata == nullptr || metadata_count < 1) {
        return missing("metadata");
    }
    return guarded([&]() -> int32_t {
        const std::vector<continual::tensor_entry> entries = read(tensors, tensor_count);
        continual::metadata_table table;
        for (int32_t i = 0; i < metadata_count; i++) {
            if (metadata[i].key == nullptr) {
                throw error(failure::argument, "entry " + std::to_string(i) + " of the metadata has no key");
            }
            if (metadata[i].text != nullptr) {
                table.texts[metadata[i].key] = metadata[i].text;
            } else {
                table.numbers[metadata[i].key] = metadata[i].number;
            }
        }
        *model = new cn_model(std::make_shared<const continual::model>(entries, table, nullptr));
        return CN_OK;
    });
}

void cn_model_free(cn_model * model) CN_NOEXCEPT {
    delete model;
}

int32_t cn_model_describe(const cn_model * model, cn_model_info * info) CN_NOEXCEPT {
    if (info == nullptr) {
        return missing("info");
    }
    std::memset(info, 0, sizeof *info);
    if (model == nullptr) {
        return missing("model");
    }
    const continual::model & m = *model->model;
    const continual::model_config & c = m.config();
    info->layers = c.layers;
    info->width = c.width;
    info->feed_forward = c.feed_forward;
    info->heads = c.heads;
    info->kv_heads = c.kv_heads;
    info->head_width = c.head_width;
    info->vocabulary = c.vocabulary;
    info->context = c.context;
    info->tied = m.tied() ? 1 : 0;
    info->parameters = m.parameters();
    info->weight_bytes = m.weight_bytes();
    copy_text(info->architecture, c.architecture);
    copy_text(info->name, c.name);
    return CN_OK;
}

int32_t cn_model_changed(const cn_model * model, int32_t * changed) CN_NOEXCEPT {
    if (changed == nullptr) {
        return missing("changed");
    }
    *changed = 0;
    if (model == nullptr) {
        return missing("model");
    }
    return guarded([&]() -> int32_t {
        *changed = model->model->changed() ? 1 : 0;
        return CN_OK;
    });
}

int32_t cn_trainer_defaults(cn_trainer_config * config) CN_NOEXCEPT {
    if (config == nullptr) {
        return missing("config");
    }
    std::memset(config, 0, sizeof *config);
    config->size = sizeof *config;
    config->mode = CN_MODE_LORA;
    config->precision = continual::best_isa() == continual::isa::avx512_bf16 ? CN_PRECISION_BF16 : CN_PRECISION_F32;
    config->isa = CN_ISA_BEST;
    config->max_tokens = 512;
    config->max_sequences = 512;
    config->rank = 16;
    config->alpha = 32.0f;
    config->targets = CN_TARGET_ALL;
    config->b_rate_ratio = 1.0f;
    config->seed = 1;
    config->learning_rate = 2e-4f;
    config->beta1 = 0.9f;
    config->beta2 = 0.999f;
    config->eps = 1e-8f;
    config->clip_norm = 1.0f;
    return CN_OK;
}

int32_t cn_trainer_plan(const cn_model * model, const cn_trainer_config * config, cn_memory * memory) CN_NOEXCEPT {
    if (memory == nullptr) {
        return missing("memory");
    }
    std::memset(memory, 0, sizeof *memory);
    if (model == nullptr || config == nullptr) {
        return missing(model == nullptr ? "model" : "config");
    }
    return guarded([&]() -> int32_t {
        *memory = continual::trainer::plan(*model->model, read(config));
        return CN_OK;
    });
}

int32_t cn_trainer_create(const cn_model * model, const cn_trainer_config * config, cn_trainer ** trainer) CN_NOEXCEPT {
    if (trainer == nullptr) {
        return missing("trainer");
    }
    *trainer = nullptr;
    if (model == nullptr || config == nullptr) {
        return missing(model == nullptr ? "model" : "config");
    }
    return guarded([&]() -> int32_t {
        *trainer = new cn_trainer{std::make_unique<continual::trainer>(model->model, read(config))};
        return CN_OK;
    });
}

int32_t cn_trainer_plan_on(const cn_model * model, int32_t device, const cn_trainer_config * config, cn_memory * memory) CN_NOEXCEPT {
    if (memory == nullptr) {
        return missing("memory");
    }
    std::memset(memory, 0, sizeof *memory);
    if (model == nullptr || config == nullptr) {
        return missing(model == nullptr ? "model" : "config");
    }
    return guarded([&]() -> int32_t {
        *memory = continual::trainer::plan(*model->model, within(read(config), continual::cuda_device::look(device).free_memory, to_copy(*model, device)), true);
        return CN_OK;
    });
}

int32_t cn_trainer_create_on(const cn_model * model, int32_t device, const cn_trainer_config * config, cn_trainer ** trainer) CN_NOEXCEPT {
    if (trainer == nullptr) {
        return missing("trainer");
    }
    *trainer = nullptr;
    if (model == nullptr || config == nullptr) {
        return missing(model == nullptr ? "model" : "config");
    }
    return guarded([&]() -> int32_t {
        const std::shared_ptr<continual::cuda_device> on = device_of(device);
        const std::shared_ptr<const continual::device_weights> weights = weights_of(*model, device, on);
        *trainer = new cn_trainer{std::make_unique<continual::trainer>(model->model, within(read(config), on->info().free_memory, 0), on, weights)};
        return CN_OK;
    });
}

int32_t cn_device_count(int32_t * count) CN_NOEXCEPT {
    if (count == nullptr) {
        return missing("count");
    }
    *count = 0;
    // No driver is no failure, but its reason is kept for who asks.
    guarded([&]() -> int32_t {
        const continual::cuda_driver & driver = continual::cuda_driver::get();
        driver.check(driver.device_count(count), "cuDeviceGetCount");
        return CN_OK;
    });
    return CN_OK;
}

int32_t cn_device_describe(int32_t device, cn_device_info * info) CN_NOEXCEPT {
    if (info == nullptr) {
        return missing("info");
    }
    std::memset(info, 0, sizeof *info);
    return guarded([&]() -> int32_t {
        std::string products;
        const continual::device_info found = continual::cuda_device::look(device, &products);
        info->memory = found.memory;
        info->free_memory = found.free_memory;
        info->major = found.major;
        info->minor = found.minor;
        info->multiprocessors = found.multiprocessors;
        copy_text(info->name, found.name);
        copy_text(info->products, products);
        return CN_OK;
    });
}

int32_t cn_model_lend(cn_model * model, int32_t device, const cn_tensor * tensors, int32_t tensor_count) CN_NOEXCEPT {
    if (model == nullptr) {
        return missing("model");
    }
    if ((tensors == nullptr && tensor_count != 0) || tensor_count < 0) {
        return missing("tensors");
    }
    return guarded([&]() -> int32_t {
        std::vector<continual::tensor_entry> lent = read(tensors, tensor_count);
        const std::lock_guard lock(model->mutex);
        cn_model::place & place = model->places[device];
        place.lent = std::move(lent);
        // Trainers that live keep what they have.
        place.weights.reset();
        return CN_OK;
    });
}

void cn_trainer_free(cn_trainer * trainer) CN_NOEXCEPT {
    delete trainer;
}

int32_t cn_trainer_set_slice(cn_trainer * trainer, cn_slice slice, void * user) CN_NOEXCEPT {
    return with(trainer, [&](continual::trainer & t) { t.set_slice(slice, user); });
}

int32_t cn_trainer_set_slice_limit(cn_trainer * trainer, double seconds) CN_NOEXCEPT {
    return with(trainer, [&](continual::trainer & t) { t.set_slice_limit(seconds); });
}

int32_t cn_trainer_slice_costs(const cn_trainer * trainer, cn_slice_costs * costs) CN_NOEXCEPT {
    if (trainer == nullptr || costs == nullptr) {
        return missing(trainer == nullptr ? "trainer" : "costs");
    }
    return guarded([&]() -> int32_t {
        if (costs->size != sizeof(cn_slice_costs)) {
            throw error(failure::argument, "cn_slice_costs has the size " + std::to_string(costs->size) + ", and this library's has " + std::to_string(sizeof(cn_slice_costs)));
        }
        *costs = trainer->trainer->slice_costs();
        return CN_OK;
    });
}

int32_t cn_trainer_accumulate(cn_trainer * trainer, const cn_batch_train * batch, cn_loss * loss) CN_NOEXCEPT {
    if (loss == nullptr || batch == nullptr) {
        return missing(loss == nullptr ? "loss" : "batch");
    }
    std::memset(loss, 0, sizeof *loss);
    return with(trainer, [&](continual::trainer & t) { *loss = t.accumulate(read(batch)); });
}

int32_t cn_trainer_update(cn_trainer * trainer, cn_update * update) CN_NOEXCEPT {
    if (update == nullptr) {
        return missing("update");
    }
    std::memset(update, 0, sizeof *update);
    return with(trainer, [&](continual::trainer & t) { *update = t.update(); });
}

int32_t cn_trainer_evaluate(cn_trainer * trainer, const cn_batch_train * batch, cn_loss * loss, float * log_probs) CN_NOEXCEPT {
    if (loss == nullptr || batch == nullptr) {
        return missing(loss == nullptr ? "loss" : "batch");
    }
    std::memset(loss, 0, sizeof *loss);
    return with(trainer, [&](continual::trainer & t) { *loss = t.evaluate(read(batch), log_probs); });
}

int32_t cn_trainer_set_reference(cn_trainer * trainer) CN_NOEXCEPT {
    return with(trainer, [](continual::trainer & t) { t.set_reference(); });
}

int32_t cn_trainer_save_parameters(cn_trainer * trainer, const char * path) CN_NOEXCEPT {
    if (path == nullptr) {
        return missing("path");
    }
    return with(trainer, [&](continual::trainer & t) { continual::save_parameters(t, path); });
}

int32_t cn_trainer_load_parameters(cn_trainer * trainer, const char * path) CN_NOEXCEPT {
    if (path == nullptr) {
        return missing("path");
    }
    return with(trainer, [&](continual::trainer & t) { continual::load_parameters(t, path); });
}

int32_t cn_trainer_save_checkpoint(cn_trainer * trainer, const char * path, const void * data, int64_t data_size) CN_NOEXCEPT {
    if (path == nullptr || (data == nullptr && data_size != 0) || data_size < 0) {
        return missing(path == nullptr ? "path" : "data");
    }
    return with(trainer, [&](continual::trainer & t) { continual::save_checkpoint(t, path, data, data_size); });
}

int32_t cn_trainer_load_checkpoint(cn_trainer * trainer, const char * path, void * data, int64_t capacity, int64_t * data_size) CN_NOEXCEPT {
    if (data_size == nullptr) {
        return missing("data_size");
    }
    *data_size = 0;
    if (path == nullptr || (data == nullptr && capacity != 0) || capacity < 0) {
        return missing(path == nullptr ? "path" : "data");
    }
    return with(trainer, [&](continual::trainer & t) {
        const std::vector<char> kept = continual::load_checkpoint(t, path);
        *data_size = static_cast<int64_t>(kept.size());
        if (*data_size <= capacity && !kept.empty()) {
            std::memcpy(data, kept.data(), kept.size());
        }
    });
}

int32_t cn_trainer_export_adapter(cn_trainer * trainer, const char * path, const char * base_model) CN_NOEXCEPT {
    if (path == nullptr) {
        return missing("path");
    }
    return with(trainer, [&](continual::trainer & t) { continual::export_adapter(t, path, base_model == nullptr ? "" : base_model); });
}

int32_t cn_trainer_import_adapter(cn_trainer * trainer, const char * path) CN_NOEXCEPT {
    if (path == nullptr) {
        return missing("path");
    }
    return with(trainer, [&](continual::trainer & t) { continual::import_adapter(t, path); });
}

int32_t cn_trainer_export_model(cn_trainer * trainer, const char * path, int32_t type) CN_NOEXCEPT {
    if (path == nullptr) {
        return missing("path");
    }
    return with(trainer, [&](continual::trainer & t) { continual::export_model(t, path, type); });
}

int32_t cn_trainer_memory(const cn_trainer * trainer, cn_memory * memory) CN_NOEXCEPT {
    if (memory == nullptr) {
        return missing("memory");
    }
    std::memset(memory, 0, sizeof *memory);
    if (trainer == nullptr) {
        return missing("trainer");
    }
    *memory = trainer->trainer->memory();
    return CN_OK;
}

} // extern "C"
