#include "io/lora_file.h"

#include "io/gguf.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io_check.h"

#include <cmath>
#include <limits>

using continual::json;
using continual::lora_file;
using continual::peft_base;
using continual::tensor_type;
using io_check::folder;

namespace {

// Grouped queries: 4 heads and 2 kv heads of width 6, model width 24, feed-forward 40.
const peft_base llama = {"llama", 4, 2, 2};
const peft_base qwen = {"qwen2", 4, 2, 2};

lora_file::pair pair(const std::string & name, int64_t rank, int64_t in, int64_t out, float seed) {
    lora_file::pair result{name, rank, in, out, {}, {}};
    for (int64_t i = 0; i < rank * in; i++) {
        result.a.push_back(seed + 0.001f * static_cast<float>(i));
    }
    for (int64_t i = 0; i < out * rank; i++) {
        result.b.push_back(-seed - 0.01f * static_cast<float>(i));
    }
    return result;
}

lora_file example(const std::string & architecture) {
    lora_file adapter;
    adapter.architecture = architecture;
    adapter.alpha = 12.0f;
    for (const char * layer : {"blk.0.", "blk.1."}) {
        const float seed = layer[4] == '0' ? 1.0f : 2.0f;
        adapter.pairs.push_back(pair(std::string(layer) + "attn_q.weight", 3, 24, 24, seed));
        adapter.pairs.push_back(pair(std::string(layer) + "attn_k.weight", 3, 24, 12, seed + 0.1f));
        adapter.pairs.push_back(pair(std::string(layer) + "attn_v.weight", 3, 24, 12, seed + 0.2f));
        adapter.pairs.push_back(pair(std::string(layer) + "attn_output.weight", 3, 24, 24, seed + 0.3f));
        adapter.pairs.push_back(pair(std::string(layer) + "ffn_gate.weight", 3, 24, 40, seed + 0.4f));
        adapter.pairs.push_back(pair(std::string(layer) + "ffn_up.weight", 3, 24, 40, seed + 0.5f));
        adapter.pairs.push_back(pair(std::string(layer) + "ffn_down.weight", 3, 40, 24, seed + 0.6f));
    }
    adapter.pairs.push_back(pair("output.weight", 3, 24, 50, 3.0f));
    adapter.metadata = {{"continual.note", "from a test"}};
    return adapter;
}

void check_same(const lora_file & actual, const lora_file & expected) {
    CHECK_EQ(actual.architecture, expected.architecture);
    CHECK_EQ(actual.alpha, expected.alpha);
    CHECK(actual.metadata == expected.metadata);
    CHECK_EQ(actual.pairs.size(), expected.pairs.size());
    for (const lora_file::pair & one : expected.pairs) {
        const lora_file::pair * const other = actual.find(one.name);
        CHECK(other != nullptr);
        if (other != nullptr) {
            CHECK(other->rank == one.rank && other->in == one.in && other->out == one.out && other->a == one.a && other->b == one.b);
        }
    }
}

// alpha / rank · B A, in double.
std::vector<double> effect(const lora_file & adapter, const std::string & name) {
    const lora_file::pair & one = *adapter.find(name);
    std::vector<double> result;
    for (int64_t o = 0; o < one.out; o++) {
        for (int64_t i = 0; i < one.in; i++) {
            double sum = 0;
            for (int64_t r = 0; r < one.rank; r++) {
                sum += static_cast<double>(one.b[static_cast<std::size_t>(o * one.rank + r)]) * one.a[static_cast<std::size_t>(r * one.in + i)];
            }
            result.push_back(sum * adapter.alpha / static_cast<double>(one.rank));
        }
    }
    return result;
}

void edit_config(const std::string & folder, const std::string & from, const std::string & to) {
    const io_check::bytes data = io_check::read(folder + "/adapter_config.json");
    std::string text(data.begin(), data.end());
    const std::size_t at = text.find(from);
    CHECK(at != std::string::npos);
    text.replace(at, from.size(), to);
    io_check::write(folder + "/adapter_config.json", io_check::of(text));
}

} // namespace

