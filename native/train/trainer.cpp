#include "train/trainer.h"

#include "model/device_weights.h"
#include "ops/adamw.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

namespace continual {

namespace {

[[noreturn]] void refuse(const std::string & what) {
    throw error(failure::argument, what);
}

template <typename T>
void between(const char * name, T value, T low, T high) {
    if (!(value >= low && value <= high)) {
        refuse(std::string(name) + " is " + std::to_string(value) + "; it must lie between " + std::to_string(low) + " and " + std::to_string(high));
    }
}

graph_limits limits_of(const cn_trainer_config & config, const model & model, bool gpu) {
    graph_limits limits;
    limits.tokens = config.max_tokens;
    limits.sequences = config.max_sequences;
    limits.length = config.max_length;
    limits.targets = config.max_targets;
    limits.stored_layers = model.config().layers;
    limits.teacher_k = config.teacher_k;
    limits.reference = config.use_reference != 0;
    limits.dropout = config.dropout;
    limits.seed = config.seed;
    // A quarter of a gigabyte of logits at a time is enough for the GEMM to run at full speed. A GPU unpacks the vocabulary's weights anew for each piece.
    const int64_t logit_bytes = (gpu ? int64_t{2048} : int64_t{256}) << 20;
    const int64_t most = std::max<int64_t>(16, logit_bytes / (static_cast<int64_t>(sizeof(float)) * model.config().vocabulary));
    const int64_t pieces = (limits.targets + most - 1) / most;
    limits.logit_rows = (limits.targets + pieces - 1) / pieces;
    return limits;
}

struct run_layout {
    int64_t values, gradients, first, second, reference;
    int64_t squares = -1; // GPU
    int64_t graph; // where the graph's part begins: its offsets follow
    cn_memory memory;
    graph_limits limits;
};

precision precision_of(const cn_trainer_config & config) {
    return config.precision == CN_PRECISION_BF16 ? precision::bf16 : precision::f32;
}

// The parameters' part, in the order that `trainer` takes it.
void lay_out_parameters(const parameter_layout & parameters, const cn_trainer_config & config, bool gpu, arena_layout & layout, run_layout & run) {
    run.values = layout.add<float>(parameters.count());
    run.gradients = layout.add<float>(parameters.count());
    run.first = layout.add<float>(parameters.count());
    run.second = layout.add<float>(parameters.count());
    run.reference = config.use_reference != 0 ? layout.add<float>(parameters.count()) : -1;
    run.memory.parameters = layout.size();
    run.squares = gpu ? layout.add<double>(sum_of_squares_pieces + 1) : -1;
}

run_layout lay_out_run(const model & model, const parameter_layout & parameters, const cn_trainer_config & config, bool gpu, const graph_limits & limits) {
    run_layout run{};
    arena_layout layout;
    lay_out_parameters(parameters, config, gpu, layout, run);
    const graph_sizes sizes = gpu ? plan_graph_gpu(model, parameters, limits, precision_of(config), layout)
                                  : plan_graph(model, parameters, limits, precision_of(config), config.threads, layout);
    run.memory.activations = sizes.activations;
    run.memory.logits = sizes.logits;
    run.memory.scratch = sizes.scratch;
    run.memory.total = layout.size();
    run.memory.stored_layers = limits.stored_layers;
    run.memory.logit_rows = static_cast<int32_t>(limits.logit_rows);
    run.limits = limits;
    return run;
}

// The fastest plan that fits: logits in smaller pieces first (each costs another pass over the vocabulary's weights), then layers computed twice.
run_layout fit(const model & model, const parameter_layout & parameters, const cn_trainer_config & config, bool gpu) {
    graph_limits limits = limits_of(config, model, gpu);
    const auto fits = [&](const run_layout & run) { return config.memory_budget <= 0 || run.memory.total <= config.memory_budget; };
    run_layout run = lay_out_run(model, parameters, config, gpu, limits);
    while (!fits(run) && limits.logit_rows > 64) {
        limits.logit_rows = std::max<int64_t>(64, (limits.logit_rows + 1) / 2);
        run = lay_out_run(model, parameters, config, gpu, limits);
    }
    if (!fits(run)) {
        // Every stored layer costs the same.
        int32_t low = 0;
        int32_t high = limits.stored_layers;
        while (low < high) {
            limits.stored_layers = (low + high + 1) / 2;
            if (fits(lay_out_run(model, parameters, config, gpu, limits))) {
                low = limits.stored_layers;
            } else {
                high = limits.stored_layers - 1;
            }
        }
        limits.stored_layers = low;
        run = lay_out_run(model, parameters, config, gpu, limits);
    }
    while (!fits(run) && limits.logit_rows > 1) {
        limits.logit_rows = (limits.logit_rows + 1) / 2;
        run = lay_out_run(model, parameters, config, gpu, limits);
    }
    if (!fits(run)) {
        throw error(failure::budget, "the memory budget of " + std::to_string(config.memory_budget) + " bytes is too small: with these options the least is " +
                                         std::to_string(run.memory.total) + " bytes (parameters and their moments " + std::to_string(run.memory.parameters) + ", activations " +
                                         std::to_string(run.memory.activations) + "). Allow that much, or take a lower rank, fewer tokens in a batch or shorter sequences");
    }
    return run;
}

} // namespace

cn_trainer_config checked(const model & model, const cn_trainer_config & given) {
    cn_trainer_config config = given;
    between<int32_t>("mode", config.mode, CN_MODE_LORA, CN_MODE_FULL);
    between<int32_t>("precision", config.precision, CN_PRECISION_F32, CN_PRECISION_BF16);
    between<int32_t>("scheduling", config.scheduling, CN_SCHEDULING_NORMAL, CN_SCHEDULING_IDLE);
    between<int32_t>("isa", config.isa, CN_ISA_BEST, CN_ISA_AVX512_BF16);
    if (config.isa > static_cast<int32_t>(best_isa())) {
        throw error(failure::unsupported, std::string("this processor does not have the instructions '") + name(static_cast<isa>(config.isa)) + "'; the best it has is '" + name(best_isa()) + "'");
    }
    if (config.isa == CN_ISA_BEST) {
        config.isa = static_cast<int32_t>(preferred_isa());
    }
    between<int32_t>("threads", config.threads, 0, 1024);
    if (config.threads == 0) {
        config.threads = static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency()));
    }
    between<int32_t>("max_tokens", config.max_tokens, 1, 1 << 22);
    between<int32_t>("max_sequences", config.max_sequences, 1, 1 << 20);
    between<int32_t>("max_length", config.max_length, 0, config.max_tokens);
    if (config.max_length == 0) {
        config.max_length = config.max_tokens;
    }
    config.max_length = std::min(config.max_length, config.max_tokens);
    between<int32_t>("max_targets", config.max_targets, 0, config.max_tokens);
    if (config.max_targets == 0) {
        config.max_targets = config.max_tokens;
    }
    between<int32_t>("teacher_k", config.teacher_k, 0, std::min(1024, model.config().vocabulary));
    between<int32_t>("use_reference", config.use_reference, 0, 1);
    if (config.memory_budget < 0) {
        refuse("memory_budget is negative; 0 means no limit");
    }
    if (config.mode == CN_MODE_LORA) {
        between<int32_t>("rank", config.rank, 1, 1024);
        between("alpha", config.alpha, 1e-6f, 1e6f);
        between<int32_t>("rs_lora", config.rs_lora, 0, 1);
        if (!(config.dropout >= 0 && config.dropout < 1)) {
            refuse("dropout is " + std::to_string(config.dropout) + "; it must be at least 0 and below 1");
        }
        if (config.targets == 0 || config.targets >= (1u << linear_count)) {
            refuse("targets is " + std::to_string(config.targets) + "; it must be a set of CN_TARGET_* bits, at least one");
        }
        if ((config.targets & CN_TARGET_OUTPUT) != 0 && model.tied()) {
            throw error(failure::unsupported, "this model's output projection is its token embedding, and llama.cpp applies no adapter to that; leave 'output' out of the targets");
        }
        between("b_rate_ratio", config.b_rate_ratio, 1e-3f, 1e3f);
    } else {
        config.dropout = 0;
    }
    between("learning_rate", config.learning_rate, 0.0f, 1e3f);
    between<int32_t>("warmup_steps", config.warmup_steps, 0, 1 << 30);
    between<int32_t>("total_steps", config.total_steps, 0, 1 << 30);
    between("min_rate_ratio", config.min_rate_ratio, 0.0f, 1.0f);
    between("beta1", config.beta1, 0.0f, 0.999999f);
    between("beta2", config.beta2, 0.0f, 0.9999999f);
    between("eps", config.eps, 1e-20f, 1.0f);
    between("weight_decay", config.weight_decay, 0.0f, 10.0f);
    between("clip_norm", config.clip_norm, 0.0f, 1e9f);
    return config;
}

