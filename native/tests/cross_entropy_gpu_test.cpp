#include "cross_entropy_batch.h"
#include "gpu_check.h"

#include <cstring>

using namespace continual;
using namespace gpu_check;
using namespace ops_check;

namespace {

// What one call gives.
template <typename Out>
struct outcome {
    std::vector<row_result> results;
    std::vector<Out> gradient; // without what is between rows
};

enum class into { nothing, elsewhere, place };

// A batch in a device's memory.
class batch_there {
public:
    batch_there(const std::shared_ptr<device> & on, const batch & all)
        : on_(on), all_(all), logits_(on, all.logits), token_(on, all.token), weight_(on, all.weight), teacher_token_(on, all.teacher_token),
          teacher_log_prob_(on, all.teacher_log_prob), teacher_weight_(on, all.teacher_weight), reference_(on, all.reference), reference_weight_(on, all.reference_weight) {}

    row_targets targets(bool teacher, bool anchor) const {
        row_targets all;
        all.token = token_.data();
        all.weight = weight_.data();
        if (teacher) {
            all.teacher_token = teacher_token_.data();
            all.teacher_log_prob = teacher_log_prob_.data();
            all.teacher_k = all_.k;
            all.teacher_weight = teacher_weight_.data();
        }
        if (anchor) {
            all.reference_logits = reference_.data();
            all.stride_reference = all_.vocabulary;
            all.reference_weight = reference_weight_.data();
        }
        return all;
    }

    template <typename Out>
    outcome<Out> run(const row_targets & targets, float scale, into where, int64_t d_stride = 0) const {
        const int64_t rows = all_.rows;
        const on_device<row_result> results(on_, rows);
        if (where == into::place) {
            d_stride = all_.stride * static_cast<int64_t>(sizeof(float) / sizeof(Out));
            const on_device<float> logits(on_, all_.logits);
            cross_entropy(gpu_context{*on_}, rows, all_.vocabulary, all_.stride, logits.data(), targets, scale, results.data(), reinterpret_cast<Out *>(logits.data()), d_stride);
            const auto memory = logits.values();
            std::vector<Out> gradient(static_cast<std::size_t>(rows * d_stride));
            std::memcpy(static_cast<void *>(gradient.data()), memory.data(), gradient.size() * sizeof(Out));
            // What the gradient does not cover is as it was: it ends with the row's elements.
            const std::size_t covered = static_cast<std::size_t>(all_.vocabulary) * sizeof(Out) / sizeof(float);
            for (int64_t row = 0; row < rows; row++) {
                const std::size_t at = static_cast<std::size_t>(row * all_.stride) + covered + 1;
                const std::size_t end = static_cast<std::size_t>((row + 1) * all_.stride);
                CHECK(at >= end || std::memcmp(memory.data() + at, all_.logits.data() + at, (end - at) * sizeof(float)) == 0);
            }
            return {results.values(), dense(gradient, d_stride)};
        }
        if (where == into::nothing) {
            cross_entropy<Out>(gpu_context{*on_}, rows, all_.vocabulary, all_.stride, logits_.data(), targets, scale, results.data(), nullptr, 0);
            return {results.values(), {}};
        }
        const on_device<Out> gradient(on_, std::vector<Out>(static_cast<std::size_t>(rows * d_stride), from_float<Out>(77.0f)));
        cross_entropy(gpu_context{*on_}, rows, all_.vocabulary, all_.stride, logits_.data(), targets, scale, results.data(), gradient.data(), d_stride);
        const auto values = gradient.values();
        for (std::size_t i = 0; i < values.size(); i++) {
            CHECK(static_cast<int64_t>(i) % d_stride < all_.vocabulary || to_float(values[i]) == 77.0f);
        }
        return {results.values(), dense(values, d_stride)};
    }

private:
    template <typename Out>
    std::vector<Out> dense(const std::vector<Out> & values, int64_t d_stride) const {
        std::vector<Out> all;
        for (int64_t row = 0; row < all_.rows; row++) {
            all.insert(all.end(), values.begin() + row * d_stride, values.begin() + row * d_stride + all_.vocabulary);
        }
        return all;
    }

