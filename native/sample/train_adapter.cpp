// Trains a LoRA adapter on a GGUF model from C++:
//
//   train_adapter MODEL.gguf ADAPTER.gguf
//
// It teaches the model to count through its vocabulary in steps of three, so that no tokenizer is needed; a real program would take the token ids of its
// own texts, and give the prompt's rows the weight 0.
#include <continual_native.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

void check(int32_t status, const char * what) {
    if (status != CN_OK) {
        std::string reason(static_cast<size_t>(cn_last_error(nullptr, 0)) + 1, '\0');
        cn_last_error(reason.data(), static_cast<int32_t>(reason.size()));
        throw std::runtime_error(std::string(what) + ": " + reason.c_str());
    }
}

struct free_model {
    void operator()(cn_model * model) const { cn_model_free(model); }
};

struct free_trainer {
    void operator()(cn_trainer * trainer) const { cn_trainer_free(trainer); }
};

} // namespace

int main(int argc, char ** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: train_adapter MODEL.gguf ADAPTER.gguf\n");
        return 2;
    }
    try {
        cn_model * opened = nullptr;
        check(cn_model_open(argv[1], &opened), "opening the model");
        const std::unique_ptr<cn_model, free_model> model(opened);
        cn_model_info info;
        check(cn_model_describe(model.get(), &info), "describing the model");
        std::printf("%s: %s, %d layers of width %d, %d tokens\n", argv[1], info.architecture, info.layers, info.width, info.vocabulary);

        constexpr int32_t length = 32;
        constexpr int32_t sequences = 4;
        cn_trainer_config config;
        check(cn_trainer_defaults(&config), "defaults");
        config.max_tokens = length * sequences;
        config.max_sequences = sequences;
        config.learning_rate = 1e-2f;
        config.warmup_steps = 2;
        config.total_steps = 40;
        cn_trainer * made = nullptr;
        check(cn_trainer_create(model.get(), &config, &made), "making the trainer");
        const std::unique_ptr<cn_trainer, free_trainer> trainer(made);
        cn_memory memory;
        check(cn_trainer_memory(trainer.get(), &memory), "memory");
        std::printf("%.1f MB beside the weights\n", static_cast<double>(memory.total) * 1e-6);

        std::vector<int32_t> tokens, targets, bounds = {0};
        std::vector<float> weights;
        for (int32_t s = 0; s < sequences; s++) {
            for (int32_t i = 0; i < length; i++) {
                tokens.push_back((7 * s + 3 * i) % info.vocabulary);
                targets.push_back(i + 1 < length ? (7 * s + 3 * (i + 1)) % info.vocabulary : -1);
                weights.push_back(i + 1 < length ? 1.0f : 0.0f);
            }
            bounds.push_back(static_cast<int32_t>(tokens.size()));
        }
        cn_batch_train batch = {};
        batch.size = sizeof batch;
        batch.count = static_cast<int32_t>(tokens.size());
        batch.sequences = sequences;
        batch.tokens = tokens.data();
        batch.bounds = bounds.data();
        batch.target = targets.data();
        batch.weight = weights.data();

        double first = 0;
        cn_loss loss = {};
        for (int32_t step = 0; step < config.total_steps; step++) {
            check(cn_trainer_accumulate(trainer.get(), &batch, &loss), "forward and backward");
            cn_update update;
            check(cn_trainer_update(trainer.get(), &update), "update");
            first = step == 0 ? loss.loss / loss.weight : first;
            if (step % 10 == 9) {
                std::printf("step %lld: loss %.4f, gradient %.3f\n", static_cast<long long>(update.step), loss.loss / loss.weight, update.gradient_norm);
            }
        }
        check(cn_trainer_export_adapter(trainer.get(), argv[2], nullptr), "writing the adapter");
        const double last = loss.loss / loss.weight;
        std::printf("%s: loss %.4f, then %.4f\n", argv[2], first, last);
        return last < 0.8 * first ? 0 : 1;
    } catch (const std::exception & e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