float learning_rate(const cn_trainer_config & config, int64_t step) {
    if (step <= config.warmup_steps) {
        return config.learning_rate * static_cast<float>(step) / static_cast<float>(config.warmup_steps);
    }
    if (config.total_steps <= config.warmup_steps) {
        return config.learning_rate;
    }
    const double done = std::min(1.0, static_cast<double>(step - config.warmup_steps) / static_cast<double>(config.total_steps - config.warmup_steps));
    const double low = config.min_rate_ratio;
    constexpr double pi = 3.14159265358979323846;
    return static_cast<float>(config.learning_rate * (low + (1.0 - low) * 0.5 * (1.0 + std::cos(pi * done))));
}

trainer::trainer(std::shared_ptr<const model> model, const cn_trainer_config & config) : model_(std::move(model)), config_(checked(*model_, config)), layout_(*model_, config_) {
    const run_layout run = fit(*model_, layout_, config_, false);
    memory_ = run.memory;
    arena_ = std::make_unique<arena>(run.memory.total);
    pool_ = std::make_unique<thread_pool>(config_.threads, static_cast<scheduling>(config_.scheduling));
    cpu_ = std::make_unique<cpu_context>(cpu_context{*pool_, static_cast<isa>(config_.isa)});
    arena_layout layout;
    run_layout same{};
    lay_out_parameters(layout_, config_, false, layout, same);
    values_ = arena_->at<float>(same.values);
    gradients_ = arena_->at<float>(same.gradients);
    first_ = arena_->at<float>(same.first);
    second_ = arena_->at<float>(same.second);
    reference_ = same.reference < 0 ? nullptr : arena_->at<float>(same.reference);
    graph_ = make_graph(*model_, layout_, run.limits, precision_of(config_), *cpu_, *arena_, layout);
    begin();
}