    std::shared_ptr<device> on_;
    const batch & all_;
    on_device<float> logits_;
    on_device<int32_t> token_;
    on_device<float> weight_;
    on_device<int32_t> teacher_token_;
    on_device<float> teacher_log_prob_;
    on_device<float> teacher_weight_;
    on_device<float> reference_;
    on_device<float> reference_weight_;
};

template <typename Out>
void matches(const batch & all, bool teacher, bool anchor, int64_t d_stride) {
    const double scale = 0.125;
    std::vector<double> log_prob;
    std::vector<double> distilled;
    std::vector<double> anchored;
    std::vector<double> expected;
    std::vector<int32_t> likeliest;
    for (int64_t row = 0; row < all.rows; row++) {
        const auto logits = all.row_logits(row);
        const auto loss = all.loss(row, teacher, anchor);
        const auto losses = oracle::losses(loss, logits);
        log_prob.push_back(losses.log_prob);
        distilled.push_back(losses.distilled);
        anchored.push_back(losses.anchored);
        for (const double value : oracle::losses_gradient(loss, logits)) {
            expected.push_back(value * scale);
        }
        likeliest.push_back(static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    }
    for (const tried_device & tried : devices()) {
        const batch_there there(tried.on, all);
        const row_targets targets = there.targets(teacher, anchor);
        const auto got = there.run<Out>(targets, static_cast<float>(scale), into::elsewhere, d_stride);
        std::vector<float> got_log_prob;
        std::vector<float> got_distilled;
        std::vector<float> got_anchored;
        for (std::size_t row = 0; row < got.results.size(); row++) {
            got_log_prob.push_back(got.results[row].log_prob);
            got_distilled.push_back(got.results[row].distilled);
            got_anchored.push_back(got.results[row].anchored);
            CHECK_EQ(got.results[row].argmax, likeliest[row]);
        }
        const std::string where = tried.name + " " + std::to_string(all.vocabulary) + (teacher ? " teacher" : "") + (anchor ? " anchor" : "");
        check_error("cross entropy log p", got_log_prob, log_prob, where);
        check_error("cross entropy distilled", got_distilled, distilled, where);
        check_error("cross entropy anchored", got_anchored, anchored, where);
        check_error("cross entropy gradient", got.gradient, expected, where);

        // Without a gradient the results are the same, and in place the gradient is.
        CHECK(same_bits(there.run<Out>(targets, static_cast<float>(scale), into::nothing).results, got.results));
        const auto in_place = there.run<Out>(targets, static_cast<float>(scale), into::place);
        CHECK(same_bits(in_place.results, got.results));
        CHECK(same_bits(in_place.gradient, got.gradient));
    }
}

// The results of one row of logits with a token, and where asked its gradient.
struct one_row {
    std::vector<float> logits;
    int32_t token;
    std::vector<float> gradient = {};

    row_result run(const std::shared_ptr<device> & on, bool with_gradient) {
        const on_device<float> logits_there(on, logits);
        const on_device<int32_t> token_there(on, std::vector<int32_t>{token});
        const on_device<float> weight_there(on, std::vector<float>{1.0f});
        const on_device<row_result> result_there(on, 1);
        const int64_t n = static_cast<int64_t>(logits.size());
        const on_device<float> gradient_there(on, n);
        row_targets targets;
        targets.token = token_there.data();
        targets.weight = weight_there.data();
        cross_entropy<float>(gpu_context{*on}, 1, n, n, logits_there.data(), targets, 1.0f, result_there.data(), with_gradient ? gradient_there.data() : nullptr, n);
        gradient = with_gradient ? gradient_there.values() : std::vector<float>();
        return result_there.values()[0];
    }
};

} // namespace

TEST(cross_entropy_gpu_matches_the_oracle) {
    for (const auto & [rows, vocabulary] : {std::pair{1, 2}, {5, 3}, {4, 97}, {2, 1024}}) {
        matches<float>(make_batch(rows, vocabulary, vocabulary), false, false, vocabulary + 1);
        matches<float>(make_batch(rows, vocabulary, vocabulary), true, true, vocabulary);
    }
}

TEST(cross_entropy_gpu_matches_the_oracle_in_bf16) {
    for (const auto & [rows, vocabulary] : {std::pair{1, 2}, {5, 3}, {3, 100}, {2, 1025}}) {
        matches<bf16>(make_batch(rows, vocabulary, vocabulary + 5), true, true, vocabulary);
    }
    // Sixteen bytes at once, with an end that is not.
    matches<bf16>(make_batch(3, 1030, 1032), true, false, 1032);
    matches<bf16>(make_batch(2, 1024, 1024), false, true, 1031);
}

// Many times what a block holds at once: in place, threads must not overtake each other.
TEST(cross_entropy_gpu_over_a_large_vocabulary) {
    matches<bf16>(make_batch(1, 151936, 151936), true, false, 151936);
}

TEST(cross_entropy_gpu_over_an_uneven_vocabulary) {
    matches<bf16>(make_batch(2, 50257, 50257), true, true, 50257);
    matches<float>(make_batch(1, 20001, 20001), false, true, 20001);
}

// Tokens that are there more than once, the right one among them: their parts add up.
TEST(cross_entropy_gpu_takes_many_tokens_of_a_teacher) {
    batch all = make_batch(2, 3000, 3000, 1024);
    random_source source(5);
    for (int32_t & token : all.teacher_token) {
        token = source.next() % 8 == 0 ? -1 : static_cast<int32_t>(source.next() % 1500);
    }
    all.teacher_log_prob = normals<float>(2 * 1024, 6);
    // As good as unused.
    all.teacher_token[7] = 11;
    all.teacher_log_prob[7] = -infinity;
    all.token[0] = all.teacher_token[1] = all.teacher_token[1000] = 1234;
    all.teacher_weight = {0.5f, 2.0f};
    for (const tried_device & tried : devices()) {
        const batch_there there(tried.on, all);
        std::vector<double> expected;
        for (int64_t row = 0; row < 2; row++) {
            const auto gradient = oracle::losses_gradient(all.loss(row, true, false), all.row_logits(row));
            expected.insert(expected.end(), gradient.begin(), gradient.end());
        }
        const auto got = there.run<float>(there.targets(true, false), 1.0f, into::elsewhere, 3000);
        check_error("cross entropy gradient", got.gradient, expected, tried.name + " many tokens");
        CHECK(same_bits(there.run<float>(there.targets(true, false), 1.0f, into::place).gradient, got.gradient));
    }
}

TEST(cross_entropy_gpu_refuses_too_many_tokens_of_a_teacher) {
    const batch all = make_batch(1, 10, 10);
    const batch_there there(devices(false)[0].on, all);
    row_targets targets = there.targets(true, false);
    targets.teacher_k = cross_entropy_most_teacher_k + 1;
    bool refused = false;
    try {
        there.run<float>(targets, 1.0f, into::nothing);
    } catch (const error & e) {
        refused = e.kind() == failure::unsupported;
    }
    CHECK(refused);
}

TEST(cross_entropy_gpu_is_the_same_in_any_order) {
    const batch all = make_batch(2, 9001, 9001);
    std::vector<outcome<float>> seen;
    for (const tried_device & tried : devices()) {
        const batch_there there(tried.on, all);
        seen.push_back(there.run<float>(there.targets(true, true), 0.5f, into::place));
        CHECK(same_bits(seen.back().results, seen.front().results));
        CHECK(same_bits(seen.back().gradient, seen.front().gradient));
    }
}

TEST(cross_entropy_gpu_of_no_rows_is_nothing) {
    const batch all = make_batch(1, 10, 10);
    const auto on = devices(false)[0].on;
    const batch_there there(on, all);
    const on_device<row_result> results(on, std::vector<row_result>{{7.0f, 7.0f, 7.0f, 7}});
    cross_entropy<float>(gpu_context{*on}, 0, 10, 10, nullptr, there.targets(true, true), 1.0f, results.data(), nullptr, 0);
    CHECK_EQ(results.values()[0].argmax, 7);
}

TEST(cross_entropy_gpu_of_equal_distributions_is_nothing) {
    for (const tried_device & tried : devices()) {
        batch all = make_batch(1, 3000, 3000);
        all.reference = all.logits;
        for (float & value : all.reference) {
            value += 50.0f; // the same distribution
        }
        all.weight[0] = 0.0f;
        const batch_there there(tried.on, all);
        const auto got = there.run<float>(there.targets(false, true), 1.0f, into::elsewhere, 3000);
        CHECK(std::abs(got.results[0].anchored) < 1e-5f);
        for (const float value : got.gradient) {
            CHECK(std::abs(value) < 1e-6f);
        }
    }
}

TEST(cross_entropy_gpu_of_the_only_token_is_nothing) {
    for (const tried_device & tried : devices()) {
        one_row only{{3.5f}, 0};
        const row_result result = only.run(tried.on, true);
        CHECK_EQ(result.log_prob, 0.0f);
        CHECK_EQ(result.argmax, 0);
        CHECK_EQ(only.gradient[0], 0.0f);
    }
}

TEST(cross_entropy_gpu_takes_the_lowest_of_equal_tokens) {
    for (const tried_device & tried : devices()) {
        for (const int64_t size : {3000, 8999}) {
            for (const int64_t place : {0, 1, 511, 2047, 2048, 2999}) {
                one_row row{std::vector<float>(static_cast<std::size_t>(size), -2.0f), 0};
                for (int64_t i = place; i < size; i += 7) {
                    row.logits[static_cast<std::size_t>(i)] = 4.0f;
                }
                CHECK_EQ(row.run(tried.on, false).argmax, static_cast<int32_t>(place));
            }
        }
    }
}

TEST(cross_entropy_gpu_far_logits_and_impossible_tokens) {
    for (const tried_device & tried : devices()) {
        one_row row{std::vector<float>(9100, -infinity), 9051};
        row.logits[9050] = 1e4f;
        row.logits[9051] = 1e4f - 1.0f;
        row_result result = row.run(tried.on, true);
        CHECK_EQ(result.argmax, 9050);
        CHECK(std::abs(static_cast<double>(result.log_prob) + std::log(1.0 + std::exp(1.0))) < 1e-6);
        CHECK_EQ(row.gradient[0], 0.0f);
        CHECK(std::abs(static_cast<double>(row.gradient[9050]) - 1.0 / (1.0 + std::exp(-1.0))) < 1e-6);
        // A token that can't be: the loss is infinite, the gradient still says where to go.
        row.token = 3;
        result = row.run(tried.on, true);
        CHECK_EQ(result.log_prob, -infinity);
        CHECK_EQ(row.gradient[3], -1.0f);
    }
}

TEST(cross_entropy_gpu_of_impossible_tokens_alone) {
    for (const tried_device & tried : devices()) {
        one_row row{std::vector<float>(600, -infinity), 3};
        const row_result result = row.run(tried.on, false);
        CHECK(std::isnan(result.log_prob));
        CHECK_EQ(result.argmax, 0);
    }
}

TEST(cross_entropy_gpu_shows_nan_in_its_row_alone) {
    for (const tried_device & tried : devices()) {
        batch all = make_batch(3, 2500, 2500);
        all.logits[2500 + 2000] = not_a_number;
        all.token[1] = 7;
        const batch_there there(tried.on, all);
        const auto got = there.run<float>(there.targets(true, true), 1.0f, into::elsewhere, 2500);
        CHECK(!std::isnan(got.results[0].log_prob) && !std::isnan(got.results[0].distilled) && !std::isnan(got.results[0].anchored));
        CHECK(std::isnan(got.results[1].log_prob) && std::isnan(got.results[1].distilled) && std::isnan(got.results[1].anchored));
        CHECK(!std::isnan(got.results[2].log_prob) && !std::isnan(got.results[2].distilled) && !std::isnan(got.results[2].anchored));
        for (std::size_t i = 0; i < got.gradient.size(); i++) {
            CHECK_EQ(std::isnan(got.gradient[i]), i >= 2500 && i < 5000);
        }
    }
}

TEST(cross_entropy_gpu_gradient_of_a_row_without_weight_is_zero) {
    for (const tried_device & tried : devices()) {
        batch all = make_batch(2, 1500, 1500);
        all.token = {-1, 4};
        all.weight = {0.0f, 0.0f};
        all.teacher_weight = {0.0f, 0.0f};
        all.logits[1700] = not_a_number;
        const batch_there there(tried.on, all);
        const auto got = there.run<bf16>(there.targets(true, false), 1.0f, into::place);
        CHECK(same_bits(got.gradient, std::vector<bf16>(3000, bf16{0})));
        CHECK_EQ(got.results[0].log_prob, 0.0f);
        CHECK(std::isnan(got.results[1].log_prob));
        // Without anything to learn at all.
        const auto free = there.run<float>(row_targets(), 1.0f, into::elsewhere, 1503);
        CHECK(same_bits(free.gradient, std::vector<float>(3000, 0.0f)));
        CHECK_EQ(free.results[1].log_prob, 0.0f);
    }
}