TEST(gguf_lora_comes_back_as_it_was_written) {
    const folder folder;
    const lora_file adapter = example("llama");
    continual::write_gguf_lora(adapter, folder / "a.gguf");
    check_same(continual::read_gguf_lora(folder / "a.gguf"), adapter);

    // What llama.cpp looks for (llama-adapter.cpp).
    const io_check::bytes file = io_check::read(folder / "a.gguf");
    const continual::gguf_reader reader(file, "a.gguf");
    CHECK_EQ(*reader.text("general.type"), "adapter");
    CHECK_EQ(*reader.text("general.architecture"), "llama");
    CHECK_EQ(*reader.text("adapter.type"), "lora");
    CHECK(reader.find("adapter.lora.alpha")->kind == continual::gguf_kind::f32);
    const continual::gguf_tensor & a = *reader.find_tensor("blk.1.ffn_down.weight.lora_a");
    const continual::gguf_tensor & b = *reader.find_tensor("blk.1.ffn_down.weight.lora_b");
    CHECK(a.ne[0] == 40 && a.ne[1] == 3 && b.ne[0] == 3 && b.ne[1] == 24);
}

TEST(gguf_lora_of_another_program_is_read) {
    const folder folder;
    const uint16_t halves[4] = {0x3c00, 0x4000, 0x4200, 0x4400}; // 1 2 3 4
    const float floats[6] = {1, 2, 3, 4, 5, 6};
    const auto write = [&](float alpha, auto && more) {
        continual::gguf_writer writer;
        writer.set("general.type", "adapter");
        writer.set("adapter.type", "lora");
        writer.set("general.architecture", "qwen3");
        writer.set("adapter.lora.alpha", alpha);
        more(writer);
        writer.write(folder / "a.gguf");
    };
    // Halves; B stands before A; an alpha of 0 means scale 1, also where ranks differ.
    write(0.0f, [&](continual::gguf_writer & writer) {
        writer.add("blk.0.attn_v.weight.lora_b", tensor_type::f32, {2, 3}, floats);
        writer.add("blk.0.attn_v.weight.lora_a", tensor_type::f16, {2, 2}, halves);
        writer.add("blk.0.attn_q.weight.lora_a", tensor_type::f16, {4, 1}, halves);
        writer.add("blk.0.attn_q.weight.lora_b", tensor_type::f32, {1, 6}, floats);
    });
    const lora_file adapter = continual::read_gguf_lora(folder / "a.gguf");
    CHECK((adapter.find("blk.0.attn_v.weight")->a == std::vector<float>{1, 2, 3, 4}));
    CHECK_EQ(adapter.find("blk.0.attn_v.weight")->out, 3);
    CHECK_EQ(effect(adapter, "blk.0.attn_v.weight")[0], 1.0 * 1 + 2.0 * 3);
    CHECK_EQ(effect(adapter, "blk.0.attn_q.weight")[5], 2.0 * 2.0);

    const auto read = [&] { continual::read_gguf_lora(folder / "a.gguf"); };
    write(1.0f, [&](continual::gguf_writer & writer) { writer.add("a.weight.lora_b", tensor_type::f32, {2, 3}, floats); });
    CHECK_REFUSED(read(), "no partner that ends in .lora_a");
    write(1.0f, [&](continual::gguf_writer & writer) { writer.add("a.weight.lora_a", tensor_type::f32, {2, 3}, floats); });
    CHECK_REFUSED(read(), "no partner that ends in .lora_b");
    write(1.0f, [&](continual::gguf_writer & writer) { writer.add("blk.0.attn_norm.weight", tensor_type::f32, {6}, floats); });
    CHECK_REFUSED(read(), "neither a .lora_a nor a .lora_b");
    write(1.0f, [&](continual::gguf_writer &) {});
    CHECK_REFUSED(read(), "holds no tensors");
    write(1.0f, [&](continual::gguf_writer & writer) {
        writer.add("a.lora_a", tensor_type::f32, {2, 3}, floats);
        writer.add("a.lora_b", tensor_type::f32, {2, 3}, floats);
    });
    CHECK_REFUSED(read(), "'a' do not fit each other");
    const float bad[2] = {1, std::numeric_limits<float>::quiet_NaN()};
    write(1.0f, [&](continual::gguf_writer & writer) {
        writer.add("a.lora_a", tensor_type::f32, {2, 1}, bad);
        writer.add("a.lora_b", tensor_type::f32, {1, 3}, floats);
    });
    CHECK_REFUSED(read(), "not finite");
    write(std::numeric_limits<float>::infinity(), [&](continual::gguf_writer &) {});
    CHECK_REFUSED(read(), "alpha is not finite");
    continual::gguf_writer model;
    model.set("general.architecture", "llama");
    model.write(folder / "a.gguf");
    CHECK_REFUSED(read(), "not a LoRA adapter");
}

