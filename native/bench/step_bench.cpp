// Whole training steps on random weights of real shapes, through the C interface alone.
//
//   step_bench [--model qwen2-0.5b|llama-3.2-1b|qwen3-4b|llama-3.1-8b] [--type q4_k_m|q8_0] [--device N] [--tokens 512] [--length 128] [--rank 16] [--threads N]
//              [--precision f32|bf16] [--last SHARE] [--repeats 3] [--budget BYTES]
//
// --device: on that GPU; then as many steps are made again in slices of 2 ms, and what these took is told too; and memory is what of the GPU's is gone while the trainer lives, with the weights and without.
//
// Prints tokens a second, counted operations a second beside the GEMM's own rate in the same run, and memory: predicted, and the process's peak less what it
// had before. --last 0.2: only the last fifth of each sequence carries a loss.
//
// Expectation, from counting: a token of the 0.5B shape costs 2 × 494 M operations forwards and as many backwards (weights are frozen: no weight gradients),
// the adapters 4 % more; at the reference machine's 420 GFLOP/s of bf16 and 60 % of it, 128 tokens a second.
#include "continual_native.h"
#include "ops/gemm.h"
#include "ops/quant.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/resource.h>
#endif

using continual::tensor_type;

namespace {

using clock_type = std::chrono::steady_clock;

double seconds_since(clock_type::time_point start) {
    return std::chrono::duration<double>(clock_type::now() - start).count();
}

double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

struct model_shape {
    const char * name;
    const char * architecture;
    int layers, width, feed_forward, heads, kv_heads, head_width, vocabulary;
    bool biases, tied, norms;
    // What llama.cpp's Q4_K_M makes of such a file: of 256-wide rows, and of others.
    tensor_type usual, better, embedding;
};

constexpr model_shape shapes[] = {
    {"qwen2-0.5b", "qwen2", 24, 896, 4864, 14, 2, 64, 151936, true, true, false, tensor_type::q5_0, tensor_type::q8_0, tensor_type::q8_0},
    {"llama-3.2-1b", "llama", 16, 2048, 8192, 32, 8, 64, 128256, false, true, false, tensor_type::q4_k, tensor_type::q6_k, tensor_type::q6_k},
    {"qwen3-4b", "qwen3", 36, 2560, 9728, 32, 8, 128, 151936, false, true, true, tensor_type::q4_k, tensor_type::q6_k, tensor_type::q6_k},
    {"llama-3.1-8b", "llama", 32, 4096, 14336, 32, 8, 128, 128256, false, false, false, tensor_type::q4_k, tensor_type::q6_k, tensor_type::q4_k},
    {"tiny", "llama", 2, 256, 512, 4, 2, 64, 1000, false, true, false, tensor_type::q4_k, tensor_type::q6_k, tensor_type::q6_k},
};

struct table {
    std::vector<std::string> names;
    std::vector<std::vector<uint8_t>> memory;
    std::vector<cn_tensor> tensors;
    uint64_t state = 1;
    int64_t bytes = 0;

    uint64_t next() {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        return state;
    }