trainer::trainer(std::shared_ptr<const model> model, const cn_trainer_config & config, std::shared_ptr<device> on, std::shared_ptr<const device_weights> weights)
    : model_(std::move(model)), config_(checked(*model_, config)), layout_(*model_, config_), on_(std::make_shared<paced_device>(std::move(on))), weights_(std::move(weights)) {
    const run_layout run = fit(*model_, layout_, config_, true);
    memory_ = run.memory;
    arena_ = std::make_unique<arena>(run.memory.parameters);
    there_ = static_cast<char *>(on_->allocate(run.memory.total));
    try {
        on_->zero(there_, run.memory.total);
        arena_layout layout;
        run_layout same{};
        lay_out_parameters(layout_, config_, true, layout, same);
        const auto floats = [this](int64_t offset) { return reinterpret_cast<float *>(there_ + offset); };
        values_ = floats(same.values);
        gradients_ = floats(same.gradients);
        first_ = floats(same.first);
        second_ = floats(same.second);
        reference_ = same.reference < 0 ? nullptr : floats(same.reference);
        squares_ = reinterpret_cast<double *>(there_ + same.squares);
        graph_ = make_graph_gpu(*model_, layout_, run.limits, precision_of(config_), *on_, *weights_, there_, layout);
        // Zeros on both sides.
        host_is_newer_ = true;
        begin();
    } catch (...) {
        on_->release(there_);
        throw;
    }
}

