// The graph of train/graph.h for one type of activations and one kind of processor.
#pragma once

#include "train/graph.h"

#include <chrono>

#include "ops/dropout.h"
#include "ops/embedding.h"
#include "ops/rmsnorm.h"
#include "ops/swiglu.h"

#include <algorithm>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace continual {

// Products over the vocabulary are cut into pieces of this many, so that the GEMM's packed copy of the logits' gradient stays small.
inline constexpr int64_t vocabulary_piece = 8192;

inline constexpr int linears_of[groups_of_layer][3] = {{linear_q, linear_k, linear_v}, {linear_o, -1, -1}, {linear_gate, linear_up, -1}, {linear_down, -1, -1}};

// Offsets of what backward needs of one layer.
struct layer_store {
    int64_t inverse_attn, inverse_ffn; // float [tokens]
    int64_t q, k, v, o;                // T [tokens × …], q and k after the rotation
    int64_t q_raw, k_raw;              // before the head norms; −1 without them
    int64_t q_inverse, k_inverse;      // float [tokens × heads]
    int64_t lse;                       // float [tokens × heads]
    int64_t x_ffn;                     // float [tokens × width]: the residual stream between attention and feed-forward
    int64_t gate, up;                  // T [tokens × feed_forward]
    int64_t u[groups_of_layer];        // T [tokens × ranks]
};

// What products need scratch memory for.
struct gemm_bounds {
    int64_t m;
    int64_t k;
    int64_t floats; // elements, rows padded to 8, of left sides in float where the products are in bf16
};

// Of the processor's own; −1 where it has no use for it.
struct scratch_offsets {
    int64_t gemm = -1;
    int64_t gemm_right = -1;
    int64_t attention = -1;
    int64_t embedding = -1;
    // Copies of what a batch brings.
    int64_t tokens = -1, bounds = -1, blocks = -1, rows = -1;
    int64_t target = -1, weight = -1, teacher_token = -1, teacher_log_prob = -1, teacher_weight = -1, reference_weight = -1;
    int64_t results = -1;
    int64_t parameters = -1;
};

struct offsets {
    std::vector<int64_t> x; // float [tokens × width] before each layer and after the last
    std::vector<layer_store> stores;
    int64_t normed, act, dropped;       // T
    int64_t dx;                         // float [tokens × width]
    int64_t d_normed, d_act, d_gate, d_up, d_q, d_k, d_v, d_o, du; // T
    int64_t positions;                  // int32 [tokens]
    int64_t rope;                       // float [length × dimensions]
    int64_t ones;                       // float [rows]
    int64_t x_out, dx_out, d_hidden;    // float [targets × width]
    int64_t inverse_out;                // float [targets]
    int64_t hidden, hidden_reference;   // T [targets × width]
    int64_t u_out;                      // T [logit_rows × rank]
    int64_t du_out;                     // float [logit_rows × rank]
    int64_t logits, logits_reference;   // float [logit_rows × vocabulary]
    scratch_offsets scratch;
};

inline attention_shape shape_of(const model_config & c) {
    attention_shape shape;
    shape.heads = c.heads;
    shape.kv_heads = c.kv_heads;
    shape.width = c.head_width;
    shape.v_width = c.v_width;
    shape.q_stride = static_cast<int64_t>(c.heads) * c.head_width;
    shape.k_stride = static_cast<int64_t>(c.kv_heads) * c.head_width;
    shape.v_stride = static_cast<int64_t>(c.kv_heads) * c.v_width;
    shape.o_stride = static_cast<int64_t>(c.heads) * c.v_width;
    shape.scale = c.attention_scale;
    shape.window = c.window;
    return shape;
}

