#include "ops/adamw.h"
#include "ops_check.h"
#include "oracle/adamw.h"

using namespace ops_check;
using namespace continual;

namespace {

struct values {
    std::vector<float> value;
    std::vector<float> first;
    std::vector<float> second;
};

values start(int64_t n) {
    return {normals<float>(n, 1), std::vector<float>(static_cast<std::size_t>(n)), std::vector<float>(static_cast<std::size_t>(n))};
}

} // namespace

TEST(adamw_follows_the_oracle_for_many_steps) {
    for (const isa level : levels()) {
        for (const int64_t n : {1, 17, 1000, 20003}) {
            values at = start(n);
            std::vector<oracle::adamw_element> expected;
            for (const float value : at.value) {
                expected.push_back({static_cast<double>(value), 0.0, 0.0});
            }
            adamw_config config;
            config.learning_rate = 1e-2f;
            config.weight_decay = 0.1f;
            config.gradient_scale = 0.25f;
            for (config.step = 1; config.step <= 20; config.step++) {
                // Gradients from tiny to large.
                const auto gradient = normals<float>(n, 100 + static_cast<uint64_t>(config.step), std::pow(10.0f, static_cast<float>(config.step % 7) - 4.0f));
                adamw(cpu_context{pool(), level}, config, n, at.value.data(), gradient.data(), at.first.data(), at.second.data());
                for (std::size_t i = 0; i < expected.size(); i++) {
                    expected[i] = oracle::adamw(expected[i], static_cast<double>(gradient[i]) * 0.25, static_cast<double>(config.learning_rate), static_cast<double>(config.beta1),
                                                static_cast<double>(config.beta2), static_cast<double>(config.eps), static_cast<double>(config.weight_decay), static_cast<double>(config.step));
                }
            }
            std::vector<double> value;
            std::vector<double> first;
            std::vector<double> second;
            for (const auto & element : expected) {
                value.push_back(element.value);
                first.push_back(element.first);
                second.push_back(element.second);
            }
            check_error("adamw value", at.value, value, name(level));
            check_error("adamw first", at.first, first, name(level));
            check_error("adamw second", at.second, second, name(level));
        }
    }
}

TEST(adamw_first_step_moves_by_the_learning_rate) {
    for (const isa level : levels()) {
        values at = start(3);
        const auto before = at.value;
        const std::vector<float> gradient = {5.0f, -1e-3f, 0.0f};
        adamw_config config;
        config.learning_rate = 0.01f;
        adamw(cpu_context{pool(), level}, config, 3, at.value.data(), gradient.data(), at.first.data(), at.second.data());
        CHECK(std::abs(before[0] - at.value[0] - 0.01f) < 1e-6f);
        CHECK(std::abs(at.value[1] - before[1] - 0.01f) < 1e-6f);
        CHECK_EQ(at.value[2], before[2]);
    }
}

TEST(adamw_is_the_same_on_any_number_of_threads) {
    check_same_on_any_threads<float>([](const cpu_context & cpu) {
        values at = start(70001);
        const auto gradient = normals<float>(70001, 2);
        adamw_config config;
        config.learning_rate = 0.01f;
        adamw(cpu, config, 70001, at.value.data(), gradient.data(), at.first.data(), at.second.data());
        return at.value;
    });
}

TEST(sum_of_squares_is_exact_enough_and_the_same_on_any_number_of_threads) {
    const auto x = normals<float>(123457, 1, 1e20f);
    double expected = 0.0;
    for (const float value : x) {
        expected += static_cast<double>(value) * static_cast<double>(value);
    }
    check_same_on_any_threads<double>([&](const cpu_context & cpu) {
        const double sum = sum_of_squares(cpu, 123457, x.data());
        check_error("sum of squares", false, std::abs(sum - expected) / expected, name(cpu.level));
        return std::vector<double>{sum};
    });
    CHECK_EQ(sum_of_squares({pool(), isa::portable}, 0, nullptr), 0.0);
}

TEST(sum_of_squares_shows_what_is_not_finite) {
    for (const isa level : levels()) {
        const cpu_context cpu{pool(), level};
        for (const std::size_t place : {0, 5, 40000, 50000}) {
            auto x = normals<float>(50001, 1);
            x[place] = -infinity;
            CHECK_EQ(sum_of_squares(cpu, 50001, x.data()), std::numeric_limits<double>::infinity());
            x[place] = not_a_number;
            CHECK(std::isnan(sum_of_squares(cpu, 50001, x.data())));
        }
    }
}