trainer::~trainer() {
    if (on_ != nullptr) {
        graph_.reset();
        on_->release(there_);
    }
}

float * trainer::on_host(float * array) {
    if (on_ == nullptr || array == nullptr) {
        return array;
    }
    if (!host_is_newer_) {
        on_->download(arena_->at<char>(0), there_, memory_.parameters);
        host_is_newer_ = true;
    }
    return arena_->at<float>(reinterpret_cast<char *>(array) - there_);
}

void trainer::to_device() {
    if (on_ != nullptr && host_is_newer_) {
        on_->upload(there_, arena_->at<char>(0), memory_.parameters);
        host_is_newer_ = false;
    }
}

void trainer::begin() {
    layout_.initialize(*model_, config_.seed, values());
    if (reference_ != nullptr) {
        set_reference();
    }
    const auto rows = static_cast<size_t>(config_.max_targets);
    row_.resize(rows);
    token_.resize(rows);
    weight_.resize(rows);
    dpo_weight_.resize(rows);
    anchor_.resize(rows);
    results_.resize(rows);
    reference_log_prob_.resize(rows);
    teacher_weight_.resize(rows);
    teacher_token_.resize(rows * static_cast<size_t>(config_.teacher_k));
    teacher_log_prob_.resize(rows * static_cast<size_t>(config_.teacher_k));
}

cn_memory trainer::plan(const model & model, const cn_trainer_config & config, bool gpu) {
    const cn_trainer_config whole = checked(model, config);
    const parameter_layout layout(model, whole);
    return fit(model, layout, whole, gpu).memory;
}

void trainer::set_slice(cn_slice slice, void * user) {
    use_slice(slice, user, slice_limit_);
    slice_ = slice;
    slice_user_ = user;
}

void trainer::set_slice_limit(double seconds) {
    if (!(seconds > 0) || !std::isfinite(seconds)) {
        refuse("a slice takes more than 0 seconds");
    }
    use_slice(slice_, slice_user_, seconds);
    slice_limit_ = seconds;
}

void trainer::use_slice(cn_slice slice, void * user, double seconds) {
    std::function<void()> between;
    if (slice != nullptr) {
        between = [this, slice, user] {
            int32_t stop = 0;
            if (pool_ != nullptr) {
                pool_->hand_back([&] { stop = slice(user); });
            } else {
                stop = slice(user);
            }
            if (stop != 0 && !uninterrupted_) {
                throw error(failure::cancelled, "stopped by the slice callback");
            }
        };
    }
    if (on_ != nullptr) {
        on_->cut(seconds, std::move(between));
    } else {
        graph_->slice = std::move(between);
    }
    graph_->costs = {};
    std::fill(std::begin(graph_->layers), std::end(graph_->layers), 0);
}

cn_slice_costs trainer::slice_costs() const {
    const continual::slice_costs & of = on_ != nullptr ? on_->costs() : graph_->costs;
    const auto each = [&](pass what) {
        const auto at = static_cast<size_t>(what);
        return graph_->layers[at] > 0 ? of.seconds[at] / static_cast<double>(graph_->layers[at]) : 0.0;
    };
    cn_slice_costs costs{};
    costs.size = sizeof costs;
    costs.slices = of.slices;
    costs.longest = of.longest;
    for (const double seconds : of.seconds) {
        costs.seconds += seconds;
    }
    costs.layer_forward = each(pass::forward);
    costs.layer_backward = each(pass::backward);
    return costs;
}

void trainer::set_reference() {
    if (reference_ == nullptr) {
        refuse("the trainer was made without use_reference, so it has no room for a reference adapter");
    }
    std::memcpy(reference(), values(), sizeof(float) * static_cast<size_t>(layout_.count()));
}

// What the next call brings does not belong to a slice of this one.
void trainer::close_slice() {
    if (on_ != nullptr) {
        on_->close();
    }
}