template <typename T, typename Processor>
offsets lay_out(const model & model, const parameter_layout & parameters, const graph_limits & limits, Processor & processor, arena_layout & layout, graph_sizes & sizes) {
    const model_config & c = model.config();
    const int64_t n = limits.tokens;
    const int64_t rows = limits.targets;
    const int64_t ranks = parameters.full() ? 0 : parameters.most_ranks();
    const int64_t width = c.width;
    const int64_t q_width = model.outputs(linear_q);
    const int64_t k_width = model.outputs(linear_k);
    const int64_t v_width = model.outputs(linear_v);
    const int64_t o_width = model.inputs(linear_o);
    const bool norms = !model.layers().empty() && !model.layers()[0].q_norm.empty();
    offsets at{};

    int64_t before = layout.size();
    for (int32_t i = 0; i <= c.layers; i++) {
        at.x.push_back(layout.add<float>(n * width));
    }
    // One more than is stored: layers that are not kept share it.
    const int32_t stores = std::min(limits.stored_layers + 1, c.layers);
    for (int32_t i = 0; i < stores; i++) {
        layer_store s{};
        s.inverse_attn = layout.add<float>(n);
        s.inverse_ffn = layout.add<float>(n);
        s.q = layout.add<T>(n * q_width);
        s.k = layout.add<T>(n * k_width);
        s.v = layout.add<T>(n * v_width);
        s.o = layout.add<T>(n * o_width);
        s.q_raw = norms ? layout.add<T>(n * q_width) : -1;
        s.k_raw = norms ? layout.add<T>(n * k_width) : -1;
        s.q_inverse = norms ? layout.add<float>(n * c.heads) : -1;
        s.k_inverse = norms ? layout.add<float>(n * c.kv_heads) : -1;
        s.lse = layout.add<float>(n * c.heads);
        s.x_ffn = layout.add<float>(n * width);
        s.gate = layout.add<T>(n * c.feed_forward);
        s.up = layout.add<T>(n * c.feed_forward);
        for (int64_t & u : s.u) {
            u = layout.add<T>(n * ranks);
        }
        at.stores.push_back(s);
    }
    at.normed = layout.add<T>(n * width);
    at.act = layout.add<T>(n * c.feed_forward);
    at.dropped = limits.dropout > 0 ? layout.add<T>(n * std::max<int64_t>({width, o_width, c.feed_forward})) : -1;
    at.dx = layout.add<float>(n * width);
    at.d_normed = layout.add<T>(n * width);
    at.d_act = layout.add<T>(n * c.feed_forward);
    at.d_gate = layout.add<T>(n * c.feed_forward);
    at.d_up = layout.add<T>(n * c.feed_forward);
    at.d_q = layout.add<T>(n * q_width);
    at.d_k = layout.add<T>(n * k_width);
    at.d_v = layout.add<T>(n * v_width);
    at.d_o = layout.add<T>(n * o_width);
    at.du = layout.add<T>(n * ranks);
    at.dx_out = layout.add<float>(rows * width);
    at.d_hidden = layout.add<float>(rows * width);
    at.positions = layout.add<int32_t>(n);
    at.rope = layout.add<float>(limits.length * c.rope.dimensions);
    at.ones = layout.add<float>(std::max(n, rows));
    at.x_out = layout.add<float>(rows * width);
    at.inverse_out = layout.add<float>(rows);
    at.hidden = layout.add<T>(rows * width);
    at.hidden_reference = limits.reference ? layout.add<T>(rows * width) : -1;
    at.u_out = layout.add<T>(limits.logit_rows * ranks);
    at.du_out = layout.add<float>(limits.logit_rows * ranks);
    sizes.activations = layout.size() - before;

    before = layout.size();
    at.logits = layout.add<float>(limits.logit_rows * c.vocabulary);
    at.logits_reference = limits.reference ? layout.add<float>(limits.logit_rows * c.vocabulary) : -1;
    sizes.logits = layout.size() - before;

    before = layout.size();
    attention_shape shape = shape_of(c);
    shape.sequences = limits.sequences;
    gemm_bounds bounds{std::max({n, rows, ranks}), std::max({n, rows, vocabulary_piece}), 0};
    for (int g = 0; g < groups_of_layer; g++) {
        int64_t outputs = ranks;
        for (int l : linears_of[g]) {
            outputs += l < 0 ? 0 : model.outputs(l);
        }
        bounds.k = std::max({bounds.k, outputs, model.inputs(linears_of[g][0]) + ranks});
    }
    const auto padded = [](int64_t columns) { return (columns + 7) / 8 * 8; };
    bounds.floats = std::max({n * padded(width), limits.logit_rows * padded(ranks), padded(std::max(n, rows))});
    processor.lay_out(model, parameters, limits, bounds, shape, layout, at.scratch);
    sizes.scratch = layout.size() - before;
    return at;
}

// Processor: where the memory is and what ops run on there (cpu_processor in graph.cpp, gpu_processor in graph_gpu.cpp).
template <typename T, typename Processor>
class typed_graph final : public graph {
public:
    typed_graph(const model & model, const parameter_layout & parameters, const graph_limits & limits, precision how, Processor processor, arena_layout & layout)
        : model_(model), c_(model.config()), parameters_(parameters), limits_(limits), how_(how), processor_(std::move(processor)), on_(processor_.on()), shape_(shape_of(c_)) {
        graph_sizes sizes;
        at_ = lay_out<T>(model, parameters, limits, processor_, layout, sizes);
        std::vector<float> table(static_cast<size_t>(limits.length * c_.rope.dimensions));
        rope_table(c_.rope, limits.length, table.data());
        processor_.put(floats(at_.rope), table.data(), limits.length * c_.rope.dimensions);
        processor_.fill(std::max(limits.tokens, limits.targets), 1.0f, floats(at_.ones));
        processor_.use(at_.scratch);
    }

