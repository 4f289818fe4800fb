#include "train/files.h"

#include "io/checkpoint.h"
#include "io/gguf.h"
#include "io/lora_file.h"
#include "io/text.h"
#include "ops/quant.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace continual {

namespace {

constexpr const char * checkpoint_form = "continual trainer 1";

std::string exact(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.9g", value);
    return text;
}

// What must agree for the next step to be the one that would have come: one line each, name and value.
std::vector<std::pair<std::string, std::string>> identity(const trainer & trainer) {
    const cn_trainer_config & c = trainer.config();
    char fingerprint[24];
    std::snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, trainer.base().fingerprint());
    std::vector<std::pair<std::string, std::string>> lines = {
        {"model", fingerprint},
        {"mode", std::to_string(c.mode)},
        {"precision", std::to_string(c.precision)},
        {"use_reference", std::to_string(c.use_reference)},
        {"seed", std::to_string(c.seed)},
        {"learning_rate", exact(c.learning_rate)},
        {"warmup_steps", std::to_string(c.warmup_steps)},
        {"total_steps", std::to_string(c.total_steps)},
        {"min_rate_ratio", exact(c.min_rate_ratio)},
        {"beta1", exact(c.beta1)},
        {"beta2", exact(c.beta2)},
        {"eps", exact(c.eps)},
        {"weight_decay", exact(c.weight_decay)},
        {"clip_norm", exact(c.clip_norm)},
    };
    if (c.mode == CN_MODE_LORA) {
        lines.insert(lines.end(), {{"rank", std::to_string(c.rank)},
                                   {"alpha", exact(c.alpha)},
                                   {"rs_lora", std::to_string(c.rs_lora)},
                                   {"targets", std::to_string(c.targets)},
                                   {"dropout", exact(c.dropout)},
                                   {"b_rate_ratio", exact(c.b_rate_ratio)}});
    }
    return lines;
}

std::string joined(const std::vector<std::pair<std::string, std::string>> & lines) {
    std::string text;
    for (const auto & [name, value] : lines) {
        text += name + "=" + value + "\n";
    }
    return text;
}

std::string value_of(const std::string & text, const std::string & name) {
    const std::string wanted = name + "=";
    size_t at = 0;
    while (at < text.size()) {
        const size_t end = std::min(text.find('\n', at), text.size());
        if (text.compare(at, wanted.size(), wanted) == 0) {
            return text.substr(at + wanted.size(), end - at - wanted.size());
        }
        at = end + 1;
    }
    return "absent";
}

void check_identity(const trainer & trainer, const std::string & found, const std::string & path, bool parameters_only) {
    for (const auto & [name, value] : identity(trainer)) {
        const bool matters = !parameters_only || name == "model" || name == "mode" || name == "rank" || name == "targets";
        const std::string other = value_of(found, name);
        if (matters && other != value) {
            throw error(failure::mismatch, "'" + path + "' was made with " + name + " " + other + ", and this run has " + value +
                                               (name == "model" ? ": it belongs to another model file" : ": give the same options, or start anew without it"));
        }
    }
}

std::span<const float> run_of(const float * data, const trainer & trainer) {
    return {data, static_cast<size_t>(trainer.layout().count())};
}

std::string tensor_name(const trainer & trainer, int32_t layer, int linear) {
    return linear == linear_output ? (trainer.base().tied() ? "token_embd.weight" : "output.weight") : "blk." + std::to_string(layer) + "." + linear_names[linear] + ".weight";
}

bool is_gguf(const std::string & path) {
    return path.size() > 5 && path.compare(path.size() - 5, 5, ".gguf") == 0;
}

peft_base base_of(const model & model) {
    const model_config & c = model.config();
    return {c.architecture, c.heads, c.kv_heads, c.layers};
}

// Calls body(layer, linear, A [rank × inputs], Bᵀ [rank × outputs], inputs, outputs) for every adapter of a trainer.
template <typename Body>
void each_adapter(trainer & trainer, Body && body) {
    const parameter_layout & layout = trainer.layout();
    const auto visit = [&](int32_t layer, const lora_group & g) {
        for (size_t m = 0; m < g.members.size(); m++) {
            float * a = trainer.values() + g.a + static_cast<int64_t>(m) * layout.rank() * g.inputs;
            float * b = trainer.values() + g.members[m].b;
            body(layer, g.members[m].linear, a, b, g.inputs, trainer.base().outputs(g.members[m].linear));
        }
    };
    for (int32_t i = 0; i < trainer.base().config().layers; i++) {
        for (int g = 0; g < groups_of_layer; g++) {
            visit(i, layout.group_of(i, g));
        }
    }
    visit(0, layout.output_group());
}