class trainer::whole {
public:
    explicit whole(trainer & of) : of_(of), before_(of.uninterrupted_) { of_.uninterrupted_ = true; }
    ~whole() { of_.uninterrupted_ = before_; }
    whole(const whole &) = delete;
    whole & operator=(const whole &) = delete;

private:
    trainer & of_;
    bool before_;
};

void trainer::zero_gradients() {
    const whole all(*this);
    const int64_t bytes = static_cast<int64_t>(sizeof(float)) * layout_.count();
    if (on_ != nullptr) {
        on_->zero(gradients_, bytes);
    }
    if (on_ == nullptr || host_is_newer_) {
        std::memset(gradients(), 0, static_cast<size_t>(bytes));
    }
}

void trainer::forget_gradients() {
    zero_gradients();
    gathered_weight_ = 0;
    // A step that was given up is done again with the same dropout masks, so that a run stopped in its middle equals one that was not.
    progress_.batches -= gathered_batches_;
    gathered_batches_ = 0;
    close_slice();
}

struct trainer::gathered {
    loss_rows rows;
    // Row of the first loss row of each sequence, and one behind the last.
    std::vector<int64_t> sequence;
};

void trainer::check(const cn_batch_train & batch) const {
    if (batch.tokens == nullptr || batch.bounds == nullptr || batch.target == nullptr || batch.weight == nullptr) {
        refuse("a batch needs tokens, bounds, target and weight");
    }
    if (batch.count < 1 || batch.count > config_.max_tokens) {
        refuse("the batch has " + std::to_string(batch.count) + " tokens; this trainer takes 1 to " + std::to_string(config_.max_tokens));
    }
    if (batch.sequences < 1 || batch.sequences > config_.max_sequences) {
        refuse("the batch has " + std::to_string(batch.sequences) + " sequences; this trainer takes 1 to " + std::to_string(config_.max_sequences));
    }
    if (batch.bounds[0] != 0 || batch.bounds[batch.sequences] != batch.count) {
        refuse("a batch's bounds begin with 0 and end with its count");
    }
    for (int32_t s = 0; s < batch.sequences; s++) {
        const int64_t length = static_cast<int64_t>(batch.bounds[s + 1]) - batch.bounds[s];
        if (length < 1 || length > config_.max_length) {
            refuse("sequence " + std::to_string(s) + " has " + std::to_string(length) + " tokens; this trainer takes 1 to " + std::to_string(config_.max_length));
        }
    }
    const int32_t vocabulary = model_->config().vocabulary;
    for (int32_t i = 0; i < batch.count; i++) {
        if (batch.tokens[i] < 0 || batch.tokens[i] >= vocabulary || batch.target[i] < -1 || batch.target[i] >= vocabulary) {
            refuse("row " + std::to_string(i) + " holds the token " + std::to_string(batch.tokens[i]) + " with target " + std::to_string(batch.target[i]) + "; the vocabulary has " +
                   std::to_string(vocabulary));
        }
        if (!(batch.weight[i] >= 0) || !std::isfinite(batch.weight[i]) || (batch.target[i] < 0 && batch.weight[i] != 0)) {
            refuse("row " + std::to_string(i) + " has the weight " + std::to_string(batch.weight[i]) + "; weights are finite, not negative, and 0 where there is no target");
        }
    }
    const bool teacher = batch.teacher_token != nullptr;
    if (teacher != (batch.teacher_log_prob != nullptr) || teacher != (batch.teacher_weight != nullptr)) {
        refuse("a teacher's tokens, log-probabilities and weights come together or not at all");
    }
    if (teacher) {
        if (config_.teacher_k == 0) {
            refuse("the trainer was made without teacher_k, so it has no room for a teacher's tokens");
        }
        for (int64_t i = 0; i < static_cast<int64_t>(batch.count) * config_.teacher_k; i++) {
            if (batch.teacher_token[i] < -1 || batch.teacher_token[i] >= vocabulary || (batch.teacher_token[i] >= 0 && !std::isfinite(batch.teacher_log_prob[i]))) {
                refuse("a teacher's token is out of the vocabulary or its log-probability not finite (row " + std::to_string(i / config_.teacher_k) + ")");
            }
        }
        for (int32_t i = 0; i < batch.count; i++) {
            if (!std::isfinite(batch.teacher_weight[i]) || batch.teacher_weight[i] < 0) {
                refuse("a teacher's weight must be finite and not negative (row " + std::to_string(i) + ")");
            }
        }
    }
    if (!(batch.anchor >= 0) || !std::isfinite(batch.anchor)) {
        refuse("anchor must be finite and not negative");
    }
    if (batch.anchor > 0 && reference_ == nullptr) {
        refuse("an anchor needs a trainer made with use_reference");
    }
    if (batch.dpo != 0) {
        if (reference_ == nullptr) {
            refuse("DPO needs a trainer made with use_reference");
        }
        if (batch.sequences % 2 != 0 || !(batch.dpo_beta > 0) || !std::isfinite(batch.dpo_beta) || teacher || batch.anchor > 0) {
            refuse("a DPO batch has pairs of sequences, a positive dpo_beta, and no teacher or anchor");
        }
    }
}