    void forward(const graph_batch & batch, const loss_rows & rows, const float * values, bool keep) override {
        since_ = std::chrono::steady_clock::now();
        enter(pass::rest);
        n_ = batch.count;
        dropout_ = keep ? limits_.dropout : 0.0f;
        stream_ = batch.dropout_stream;
        shape_.bounds = processor_.staged(at_.scratch.bounds, batch.bounds, batch.sequences + 1);
        shape_.sequences = batch.sequences;
        processor_.template use_sequences<T>(shape_, batch.bounds, at_.scratch.blocks);
        tokens_ = processor_.staged(at_.scratch.tokens, batch.tokens, n_);
        rows_ = processor_.staged(at_.scratch.rows, rows.row, rows.count);
        processor_.positions(shape_.bounds, batch.sequences, n_, processor_.template at<int32_t>(at_.positions));
        if (!parameters_.full()) {
            processor_.use_parameters(values, parameters_.count());
        }
        const matrix table = embedding(values);
        embedding_forward(on_, n_, c_.width, tokens_, table.data, table.type, table.row_stride(), floats(at_.x[0]));
        enter(pass::forward);
        for (int32_t i = 0; i < c_.layers; i++) {
            layer_forward(i, values);
            count_layer();
        }
        enter(pass::rest);
        float * x = floats(at_.x_out);
        processor_.gather(rows.count, c_.width, rows_, floats(at_.x.back()), x);
        rmsnorm_forward(on_, rows.count, c_.width, c_.width, static_cast<const float *>(x), output_norm(values), c_.norm_eps, typed(at_.hidden), floats(at_.inverse_out));
        call_slice();
    }

    void keep_reference() override {
        processor_.copy(typed(at_.hidden_reference), typed(at_.hidden), limits_.targets * c_.width);
    }

    void loss(const loss_rows & rows, const float * values, const float * reference_values, float * gradient, row_result * results) override {
        const int64_t width = c_.width;
        const int64_t vocabulary = c_.vocabulary;
        const scratch_offsets & there = at_.scratch;
        row_targets all = rows.targets;
        all.token = processor_.staged(there.target, all.token, rows.count);
        all.weight = processor_.staged(there.weight, all.weight, rows.count);
        all.teacher_token = processor_.staged(there.teacher_token, all.teacher_token, rows.count * all.teacher_k);
        all.teacher_log_prob = processor_.staged(there.teacher_log_prob, all.teacher_log_prob, rows.count * all.teacher_k);
        all.teacher_weight = processor_.staged(there.teacher_weight, all.teacher_weight, rows.count);
        all.reference_weight = processor_.staged(there.reference_weight, all.reference_weight, rows.count);
        row_result * const found = processor_.results(there.results, results);
        for (int64_t first = 0; first < rows.count; first += limits_.logit_rows) {
            const int64_t count = std::min(limits_.logit_rows, rows.count - first);
            row_targets targets = all;
            const auto skip = [first](auto *& pointer, int64_t each) {
                if (pointer != nullptr) {
                    pointer += first * each;
                }
            };
            skip(targets.token, 1);
            skip(targets.weight, 1);
            skip(targets.teacher_token, targets.teacher_k);
            skip(targets.teacher_log_prob, targets.teacher_k);
            skip(targets.teacher_weight, 1);
            skip(targets.reference_weight, 1);
            targets.reference_logits = nullptr;
            if (targets.reference_weight != nullptr) {
                output_forward(count, typed(at_.hidden_reference) + first * width, reference_values, floats(at_.logits_reference));
                targets.reference_logits = floats(at_.logits_reference);
                targets.stride_reference = vocabulary;
            }
            output_forward(count, typed(at_.hidden) + first * width, values, floats(at_.logits));
            call_slice();
            T * d_logits = gradient == nullptr ? nullptr : reinterpret_cast<T *>(floats(at_.logits));
            constexpr int64_t per_float = static_cast<int64_t>(sizeof(float) / sizeof(T));
            cross_entropy(on_, count, vocabulary, vocabulary, floats(at_.logits), targets, 1.0f, found + first, d_logits, vocabulary * per_float);
            if (gradient != nullptr) {
                output_backward(count, first, d_logits, vocabulary * per_float, values, gradient);
            }
            call_slice();
        }
        pending_ = {results, found, rows.count};
    }

    void collect() override { processor_.fetch(pending_.to, pending_.from, pending_.count); }