TEST(peft_lora_comes_back_as_it_was_written) {
    for (const peft_base & base : {llama, qwen}) {
        const folder folder;
        lora_file adapter = example(base.architecture);
        continual::write_peft_lora(adapter, folder / "new/adapter", base, "some/model");
        check_same(continual::read_peft_lora(folder / "new/adapter", base), adapter);
        // Ranks of their own.
        adapter.pairs[2] = pair("blk.0.attn_v.weight", 5, 24, 12, 0.5f);
        adapter.pairs.pop_back();
        continual::write_peft_lora(adapter, folder / "new/adapter/", base, "");
        check_same(continual::read_peft_lora(folder / "new/adapter", base), adapter);
    }
}

TEST(peft_rows_are_in_hugging_faces_order) {
    const folder folder;
    for (const peft_base & base : {llama, qwen}) {
        const lora_file adapter = example(base.architecture);
        continual::write_peft_lora(adapter, folder / "a", base, "");
        const io_check::bytes file = io_check::read(folder / "a/adapter_model.safetensors");
        const continual::safetensors_reader reader(file, "a");
        CHECK_EQ(reader.tensors().size(), adapter.pairs.size() * 2);
        struct one {
            const char * module;
            const char * tensor;
            int64_t heads; // 0: the rows stay
        };
        for (const one & one : {one{"q", "attn_q", 4}, one{"k", "attn_k", 2}, one{"v", "attn_v", 0}, one{"o", "attn_output", 0}}) {
            const std::string module = std::string("base_model.model.model.layers.1.self_attn.") + one.module + "_proj.";
            const lora_file::pair & pair = *adapter.find(std::string("blk.1.") + one.tensor + ".weight");
            CHECK((reader.find(module + "lora_A.weight")->shape == std::vector<int64_t>{3, 24}));
            CHECK((reader.find(module + "lora_B.weight")->shape == std::vector<int64_t>{pair.out, 3}));
            CHECK(reader.find(module + "lora_A.weight")->floats() == pair.a);
            const std::vector<float> rows = reader.find(module + "lora_B.weight")->floats();
            // The converter's own words: view as [heads, 2, width / 2], swap the last two, flatten. So element (h, p, j) of Hugging Face is (h, j, p) of GGUF.
            const int64_t heads = base.architecture == "llama" ? one.heads : 0;
            for (int64_t row = 0; row < pair.out; row++) {
                int64_t gguf_row = row;
                if (heads > 0) {
                    const int64_t half = pair.out / heads / 2;
                    const int64_t h = row / (2 * half);
                    const int64_t p = row / half % 2;
                    const int64_t j = row % half;
                    gguf_row = (h * half + j) * 2 + p;
                }
                for (int64_t r = 0; r < 3; r++) {
                    CHECK_EQ(rows[static_cast<std::size_t>(row * 3 + r)], pair.b[static_cast<std::size_t>(gguf_row * 3 + r)]);
                }
            }
        }
        CHECK(reader.find("base_model.model.lm_head.lora_B.weight")->floats() == adapter.find("output.weight")->b);
        CHECK(reader.find("base_model.model.model.layers.0.mlp.down_proj.lora_B.weight")->floats() == adapter.find("blk.0.ffn_down.weight")->b);
    }
}