void needs_adapters(const trainer & trainer) {
    if (trainer.layout().full()) {
        throw error(failure::argument, "this trainer trains all weights and has no adapter; export the model instead");
    }
}

// IEEE half precision, to nearest, ties to even; too large becomes infinite.
uint16_t to_half(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude >= 0x7f800000u) {
        return static_cast<uint16_t>(sign | (magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u));
    }
    if (magnitude >= 0x477ff000u) { // rounds to 65536 or more
        return static_cast<uint16_t>(sign | 0x7c00u);
    }
    if (magnitude < 0x38800000u) { // below the smallest normal half: in units of 2^-24
        float small;
        std::memcpy(&small, &magnitude, sizeof small);
        return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(small * 16777216.0f)));
    }
    const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

// One row in a type of export_model; `to` has row_bytes of room.
void encode(tensor_type type, const float * row, int64_t n, std::vector<uint8_t> & to) {
    to.resize(static_cast<size_t>(row_bytes(type, n)));
    switch (type) {
    case tensor_type::f16:
        for (int64_t i = 0; i < n; i++) {
            const uint16_t half = to_half(row[i]);
            std::memcpy(to.data() + 2 * i, &half, 2);
        }
        break;
    case tensor_type::bf16:
        for (int64_t i = 0; i < n; i++) {
            const bf16 rounded = to_bf16(row[i]);
            std::memcpy(to.data() + 2 * i, &rounded, 2);
        }
        break;
    case tensor_type::q8_0:
        // Blocks of a half-precision scale and 32 signed bytes.
        for (int64_t b = 0; b < n / 32; b++) {
            float largest = 0;
            for (int64_t i = 0; i < 32; i++) {
                largest = std::max(largest, std::abs(row[32 * b + i]));
            }
            const float scale = largest / 127.0f;
            const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
            const uint16_t half = to_half(scale);
            uint8_t * block = to.data() + 34 * b;
            std::memcpy(block, &half, 2);
            for (int64_t i = 0; i < 32; i++) {
                block[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(std::round(row[32 * b + i] * inverse)));
            }
        }
        break;
    default:
        std::memcpy(to.data(), row, to.size());
        break;
    }
}

} // namespace

void save_parameters(trainer & trainer, const std::string & path) {
    checkpoint_writer writer;
    writer.add("form", checkpoint_form);
    const std::string text = joined(identity(trainer));
    writer.add("identity", text);
    writer.add("values", run_of(trainer.values(), trainer));
    writer.write(path);
}

void load_parameters(trainer & trainer, const std::string & path) {
    const mapped_file file(path);
    const checkpoint_reader reader(file.bytes(), path);
    if (reader.text("form") != checkpoint_form) {
        throw error(failure::file, "'" + path + "' holds no parameters of a trainer");
    }
    check_identity(trainer, reader.text("identity"), path, true);
    reader.read("values", {trainer.values(), static_cast<size_t>(trainer.layout().count())});
}

void save_checkpoint(trainer & trainer, const std::string & path, const void * data, int64_t size) {
    checkpoint_writer writer;
    writer.add("form", checkpoint_form);
    const std::string text = joined(identity(trainer));
    writer.add("identity", text);
    const trainer::progress & p = trainer.state();
    const std::vector<int64_t> progress = {p.step, p.batches, p.skipped};
    writer.add("progress", std::span<const int64_t>(progress));
    writer.add("values", run_of(trainer.values(), trainer));
    writer.add("first", run_of(trainer.first_moments(), trainer));
    writer.add("second", run_of(trainer.second_moments(), trainer));
    if (trainer.reference() != nullptr) {
        writer.add("reference", run_of(trainer.reference(), trainer));
    }
    writer.add("data", section_kind::bytes, {static_cast<const uint8_t *>(data), static_cast<size_t>(size)});
    writer.write(path);
}