    void backward(const graph_batch &, const loss_rows & rows, const float * values, float * gradient) override {
        const int64_t width = c_.width;
        float * norm_gradient = parameters_.full() ? gradient + parameters_.output_norm() : nullptr;
        float * dx_out = floats(at_.dx_out);
        rmsnorm_backward(on_, rows.count, width, width, static_cast<const float *>(floats(at_.x_out)), output_norm(values), static_cast<const float *>(floats(at_.inverse_out)),
                         static_cast<const float *>(floats(at_.d_hidden)), dx_out, false, norm_gradient);
        float * dx = floats(at_.dx);
        processor_.zero(dx, n_ * width);
        processor_.scatter(rows.count, width, rows_, dx_out, dx);
        const int32_t lowest = parameters_.full() ? 0 : parameters_.lowest_layer();
        enter(pass::backward);
        for (int32_t i = c_.layers - 1; i >= lowest; i--) {
            if (!stored(i)) {
                layer_forward(i, values);
            }
            layer_backward(i, values, gradient, parameters_.full() || i > lowest);
            count_layer();
        }
        enter(pass::rest);
        if (parameters_.full()) {
            processor_.embedding_backward(n_, width, tokens_, dx, gradient + parameters_.embedding(), c_.vocabulary);
        }
    }

private:
    // The weights of a layer: the model's own, or those in training.
    struct layer_view {
        matrix weight[linears_of_layer];
        const float * bias[linears_of_layer];
        const float * attn_norm;
        const float * ffn_norm;
        const float * q_norm;
        const float * k_norm;
    };

    // The gradient of a linear layer's output.
    struct output_gradient {
        int linear;
        const void * data; // [tokens × outputs]
        bool is_bf16;
    };

    static constexpr bool typed_is_bf16 = std::is_same_v<T, bf16>;
    static constexpr tensor_type typed_type = typed_is_bf16 ? tensor_type::bf16 : tensor_type::f32;

    float * floats(int64_t offset) const { return processor_.template at<float>(offset); }
    T * typed(int64_t offset) const { return processor_.template at<T>(offset); }

    void call_slice() {
        if (slice) {
            costs.add(what_, std::chrono::duration<double>(std::chrono::steady_clock::now() - since_).count());
            slice();
            since_ = std::chrono::steady_clock::now();
        }
    }

    void enter(pass what) {
        what_ = what;
        processor_.enter(what);
    }

    void count_layer() {
        if (slice || processor_.makes_slices()) {
            layers[static_cast<int>(what_)]++;
        }
    }

    bool stored(int32_t layer) const { return layer >= c_.layers - limits_.stored_layers; }

    const layer_store & store_of(int32_t layer) const {
        // The shared one is the last.
        return stored(layer) ? at_.stores[static_cast<size_t>(layer - (c_.layers - limits_.stored_layers))] : at_.stores.back();
    }

    matrix embedding(const float * values) const {
        return parameters_.full() ? matrix{values + parameters_.embedding(), tensor_type::f32, c_.vocabulary, c_.width} : processor_.placed(model_.embedding());
    }

    matrix output(const float * values) const {
        return parameters_.full() ? matrix{values + parameters_.output(), tensor_type::f32, c_.vocabulary, c_.width} : processor_.placed(model_.output());
    }

    const float * output_norm(const float * values) const { return parameters_.full() ? values + parameters_.output_norm() : processor_.placed(model_.output_norm()); }

    const float * output_bias(const float * values) const {
        if (parameters_.full()) {
            return parameters_.output_bias() < 0 ? nullptr : values + parameters_.output_bias();
        }
        return processor_.placed(model_.output_bias());
    }

    layer_view view(int32_t i, const float * values) const {
        layer_view v{};
        const model_layer & own = model_.layers()[static_cast<size_t>(i)];
        if (!parameters_.full()) {
            for (int l = 0; l < linears_of_layer; l++) {
                v.weight[l] = processor_.placed(own.weight[l]);
                v.bias[l] = processor_.placed(own.bias[l]);
            }
            v.attn_norm = processor_.placed(own.attn_norm);
            v.ffn_norm = processor_.placed(own.ffn_norm);
            v.q_norm = processor_.placed(own.q_norm);
            v.k_norm = processor_.placed(own.k_norm);
            return v;
        }
        const full_layer & p = parameters_.layer(i);
        const auto vector = [values](int64_t offset) { return offset < 0 ? nullptr : values + offset; };
        for (int l = 0; l < linears_of_layer; l++) {
            v.weight[l] = {values + p.weight[l], tensor_type::f32, own.weight[l].rows, own.weight[l].columns};
            v.bias[l] = vector(p.bias[l]);
        }
        v.attn_norm = vector(p.attn_norm);
        v.ffn_norm = vector(p.ffn_norm);
        v.q_norm = vector(p.q_norm);
        v.k_norm = vector(p.k_norm);
        return v;
    }

    static const lora_group & no_group() {
        static const lora_group none;
        return none;
    }

    const lora_group & lora(int32_t layer, int group) const { return parameters_.full() ? no_group() : parameters_.group_of(layer, group); }

    static gemm_left left(const T * data, int64_t stride) { return {data, typed_is_bf16, stride, false}; }

    // A matrix of parameters.
    gemm_right dense(const float * data, int64_t rows, int64_t columns, bool transposed) const { return processor_.parameters(data, rows, columns, transposed); }

    void product(int64_t m, int64_t n, std::initializer_list<gemm_term> terms, const gemm_out & out) const {
        gemm(on_, how_, m, n, terms.begin(), static_cast<int32_t>(terms.size()), out, processor_.gemm_scratch());
    }