TEST(peft_config_says_what_peft_needs) {
    const folder folder;
    lora_file adapter = example("llama");
    adapter.pairs.pop_back();
    const auto config = [&](const peft_base & base) {
        continual::write_peft_lora(adapter, folder / "a", base, "some/model");
        const io_check::bytes data = io_check::read(folder / "a/adapter_config.json");
        return json::parse({reinterpret_cast<const char *>(data.data()), data.size()}, "config");
    };
    const json whole = config(llama);
    CHECK_EQ(whole.find("peft_type")->text(), "LORA");
    CHECK_EQ(whole.find("task_type")->text(), "CAUSAL_LM");
    CHECK_EQ(whole.find("base_model_name_or_path")->text(), "some/model");
    CHECK_EQ(whole.find("r")->integer(), 3);
    CHECK_EQ(whole.find("lora_alpha")->integer(), 12);
    CHECK_EQ(whole.find("target_modules")->items().size(), 7u);
    CHECK_EQ(whole.find("target_modules")->items()[0].text(), "down_proj");
    // Not every layer: a short name would mean more than there is.
    peft_base deeper = llama;
    deeper.layers = 3;
    CHECK_EQ(config(deeper).find("target_modules")->items().size(), 14u);
    adapter.pairs.erase(adapter.pairs.begin());
    adapter.pairs[0] = pair("blk.0.attn_k.weight", 4, 24, 12, 1.0f);
    adapter.alpha = 2.5f;
    const json part = config(llama);
    CHECK_EQ(part.find("target_modules")->items().size(), 13u);
    CHECK_EQ(part.find("target_modules")->items()[0].text(), "model.layers.0.mlp.down_proj");
    CHECK_EQ(part.find("rank_pattern")->find("model.layers.0.self_attn.k_proj")->integer(), 4);
    CHECK_EQ(part.find("lora_alpha")->number(), 2.5);
    adapter.pairs[0].name = "token_embd.weight";
    CHECK_REFUSED(config(llama), "'token_embd.weight' has no name in PEFT's form");
}

TEST(peft_scales_keep_their_effect) {
    const folder folder;
    const lora_file adapter = example("qwen2");
    const std::string path = folder / "a";
    const auto ratio = [&](const std::string & name) {
        const lora_file read = continual::read_peft_lora(path, qwen);
        return effect(read, name)[3] / effect(adapter, name)[3];
    };
    const std::string v = "blk.0.attn_v.weight";
    const std::string down = "blk.1.ffn_down.weight";
    continual::write_peft_lora(adapter, path, qwen, "");
    CHECK_EQ(ratio(v), 1.0);
    // rsLoRA: alpha / sqrt(r) in place of alpha / r.
    edit_config(path, "\"use_rslora\": false", "\"use_rslora\": true");
    CHECK(std::abs(ratio(v) - std::sqrt(3.0)) < 1e-6);
    CHECK(std::abs(ratio(down) - std::sqrt(3.0)) < 1e-6);
    edit_config(path, "\"alpha_pattern\": {}", "\"alpha_pattern\": {\"v_proj\": 6, \"layers.1.mlp.down_proj\": 48.0}");
    CHECK(std::abs(ratio(v) - std::sqrt(3.0) / 2) < 1e-6);
    CHECK(std::abs(ratio(down) - std::sqrt(3.0) * 4) < 1e-5);
    CHECK(std::abs(ratio("blk.0.ffn_down.weight") - std::sqrt(3.0)) < 1e-6);
    edit_config(path, "\"lora_alpha\": 12", "\"lora_alpha\": 0");
    CHECK_EQ(ratio("blk.0.attn_q.weight"), 0.0);
    CHECK(std::abs(ratio(v) - std::sqrt(3.0) / 2) < 1e-6);
}