trainer::gathered trainer::gather(const cn_batch_train & batch) {
    gathered g;
    const int32_t k = config_.teacher_k;
    int64_t count = 0;
    for (int32_t s = 0; s < batch.sequences; s++) {
        g.sequence.push_back(count);
        for (int32_t i = batch.bounds[s]; i < batch.bounds[s + 1]; i++) {
            const float teacher = batch.teacher_weight == nullptr ? 0.0f : batch.teacher_weight[i];
            if (batch.weight[i] == 0 && teacher == 0) {
                continue;
            }
            if (count == config_.max_targets) {
                refuse("the batch has more than " + std::to_string(config_.max_targets) + " rows with a loss, which is what this trainer has room for (max_targets)");
            }
            const auto at = static_cast<size_t>(count);
            row_[at] = i;
            token_[at] = batch.target[i];
            weight_[at] = batch.weight[i];
            anchor_[at] = batch.anchor;
            teacher_weight_[at] = teacher;
            if (batch.teacher_token != nullptr) {
                std::copy_n(batch.teacher_token + static_cast<int64_t>(i) * k, k, teacher_token_.begin() + count * k);
                std::copy_n(batch.teacher_log_prob + static_cast<int64_t>(i) * k, k, teacher_log_prob_.begin() + count * k);
            }
            count++;
        }
    }
    g.sequence.push_back(count);
    g.rows.count = count;
    g.rows.row = row_.data();
    g.rows.targets.token = token_.data();
    g.rows.targets.weight = weight_.data();
    if (batch.teacher_token != nullptr) {
        g.rows.targets.teacher_token = teacher_token_.data();
        g.rows.targets.teacher_log_prob = teacher_log_prob_.data();
        g.rows.targets.teacher_k = k;
        g.rows.targets.teacher_weight = teacher_weight_.data();
    }
    return g;
}

cn_loss trainer::sum(const gathered & g, const cn_batch_train & batch) const {
    cn_loss loss{};
    for (int64_t i = 0; i < g.rows.count; i++) {
        const auto at = static_cast<size_t>(i);
        const row_result & r = results_[at];
        loss.cross_entropy -= static_cast<double>(weight_[at]) * r.log_prob;
        loss.weight += weight_[at];
        if (g.rows.targets.teacher_weight != nullptr) {
            loss.distilled += static_cast<double>(teacher_weight_[at]) * r.distilled;
            loss.weight += teacher_weight_[at];
        }
        loss.anchored += static_cast<double>(batch.anchor) * r.anchored;
        loss.correct += r.argmax == token_[at] ? 1 : 0;
    }
    loss.rows = static_cast<int32_t>(g.rows.count);
    loss.loss = loss.cross_entropy + loss.distilled + loss.anchored;
    return loss;
}

