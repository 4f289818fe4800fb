#include "model/device_weights.h"
#include "ops/quant.h"
#include "ops/rows.h"
#include "runtime/paced_device.h"
#include "train/graph.h"
#include "train/typed_graph.h"

#include <cstring>

namespace continual {

namespace {

// What is needed beside what every processor needs.
struct gpu_plan {
    precision how;
    gemm_gpu_sizes sizes{};

    void lay_out(const model & model, const parameter_layout & parameters, const graph_limits & limits, const gemm_bounds & bounds, const attention_shape & shape, arena_layout & layout,
                 scratch_offsets & at) {
        const model_config & c = model.config();
        // The largest right side: a weight, or rows of activations or gradients.
        int64_t rows = std::max<int64_t>(c.vocabulary, limits.tokens);
        int64_t columns = std::max<int64_t>({c.width, c.feed_forward, limits.tokens, limits.targets, parameters.full() ? c.vocabulary : 0});
        for (int l = 0; l < linears_of_layer; l++) {
            rows = std::max(rows, model.outputs(l));
            columns = std::max({columns, model.inputs(l), model.outputs(l)});
        }
        if (!parameters.full() && !parameters.output_group().members.empty()) {
            columns = std::max<int64_t>(columns, c.vocabulary);
        }
        sizes = gemm_gpu_sizes_of(how, bounds.floats, rows, columns);
        at.gemm = layout.add<char>(sizes.left_bytes);
        at.gemm_right = layout.add<char>(sizes.right_bytes);
        at.attention = layout.add<char>(attention_gpu_scratch_bytes(shape, limits.tokens));
        at.embedding = parameters.full() ? layout.add<char>(embedding_backward_scratch(limits.tokens)) : -1;
        at.tokens = layout.add<int32_t>(limits.tokens);
        at.bounds = layout.add<int32_t>(limits.sequences + 1);
        at.blocks = layout.add<int32_t>(most_attention_blocks(limits.tokens, limits.sequences));
        at.rows = layout.add<int32_t>(limits.targets);
        at.target = layout.add<int32_t>(limits.targets);
        at.weight = layout.add<float>(limits.targets);
        at.teacher_token = layout.add<int32_t>(limits.targets * limits.teacher_k);
        at.teacher_log_prob = layout.add<float>(limits.targets * limits.teacher_k);
        at.teacher_weight = layout.add<float>(limits.targets);
        at.reference_weight = layout.add<float>(limits.targets);
        at.results = layout.add<row_result>(limits.targets);
        at.parameters = !parameters.full() && how == precision::bf16 ? layout.add<bf16>(parameters.count()) : -1;
    }
};

// What a batch brings is copied to the device; what comes back are the rows' results, at the end of loss: the only wait in a pass.
class gpu_processor {
public:
    using context = gpu_context;

    gpu_processor(precision how, paced_device & on, const device_weights & weights, char * memory) : plan_{how}, paced_(&on), on_{on}, weights_(&weights), memory_(memory) {}

    const gpu_context & on() const { return on_; }

    void lay_out(const model & model, const parameter_layout & parameters, const graph_limits & limits, const gemm_bounds & bounds, const attention_shape & shape, arena_layout & layout,
                 scratch_offsets & at) {
        plan_.lay_out(model, parameters, limits, bounds, shape, layout, at);
    }

    void use(const scratch_offsets & at) {
        scratch_ = {memory_ + at.gemm, plan_.sizes.left_bytes, memory_ + at.gemm_right, plan_.sizes.right_bytes};
        attention_ = memory_ + at.attention;
        embedding_ = at.embedding < 0 ? nullptr : memory_ + at.embedding;
        narrow_ = at.parameters < 0 ? nullptr : reinterpret_cast<bf16 *>(memory_ + at.parameters);
    }

    template <typename E>
    E * at(int64_t offset) const {
        return reinterpret_cast<E *>(memory_ + offset);
    }

    const gemm_gpu_scratch & gemm_scratch() const { return scratch_; }
    // Rounded once for a pass, not for each of their products.
    void use_parameters(const float * values, int64_t count) {
        if (narrow_ != nullptr) {
            dequantize(on_, tensor_type::f32, values, count * static_cast<int64_t>(sizeof(float)), 1, count, narrow_, count);
            narrow_from_ = values;
            narrow_count_ = count;
        }
    }

    gemm_right parameters(const float * data, int64_t rows, int64_t columns, bool transposed) const {
        const bool narrow = narrow_ != nullptr && narrow_from_ <= data && data < narrow_from_ + narrow_count_;
        if (narrow) {
            return {narrow_ + (data - narrow_from_), tensor_type::bf16, rows, columns, columns * static_cast<int64_t>(sizeof(bf16)), transposed};
        }
        return {data, tensor_type::f32, rows, columns, columns * static_cast<int64_t>(sizeof(float)), transposed};
    }

