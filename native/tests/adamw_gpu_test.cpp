#include "ops/adamw.h"
#include "oracle/adamw.h"
#include "padded.h"

using namespace continual;
using namespace gpu_check;
using namespace ops_check;

namespace {

constexpr int64_t sums_count = sum_of_squares_pieces + 1;

struct optimizer {
    padded<float> value;
    padded<float> first;
    padded<float> second;

    optimizer(const tried_device & tried, int64_t n, int64_t offset)
        : value(tried.on, normals<float>(n, 1), offset), first(tried.on, normals<float>(n, 2), offset), second(tried.on, squares(n), offset) {}

    std::vector<float> all() const {
        auto values = value.values();
        for (const auto & more : {first.values(), second.values()}) {
            values.insert(values.end(), more.begin(), more.end());
        }
        return values;
    }

private:
    static std::vector<float> squares(int64_t n) {
        auto values = normals<float>(n, 3);
        for (float & value : values) {
            value *= value;
        }
        return values;
    }
};

adamw_config some_config() {
    adamw_config config;
    config.learning_rate = 1e-2f;
    config.weight_decay = 0.1f;
    config.step = 3;
    return config;
}

// As trainer::update has it.
double scale_of(double norm, double clip_norm, double scale) {
    return clip_norm > 0.0 && norm > clip_norm ? scale * clip_norm / norm : scale;
}

// One by one millions of doubles would lose more than the kernels do: what each addition rounds away is kept apart.
double plain_sum(const std::vector<float> & x) {
    double sum = 0.0;
    double lost = 0.0;
    for (const float value : x) {
        const double square = static_cast<double>(value) * static_cast<double>(value);
        const double more = sum + square;
        lost += square - (more - sum);
        sum = more;
    }
    return sum + lost;
}

} // namespace

TEST(adamw_gpu_follows_the_oracle_for_many_steps) {
    for (const tried_device & tried : devices()) {
        for (const int64_t n : {1, 17, 1000, 3003}) {
            for (const int64_t offset : {0, 1}) {
                const padded<float> value(tried.on, normals<float>(n, 1), offset);
                const padded<float> first(tried.on, n, offset);
                const padded<float> second(tried.on, n, offset);
                std::vector<oracle::adamw_element> expected;
                for (const float start : value.values()) {
                    expected.push_back({static_cast<double>(start), 0.0, 0.0});
                }
                adamw_config config = some_config();
                config.gradient_scale = 0.25f;
                for (config.step = 1; config.step <= 20; config.step++) {
                    // Gradients from tiny to large.
                    const auto gradient = normals<float>(n, 100 + static_cast<uint64_t>(config.step), std::pow(10.0f, static_cast<float>(config.step % 7) - 4.0f));
                    const padded<float> gradient_there(tried.on, gradient, offset);
                    adamw(gpu_context{*tried.on}, config, n, value.data(), gradient_there.data(), first.data(), second.data());
                    for (std::size_t i = 0; i < expected.size(); i++) {
                        expected[i] = oracle::adamw(expected[i], static_cast<double>(gradient[i]) * 0.25, static_cast<double>(config.learning_rate),
                                                    static_cast<double>(config.beta1), static_cast<double>(config.beta2), static_cast<double>(config.eps),
                                                    static_cast<double>(config.weight_decay), static_cast<double>(config.step));
                    }
                }
                std::vector<double> values;
                std::vector<double> firsts;
                std::vector<double> seconds;
                for (const auto & element : expected) {
                    values.push_back(element.value);
                    firsts.push_back(element.first);
                    seconds.push_back(element.second);
                }
                check_error("adamw value", value.values(), values, tried.name);
                check_error("adamw first", first.values(), firsts, tried.name);
                check_error("adamw second", second.values(), seconds, tried.name);
            }
        }
    }
}

TEST(adamw_gpu_clips_as_the_trainer_does) {
    constexpr int64_t n = 2051;
    // The norm is some 45 before the scale.
    const auto gradient = normals<float>(n, 4);
    struct {
        double clip_norm;
        double scale;
    } const cases[] = {{0.0, 0.5}, {1.0, 0.5}, {100.0, 0.5}, {1.0, 0.0}, {3.0, 1.0 / 3.0}, {-1.0, 1.0}, {1e-3, 7.0}};
    for (const tried_device & tried : devices()) {
        const gpu_context gpu{*tried.on};
        const padded<float> gradient_there(tried.on, gradient, 0);
        const on_device<double> sums(tried.on, sums_count);
        sum_of_squares(gpu, n, gradient_there.data(), sums.data());
        const double sum = sums.values()[0];
        for (const auto & c : cases) {
            adamw_config config = some_config();
            const optimizer plain(tried, n, 0);
            config.gradient_scale = static_cast<float>(scale_of(std::sqrt(sum) * c.scale, c.clip_norm, c.scale));
            adamw(gpu, config, n, plain.value.data(), gradient_there.data(), plain.first.data(), plain.second.data());
            const optimizer clipped(tried, n, 0);
            config.gradient_scale = 77.0f;
            // In two parts, the second of which is not aligned.
            for (const auto & [begin, end] : {std::pair<int64_t, int64_t>{0, 1001}, {1001, n}}) {
                adamw_clipped(gpu, config, c.clip_norm, c.scale, sums.data(), end - begin, clipped.value.data() + begin, gradient_there.data() + begin,
                              clipped.first.data() + begin, clipped.second.data() + begin);
            }
            CHECK(same_bits(clipped.all(), plain.all()));
        }
    }
}