    // The input of a group's adapters, dropout applied.
    const T * adapter_input(int32_t layer, int group, int64_t inputs, const T * in) const {
        if (dropout_ <= 0) {
            return in;
        }
        T * dropped = typed(at_.dropped);
        dropout(on_, limits_.seed, mask(layer, group), n_ * inputs, dropout_, in, dropped);
        return dropped;
    }

    uint64_t mask(int32_t layer, int group) const { return (stream_ * static_cast<uint64_t>(c_.layers) + static_cast<uint64_t>(layer)) * groups_of_layer + static_cast<uint64_t>(group); }

    // u = scale · in · Aᵀ for all adapters that read `in`.
    void adapters_forward(int32_t layer, int group, const T * in, T * u, const float * values) const {
        const lora_group & g = lora(layer, group);
        if (g.members.empty()) {
            return;
        }
        const int64_t ranks = g.ranks(parameters_.rank());
        const T * from = adapter_input(layer, group, g.inputs, in);
        product(n_, ranks, {{left(from, g.inputs), dense(values + g.a, ranks, g.inputs, true), g.inputs, parameters_.scale()}}, {u, typed_is_bf16, ranks, false, nullptr});
    }

    void linear_forward(int32_t layer, int group, int linear, const layer_view & w, const T * in, const T * u, const float * values, const gemm_out & out) const {
        const matrix & weight = w.weight[linear];
        gemm_term terms[2] = {{left(in, weight.columns), weight.right(true), weight.columns, 1.0f}, {}};
        int32_t count = 1;
        const lora_group & g = lora(layer, group);
        const int64_t rank = parameters_.rank();
        for (size_t j = 0; j < g.members.size(); j++) {
            if (g.members[j].linear == linear) {
                terms[count++] = {left(u + static_cast<int64_t>(j) * rank, g.ranks(rank)), dense(values + g.members[j].b, rank, weight.rows, false), rank, 1.0f};
            }
        }
        gemm_out with_bias = out;
        with_bias.bias = w.bias[linear];
        gemm(on_, how_, n_, weight.rows, terms, count, with_bias, processor_.gemm_scratch());
    }

    void layer_forward(int32_t i, const float * values) {
        const layer_view w = view(i, values);
        const layer_store & s = store_of(i);
        const int64_t width = c_.width;
        const auto index = static_cast<size_t>(i);
        float * x = floats(at_.x[index]);
        T * normed = typed(at_.normed);
        const auto result = [](T * data, int64_t stride) { return gemm_out{data, typed_is_bf16, stride, false, nullptr}; };

        rmsnorm_forward(on_, n_, width, width, static_cast<const float *>(x), w.attn_norm, c_.norm_eps, normed, floats(s.inverse_attn));
        T * u = typed(s.u[group_attn]);
        adapters_forward(i, group_attn, normed, u, values);
        const bool norms = w.q_norm != nullptr;
        linear_forward(i, group_attn, linear_q, w, normed, u, values, result(typed(norms ? s.q_raw : s.q), shape_.q_stride));
        linear_forward(i, group_attn, linear_k, w, normed, u, values, result(typed(norms ? s.k_raw : s.k), shape_.k_stride));
        linear_forward(i, group_attn, linear_v, w, normed, u, values, result(typed(s.v), shape_.v_stride));
        call_slice();
        if (norms) {
            rmsnorm_forward(on_, n_ * c_.heads, c_.head_width, c_.head_width, static_cast<const T *>(typed(s.q_raw)), w.q_norm, c_.norm_eps, typed(s.q), floats(s.q_inverse));
            rmsnorm_forward(on_, n_ * c_.kv_heads, c_.head_width, c_.head_width, static_cast<const T *>(typed(s.k_raw)), w.k_norm, c_.norm_eps, typed(s.k), floats(s.k_inverse));
        }
        const int32_t * positions = processor_.template at<int32_t>(at_.positions);
        rope(on_, c_.rope, floats(at_.rope), n_, c_.heads, c_.head_width, shape_.q_stride, positions, typed(s.q), false);
        rope(on_, c_.rope, floats(at_.rope), n_, c_.kv_heads, c_.head_width, shape_.k_stride, positions, typed(s.k), false);
        processor_.attention_forward(shape_, static_cast<const T *>(typed(s.q)), static_cast<const T *>(typed(s.k)), static_cast<const T *>(typed(s.v)), typed(s.o), floats(s.lse));
        call_slice();

        float * x_ffn = floats(s.x_ffn);
        processor_.copy(x_ffn, x, n_ * width);
        adapters_forward(i, group_o, typed(s.o), typed(s.u[group_o]), values);
        linear_forward(i, group_o, linear_o, w, typed(s.o), typed(s.u[group_o]), values, {x_ffn, false, width, true, nullptr});
        call_slice();

        rmsnorm_forward(on_, n_, width, width, static_cast<const float *>(x_ffn), w.ffn_norm, c_.norm_eps, normed, floats(s.inverse_ffn));
        u = typed(s.u[group_ffn]);
        adapters_forward(i, group_ffn, normed, u, values);
        linear_forward(i, group_ffn, linear_gate, w, normed, u, values, result(typed(s.gate), c_.feed_forward));
        call_slice();
        linear_forward(i, group_ffn, linear_up, w, normed, u, values, result(typed(s.up), c_.feed_forward));
        call_slice();
        T * act = typed(at_.act);
        swiglu_forward(on_, n_ * c_.feed_forward, static_cast<const T *>(typed(s.gate)), static_cast<const T *>(typed(s.up)), act);

        float * next = floats(at_.x[index + 1]);
        processor_.copy(next, x_ffn, n_ * width);
        adapters_forward(i, group_down, act, typed(s.u[group_down]), values);
        linear_forward(i, group_down, linear_down, w, act, typed(s.u[group_down]), values, {next, false, width, true, nullptr});
        call_slice();
    }

