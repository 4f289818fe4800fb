#include "io/lora_file.h"

#include "io/file.h"
#include "io/gguf.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/text.h"
#include "ops/quant.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>

namespace continual {

namespace {

constexpr std::string_view type_key = "general.type";
constexpr std::string_view architecture_key = "general.architecture";
constexpr std::string_view adapter_key = "adapter.type";
constexpr std::string_view alpha_key = "adapter.lora.alpha";
constexpr std::string_view invocation_key = "adapter.alora.invocation_tokens";
constexpr std::string_view a_suffix = ".lora_a";
constexpr std::string_view b_suffix = ".lora_b";

constexpr std::string_view config_name = "adapter_config.json";
constexpr std::string_view weights_name = "adapter_model.safetensors";
constexpr std::string_view peft_prefix = "base_model.model.";
constexpr int64_t longest_config = 4 << 20;

// The linear layers' names: here blk.N.KEY.weight, there model.layers.N.MODULE.
struct linear_name {
    std::string_view key;
    std::string_view module;
};
constexpr linear_name linear_names[] = {
    {"attn_q", "self_attn.q_proj"}, {"attn_k", "self_attn.k_proj"}, {"attn_v", "self_attn.v_proj"},  {"attn_output", "self_attn.o_proj"},
    {"ffn_gate", "mlp.gate_proj"},  {"ffn_up", "mlp.up_proj"},      {"ffn_down", "mlp.down_proj"},
};
constexpr std::string_view output_tensor = "output.weight";
constexpr std::string_view output_module = "lm_head";

struct place {
    int64_t layer = -1;                // -1: the output
    const linear_name * linear = nullptr; // null: the output
};

std::optional<int64_t> whole_number(std::string_view text) {
    int64_t value = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
    // No leading zeros either: every layer has one name.
    const bool good = status == std::errc() && end == text.data() + text.size() && value >= 0 && std::to_string(value) == text;
    return good ? std::optional(value) : std::nullopt;
}

// name = begin + number + "." + (a linear layer's name) + end.
template <typename Part>
std::optional<place> parse(std::string_view name, std::string_view begin, std::string_view end, Part part) {
    if (!name.starts_with(begin) || !name.ends_with(end) || name.size() < begin.size() + end.size()) {
        return {};
    }
    const std::string_view middle = name.substr(begin.size(), name.size() - begin.size() - end.size());
    const std::size_t dot = middle.find('.');
    if (dot == std::string_view::npos) {
        return {};
    }
    const std::optional<int64_t> layer = whole_number(middle.substr(0, dot));
    for (const linear_name & linear : linear_names) {
        if (layer && middle.substr(dot + 1) == part(linear)) {
            return place{*layer, &linear};
        }
    }
    return {};
}

std::optional<place> place_of_tensor(std::string_view name) {
    return name == output_tensor ? std::optional(place()) : parse(name, "blk.", ".weight", [](const linear_name & linear) { return linear.key; });
}

std::optional<place> place_of_module(std::string_view name) {
    return name == output_module ? std::optional(place()) : parse(name, "model.layers.", "", [](const linear_name & linear) { return linear.module; });
}

std::string tensor_name(const place & where) {
    return where.linear == nullptr ? std::string(output_tensor) : "blk." + std::to_string(where.layer) + "." + std::string(where.linear->key) + ".weight";
}

std::string module_name(const place & where) {
    return where.linear == nullptr ? std::string(output_module) : "model.layers." + std::to_string(where.layer) + "." + std::string(where.linear->module);
}

// q_proj, as target_modules names it.
std::string_view short_module(const place & where) {
    return where.linear == nullptr ? output_module : where.linear->module.substr(where.linear->module.find('.') + 1);
}

void check_finite(std::string_view where, std::string_view tensor, const std::vector<float> & values) {
    if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) {
        refuse(where, "tensor " + in_quotes(tensor) + " holds numbers that are not finite. The training that made it went wrong: take an earlier adapter.");
    }
}

void check(const lora_file & adapter, std::string_view where) {
    std::set<std::string_view> names;
    for (const lora_file::pair & pair : adapter.pairs) {
        const auto size = [](int64_t x, int64_t y) { return static_cast<std::size_t>(x) * static_cast<std::size_t>(y); };
        if (pair.rank < 1 || pair.in < 1 || pair.out < 1 || pair.a.size() != size(pair.rank, pair.in) || pair.b.size() != size(pair.out, pair.rank)) {
            throw error(failure::mismatch, std::string(where) + ": the matrices for " + in_quotes(pair.name) + " do not have the sizes that they say");
        }
        if (!names.insert(pair.name).second) {
            throw error(failure::argument, std::string(where) + ": there are two pairs for " + in_quotes(pair.name));
        }
        check_finite(where, pair.name, pair.a);
        check_finite(where, pair.name, pair.b);
    }
    // llama.cpp takes an alpha of 0 for "scale 1".
    if (!std::isfinite(adapter.alpha) || adapter.alpha == 0.0f) {
        refuse(where, "alpha is 0 or not finite");
    }
}

// Sets alpha so that each pair works as scale[i] · B A says. Where no one alpha does, B takes the rest.
void set_scales(lora_file & adapter, const std::vector<double> & scales) {
    if (adapter.pairs.empty()) {
        return;
    }
    adapter.alpha = static_cast<float>(scales[0] * static_cast<double>(adapter.pairs[0].rank));
    // An alpha of 0 has another meaning (see check): then B says it.
    if (adapter.alpha == 0.0f) {
        adapter.alpha = 1.0f;
    }
    for (std::size_t i = 0; i < adapter.pairs.size(); i++) {
        lora_file::pair & pair = adapter.pairs[i];
        const double rest = scales[i] * static_cast<double>(pair.rank) / static_cast<double>(adapter.alpha);
        // Alphas are floats; a last bit more or less is no reason to touch weights.
        if (std::abs(rest - 1.0) > 1e-6) {
            for (float & x : pair.b) {
                x = static_cast<float>(x * rest);
            }
        }
    }
}

// Rows of B from GGUF's order to Hugging Face's, or back. In a head of width d, GGUF's row 2j + p is Hugging Face's row p · d/2 + j.
void reorder_rows(lora_file::pair & pair, const place & where, const peft_base & base, bool to_peft) {
    const bool q = where.linear != nullptr && where.linear->key == "attn_q";
    const bool k = where.linear != nullptr && where.linear->key == "attn_k";
    if (base.architecture != "llama" || !(q || k)) {
        return;
    }
    const int64_t heads = q ? base.heads : base.kv_heads;
    if (heads < 1 || pair.out % heads != 0 || pair.out / heads % 2 != 0) {
        throw error(failure::mismatch, "the adapter for " + in_quotes(pair.name) + " has " + std::to_string(pair.out) + " outputs, which are not " + std::to_string(heads) +
                                           " heads of even width. It was made for another base model.");
    }
    const int64_t width = pair.out / heads;
    const std::vector<float> from = pair.b;
    for (int64_t row = 0; row < pair.out; row++) {
        const int64_t in_head = row % width;
        const int64_t other = row - in_head + in_head % 2 * (width / 2) + in_head / 2;
        std::copy_n(from.begin() + (to_peft ? row : other) * pair.rank, pair.rank, pair.b.begin() + (to_peft ? other : row) * pair.rank);
    }
}

std::string in_folder(const std::string & folder, std::string_view file) {
    return folder + (folder.empty() || folder.back() == '/' ? "" : "/") + std::string(file);
}

const json & need(const json & config, std::string_view key, const std::string & path) {
    const json * const found = config.find(key);
    if (found == nullptr) {
        refuse(path, "lacks " + in_quotes(key));
    }
    return *found;
}

double need_number(const json & value, std::string_view key, const std::string & path) {
    if (!value.is_number()) {
        refuse(path, in_quotes(key) + " is not a number");
    }
    return value.number();
}

[[noreturn]] void unsupported(const std::string & path, const std::string & what) {
    throw error(failure::unsupported, path + ": " + what);
}

// What changes an adapter's effect and is not said by A, B and alpha.
void refuse_extras(const json & config, const std::string & path) {
    for (const std::string_view key : {"use_dora", "fan_in_fan_out", "lora_bias", "use_qalora"}) {
        const json * const value = config.find(key);
        if (value != nullptr && value->boolean()) {
            unsupported(path, in_quotes(key) + " is set, which a plain LoRA has not. Merge it into its base, or train without it.");
        }
    }
    for (const std::string_view key : {"modules_to_save", "layer_replication", "trainable_token_indices", "alora_invocation_tokens", "target_parameters"}) {
        const json * const value = config.find(key);
        if (value != nullptr && !value->is_null() && !(value->items().empty() && value->members().empty() && value->type() != json::kind::text)) {
            unsupported(path, in_quotes(key) + " is set, which a plain LoRA has not. Merge it into its base, or train without it.");
        }
    }
    const json * const bias = config.find("bias");
    if (bias != nullptr && !bias->is_null() && bias->text() != "none") {
        unsupported(path, "it trains biases ('bias'). Only 'none' is read.");
    }
    const json * const kind = config.find("peft_type");
    if (kind != nullptr && kind->text() != "LORA") {
        unsupported(path, "it is of the kind " + in_quotes(kind->text()) + "; LORA is read");
    }
}

// rank_pattern and alpha_pattern: PEFT takes the first key that the module's name ends in, at a dot (its keys are regular expressions; plain names are read).
double from_pattern(const json * pattern, std::string_view key, const std::string & module, double otherwise, const std::string & path) {
    if (pattern == nullptr || pattern->is_null()) {
        return otherwise;
    }
    for (const json_member & member : pattern->members()) {
        std::string_view name = member.key;
        if (name.starts_with('^')) {
            name.remove_prefix(1);
        }
        if (name.find_first_of("^$*+?()[]{}|\\") != std::string_view::npos) {
            unsupported(path, in_quotes(key) + " holds the regular expression " + in_quotes(member.key) + "; plain names of modules are read");
        }
        const bool ends = module.ends_with(name) && (module.size() == name.size() || (member.key[0] != '^' && module[module.size() - name.size() - 1] == '.'));
        if (ends && !name.empty()) {
            return need_number(member.value, member.key, path);
        }
    }
    return otherwise;
}

void check_scale(double scale, const std::string & path) {
    if (!std::isfinite(scale) || std::abs(scale) > std::numeric_limits<float>::max() / 65536.0) {
        refuse(path, "its alpha is not finite or far too large");
    }
}

} // namespace