std::vector<char> load_checkpoint(trainer & trainer, const std::string & path) {
    const mapped_file file(path);
    const checkpoint_reader reader(file.bytes(), path);
    if (reader.text("form") != checkpoint_form || !reader.has("progress")) {
        throw error(failure::file, "'" + path + "' is no checkpoint of a trainer");
    }
    check_identity(trainer, reader.text("identity"), path, false);
    const std::vector<int64_t> progress = reader.integers("progress");
    const auto count = trainer.layout().count();
    // Sizes first: what is refused must leave the trainer as it was.
    for (const char * name : {"values", "first", "second", "reference"}) {
        const bool wanted = std::strcmp(name, "reference") != 0 || trainer.reference() != nullptr;
        if (wanted && reader.count(name) != count) {
            throw error(failure::mismatch, "'" + path + "' holds " + std::to_string(reader.count(name)) + " parameters and this trainer has " + std::to_string(count));
        }
    }
    if (progress.size() != 3 || progress[0] < 0 || progress[1] < 0 || progress[2] < 0) {
        throw error(failure::file, "'" + path + "' has no sensible progress");
    }
    const std::span<const uint8_t> data = reader.bytes("data");
    std::vector<char> kept(data.begin(), data.end());
    const auto n = static_cast<size_t>(count);
    reader.read("values", {trainer.values(), n});
    reader.read("first", {trainer.first_moments(), n});
    reader.read("second", {trainer.second_moments(), n});
    if (trainer.reference() != nullptr) {
        reader.read("reference", {trainer.reference(), n});
    }
    // First, since it takes the dropped batches off the count.
    trainer.forget_gradients();
    trainer.state() = {progress[0], progress[1], progress[2]};
    return kept;
}

void export_adapter(trainer & trainer, const std::string & path, const std::string & base_model) {
    needs_adapters(trainer);
    const int64_t rank = trainer.layout().rank();
    lora_file adapter;
    adapter.architecture = trainer.base().config().architecture;
    // What readers divide by the rank; rsLoRA's root is in it.
    adapter.alpha = trainer.layout().scale() * static_cast<float>(rank);
    adapter.metadata.emplace_back("continual.base", identity(trainer)[0].second);
    each_adapter(trainer, [&](int32_t layer, int linear, const float * a, const float * b, int64_t inputs, int64_t outputs) {
        lora_file::pair pair;
        pair.name = tensor_name(trainer, layer, linear);
        pair.rank = rank;
        pair.in = inputs;
        pair.out = outputs;
        pair.a.assign(a, a + rank * inputs);
        pair.b.resize(static_cast<size_t>(outputs * rank));
        for (int64_t r = 0; r < rank; r++) {
            for (int64_t o = 0; o < outputs; o++) {
                pair.b[static_cast<size_t>(o * rank + r)] = b[r * outputs + o];
            }
        }
        adapter.pairs.push_back(std::move(pair));
    });
    if (is_gguf(path)) {
        write_gguf_lora(adapter, path);
    } else {
        write_peft_lora(adapter, path, base_of(trainer.base()), base_model);
    }
}

void import_adapter(trainer & trainer, const std::string & path) {
    needs_adapters(trainer);
    const lora_file adapter = is_gguf(path) ? read_gguf_lora(path) : read_peft_lora(path, base_of(trainer.base()));
    const std::string & architecture = trainer.base().config().architecture;
    if (adapter.architecture != architecture) {
        throw error(failure::mismatch, "the adapter '" + path + "' is made for the architecture '" + adapter.architecture + "', and the model is of '" + architecture + "'");
    }
    const int64_t rank = trainer.layout().rank();
    // Everything is checked before anything is changed.
    size_t fitting = 0;
    each_adapter(trainer, [&](int32_t layer, int linear, const float *, const float *, int64_t inputs, int64_t outputs) {
        const lora_file::pair * pair = adapter.find(tensor_name(trainer, layer, linear));
        if (pair == nullptr) {
            return;
        }
        fitting++;
        if (pair->in != inputs || pair->out != outputs) {
            throw error(failure::mismatch, "the adapter '" + path + "' belongs to another base: its " + pair->name + " is for " + std::to_string(pair->in) + " inputs and " +
                                               std::to_string(pair->out) + " outputs, and the model's has " + std::to_string(inputs) + " and " + std::to_string(outputs));
        }
        if (pair->rank > rank) {
            throw error(failure::mismatch, "the adapter '" + path + "' has rank " + std::to_string(pair->rank) + " on " + pair->name + ", more than this run's " + std::to_string(rank) +
                                               "; train with that rank or a higher one");
        }
    });
    if (fitting != adapter.pairs.size()) {
        for (const lora_file::pair & pair : adapter.pairs) {
            bool known = false;
            each_adapter(trainer, [&](int32_t layer, int linear, const float *, const float *, int64_t, int64_t) { known = known || tensor_name(trainer, layer, linear) == pair.name; });
            if (!known) {
                throw error(failure::mismatch, "the adapter '" + path + "' changes " + pair.name + ", which is not among this run's targets; add it to the targets, or start without the adapter");
            }
        }
    }
    const parameter_layout & layout = trainer.layout();
    layout.initialize(trainer.base(), trainer.config().seed, trainer.values());
    each_adapter(trainer, [&](int32_t layer, int linear, float * a, float * b, int64_t, int64_t outputs) {
        const lora_file::pair * pair = adapter.find(tensor_name(trainer, layer, linear));
        if (pair == nullptr) {
            return;
        }
        // Ranks beyond the adapter's keep a random A and a zero B: no effect yet, and room to learn.
        std::copy(pair->a.begin(), pair->a.end(), a);
        const float factor = adapter.alpha / static_cast<float>(pair->rank) / layout.scale();
        for (int64_t r = 0; r < pair->rank; r++) {
            for (int64_t o = 0; o < outputs; o++) {
                const float value = pair->b[static_cast<size_t>(o * pair->rank + r)];
                b[r * outputs + o] = factor == 1.0f ? value : factor * value;
            }
        }
    });
    const auto bytes = sizeof(float) * static_cast<size_t>(layout.count());
    std::memset(trainer.first_moments(), 0, bytes);
    std::memset(trainer.second_moments(), 0, bytes);
    trainer.forget_gradients();
    trainer.state() = {};
}