    // dx as the gradient of a linear layer's output; where products are narrower than dx, in d_normed, which is free when it is asked for.
    output_gradient residual_gradient(int linear) {
        const auto [data, is_bf16] = processor_.operand(floats(at_.dx), typed(at_.d_normed), n_ * c_.width);
        return {linear, data, is_bf16};
    }

    // Gradients of a group's parameters, and of its input `in` into d_in (null: not wanted).
    void group_backward(int32_t layer, int group, const layer_view & w, std::initializer_list<output_gradient> outputs, const T * in, const T * u, T * d_in, const float * values,
                        float * gradient) {
        const lora_group & g = lora(layer, group);
        const int64_t rank = parameters_.rank();
        const int64_t ranks = g.ranks(rank);
        const int64_t inputs = model_.inputs(linears_of[group][0]);
        T * du = typed(at_.du);
        for (const output_gradient & dy : outputs) {
            const int64_t n = w.weight[dy.linear].rows;
            const gemm_left dy_left{dy.data, dy.is_bf16, n, false};
            const tensor_type type = dy.is_bf16 ? tensor_type::bf16 : tensor_type::f32;
            const gemm_right dy_right{dy.data, type, n_, n, n * (dy.is_bf16 ? 2 : 4), false};
            for (size_t j = 0; j < g.members.size(); j++) {
                if (g.members[j].linear != dy.linear) {
                    continue;
                }
                const int64_t at = static_cast<int64_t>(j) * rank;
                product(rank, n, {{{u + at, typed_is_bf16, ranks, true}, dy_right, n_, 1.0f}}, {gradient + g.members[j].b, false, n, true, nullptr});
                product(n_, rank, {{dy_left, dense(values + g.members[j].b, rank, n, true), n, parameters_.scale()}}, {du + at, typed_is_bf16, ranks, false, nullptr});
            }
            if (parameters_.full()) {
                weight_gradient(dy.data, dy.is_bf16, n_, n, n, in, inputs, gradient + parameters_.layer(layer).weight[dy.linear]);
                if (w.bias[dy.linear] != nullptr) {
                    bias_gradient(dy_right, n_, n, gradient + parameters_.layer(layer).bias[dy.linear]);
                }
            }
        }
        const bool adapters = !g.members.empty();
        if (adapters) {
            const T * from = adapter_input(layer, group, inputs, in);
            product(ranks, inputs, {{{du, typed_is_bf16, ranks, true}, {from, typed_type, n_, inputs, inputs * static_cast<int64_t>(sizeof(T)), false}, n_, 1.0f}},
                    {gradient + g.a, false, inputs, true, nullptr});
        }
        call_slice();
        if (d_in == nullptr) {
            return;
        }
        gemm_term terms[max_gemm_terms];
        int32_t count = 0;
        bool accumulate = false;
        if (adapters) {
            const gemm_term through_adapters{left(du, ranks), dense(values + g.a, ranks, inputs, false), ranks, 1.0f};
            if (dropout_ > 0) {
                product(n_, inputs, {through_adapters}, {d_in, typed_is_bf16, inputs, false, nullptr});
                dropout(on_, limits_.seed, mask(layer, group), n_ * inputs, dropout_, static_cast<const T *>(d_in), d_in);
                accumulate = true;
            } else {
                terms[count++] = through_adapters;
            }
        }
        for (const output_gradient & dy : outputs) {
            const matrix & weight = w.weight[dy.linear];
            terms[count++] = {{dy.data, dy.is_bf16, weight.rows, false}, weight.right(false), weight.rows, 1.0f};
        }
        gemm(on_, how_, n_, inputs, terms, count, {d_in, typed_is_bf16, inputs, accumulate, nullptr}, processor_.gemm_scratch());
        call_slice();
    }