TEST(adamw_gpu_leaves_all_as_it_is_where_the_norm_is_not_finite) {
    constexpr int64_t n = 1030;
    for (const tried_device & tried : devices()) {
        const gpu_context gpu{*tried.on};
        for (const float bad : {infinity, -infinity, not_a_number}) {
            auto gradient = normals<float>(n, 4);
            gradient[777] = bad;
            const padded<float> gradient_there(tried.on, gradient, 0);
            const on_device<double> sums(tried.on, sums_count);
            sum_of_squares(gpu, n, gradient_there.data(), sums.data());
            const optimizer at(tried, n, 0);
            const auto before = at.all();
            adamw_clipped(gpu, some_config(), 1.0, 0.5, sums.data(), n, at.value.data(), gradient_there.data(), at.first.data(), at.second.data());
            CHECK(same_bits(at.all(), before));
        }
        // Largest of floats, of which the norm still is a double.
        const padded<float> large(tried.on, std::vector<float>(static_cast<std::size_t>(n), 3e38f), 0);
        const on_device<double> sums(tried.on, sums_count);
        sum_of_squares(gpu, n, large.data(), sums.data());
        const optimizer at(tried, n, 0);
        const auto before = at.all();
        adamw_clipped(gpu, some_config(), 1.0, 1.0, sums.data(), n, at.value.data(), large.data(), at.first.data(), at.second.data());
        CHECK(!same_bits(at.all(), before));
    }
}

TEST(adamw_gpu_of_nothing) {
    for (const tried_device & tried : devices()) {
        adamw(gpu_context{*tried.on}, some_config(), 0, nullptr, nullptr, nullptr, nullptr);
        adamw_clipped(gpu_context{*tried.on}, some_config(), 1.0, 1.0, nullptr, 0, nullptr, nullptr, nullptr, nullptr);
    }
}

TEST(sum_of_squares_gpu_is_exact_enough_and_does_not_depend_on_the_place) {
    for (const tried_device & tried : devices()) {
        const gpu_context gpu{*tried.on};
        const on_device<double> sums(tried.on, sums_count);
        for (const int64_t n : {0, 1, 5, 1023, 4096, 4097, 50001}) {
            const auto x = normals<float>(n, 1, 1e20f);
            const double expected = plain_sum(x);
            double first = 0.0;
            for (const int64_t offset : {0, 1}) {
                const padded<float> there(tried.on, x, offset);
                sum_of_squares(gpu, n, there.data(), sums.data());
                const double sum = sums.values()[0];
                check_error("sum of squares", false, n == 0 ? std::abs(sum) : std::abs(sum - expected) / expected, tried.name + " " + std::to_string(n));
                CHECK(offset == 0 || sum == first);
                first = sum;
            }
        }
    }
}

// More than so many pieces of the least size.
TEST(sum_of_squares_gpu_of_many) {
    const int64_t n = 4096 * sum_of_squares_pieces + 12345;
    std::vector<float> x;
    for (int64_t i = 0; i < n; i++) {
        x.push_back(static_cast<float>(i * 7919 % 10007 - 5000) * 0.001f);
    }
    const double expected = plain_sum(x);
    for (const tried_device & tried : devices(false)) {
        const padded<float> there(tried.on, x, 0);
        const padded<double> sums(tried.on, sums_count, 0);
        sum_of_squares(gpu_context{*tried.on}, n, there.data(), sums.data());
        check_error("sum of squares", false, std::abs(sums.values()[0] - expected) / expected, tried.name + " of many");
    }
}

TEST(sum_of_squares_gpu_shows_what_is_not_finite) {
    for (const tried_device & tried : devices()) {
        const on_device<double> sums(tried.on, sums_count);
        for (const std::size_t place : {0, 5, 9000}) {
            auto x = normals<float>(9001, 1);
            x[place] = -infinity;
            const on_device<float> infinite(tried.on, x);
            sum_of_squares(gpu_context{*tried.on}, 9001, infinite.data(), sums.data());
            CHECK_EQ(sums.values()[0], std::numeric_limits<double>::infinity());
            x[place] = not_a_number;
            const on_device<float> none(tried.on, x);
            sum_of_squares(gpu_context{*tried.on}, 9001, none.data(), sums.data());
            CHECK(std::isnan(sums.values()[0]));
        }
    }
}