void export_model(trainer & trainer, const std::string & path, int32_t type_number) {
    if (!trainer.layout().full()) {
        throw error(failure::argument, "this trainer trains an adapter; export that, not the model");
    }
    const auto type = static_cast<tensor_type>(type_number);
    int32_t file_type = 0; // llama.cpp's enumeration of whole files
    switch (type) {
    case tensor_type::f32:
        file_type = 0;
        break;
    case tensor_type::f16:
        file_type = 1;
        break;
    case tensor_type::q8_0:
        file_type = 7;
        break;
    case tensor_type::bf16:
        file_type = 32;
        break;
    default:
        throw error(failure::unsupported, "a model can be written in F32, F16, BF16 or Q8_0; other types come from `llama-quantize`");
    }
    if (trainer.base().path().empty()) {
        throw error(failure::argument, "the model came from a table in memory, so there is no file whose description could be written again");
    }
    const mapped_file source(trainer.base().path());
    const gguf_reader reader(source.bytes(), trainer.base().path());
    gguf_writer writer;
    for (const gguf_entry & entry : reader.metadata()) {
        if (entry.key != "general.file_type" && entry.key != "general.quantization_version" && entry.key != "general.alignment") {
            writer.copy(entry);
        }
    }
    writer.set("general.file_type", static_cast<uint32_t>(file_type));
    if (type == tensor_type::q8_0) {
        writer.set("general.quantization_version", uint32_t{2});
    }
    struct source_of {
        const float * values; // null: as the file has it
        int64_t rows, columns;
        tensor_type type;
    };
    std::vector<source_of> sources;
    for (const gguf_tensor & tensor : reader.tensors()) {
        const auto & trained = trainer.layout().tensors();
        const auto found = std::find_if(trained.begin(), trained.end(), [&](const full_tensor & t) { return t.name == tensor.name; });
        const std::span<const int64_t> ne(tensor.ne, static_cast<size_t>(tensor.dimensions));
        if (found == trained.end()) {
            // rope_freqs and the like.
            sources.push_back({nullptr, 0, 0, tensor.type});
            writer.add(tensor.name, tensor.type, ne, tensor.data);
            continue;
        }
        tensor_type to = found->rows == 1 ? tensor_type::f32 : type;
        if (found->columns % block_elements(to) != 0) {
            to = tensor_type::f16; // rows that Q8_0's blocks don't divide
        }
        sources.push_back({trainer.values() + found->offset, found->rows, found->columns, to});
        writer.add(tensor.name, to, ne, nullptr);
    }
    std::vector<uint8_t> row;
    writer.write(path, [&](size_t tensor, atomic_file & file) {
        const source_of & from = sources[tensor];
        for (int64_t i = 0; from.values != nullptr && i < from.rows; i++) {
            encode(from.type, from.values + i * from.columns, from.columns, row);
            file.write(row.data(), static_cast<int64_t>(row.size()));
        }
    });
}

} // namespace continual