    // dW [outputs × inputs] += dyᵀ · in, over `rows` rows; dy's rows are `stride` elements apart.
    void weight_gradient(const void * dy, bool is_bf16, int64_t rows, int64_t outputs, int64_t stride, const T * in, int64_t inputs, float * gradient) const {
        const int64_t piece = std::max(limits_.tokens, limits_.targets);
        for (int64_t first = 0; first < outputs; first += piece) {
            const int64_t count = std::min(piece, outputs - first);
            const void * from = static_cast<const char *>(dy) + first * (is_bf16 ? 2 : 4);
            product(count, inputs, {{{from, is_bf16, stride, true}, {in, typed_type, rows, inputs, inputs * static_cast<int64_t>(sizeof(T)), false}, rows, 1.0f}},
                    {gradient + first * inputs, false, inputs, true, nullptr});
        }
    }

    // Sums over rows, as a product with a row of ones.
    void bias_gradient(const gemm_right & dy, int64_t rows, int64_t outputs, float * gradient) const {
        product(1, outputs, {{{floats(at_.ones), false, rows, false}, dy, rows, 1.0f}}, {gradient, false, outputs, true, nullptr});
    }

    void layer_backward(int32_t i, const float * values, float * gradient, bool below) {
        const layer_view w = view(i, values);
        const layer_store & s = store_of(i);
        const bool full = parameters_.full();
        const full_layer * p = full ? &parameters_.layer(i) : nullptr;
        const int64_t width = c_.width;
        const int64_t ff = n_ * c_.feed_forward;
        float * dx = floats(at_.dx);
        float * x = floats(at_.x[static_cast<size_t>(i)]);
        T * normed = typed(at_.normed);
        T * d_normed = typed(at_.d_normed);

        T * act = typed(at_.act);
        T * d_act = typed(at_.d_act);
        swiglu_forward(on_, ff, static_cast<const T *>(typed(s.gate)), static_cast<const T *>(typed(s.up)), act);
        group_backward(i, group_down, w, {residual_gradient(linear_down)}, act, typed(s.u[group_down]), d_act, values, gradient);
        swiglu_backward(on_, ff, static_cast<const T *>(typed(s.gate)), static_cast<const T *>(typed(s.up)), static_cast<const T *>(d_act), typed(at_.d_gate), typed(at_.d_up));

        const float * x_ffn = floats(s.x_ffn);
        rmsnorm_forward(on_, n_, width, width, x_ffn, w.ffn_norm, c_.norm_eps, normed, floats(s.inverse_ffn));
        group_backward(i, group_ffn, w, {{linear_gate, typed(at_.d_gate), typed_is_bf16}, {linear_up, typed(at_.d_up), typed_is_bf16}}, normed, typed(s.u[group_ffn]), d_normed, values,
                       gradient);
        rmsnorm_backward(on_, n_, width, width, x_ffn, w.ffn_norm, static_cast<const float *>(floats(s.inverse_ffn)), static_cast<const T *>(d_normed), dx, true,
                         full ? gradient + p->ffn_norm : nullptr);

        group_backward(i, group_o, w, {residual_gradient(linear_o)}, typed(s.o), typed(s.u[group_o]), typed(at_.d_o), values, gradient);
        processor_.attention_backward(shape_, static_cast<const T *>(typed(s.q)), static_cast<const T *>(typed(s.k)), static_cast<const T *>(typed(s.v)), static_cast<const T *>(typed(s.o)),
                           static_cast<const float *>(floats(s.lse)), static_cast<const T *>(typed(at_.d_o)), typed(at_.d_q), typed(at_.d_k), typed(at_.d_v));
        call_slice();
        const int32_t * positions = processor_.template at<int32_t>(at_.positions);
        rope(on_, c_.rope, floats(at_.rope), n_, c_.heads, c_.head_width, shape_.q_stride, positions, typed(at_.d_q), true);
        rope(on_, c_.rope, floats(at_.rope), n_, c_.kv_heads, c_.head_width, shape_.k_stride, positions, typed(at_.d_k), true);
        if (w.q_norm != nullptr) {
            head_norm_backward(c_.heads, s.q_raw, w.q_norm, s.q_inverse, at_.d_q, full ? gradient + p->q_norm : nullptr);
            head_norm_backward(c_.kv_heads, s.k_raw, w.k_norm, s.k_inverse, at_.d_k, full ? gradient + p->k_norm : nullptr);
        }
        rmsnorm_forward(on_, n_, width, width, static_cast<const float *>(x), w.attn_norm, c_.norm_eps, normed, floats(s.inverse_attn));
        group_backward(i, group_attn, w, {{linear_q, typed(at_.d_q), typed_is_bf16}, {linear_k, typed(at_.d_k), typed_is_bf16}, {linear_v, typed(at_.d_v), typed_is_bf16}}, normed,
                       typed(s.u[group_attn]), below ? d_normed : nullptr, values, gradient);
        if (below) {
            rmsnorm_backward(on_, n_, width, width, static_cast<const float *>(x), w.attn_norm, static_cast<const float *>(floats(s.inverse_attn)), static_cast<const T *>(d_normed), dx,
                             true, full ? gradient + p->attn_norm : nullptr);
        }
    }

