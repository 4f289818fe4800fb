// write_parity DEVICE f32|bf16 ARCHITECTURE FOLDER: a small model, an adapter, its gradient on a batch and the losses of ten steps, for bench/gpu/parity.py to compare
// with PyTorch's. DEVICE: cpu or the number of a GPU.
#include "model/device_weights.h"
#include "runtime/cuda_device.h"
#include "small_model.h"
#include "train/files.h"

#include <cstdio>
#include <filesystem>

using namespace continual;
using namespace continual_tests;

namespace {

std::unique_ptr<trainer> make(const built_model & built, const cn_trainer_config & config, const std::shared_ptr<device> & on, const std::shared_ptr<const device_weights> & weights) {
    return on == nullptr ? std::make_unique<trainer>(built.model, config) : std::make_unique<trainer>(built.model, config, on, weights);
}

void write(const std::string & path, const std::string & text) {
    std::FILE * file = std::fopen(path.c_str(), "wb");
    if (file == nullptr || std::fwrite(text.data(), 1, text.size(), file) != text.size() || std::fclose(file) != 0) {
        std::fprintf(stderr, "%s cannot be written\n", path.c_str());
        std::exit(1);
    }
}

template <typename T>
std::string list(const std::vector<T> & values) {
    std::string text = "[";
    for (const T & value : values) {
        text.append(text.size() > 1 ? "," : "").append(std::to_string(value));
    }
    return text + "]";
}

} // namespace

int main(int argc, char ** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: write_parity cpu|NUMBER f32|bf16 llama|qwen2|qwen3 FOLDER\n");
        return 2;
    }
    try {
        const std::string folder = argv[4];
        std::filesystem::create_directories(folder);
        shape s;
        s.architecture = argv[3];
        s.layers = 3;
        s.width = 256;
        s.feed_forward = 640;
        s.heads = 4;
        s.kv_heads = 2;
        s.head_width = 64;
        s.vocabulary = 1000;
        s.biases = s.architecture == std::string("qwen2");
        const built_model built = build(s, 3);
        std::string manifest = "{\"architecture\":\"" + std::string(s.architecture) + "\",\"layers\":3,\"width\":256,\"feed_forward\":640,\"heads\":4,\"kv_heads\":2,\"head_width\":64,\"vocabulary\":1000,"
                               "\"eps\":1e-5,\"tensors\":[";
        std::string data;
        for (const tensor_entry & tensor : built.tensors) {
            const int64_t bytes = tensor.ne[0] * tensor.ne[1] * static_cast<int64_t>(sizeof(float));
            manifest.append(data.empty() ? "" : ",").append("{\"name\":\"").append(tensor.name).append("\",\"rows\":").append(std::to_string(tensor.ne[1])).append(",\"columns\":");
            manifest.append(std::to_string(tensor.ne[0])).append(",\"at\":").append(std::to_string(data.size())).append("}");
            data.append(static_cast<const char *>(tensor.data), static_cast<size_t>(bytes));
        }
        const oracle_batch batch = some_batch(*built.model, {200, 31, 97}, 5);
        manifest += "],\"tokens\":" + list(batch.tokens) + ",\"bounds\":" + list(batch.bounds) + ",\"target\":" + list(batch.target) + ",\"weight\":" + list(batch.weight);

        std::shared_ptr<device> on;
        std::shared_ptr<const device_weights> weights;
        if (std::strcmp(argv[1], "cpu") != 0) {
            on = std::make_shared<cuda_device>(std::atoi(argv[1]));
            weights = std::make_shared<const device_weights>(on, built.model, std::vector<tensor_entry>{}, nullptr);
        }
        cn_trainer_config config = small_config();
        config.precision = std::strcmp(argv[2], "bf16") == 0 ? CN_PRECISION_BF16 : CN_PRECISION_F32;
        config.max_tokens = 512;
        config.rank = 8;
        config.alpha = 16;
        config.learning_rate = 5e-3f;
        const auto first = make(built, config, on, weights);
        for (int i = 0; i < 3; i++) {
            first->accumulate(view(batch));
            first->update();
        }
        export_adapter(*first, folder + "/adapter", "");

        const auto t = make(built, config, on, weights);
        import_adapter(*t, folder + "/adapter");
        const cn_loss loss = t->accumulate(view(batch));
        const auto gradient = make(built, config, on, weights);
        for (int64_t i = 0; i < t->layout().count(); i++) {
            gradient->values()[i] = static_cast<float>(t->gradients()[i] / loss.weight);
        }
        export_adapter(*gradient, folder + "/gradient", "");
        t->forget_gradients();
        std::vector<double> losses;
        for (int i = 0; i < 10; i++) {
            const cn_loss step = t->accumulate(view(batch));
            losses.push_back(step.loss / step.weight);
            t->update();
        }
        manifest += ",\"learning_rate\":5e-3,\"losses\":" + list(losses) + "}";
        write(folder + "/model.json", manifest);
        write(folder + "/weights.bin", data);
        return 0;
    } catch (const std::exception & e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