    void add(const std::string & name, int64_t columns, int64_t rows, tensor_type type) {
        const int64_t row = continual::row_bytes(type, columns);
        std::vector<uint8_t> data(static_cast<size_t>(row * rows));
        if (type == tensor_type::f32) {
            auto * values = reinterpret_cast<float *>(data.data());
            for (int64_t i = 0; i < columns * rows; i++) {
                values[i] = rows == 1 ? 1.0f : 0.0f;
            }
        } else {
            for (size_t i = 0; i + 8 <= data.size(); i += 8) {
                const uint64_t r = next();
                std::memcpy(data.data() + i, &r, 8);
            }
            // Random bits everywhere but in the blocks' scales, which would be infinite now and then.
            const int64_t block = continual::block_bytes(type);
            const uint16_t scale = 0x1400; // about 0.001 in half precision
            for (int64_t at = 0; at < row * rows; at += block) {
                const int64_t d = type == tensor_type::q6_k ? 208 : 0;
                std::memcpy(data.data() + at + d, &scale, 2);
                if (type == tensor_type::q4_k || type == tensor_type::q5_k) {
                    std::memcpy(data.data() + at + 2, &scale, 2);
                }
            }
        }
        bytes += static_cast<int64_t>(data.size());
        names.push_back(name);
        memory.push_back(std::move(data));
        cn_tensor tensor{};
        tensor.type = static_cast<int32_t>(type);
        tensor.dimensions = rows == 1 ? 1 : 2;
        tensor.ne[0] = columns;
        tensor.ne[1] = rows;
        tensor.data = memory.back().data();
        tensors.push_back(tensor);
    }
};

[[noreturn]] void fail(const char * what) {
    char text[2048];
    cn_last_error(text, sizeof text);
    std::fprintf(stderr, "%s: %s\n", what, text);
    std::exit(1);
}

int64_t resident_peak() {
#if defined(__linux__)
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<int64_t>(usage.ru_maxrss) * 1024;
#else
    return 0;
#endif
}

const char * option(int argc, char ** argv, const char * name, const char * otherwise) {
    for (int i = 1; i + 1 < argc; i++) {
        if (std::strcmp(argv[i], name) == 0) {
            return argv[i + 1];
        }
    }
    return otherwise;
}

// The GEMM alone: 512 × 4864 × 896 with quantized weights, packing included.
double gemm_rate(continual::precision how, int32_t threads, tensor_type type, const void * weights) {
    constexpr int64_t m = 512;
    constexpr int64_t n = 4864;
    const int64_t k = type == tensor_type::q4_k ? 768 : 896;
    continual::thread_pool pool(threads, continual::scheduling::normal);
    const continual::cpu_context cpu{pool, continual::preferred_isa()};
    std::vector<float> x(static_cast<size_t>(m * k), 0.5f);
    std::vector<float> y(static_cast<size_t>(m * n));
    std::vector<char> scratch(static_cast<size_t>(continual::gemm_scratch_bytes(threads, m, k)) + 64);
    void * aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
    continual::gemm_term term;
    term.left = {x.data(), false, k, false};
    term.right = {weights, type, n, k, continual::row_bytes(type, k), true};
    term.k = k;
    std::vector<double> rates;
    for (int i = 0; i < 7; i++) {
        const auto start = clock_type::now();
        continual::gemm(cpu, how, m, n, &term, 1, {y.data(), false, n, false, nullptr}, aligned);
        rates.push_back(2.0 * m * n * static_cast<double>(k) / seconds_since(start));
    }
    return median(rates);
}

} // namespace

