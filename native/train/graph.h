// The model's computation forwards and backwards over a packed batch.
#pragma once

#include "ops/attention.h"
#include "ops/cross_entropy.h"
#include "runtime/arena.h"
#include "runtime/slice_costs.h"
#include "train/parameters.h"

#include <functional>

namespace continual {

// Rows that carry a loss, gathered from a batch, with what they learn from. Every array has `count` entries (teacher: count × k).
struct loss_rows {
    int64_t count = 0;
    const int32_t * row = nullptr; // in the batch, ascending
    row_targets targets;           // without the reference's logits, which the graph makes
};

struct graph_batch {
    int64_t count = 0;
    int32_t sequences = 0;
    const int32_t * tokens = nullptr;
    const int32_t * bounds = nullptr;
    // Which dropout mask; the same number gives the same mask.
    uint64_t dropout_stream = 0;
};

// What all sizes follow from.
struct graph_limits {
    int64_t tokens = 0;
    int32_t sequences = 0;
    int64_t length = 0;
    int64_t targets = 0;
    int32_t stored_layers = 0;
    int64_t logit_rows = 0;
    int32_t teacher_k = 0;
    bool reference = false;
    float dropout = 0;
    uint64_t seed = 0;
};

struct graph_sizes {
    int64_t activations = 0;
    int64_t logits = 0;
    int64_t scratch = 0;
};

// Gradients are added to `gradient`, laid out like the parameters.
class graph {
public:
    virtual ~graph() = default;

    // Hidden states of all layers, and those of the loss rows after the last norm. keep: activations are kept for backward. values: parameters.
    virtual void forward(const graph_batch & batch, const loss_rows & rows, const float * values, bool keep) = 0;

    // Sets the result of forward aside as the reference model's.
    virtual void keep_reference() = 0;

    // Losses of the rows of the last forward, in `results` after collect. With gradient: also its gradient with respect to the hidden states, for backward.
    // reference_values: the parameters that keep_reference's forward ran with, when targets.reference_weight is set.
    virtual void loss(const loss_rows & rows, const float * values, const float * reference_values, float * gradient, row_result * results) = 0;

    // Waits for the results of the last loss, where there is something to wait for.
    virtual void collect() = 0;

    // From the last loss with gradient down to the lowest layer that is trained.
    virtual void backward(const graph_batch & batch, const loss_rows & rows, const float * values, float * gradient) = 0;

    // Called between slices, which are parts of layers here; may throw to stop. On a GPU the device makes slices, and this stays null.
    std::function<void()> slice;
    // Of those slices.
    slice_costs costs;
    // Layers that were gone through while slices were made, by pass; one that is computed again on the way back counts there.
    int64_t layers[pass_count] = {};
};

// Offsets are added to `layout`; make_graph with the same arguments and the arena made from it. how: precision of products and activations.
graph_sizes plan_graph(const model & model, const parameter_layout & parameters, const graph_limits & limits, precision how, int32_t threads, arena_layout & layout);

std::unique_ptr<graph> make_graph(const model & model, const parameter_layout & parameters, const graph_limits & limits, precision how, const cpu_context & cpu, const arena & memory,
                                  arena_layout & layout);

// The same on a GPU: `memory` is the arena there, and the pointers that forward, loss and backward take are the device's, but for those of the batch, the rows and
// the results, which are the host's.
class device_weights;
class paced_device;

graph_sizes plan_graph_gpu(const model & model, const parameter_layout & parameters, const graph_limits & limits, precision how, arena_layout & layout);

std::unique_ptr<graph> make_graph_gpu(const model & model, const parameter_layout & parameters, const graph_limits & limits, precision how, paced_device & on, const device_weights & weights,
                                      char * memory, arena_layout & layout);

} // namespace continual