// With the log-ratios z = β ((log π − log π_ref)(chosen) − (…)(rejected)), the loss of a pair is −log σ(z), and its gradient with respect to the chosen
// answer's log-probability −β σ(−z): the gradient of a cross-entropy with that weight, and of the opposite one for the rejected answer.
void trainer::dpo_coefficients(const cn_batch_train & batch, const gathered & g, cn_loss & loss) {
    loss = {};
    loss.rows = static_cast<int32_t>(g.rows.count);
    for (int32_t p = 0; p < batch.sequences / 2; p++) {
        double z = 0;
        for (int side = 0; side < 2; side++) {
            for (int64_t i = g.sequence[static_cast<size_t>(2 * p + side)]; i < g.sequence[static_cast<size_t>(2 * p + side + 1)]; i++) {
                const auto at = static_cast<size_t>(i);
                const double ratio = static_cast<double>(weight_[at]) * (static_cast<double>(results_[at].log_prob) - reference_log_prob_[at]);
                z += side == 0 ? ratio : -ratio;
                loss.correct += results_[at].argmax == token_[at] ? 1 : 0;
            }
        }
        z *= batch.dpo_beta;
        loss.loss += z > 0 ? std::log1p(std::exp(-z)) : -z + std::log1p(std::exp(z));
        loss.preferred += z > 0 ? 1 : 0;
        loss.pairs++;
        const double pull = batch.dpo_beta / (1.0 + std::exp(z));
        for (int side = 0; side < 2; side++) {
            for (int64_t i = g.sequence[static_cast<size_t>(2 * p + side)]; i < g.sequence[static_cast<size_t>(2 * p + side + 1)]; i++) {
                const auto at = static_cast<size_t>(i);
                dpo_weight_[at] = static_cast<float>((side == 0 ? pull : -pull) * weight_[at]);
            }
        }
    }
    loss.weight = loss.pairs;
}

// On a processor all of it is led by one thread of the pool: a small model's products are too short to hand over each.
template <typename Body>
void trainer::lead(Body && body) {
    if (pool_ != nullptr) {
        pool_->lead(body);
    } else {
        body();
    }
}

cn_loss trainer::run(const cn_batch_train & batch, bool train, float * log_probs) {
    check(batch);
    gathered g = gather(batch);
    if (log_probs != nullptr) {
        std::fill_n(log_probs, batch.count, 0.0f);
    }
    cn_loss loss{};
    if (g.rows.count == 0) {
        loss.pairs = batch.dpo != 0 ? batch.sequences / 2 : 0;
        return loss;
    }
    lead([&] { loss = compute(batch, g, train, log_probs); });
    return loss;
}

cn_loss trainer::compute(const cn_batch_train & batch, gathered & g, bool train, float * log_probs) {
    cn_loss loss{};
    graph_batch packed;
    packed.count = batch.count;
    packed.sequences = batch.sequences;
    packed.tokens = batch.tokens;
    packed.bounds = batch.bounds;
    packed.dropout_stream = static_cast<uint64_t>(progress_.batches);
    to_device();
    const bool anchored = batch.anchor > 0;
    if (anchored || batch.dpo != 0) {
        graph_->forward(packed, g.rows, reference_, false);
        if (anchored) {
            graph_->keep_reference();
            g.rows.targets.reference_weight = anchor_.data();
        } else {
            graph_->loss(g.rows, reference_, nullptr, nullptr, results_.data());
            graph_->collect();
            for (int64_t i = 0; i < g.rows.count; i++) {
                reference_log_prob_[static_cast<size_t>(i)] = results_[static_cast<size_t>(i)].log_prob;
            }
        }
    }
    graph_->forward(packed, g.rows, values_, train);
    if (batch.dpo != 0) {
        graph_->loss(g.rows, values_, nullptr, nullptr, results_.data());
        graph_->collect();
        dpo_coefficients(batch, g, loss);
        if (train) {
            g.rows.targets.weight = dpo_weight_.data();
            graph_->loss(g.rows, values_, nullptr, gradients_, results_.data());
        }
    } else {
        graph_->loss(g.rows, values_, reference_, train ? gradients_ : nullptr, results_.data());
    }
    if (train) {
        graph_->backward(packed, g.rows, values_, gradients_);
    }
    // Behind the backward pass: on a GPU the wait for the results is one for all of it.
    graph_->collect();
    if (batch.dpo == 0) {
        loss = sum(g, batch);
    }
    if (log_probs != nullptr) {
        for (int64_t i = 0; i < g.rows.count; i++) {
            log_probs[row_[static_cast<size_t>(i)]] = results_[static_cast<size_t>(i)].log_prob;
        }
    }
    return loss;
}

