#include "ops/rope.h"
#include "ops_check.h"
#include "oracle/rope.h"

using namespace ops_check;
using namespace continual;

namespace {

const std::vector<float> & llama3_factors() {
    // Shaped like Llama 3's: 1 for fast waves, 8 for slow ones, rising between.
    static const std::vector<float> factors = [] {
        std::vector<float> values;
        for (int pair = 0; pair < 32; pair++) {
            values.push_back(pair < 14 ? 1.0f : pair > 17 ? 8.0f : 1.0f + 1.7f * static_cast<float>(pair - 13));
        }
        return values;
    }();
    return factors;
}

std::vector<rope_config> configs() {
    std::vector<rope_config> all;
    for (const rope_style style : {rope_style::adjacent, rope_style::halves}) {
        rope_config plain;
        plain.style = style;
        plain.dimensions = 64;
        all.push_back(plain);
        rope_config few = plain;
        few.dimensions = 6;
        few.base = 500000.0f;
        all.push_back(few);
        rope_config linear = plain;
        linear.scale = 0.25f;
        linear.attention_factor = 1.3f;
        all.push_back(linear);
        rope_config by_frequency = plain;
        by_frequency.base = 500000.0f;
        by_frequency.factors = llama3_factors().data();
        all.push_back(by_frequency);
        rope_config yarn = plain;
        yarn.base = 1000000.0f;
        yarn.scale = 0.25f;
        yarn.ext_factor = 1.0f;
        yarn.attention_factor = 0.9f;
        yarn.original_context = 4096;
        all.push_back(yarn);
        yarn.ext_factor = 0.5f;
        yarn.factors = llama3_factors().data();
        all.push_back(yarn);
    }
    return all;
}

template <typename T>
void matches() {
    const int64_t positions = 40;
    for (const isa level : levels()) {
        const cpu_context cpu{pool(), level};
        for (const rope_config & config : configs()) {
            std::vector<float> table(static_cast<std::size_t>(positions * config.dimensions));
            rope_table(config, positions, table.data());
            const int64_t heads = 3;
            const int64_t width = config.dimensions + (config.dimensions == 6 ? 5 : 0);
            const int64_t stride = heads * width + 4;
            const std::vector<int32_t> position = {0, 39, 5, 6, 7, 0, 21};
            const int64_t rows = static_cast<int64_t>(position.size());
            const auto before = normals<T>(rows * stride, 1);
            auto turned = before;
            rope(cpu, config, table.data(), rows, heads, width, stride, position.data(), turned.data(), false);
            auto back = before;
            rope(cpu, config, table.data(), rows, heads, width, stride, position.data(), back.data(), true);

            auto expected = widened(before);
            auto expected_back = expected;
            for (int64_t row = 0; row < rows; row++) {
                for (int64_t head = 0; head < heads; head++) {
                    const auto at = static_cast<std::ptrdiff_t>(row * stride + head * width);
                    const std::vector<double> x(expected.begin() + at, expected.begin() + at + width);
                    const double angle = position[static_cast<std::size_t>(row)];
                    const auto y = oracle::rope(config, angle, x);
                    // The other way round: the gradient of a rotation is its transpose.
                    const auto dx = oracle::rope(config, -angle, x);
                    std::copy(y.begin(), y.end(), expected.begin() + at);
                    std::copy(dx.begin(), dx.end(), expected_back.begin() + at);
                }
            }
            check_error("rope forward", turned, expected, name(level));
            check_error("rope backward", back, expected_back, name(level));
        }
    }
}

// What ggml computes in float (its frequencies by repeated multiplication), to see how far apart the two are.
std::vector<double> turns_in_float(const rope_config & config, int64_t position) {
    std::vector<double> turns;
    const float ratio = std::pow(config.base, -2.0f / static_cast<float>(config.dimensions));
    float wave = static_cast<float>(position);
    for (int pair = 0; pair < config.dimensions / 2; pair++, wave *= ratio) {
        const float own = config.factors != nullptr ? wave / config.factors[pair] : wave;
        turns.push_back(static_cast<double>(std::cos(own * config.scale) * config.attention_factor));
        turns.push_back(static_cast<double>(std::sin(own * config.scale) * config.attention_factor));
    }
    return turns;
}

} // namespace

TEST(rope_table_matches_the_oracle) {
    for (const rope_config & config : configs()) {
        const int64_t positions = 2048;
        const std::size_t d = static_cast<std::size_t>(config.dimensions);
        std::vector<float> table(static_cast<std::size_t>(positions) * d);
        rope_table(config, positions, table.data());
        for (const std::size_t position : {0, 1, 2, 100, 777, 2047}) {
            const std::vector<float> row(table.begin() + static_cast<std::ptrdiff_t>(position * d), table.begin() + static_cast<std::ptrdiff_t>((position + 1) * d));
            check_error("rope table", row, oracle::rope_turns(config, static_cast<double>(position)), std::to_string(position));
        }
    }
}

// Sixty-four products in float put an angle of some thousand radians off by 1e-4.
TEST(rope_table_is_near_to_one_computed_in_float) {
    for (const rope_config & config : configs()) {
        if (config.ext_factor != 0.0f) {
            continue;
        }
        std::vector<float> table(2048 * static_cast<std::size_t>(config.dimensions));
        rope_table(config, 2048, table.data());
        for (const int64_t position : {1, 63, 511, 2047}) {
            const auto in_float = turns_in_float(config, position);
            double most = 0.0;
            for (std::size_t i = 0; i < in_float.size(); i++) {
                most = std::max(most, std::abs(in_float[i] - static_cast<double>(table[static_cast<std::size_t>(position) * in_float.size() + i])));
            }
            if (std::getenv("CONTINUAL_PRINT_ERRORS") != nullptr) {
                std::fprintf(stderr, "error rope against float at %d: %.2e\n", static_cast<int>(position), most);
            }
            CHECK(most < 1e-6 + 5e-7 * static_cast<double>(position));
        }
    }
}

TEST(rope_matches_the_oracle) {
    matches<float>();
    matches<bf16>();
}

TEST(rope_oracle_backward_agrees_with_finite_differences) {
    for (const rope_config & config : configs()) {
        const auto x = widened(normals<float>(config.dimensions, 1));
        const auto dy = widened(normals<float>(config.dimensions, 2));
        check_error("finite differences", false, error_of(slope([&](const auto & at) { return dot(dy, oracle::rope(config, 13.0, at)); }, x), oracle::rope(config, -13.0, dy)), "rope");
    }
}

TEST(rope_is_the_same_on_any_number_of_threads) {
    check_same_on_any_threads<bf16>([](const cpu_context & cpu) {
        const rope_config config = configs()[0];
        std::vector<float> table(300 * 64);
        rope_table(config, 300, table.data());
        std::vector<int32_t> position;
        for (int32_t i = 0; i < 300; i++) {
            position.push_back(i);
        }
        auto x = normals<bf16>(300 * 5 * 70, 1);
        rope(cpu, config, table.data(), 300, 5, 70, 350, position.data(), x.data(), false);
        return x;
    });
}