TEST(peft_lora_that_is_not_plain_is_refused) {
    const auto refused = [](const std::string & from, const std::string & to, const std::string & part) {
        const folder folder;
        continual::write_peft_lora(example("llama"), folder / "a", llama, "");
        edit_config(folder / "a", from, to);
        CHECK_REFUSED(continual::read_peft_lora(folder / "a", llama), part);
    };
    refused("\"LORA\"", "\"LOHA\"", "of the kind 'LOHA'");
    refused("\"use_dora\": false", "\"use_dora\": true", "'use_dora' is set");
    refused("\"bias\": \"none\"", "\"bias\": \"all\"", "trains biases");
    refused("\"modules_to_save\": null", "\"modules_to_save\": [\"embed_tokens\"]", "'modules_to_save' is set");
    refused("\"r\": 3", "\"r\": 4", "not the rank");
    refused("\"r\": 3", "\"r\": \"3\"", "'r' is not a number");
    refused("\"r\": 3,", "", "lacks 'r'");
    refused("\"lora_alpha\": 12", "\"lora_alpha\": 1e300", "far too large");
    refused("\"alpha_pattern\": {}", "\"alpha_pattern\": {\".*q_proj\": 1}", "regular expression '.*q_proj'");
    refused("{", "{,", "not JSON");

    const folder folder;
    CHECK_REFUSED(continual::read_peft_lora(folder / "none", llama), "cannot be opened");
    continual::write_peft_lora(example("llama"), folder / "a", llama, "");
    peft_base other = llama;
    other.heads = 5;
    CHECK_REFUSED(continual::read_peft_lora(folder / "a", other), "24 outputs, which are not 5 heads");
    const std::vector<float> values(6, 1.0f);
    const auto raw = std::span(reinterpret_cast<const uint8_t *>(values.data()), 24);
    const auto with = [&](const std::string & name, std::vector<int64_t> shape) {
        const std::vector<continual::safetensors_tensor> tensors = {{name, tensor_type::f32, std::move(shape), raw}};
        continual::write_safetensors(folder / "a/adapter_model.safetensors", tensors, {});
        continual::read_peft_lora(folder / "a", llama);
    };
    CHECK_REFUSED(with("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", {3, 2}), "has only one of lora_A and lora_B");
    CHECK_REFUSED(with("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", {6}), "no matrix");
    CHECK_REFUSED(with("base_model.model.model.embed_tokens.lora_embedding_A", {3, 2}), "is no lora_A or lora_B of");
    CHECK_REFUSED(with("base_model.model.model.layers.00.self_attn.q_proj.lora_A.weight", {3, 2}), "is no lora_A or lora_B of");
    CHECK_REFUSED(with("base_model.model.model.layers.99999999999999999999.self_attn.q_proj.lora_A.weight", {3, 2}), "is no lora_A or lora_B of");
    CHECK_REFUSED(with("base_model.model.lora_A.weight", {3, 2}), "is no lora_A or lora_B of");
}

TEST(adapter_that_is_broken_is_not_written) {
    const folder folder;
    lora_file adapter = example("llama");
    adapter.pairs[1].b[5] = std::numeric_limits<float>::infinity();
    CHECK_REFUSED(continual::write_gguf_lora(adapter, folder / "a.gguf"), "tensor 'blk.0.attn_k.weight' holds numbers that are not finite");
    CHECK_REFUSED(continual::write_peft_lora(adapter, folder / "a", llama, ""), "not finite");
    adapter = example("llama");
    adapter.pairs[1].b.pop_back();
    CHECK_REFUSED(continual::write_gguf_lora(adapter, folder / "a.gguf"), "do not have the sizes");
    adapter = example("llama");
    adapter.pairs[1].name = adapter.pairs[0].name;
    CHECK_REFUSED(continual::write_gguf_lora(adapter, folder / "a.gguf"), "two pairs");
    adapter = example("llama");
    adapter.alpha = 0.0f;
    CHECK_REFUSED(continual::write_gguf_lora(adapter, folder / "a.gguf"), "alpha is 0");
    CHECK_EQ(folder.files(), 0u);
}