    std::tuple<const void *, bool> operand(const float * x, float *, int64_t) const { return {x, false}; }

    // For three products at least.
    std::tuple<const void *, bool> operand(const float * x, bf16 * room, int64_t n) const {
        dequantize(on_, tensor_type::f32, x, n * static_cast<int64_t>(sizeof(float)), 1, n, room, n);
        return {room, true};
    }

    matrix placed(const matrix & weight) const { return weights_->placed(weight); }
    const float * placed(const std::vector<float> & vector) const { return weights_->placed(vector); }

    template <typename E>
    const E * staged(int64_t offset, const E * from, int64_t count) const {
        if (from == nullptr) {
            return nullptr;
        }
        E * const there = at<E>(offset);
        if (count > 0) {
            on_.on.upload(there, from, count * static_cast<int64_t>(sizeof(E)));
        }
        return there;
    }

    // bounds: the host's.
    template <typename E>
    void use_sequences(const attention_shape & shape, const int32_t * bounds, int64_t offset) {
        blocks_ = attention_blocks_of<E>(shape, bounds);
        blocks_.there = staged(offset, static_cast<const int32_t *>(blocks_.list.data()), static_cast<int64_t>(blocks_.list.size()));
    }

    row_result * results(int64_t offset, row_result *) const { return at<row_result>(offset); }

    void fetch(row_result * to, const row_result * from, int64_t count) const { on_.on.download(to, from, count * static_cast<int64_t>(sizeof(row_result))); }

    bool makes_slices() const { return paced_->is_cut(); }
    void enter(pass what) const { paced_->enter(what); }

    void put(float * to, const float * from, int64_t n) const { on_.on.upload(to, from, n * static_cast<int64_t>(sizeof(float))); }
    void fill(int64_t n, float value, float * to) const { continual::fill(on_, n, value, to); }
    void zero(float * to, int64_t n) const { on_.on.zero(to, n * static_cast<int64_t>(sizeof(float))); }

    template <typename E>
    void copy(E * to, const E * from, int64_t n) const {
        on_.on.copy(to, from, n * static_cast<int64_t>(sizeof(E)));
    }

    void positions(const int32_t * bounds, int32_t sequences, int64_t count, int32_t * position) const { positions_of(on_, bounds, sequences, count, position); }
    void gather(int64_t count, int64_t width, const int32_t * row, const float * from, float * to) const { gather_rows(on_, count, width, row, from, width, to); }
    void scatter(int64_t count, int64_t width, const int32_t * row, const float * from, float * to) const { scatter_rows(on_, count, width, row, from, to, width); }

    template <typename E>
    void attention_forward(const attention_shape & shape, const E * q, const E * k, const E * v, E * o, float * lse) const {
        continual::attention_forward(on_, shape, blocks_, q, k, v, o, lse);
    }

    template <typename E>
    void attention_backward(const attention_shape & shape, const E * q, const E * k, const E * v, const E * o, const float * lse, const E * d_o, E * dq, E * dk,
                            E * dv) const {
        continual::attention_backward(on_, shape, blocks_, q, k, v, o, lse, d_o, dq, dk, dv, attention_);
    }

    void embedding_backward(int64_t rows, int64_t width, const int32_t * tokens, const float * dx, float * d_table, int64_t vocabulary) const {
        continual::embedding_backward(on_, rows, width, tokens, dx, d_table, vocabulary, embedding_);
    }

private:
    gpu_plan plan_;
    paced_device * paced_;
    gpu_context on_;
    const device_weights * weights_;
    char * memory_;
    gemm_gpu_scratch scratch_;
    // The parameters of the pass in bf16; null where products are in float.
    bf16 * narrow_ = nullptr;
    const float * narrow_from_ = nullptr;
    int64_t narrow_count_ = 0;
    void * attention_ = nullptr;
    attention_blocks blocks_;
    void * embedding_ = nullptr;
};

} // namespace

graph_sizes plan_graph_gpu(const model & model, const parameter_layout & parameters, const graph_limits & limits, precision how, arena_layout & layout) {
    graph_sizes sizes;
    gpu_plan plan{how};
    if (how == precision::bf16) {
        lay_out<bf16>(model, parameters, limits, plan, layout, sizes);
    } else {
        lay_out<float>(model, parameters, limits, plan, layout, sizes);
    }
    return sizes;
}

std::unique_ptr<graph> make_graph_gpu(const model & model, const parameter_layout & parameters, const graph_limits & limits, precision how, paced_device & on, const device_weights & weights,
                                      char * memory, arena_layout & layout) {
    gpu_processor processor(how, on, weights, memory);
    if (how == precision::bf16) {
        return std::make_unique<typed_graph<bf16, gpu_processor>>(model, parameters, limits, how, processor, layout);
    }
    return std::make_unique<typed_graph<float, gpu_processor>>(model, parameters, limits, how, processor, layout);
}

} // namespace continual