cn_loss trainer::accumulate(const cn_batch_train & batch) {
    try {
        const cn_loss loss = run(batch, true, nullptr);
        close_slice();
        progress_.batches++;
        gathered_batches_++;
        gathered_weight_ += loss.weight;
        return loss;
    } catch (const error & e) {
        // A batch that was refused has changed nothing; one that stopped in the middle leaves half a gradient.
        if (e.kind() != failure::argument) {
            forget_gradients();
        }
        throw;
    } catch (...) {
        forget_gradients();
        throw;
    }
}

cn_loss trainer::evaluate(const cn_batch_train & batch, float * log_probs) {
    const cn_loss loss = run(batch, false, log_probs);
    close_slice();
    return loss;
}

cn_update trainer::update() {
    if (gathered_batches_ == 0) {
        refuse("there is no gradient: accumulate a batch before the update");
    }
    cn_update result{};
    lead([&] { result = apply(); });
    return result;
}

cn_update trainer::apply() {
    // Applied or skipped, they are done with.
    gathered_batches_ = 0;
    cn_update result{};
    result.step = progress_.step + 1;
    const float rate = learning_rate(config_, result.step);
    result.learning_rate = rate;
    // Batches without a single target give a zero gradient; there is nothing to divide by then.
    const double scale = gathered_weight_ > 0 ? 1.0 / gathered_weight_ : 0.0;
    adamw_config adam;
    adam.beta1 = config_.beta1;
    adam.beta2 = config_.beta2;
    adam.eps = config_.eps;
    adam.step = result.step;
    const auto parts = [&](auto && step) {
        const auto part = [&](int64_t begin, int64_t end, float part_rate, float decay) {
            adam.learning_rate = part_rate;
            adam.weight_decay = decay;
            step(begin, end - begin);
        };
        if (layout_.full()) {
            part(0, layout_.vectors_begin(), rate, config_.weight_decay);
            part(layout_.vectors_begin(), layout_.count(), rate, 0.0f);
        } else {
            part(0, layout_.b_begin(), rate, config_.weight_decay);
            part(layout_.b_begin(), layout_.count(), rate * config_.b_rate_ratio, config_.weight_decay);
        }
    };
    double squares = 0.0;
    if (on_ != nullptr) {
        to_device();
        const whole update(*this);
        const gpu_context gpu{*on_};
        on_->enter(pass::rest);
        sum_of_squares(gpu, layout_.count(), gradients_, squares_);
        parts([&](int64_t begin, int64_t n) {
            adamw_clipped(gpu, adam, config_.clip_norm, scale, squares_, n, values_ + begin, gradients_ + begin, first_ + begin, second_ + begin);
        });
        on_->download(&squares, squares_, sizeof squares);
    } else {
        squares = sum_of_squares(*cpu_, layout_.count(), gradients_);
    }
    const double norm = std::sqrt(squares) * scale;
    result.gradient_norm = norm;
    if (!std::isfinite(norm)) {
        result.step = progress_.step;
        result.skipped = 1;
        result.skipped_total = ++progress_.skipped;
        forget_gradients();
        return result;
    }
    if (on_ == nullptr) {
        adam.gradient_scale = static_cast<float>(config_.clip_norm > 0 && norm > config_.clip_norm ? scale * config_.clip_norm / norm : scale);
        parts([&](int64_t begin, int64_t n) { adamw(*cpu_, adam, n, values_ + begin, gradients_ + begin, first_ + begin, second_ + begin); });
    }
    progress_.step = result.step;
    result.skipped_total = progress_.skipped;
    forget_gradients();
    return result;
}

} // namespace continual