int main(int argc, char ** argv) {
    const std::string wanted = option(argc, argv, "--model", "qwen2-0.5b");
    const model_shape * s = nullptr;
    for (const model_shape & candidate : shapes) {
        s = wanted == candidate.name ? &candidate : s;
    }
    if (s == nullptr) {
        std::fprintf(stderr, "no such model: %s\n", wanted.c_str());
        return 2;
    }
    const int tokens = std::atoi(option(argc, argv, "--tokens", "512"));
    const int length = std::atoi(option(argc, argv, "--length", "128"));
    const int repeats = std::atoi(option(argc, argv, "--repeats", "3"));
    const double last = std::atof(option(argc, argv, "--last", "1"));

    table t;
    const std::string type = option(argc, argv, "--type", "q4_k_m");
    if (type != "q4_k_m" && type != "q8_0") {
        std::fprintf(stderr, "no such type: %s\n", type.c_str());
        return 2;
    }
    const auto as = [&](tensor_type usual) { return type == "q8_0" ? tensor_type::q8_0 : usual; };
    const int q = s->head_width * s->heads;
    const int kv = s->head_width * s->kv_heads;
    t.add("token_embd.weight", s->width, s->vocabulary, as(s->embedding));
    t.add("output_norm.weight", s->width, 1, tensor_type::f32);
    if (!s->tied) {
        t.add("output.weight", s->width, s->vocabulary, as(tensor_type::q6_k));
    }
    double parameters = 0;
    size_t gate_at = 0;
    for (int i = 0; i < s->layers; i++) {
        const std::string p = "blk." + std::to_string(i) + ".";
        const bool more = i < s->layers / 8 || i >= 7 * s->layers / 8 || (i - s->layers / 8) % 3 == 2;
        const auto linear = [&](const char * name, int inputs, int outputs, tensor_type usual) {
            t.add(p + name + ".weight", inputs, outputs, as(usual));
            parameters += static_cast<double>(inputs) * outputs;
        };
        linear("attn_q", s->width, q, s->usual);
        linear("attn_k", s->width, kv, s->usual);
        linear("attn_v", s->width, kv, more ? s->better : s->usual);
        linear("attn_output", q, s->width, s->usual);
        gate_at = t.tensors.size();
        linear("ffn_gate", s->width, s->feed_forward, s->usual);
        linear("ffn_up", s->width, s->feed_forward, s->usual);
        linear("ffn_down", s->feed_forward, s->width, more ? tensor_type::q6_k : tensor_type::q4_k);
        t.add(p + "attn_norm.weight", s->width, 1, tensor_type::f32);
        t.add(p + "ffn_norm.weight", s->width, 1, tensor_type::f32);
        if (s->norms) {
            t.add(p + "attn_q_norm.weight", s->head_width, 1, tensor_type::f32);
            t.add(p + "attn_k_norm.weight", s->head_width, 1, tensor_type::f32);
        }
        if (s->biases) {
            t.add(p + "attn_q.bias", q, 1, tensor_type::f32);
            t.add(p + "attn_k.bias", kv, 1, tensor_type::f32);
            t.add(p + "attn_v.bias", kv, 1, tensor_type::f32);
        }
    }
    for (size_t i = 0; i < t.tensors.size(); i++) {
        t.tensors[i].name = t.names[i].c_str();
    }
    const std::string a = std::string(s->architecture) + ".";
    const std::vector<std::pair<std::string, double>> numbers = {{a + "block_count", s->layers},
                                                                 {a + "embedding_length", s->width},
                                                                 {a + "feed_forward_length", s->feed_forward},
                                                                 {a + "attention.head_count", s->heads},
                                                                 {a + "attention.head_count_kv", s->kv_heads},
                                                                 {a + "attention.key_length", s->head_width},
                                                                 {a + "attention.value_length", s->head_width},
                                                                 {a + "attention.layer_norm_rms_epsilon", 1e-6},
                                                                 {a + "context_length", 4096}};
    std::vector<cn_metadata> metadata = {{"general.architecture", s->architecture, 0}};
    for (const auto & [key, number] : numbers) {
        metadata.push_back({key.c_str(), nullptr, number});
    }
    cn_model * model = nullptr;
    if (cn_model_create(t.tensors.data(), static_cast<int32_t>(t.tensors.size()), metadata.data(), static_cast<int32_t>(metadata.size()), &model) != CN_OK) {
        fail("cn_model_create");
    }
    const int64_t before = resident_peak();

    cn_trainer_config config;
    cn_trainer_defaults(&config);
    const std::string precision = option(argc, argv, "--precision", config.precision == CN_PRECISION_BF16 ? "bf16" : "f32");
    config.precision = precision == "bf16" ? CN_PRECISION_BF16 : CN_PRECISION_F32;
    config.threads = std::atoi(option(argc, argv, "--threads", "0"));
    config.rank = std::atoi(option(argc, argv, "--rank", "16"));
    config.max_tokens = tokens;
    config.max_length = length;
    config.memory_budget = std::atoll(option(argc, argv, "--budget", "0"));
    std::vector<int32_t> ids, bounds = {0}, target;
    std::vector<float> weight;
    int32_t rows = 0;
    for (int at = 0; at < tokens; at += length) {
        const int count = std::min(length, tokens - at);
        for (int i = 0; i < count; i++) {
            ids.push_back(static_cast<int32_t>((t.next() >> 33) % static_cast<uint64_t>(s->vocabulary)));
            const bool learns = i >= count - static_cast<int>(std::lround(last * count));
            target.push_back(static_cast<int32_t>((t.next() >> 33) % static_cast<uint64_t>(s->vocabulary)));
            weight.push_back(learns ? 1.0f : 0.0f);
            rows += learns ? 1 : 0;
        }
        bounds.push_back(at + count);
    }
    config.max_sequences = static_cast<int32_t>(bounds.size()) - 1;
    config.max_targets = rows;
    const int device = std::atoi(option(argc, argv, "--device", "-1"));
    cn_device_info gpu{};
    if (device >= 0 && cn_device_describe(device, &gpu) != CN_OK) {
        fail("cn_device_describe");
    }
    const int64_t free_before = gpu.free_memory;
    cn_trainer * trainer = nullptr;
    if ((device < 0 ? cn_trainer_create(model, &config, &trainer) : cn_trainer_create_on(model, device, &config, &trainer)) != CN_OK) {
        fail("cn_trainer_create");
    }
    cn_memory memory;
    cn_trainer_memory(trainer, &memory);
    cn_batch_train batch{};
    batch.size = sizeof batch;
    batch.count = tokens;
    batch.sequences = config.max_sequences;
    batch.tokens = ids.data();
    batch.bounds = bounds.data();
    batch.target = target.data();
    batch.weight = weight.data();

    const auto how = config.precision == CN_PRECISION_BF16 ? continual::precision::bf16 : continual::precision::f32;
    const int32_t threads = config.threads == 0 ? static_cast<int32_t>(std::thread::hardware_concurrency()) : config.threads;
    const void * gate = t.tensors[gate_at].data;
    std::vector<double> times, rates;
    double loss_first = 0;
    double loss_last = 0;
    for (int i = -1; i < repeats; i++) {
        rates.push_back(device < 0 ? gemm_rate(how, threads, as(s->usual), gate) : 1.0);
        const auto start = clock_type::now();
        cn_loss loss;
        cn_update update;
        if (cn_trainer_accumulate(trainer, &batch, &loss) != CN_OK) {
            fail("cn_trainer_accumulate");
        }
        if (cn_trainer_update(trainer, &update) != CN_OK) {
            fail("cn_trainer_update");
        }
        if (i >= 0) {
            times.push_back(seconds_since(start));
        }
        loss_first = i < 0 ? loss.loss / loss.weight : loss_first;
        loss_last = loss.loss / loss.weight;
    }
    const double r = config.rank;
    const double inputs_and_outputs = s->layers * (2.0 * (s->width + q) + 2.0 * (s->width + kv) + 3.0 * (s->width + s->feed_forward));
    const double attention = s->layers * static_cast<double>(q) * length; // half of 2 · 2 · length · width forwards; 2.5 times that backwards
    const double operations = tokens * (4.0 * parameters + 6.0 * r * inputs_and_outputs + 2.0 * attention * 3.5) + rows * 4.0 * s->width * static_cast<double>(s->vocabulary);
    const double time = median(times);
    const double rate = median(rates);
    if (device >= 0) {
        // After a step: kernels are loaded by now.
        cn_device_describe(device, &gpu);
        const double used = static_cast<double>(free_before - gpu.free_memory);
        // In slices: first a step to learn what things take.
        const auto go_on = [](void *) -> int32_t { return 0; };
        std::vector<double> sliced;
        for (int i = -1; i < repeats; i++) {
            if (i <= 0) {
                cn_trainer_set_slice(trainer, go_on, nullptr);
            }
            const auto start = clock_type::now();
            cn_loss loss;
            cn_update update;
            if (cn_trainer_accumulate(trainer, &batch, &loss) != CN_OK || cn_trainer_update(trainer, &update) != CN_OK) {
                fail("a step in slices");
            }
            if (i >= 0) {
                sliced.push_back(seconds_since(start));
            }
        }
        cn_slice_costs costs{};
        costs.size = sizeof costs;
        cn_trainer_slice_costs(trainer, &costs);
        std::printf("{\"bench\":\"step\",\"device\":\"%s\",\"model\":\"%s\",\"type\":\"%s\",\"precision\":\"%s\",\"tokens\":%d,\"length\":%d,\"rank\":%d,\"seconds\":%.5f,"
                    "\"tokens_per_second\":%.1f,\"tflops\":%.2f,\"planned_bytes\":%.0f,\"weight_bytes\":%.0f,\"used_bytes\":%.0f,\"stored_layers\":%d,\"loss_first\":%.4f,\"loss_last\":%.4f,"
                    "\"sliced_seconds\":%.5f,\"slices_per_step\":%.1f,\"longest_slice\":%.6f,\"layer_forward\":%.6f,\"layer_backward\":%.6f}\n",
                    gpu.name, s->name, type.c_str(), precision.c_str(), tokens, length, config.rank, time, tokens / time, operations / time * 1e-12, static_cast<double>(memory.total),
                    static_cast<double>(t.bytes), used, memory.stored_layers, loss_first, loss_last, median(sliced), static_cast<double>(costs.slices) / repeats, costs.longest, costs.layer_forward,
                    costs.layer_backward);
        cn_trainer_free(trainer);
        cn_model_free(model);
        return 0;
    }
    const int64_t peak = resident_peak() - before;
    std::printf("%s, %s, %d tokens in sequences of %d, %d rows with a loss, rank %d, %d threads\n", s->name, precision.c_str(), tokens, length, rows, config.rank, threads);
    std::printf("step %.3f s (median of %d): %.1f tok/s, %.1f GFLOP/s counted, %.2f of the GEMM's %.1f in the same run\n", time, repeats, tokens / time, operations / time * 1e-9,
                operations / time / rate, rate * 1e-9);
    std::printf("memory: planned %.1f MB (parameters %.1f, activations %.1f, logits %.1f in %d rows, scratch %.1f; %d of %d layers stored), peak beyond the weights %.1f MB (%.3f of the plan)\n",
                static_cast<double>(memory.total) * 1e-6, static_cast<double>(memory.parameters) * 1e-6, static_cast<double>(memory.activations) * 1e-6, static_cast<double>(memory.logits) * 1e-6,
                memory.logit_rows, static_cast<double>(memory.scratch) * 1e-6, memory.stored_layers, s->layers, static_cast<double>(peak) * 1e-6,
                static_cast<double>(peak) / static_cast<double>(memory.total));
    std::printf("loss %.4f, then %.4f\n", loss_first, loss_last);
    cn_trainer_free(trainer);
    cn_model_free(model);
    return 0;
}