const lora_file::pair * lora_file::find(std::string_view name) const noexcept {
    const auto found = std::find_if(pairs.begin(), pairs.end(), [&](const pair & one) { return one.name == name; });
    return found == pairs.end() ? nullptr : &*found;
}

lora_file read_gguf_lora(const std::string & path) {
    const mapped_file file(path);
    const gguf_reader reader(file.bytes(), path);
    if (reader.text(type_key).value_or("model") != "adapter" || reader.text(adapter_key).value_or("") != "lora") {
        refuse(path, "is a GGUF file, but not a LoRA adapter: its general.type is " + in_quotes(reader.text(type_key).value_or("")) + " and its adapter.type " +
                         in_quotes(reader.text(adapter_key).value_or("")));
    }
    if (reader.find(invocation_key) != nullptr) {
        unsupported(path, "is an adapter that certain tokens switch on (aLoRA); only plain LoRA is read");
    }
    lora_file adapter;
    adapter.architecture = reader.text(architecture_key).value_or("");
    const double alpha = reader.number(alpha_key).value_or(0.0);
    check_scale(alpha, path);
    for (const gguf_entry & entry : reader.metadata()) {
        if (entry.kind == gguf_kind::text && entry.key != type_key && entry.key != adapter_key && entry.key != architecture_key) {
            adapter.metadata.emplace_back(entry.key, *reader.text(entry.key));
        }
    }
    for (const gguf_tensor & b : reader.tensors()) {
        const std::string_view name = b.name;
        if (name.ends_with(a_suffix)) {
            if (reader.find_tensor(std::string(name.substr(0, name.size() - a_suffix.size())) + std::string(b_suffix)) == nullptr) {
                refuse(path, "tensor " + in_quotes(name) + " has no partner that ends in .lora_b");
            }
            continue;
        }
        if (!name.ends_with(b_suffix)) {
            unsupported(path, "tensor " + in_quotes(name) + " is neither a .lora_a nor a .lora_b");
        }
        lora_file::pair pair;
        pair.name = name.substr(0, name.size() - b_suffix.size());
        if (pair.name == "token_embd.weight") {
            unsupported(path, "it adapts the token embedding, which is not trained here");
        }
        const gguf_tensor * const a = reader.find_tensor(pair.name + std::string(a_suffix));
        if (a == nullptr) {
            refuse(path, "tensor " + in_quotes(name) + " has no partner that ends in .lora_a");
        }
        pair.rank = b.ne[0];
        pair.in = a->ne[0];
        pair.out = b.ne[1];
        if (a->dimensions > 2 || b.dimensions > 2 || a->ne[1] != pair.rank) {
            throw error(failure::mismatch, path + ": the matrices for " + in_quotes(pair.name) + " do not fit each other");
        }
        pair.a.resize(static_cast<std::size_t>(a->elements()));
        pair.b.resize(static_cast<std::size_t>(b.elements()));
        dequantize(best_isa(), a->type, a->data, pair.a.data(), a->elements());
        dequantize(best_isa(), b.type, b.data, pair.b.data(), b.elements());
        adapter.pairs.push_back(std::move(pair));
    }
    if (adapter.pairs.empty()) {
        refuse(path, "holds no tensors");
    }
    std::vector<double> scales;
    for (const lora_file::pair & pair : adapter.pairs) {
        scales.push_back(alpha == 0.0 ? 1.0 : alpha / static_cast<double>(pair.rank));
    }
    set_scales(adapter, scales);
    check(adapter, path);
    return adapter;
}