    void head_norm_backward(int32_t heads, int64_t raw, const float * weight, int64_t inverse, int64_t d, float * gradient) const {
        rmsnorm_backward(on_, n_ * heads, c_.head_width, c_.head_width, static_cast<const T *>(typed(raw)), weight, static_cast<const float *>(floats(inverse)),
                         static_cast<const T *>(typed(d)), typed(d), false, gradient);
    }

    void output_forward(int64_t rows, const T * hidden, const float * values, float * logits) const {
        const matrix weight = output(values);
        gemm_term terms[2] = {{left(hidden, c_.width), weight.right(true), c_.width, 1.0f}, {}};
        int32_t count = 1;
        if (has_output_adapter()) {
            const int64_t rank = parameters_.rank();
            const lora_group & g = parameters_.output_group();
            T * u = typed(at_.u_out);
            product(rows, rank, {{left(hidden, c_.width), dense(values + g.a, rank, c_.width, true), c_.width, parameters_.scale()}}, {u, typed_is_bf16, rank, false, nullptr});
            terms[count++] = {left(u, rank), dense(values + g.members[0].b, rank, c_.vocabulary, false), rank, 1.0f};
        }
        gemm(on_, how_, rows, c_.vocabulary, terms, count, {logits, false, c_.vocabulary, false, output_bias(values)}, processor_.gemm_scratch());
    }

    bool has_output_adapter() const { return !parameters_.full() && !parameters_.output_group().members.empty(); }

    void output_backward(int64_t rows, int64_t first, const T * d_logits, int64_t stride, const float * values, float * gradient) {
        const int64_t width = c_.width;
        const int64_t vocabulary = c_.vocabulary;
        const matrix weight = output(values);
        const T * hidden = typed(at_.hidden) + first * width;
        float * d_hidden = floats(at_.d_hidden) + first * width;
        for (int64_t v = 0; v < vocabulary; v += vocabulary_piece) {
            const int64_t count = std::min(vocabulary_piece, vocabulary - v);
            matrix part = weight;
            part.data = static_cast<const char *>(weight.data) + v * weight.row_stride();
            part.rows = count;
            product(rows, width, {{left(d_logits + v, stride), part.right(false), count, 1.0f}}, {d_hidden, false, width, v > 0, nullptr});
        }
        const gemm_right dy{d_logits, typed_type, rows, vocabulary, stride * static_cast<int64_t>(sizeof(T)), false};
        if (has_output_adapter()) {
            const lora_group & g = parameters_.output_group();
            const int64_t rank = parameters_.rank();
            const float * b = values + g.members[0].b;
            float * du = floats(at_.du_out);
            product(rank, vocabulary, {{{typed(at_.u_out), typed_is_bf16, rank, true}, dy, rows, 1.0f}}, {gradient + g.members[0].b, false, vocabulary, true, nullptr});
            for (int64_t v = 0; v < vocabulary; v += vocabulary_piece) {
                const int64_t count = std::min(vocabulary_piece, vocabulary - v);
                gemm_right part = dense(b + v, rank, count, true);
                part.row_stride = vocabulary * (part.type == tensor_type::bf16 ? 2 : 4);
                product(rows, rank, {{left(d_logits + v, stride), part, count, parameters_.scale()}}, {du, false, rank, v > 0, nullptr});
            }
            product(rank, width, {{{du, false, rank, true}, {hidden, typed_type, rows, width, width * static_cast<int64_t>(sizeof(T)), false}, rows, 1.0f}},
                    {gradient + g.a, false, width, true, nullptr});
            product(rows, width, {{{du, false, rank, false}, dense(values + g.a, rank, width, false), rank, 1.0f}}, {d_hidden, false, width, true, nullptr});
        }
        if (parameters_.full()) {
            weight_gradient(d_logits, typed_is_bf16, rows, vocabulary, stride, hidden, width, gradient + parameters_.output());
            if (parameters_.output_bias() >= 0) {
                bias_gradient(dy, rows, vocabulary, gradient + parameters_.output_bias());
            }
        }
    }

    const model & model_;
    const model_config & c_;
    const parameter_layout & parameters_;
    const graph_limits limits_;
    const precision how_;
    Processor processor_;
    const typename Processor::context & on_;
    attention_shape shape_;
    offsets at_;
    const int32_t * tokens_ = nullptr; // of the batch of the last forward, where ops can read them
    const int32_t * rows_ = nullptr;
    struct {
        row_result * to = nullptr;
        const row_result * from = nullptr;
        int64_t count = 0;
    } pending_;
    int64_t n_ = 0;
    float dropout_ = 0;
    uint64_t stream_ = 0;
    pass what_ = pass::rest;
    std::chrono::steady_clock::time_point since_{};
};

} // namespace continual
