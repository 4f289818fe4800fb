// Training: losses of packed batches, steps of AdamW, and everything that a run must remember.
#pragma once

#include "runtime/paced_device.h"
#include "train/graph.h"

#include <string>
#include <vector>

namespace continual {

// Throws error (argument, unsupported) naming the option; resolves zeros that mean a default.
cn_trainer_config checked(const model & model, const cn_trainer_config & config);

// The learning rate of step (from 1): linear warm-up, then a cosine down to min_rate_ratio, or constant.
float learning_rate(const cn_trainer_config & config, int64_t step);

class trainer {
public:
    // On the CPU.
    trainer(std::shared_ptr<const model> model, const cn_trainer_config & config);
    // On the GPU that has the model's weights; config's isa, threads and scheduling mean nothing then.
    trainer(std::shared_ptr<const model> model, const cn_trainer_config & config, std::shared_ptr<device> on, std::shared_ptr<const device_weights> weights);
    ~trainer();

    // What it would take, on the CPU or a GPU. Throws error::budget naming the smallest budget.
    static cn_memory plan(const model & model, const cn_trainer_config & config, bool gpu = false);

    cn_loss accumulate(const cn_batch_train & batch);
    cn_loss evaluate(const cn_batch_train & batch, float * log_probs);
    cn_update update();

    void set_slice(cn_slice slice, void * user);
    // On a GPU: seconds of device time, above 0.
    void set_slice_limit(double seconds);
    cn_slice_costs slice_costs() const;
    void set_reference();

    const model & base() const { return *model_; }
    const cn_trainer_config & config() const { return config_; }
    const parameter_layout & layout() const { return layout_; }
    const cn_memory & memory() const { return memory_; }

    // For files: runs of layout().count() floats in the host's memory, to read and to change until the next call of another function.
    float * values() { return on_host(values_); }
    float * gradients() { return on_host(gradients_); }
    float * first_moments() { return on_host(first_); }
    float * second_moments() { return on_host(second_); }
    float * reference() { return on_host(reference_); } // null without use_reference
    struct progress {
        int64_t step = 0;
        int64_t batches = 0; // since the start: the dropout masks' number
        int64_t skipped = 0;
    };
    progress & state() { return progress_; }
    // Gradients gathered since the last update are dropped.
    void forget_gradients();

private:
    // While one lives, no slice callback stops what is being done.
    class whole;
    struct gathered;
    gathered gather(const cn_batch_train & batch);
    template <typename Body>
    void lead(Body && body);
    cn_loss run(const cn_batch_train & batch, bool train, float * log_probs);
    cn_loss compute(const cn_batch_train & batch, gathered & g, bool train, float * log_probs);
    cn_update apply();
    void dpo_coefficients(const cn_batch_train & batch, const gathered & rows, cn_loss & loss);
    void check(const cn_batch_train & batch) const;
    cn_loss sum(const gathered & rows, const cn_batch_train & batch) const;
    void begin();
    float * on_host(float * array);
    void to_device();
    void zero_gradients();
    void use_slice(cn_slice slice, void * user, double seconds);
    void close_slice();

    std::shared_ptr<const model> model_;
    cn_trainer_config config_;
    parameter_layout layout_;
    cn_memory memory_{};
    std::unique_ptr<arena> arena_; // on a GPU: the host's copy of the parameters' part
    std::unique_ptr<thread_pool> pool_;
    std::unique_ptr<cpu_context> cpu_;
    std::shared_ptr<paced_device> on_; // null on the CPU
    std::shared_ptr<const device_weights> weights_;
    char * there_ = nullptr; // the arena on the device
    bool host_is_newer_ = false; // or the same
    std::unique_ptr<graph> graph_;
    // Where the graph has them: on the host or the device.
    float * values_ = nullptr;
    float * gradients_ = nullptr;
    float * first_ = nullptr;
    float * second_ = nullptr;
    float * reference_ = nullptr;
    double * squares_ = nullptr; // on the device: the sum of the gradient's squares, and its parts
    progress progress_;
    double gathered_weight_ = 0;
    int64_t gathered_batches_ = 0; // their dropout masks are drawn again when their gradients are dropped
    cn_slice slice_ = nullptr;
    void * slice_user_ = nullptr;
    double slice_limit_ = paced_device::usual_limit;
    bool uninterrupted_ = false;

    // Of the rows that carry a loss; sized once.
    std::vector<int32_t> row_, token_, teacher_token_;
    std::vector<float> weight_, teacher_log_prob_, teacher_weight_, anchor_, dpo_weight_;
    std::vector<row_result> results_;
    std::vector<float> reference_log_prob_;
};

} // namespace continual