void write_gguf_lora(const lora_file & adapter, const std::string & path) {
    check(adapter, path);
    gguf_writer writer;
    writer.set(type_key, "adapter");
    writer.set(architecture_key, std::string_view(adapter.architecture));
    writer.set(adapter_key, "lora");
    writer.set(alpha_key, adapter.alpha);
    for (const auto & [key, value] : adapter.metadata) {
        writer.set(key, std::string_view(value));
    }
    for (const lora_file::pair & pair : adapter.pairs) {
        writer.add(pair.name + std::string(a_suffix), tensor_type::f32, {pair.in, pair.rank}, pair.a.data());
        writer.add(pair.name + std::string(b_suffix), tensor_type::f32, {pair.rank, pair.out}, pair.b.data());
    }
    writer.write(path);
}

lora_file read_peft_lora(const std::string & folder, const peft_base & base) {
    const std::string config_path = in_folder(folder, config_name);
    const json config = json::parse(read_text(config_path, longest_config), config_path);
    if (config.type() != json::kind::object) {
        refuse(config_path, "is not an adapter's configuration");
    }
    refuse_extras(config, config_path);
    const double rank = need_number(need(config, "r", config_path), "r", config_path);
    const double alpha = need_number(need(config, "lora_alpha", config_path), "lora_alpha", config_path);
    const json * const rslora = config.find("use_rslora");
    const bool by_root = rslora != nullptr && rslora->boolean();

    const std::string path = in_folder(folder, weights_name);
    const mapped_file file(path);
    const safetensors_reader reader(file.bytes(), path);
    lora_file adapter;
    adapter.architecture = base.architecture;
    for (const auto & [key, value] : reader.metadata()) {
        if (key != "format") {
            adapter.metadata.emplace_back(key, value);
        }
    }
    // By module, so that a file's order of tensors does not matter.
    struct halves {
        const safetensors_tensor * a = nullptr;
        const safetensors_tensor * b = nullptr;
    };
    std::map<std::pair<int64_t, std::string>, halves> modules;
    for (const safetensors_tensor & tensor : reader.tensors()) {
        std::string_view name = tensor.name;
        const bool a = name.ends_with(".lora_A.weight") || name.ends_with(".lora_A.default.weight");
        const bool b = name.ends_with(".lora_B.weight") || name.ends_with(".lora_B.default.weight");
        std::optional<place> where;
        if ((a || b) && name.starts_with(peft_prefix)) {
            where = place_of_module(name.substr(peft_prefix.size(), name.rfind(a ? ".lora_A" : ".lora_B") - peft_prefix.size()));
        }
        if (!where) {
            unsupported(path, "tensor " + in_quotes(name) + " is no lora_A or lora_B of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj or lm_head");
        }
        if (tensor.shape.size() != 2) {
            throw error(failure::mismatch, path + ": tensor " + in_quotes(name) + " is no matrix");
        }
        halves & both = modules[{where->layer, module_name(*where)}];
        const safetensors_tensor *& half = a ? both.a : both.b;
        if (half != nullptr) {
            refuse(path, "there are two tensors like " + in_quotes(name));
        }
        half = &tensor;
    }
    std::vector<double> scales;
    for (const auto & [key, both] : modules) {
        const std::string & module = key.second;
        if (both.a == nullptr || both.b == nullptr) {
            refuse(path, "module " + in_quotes(module) + " has only one of lora_A and lora_B");
        }
        const place where = *place_of_module(module);
        lora_file::pair pair;
        pair.name = tensor_name(where);
        pair.rank = both.a->shape[0];
        pair.in = both.a->shape[1];
        pair.out = both.b->shape[0];
        const double module_rank = from_pattern(config.find("rank_pattern"), "rank_pattern", module, rank, config_path);
        if (both.b->shape[1] != pair.rank || module_rank != static_cast<double>(pair.rank)) {
            throw error(failure::mismatch, path + ": the matrices for " + in_quotes(module) + " do not fit each other, or not the rank that " + std::string(config_name) + " gives");
        }
        pair.a = both.a->floats();
        pair.b = both.b->floats();
        reorder_rows(pair, where, base, false);
        const double module_alpha = from_pattern(config.find("alpha_pattern"), "alpha_pattern", module, alpha, config_path);
        scales.push_back(module_alpha / (by_root ? std::sqrt(module_rank) : module_rank));
        check_scale(module_alpha, config_path);
        adapter.pairs.push_back(std::move(pair));
    }
    if (adapter.pairs.empty()) {
        refuse(path, "holds no tensors");
    }
    set_scales(adapter, scales);
    check(adapter, path);
    return adapter;
}

