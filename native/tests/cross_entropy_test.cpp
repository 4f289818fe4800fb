#include "cross_entropy_batch.h"

using namespace ops_check;
using namespace continual;

namespace {

template <typename Out>
void matches(int64_t rows, int64_t vocabulary, int64_t stride) {
    const batch all = make_batch(rows, vocabulary, stride);
    const double scale = 0.125;
    for (const isa level : levels()) {
        const cpu_context cpu{pool(), level};
        for (const int terms : {0, 1, 2, 3}) {
            const bool teacher = (terms & 1) != 0;
            const bool anchor = (terms & 2) != 0;
            const row_targets targets = all.targets(teacher, anchor);
            std::vector<row_result> results(static_cast<std::size_t>(rows));
            std::vector<Out> gradient(static_cast<std::size_t>(rows * vocabulary));
            cross_entropy(cpu, rows, vocabulary, stride, all.logits.data(), targets, static_cast<float>(scale), results.data(), gradient.data(), vocabulary);

            std::vector<double> log_prob;
            std::vector<double> distilled;
            std::vector<double> anchored;
            std::vector<double> expected;
            std::vector<float> got_log_prob;
            std::vector<float> got_distilled;
            std::vector<float> got_anchored;
            for (int64_t row = 0; row < rows; row++) {
                const auto logits = all.row_logits(row);
                const auto loss = all.loss(row, teacher, anchor);
                const auto losses = oracle::losses(loss, logits);
                log_prob.push_back(losses.log_prob);
                distilled.push_back(losses.distilled);
                anchored.push_back(losses.anchored);
                for (const double value : oracle::losses_gradient(loss, logits)) {
                    expected.push_back(value * scale);
                }
                const row_result & result = results[static_cast<std::size_t>(row)];
                got_log_prob.push_back(result.log_prob);
                got_distilled.push_back(result.distilled);
                got_anchored.push_back(result.anchored);
                CHECK_EQ(result.argmax, static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
            }
            const std::string where = std::string(name(level)) + " " + std::to_string(vocabulary) + " terms " + std::to_string(terms);
            check_error("cross entropy log p", got_log_prob, log_prob, where);
            check_error("cross entropy distilled", got_distilled, distilled, where);
            check_error("cross entropy anchored", got_anchored, anchored, where);
            check_error("cross entropy gradient", gradient, expected, where);

            // Without a gradient the results are the same, and in place the gradient is.
            std::vector<row_result> evaluated(static_cast<std::size_t>(rows));
            cross_entropy<Out>(cpu, rows, vocabulary, stride, all.logits.data(), targets, static_cast<float>(scale), evaluated.data(), nullptr, 0);
            CHECK(same_bits(evaluated, results));
            std::vector<float> in_place = all.logits;
            const int64_t d_stride = stride * static_cast<int64_t>(sizeof(float) / sizeof(Out));
            cross_entropy(cpu, rows, vocabulary, stride, in_place.data(), targets, static_cast<float>(scale), results.data(), reinterpret_cast<Out *>(in_place.data()), d_stride);
            CHECK(same_bits(evaluated, results));
            for (int64_t row = 0; row < rows; row++) {
                CHECK(std::memcmp(reinterpret_cast<const Out *>(in_place.data()) + row * d_stride, gradient.data() + row * vocabulary, static_cast<std::size_t>(vocabulary) * sizeof(Out)) == 0);
            }
        }
    }
}

} // namespace

TEST(cross_entropy_matches_the_oracle) {
    for (const auto & [rows, vocabulary] : {std::pair{1, 2}, {5, 3}, {13, 97}, {9, 1024}, {7, 1025}, {6, 5001}}) {
        matches<float>(rows, vocabulary, vocabulary);
        matches<bf16>(rows, vocabulary, vocabulary + 5);
    }
}

TEST(cross_entropy_over_a_large_vocabulary) {
    matches<float>(2, 151936, 151936);
}

TEST(cross_entropy_oracle_agrees_with_finite_differences) {
    const batch all = make_batch(8, 11, 11);
    for (int64_t row = 0; row < all.rows; row++) {
        const auto loss = all.loss(row, true, true);
        const auto logits = all.row_logits(row);
        check_error("finite differences", false, error_of(slope([&](const auto & at) { return oracle::losses(loss, at).total; }, logits), oracle::losses_gradient(loss, logits)), "cross entropy");
    }
}

TEST(cross_entropy_of_equal_distributions_is_nothing) {
    for (const isa level : levels()) {
        batch all = make_batch(1, 3000, 3000);
        all.reference = all.logits;
        for (float & value : all.reference) {
            value += 50.0f; // the same distribution
        }
        all.weight[0] = 0.0f;
        std::vector<row_result> results(1);
        std::vector<float> gradient(3000);
        cross_entropy(cpu_context{pool(), level}, 1, 3000, 3000, all.logits.data(), all.targets(false, true), 1.0f, results.data(), gradient.data(), 3000);
        CHECK(std::abs(results[0].anchored) < 1e-5f);
        for (const float value : gradient) {
            CHECK(std::abs(value) < 1e-6f);
        }
    }
}

TEST(cross_entropy_of_the_only_token_is_nothing) {
    for (const isa level : levels()) {
        const float logit = 3.5f;
        const int32_t token = 0;
        const float weight = 1.0f;
        row_targets targets;
        targets.token = &token;
        targets.weight = &weight;
        row_result result;
        float gradient = 7.0f;
        cross_entropy({pool(), level}, 1, 1, 1, &logit, targets, 1.0f, &result, &gradient, 1);
        CHECK_EQ(result.log_prob, 0.0f);
        CHECK_EQ(result.argmax, 0);
        CHECK_EQ(gradient, 0.0f);
    }
}

TEST(cross_entropy_takes_the_lowest_of_equal_tokens) {
    for (const isa level : levels()) {
        for (const std::size_t place : {0, 1, 1023, 1024, 1500, 2999}) {
            auto logits = std::vector<float>(3000, -2.0f);
            for (std::size_t i = place; i < 3000; i += 7) {
                logits[i] = 4.0f;
            }
            const int32_t token = 0;
            const float weight = 1.0f;
            row_targets targets;
            targets.token = &token;
            targets.weight = &weight;
            row_result result;
            cross_entropy<float>({pool(), level}, 1, 3000, 3000, logits.data(), targets, 1.0f, &result, nullptr, 0);
            CHECK_EQ(result.argmax, static_cast<int32_t>(place));
        }
    }
}

TEST(cross_entropy_far_logits_and_impossible_tokens) {
    for (const isa level : levels()) {
        std::vector<float> logits(2100, -infinity);
        logits[2050] = 1e4f;
        logits[2051] = 1e4f - 1.0f;
        const int32_t token = 2051;
        const float weight = 1.0f;
        row_targets targets;
        targets.token = &token;
        targets.weight = &weight;
        row_result result;
        std::vector<float> gradient(2100);
        cross_entropy({pool(), level}, 1, 2100, 2100, logits.data(), targets, 1.0f, &result, gradient.data(), 2100);
        CHECK_EQ(result.argmax, 2050);
        CHECK(std::abs(static_cast<double>(result.log_prob) + std::log(1.0 + std::exp(1.0))) < 1e-6);
        CHECK_EQ(gradient[0], 0.0f);
        CHECK(std::abs(static_cast<double>(gradient[2050]) - 1.0 / (1.0 + std::exp(-1.0))) < 1e-6);
        // A token that can't be: the loss is infinite, the gradient still says where to go.
        const int32_t impossible = 3;
        targets.token = &impossible;
        cross_entropy({pool(), level}, 1, 2100, 2100, logits.data(), targets, 1.0f, &result, gradient.data(), 2100);
        CHECK_EQ(result.log_prob, -infinity);
        CHECK_EQ(gradient[3], -1.0f);
    }
}

TEST(cross_entropy_shows_nan_in_its_row_alone) {
    for (const isa level : levels()) {
        batch all = make_batch(4, 2500, 2500);
        all.logits[2500 + 2000] = not_a_number;
        std::vector<row_result> results(4);
        std::vector<float> gradient(4 * 2500);
        cross_entropy({pool(), level}, 4, 2500, 2500, all.logits.data(), all.targets(false, false), 1.0f, results.data(), gradient.data(), 2500);
        CHECK(!std::isnan(results[0].log_prob));
        CHECK(std::isnan(results[1].log_prob));
        CHECK(!std::isnan(results[2].log_prob));
        CHECK(std::isnan(gradient[2500]) && std::isnan(gradient[4999]));
        CHECK(!std::isnan(gradient[2499]) && !std::isnan(gradient[5000]));
    }
}

TEST(cross_entropy_gradient_of_a_row_without_weight_is_zero) {
    for (const isa level : levels()) {
        batch all = make_batch(1, 1500, 1500);
        all.token[0] = -1;
        all.weight[0] = 0.0f;
        row_result result;
        std::vector<float> gradient(1500, 7.0f);
        cross_entropy({pool(), level}, 1, 1500, 1500, all.logits.data(), all.targets(false, false), 1.0f, &result, gradient.data(), 1500);
        CHECK(same_bits(gradient, std::vector<float>(1500, 0.0f)));
        CHECK_EQ(result.log_prob, 0.0f);
    }
}

TEST(cross_entropy_is_the_same_on_any_number_of_threads) {
    const batch all = make_batch(11, 3001, 3001);
    check_same_on_any_threads<float>([&](const cpu_context & cpu) {
        std::vector<row_result> results(11);
        std::vector<float> gradient(11 * 3001);
        cross_entropy(cpu, 11, 3001, 3001, all.logits.data(), all.targets(true, true), 0.5f, results.data(), gradient.data(), 3001);
        for (const row_result & result : results) {
            gradient.push_back(result.log_prob);
            gradient.push_back(result.distilled);
            gradient.push_back(result.anchored);
        }
        return gradient;
    });
}