void write_peft_lora(const lora_file & adapter, const std::string & folder, const peft_base & base, const std::string & base_model) {
    check(adapter, folder);
    if (adapter.pairs.empty()) {
        throw error(failure::argument, folder + ": there is no adapter to write");
    }
    std::map<int64_t, int64_t> ranks; // how many pairs have each
    std::map<int64_t, std::set<std::string_view>> layers;
    std::vector<safetensors_tensor> tensors;
    std::vector<lora_file::pair> pairs = adapter.pairs;
    for (lora_file::pair & pair : pairs) {
        const std::optional<place> where = place_of_tensor(pair.name);
        if (!where) {
            unsupported(folder, "tensor " + in_quotes(pair.name) + " has no name in PEFT's form");
        }
        reorder_rows(pair, *where, base, true);
        ranks[pair.rank]++;
        layers[where->layer].insert(short_module(*where));
        const std::string name = std::string(peft_prefix) + module_name(*where);
        const auto bytes = [](const std::vector<float> & values) { return std::span(reinterpret_cast<const uint8_t *>(values.data()), values.size() * sizeof(float)); };
        tensors.push_back({name + ".lora_A.weight", tensor_type::f32, {pair.rank, pair.in}, bytes(pair.a)});
        tensors.push_back({name + ".lora_B.weight", tensor_type::f32, {pair.out, pair.rank}, bytes(pair.b)});
    }
    const auto common = std::max_element(ranks.begin(), ranks.end(), [](const auto & x, const auto & y) { return x.second < y.second; });
    const int64_t rank = common->first;

    // A short name means the module in every layer, so it serves only where that is meant.
    std::set<std::string_view> of_layers;
    int64_t adapted_layers = 0;
    bool alike = true;
    for (const auto & [layer, names] : layers) {
        if (layer >= 0) {
            alike = alike && (adapted_layers == 0 || names == of_layers);
            of_layers = names;
            adapted_layers++;
        }
    }
    const bool short_names = alike && (adapted_layers == 0 || adapted_layers == base.layers);
    std::set<std::string> targets;
    json rank_pattern = json::object();
    for (const lora_file::pair & pair : pairs) {
        const place where = *place_of_tensor(pair.name);
        targets.insert(short_names ? std::string(short_module(where)) : module_name(where));
        if (pair.rank != rank) {
            rank_pattern.set(module_name(where), pair.rank);
        }
    }
    json target_modules = json::array();
    for (const std::string & target : targets) {
        target_modules.push(target);
    }

    json config = json::object();
    config.set("peft_type", "LORA");
    config.set("task_type", "CAUSAL_LM");
    config.set("base_model_name_or_path", base_model.empty() ? json() : json(base_model));
    config.set("r", rank);
    const double alpha = adapter.alpha;
    config.set("lora_alpha", alpha == std::floor(alpha) && std::abs(alpha) < 1e9 ? json(static_cast<int64_t>(alpha)) : json(alpha));
    config.set("lora_dropout", 0.0);
    config.set("target_modules", std::move(target_modules));
    config.set("bias", "none");
    config.set("fan_in_fan_out", false);
    config.set("use_rslora", false);
    config.set("use_dora", false);
    config.set("init_lora_weights", true);
    config.set("inference_mode", true);
    config.set("modules_to_save", json());
    config.set("layers_to_transform", json());
    config.set("layers_pattern", json());
    config.set("rank_pattern", std::move(rank_pattern));
    config.set("alpha_pattern", json::object());

    std::error_code code;
    std::filesystem::create_directories(std::filesystem::path(std::u8string(folder.begin(), folder.end())), code);
    if (code) {
        refuse(folder, "cannot be made: " + code.message());
    }
    std::vector<std::pair<std::string, std::string>> metadata = {{"format", "pt"}};
    metadata.insert(metadata.end(), adapter.metadata.begin(), adapter.metadata.end());
    write_safetensors(in_folder(folder, weights_name), tensors, metadata);
    write_text(in_folder(folder, config_name), config.write(2) + "\n");
}

} // namespace continual
