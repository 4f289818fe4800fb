#include "ops/rmsnorm.h"
#include "oracle/rmsnorm.h"
#include "rmsnorm_rows.h"

using namespace ops_check;
using namespace continual;

namespace {

constexpr float eps = 1e-5f;

constexpr shape shapes[] = {{1, 2, 2}, {3, 7, 7}, {5, 16, 19}, {2, 64, 64}, {33, 131, 140}, {9, 896, 896}, {40, 1027, 1027}};

template <typename T>
std::string where(isa level, const shape & s, const T &) {
    return std::string(name(level)) + " " + std::to_string(s.rows) + "x" + std::to_string(s.width);
}

template <typename In, typename Out>
void forward_matches() {
    for (const isa level : levels()) {
        for (const shape & s : shapes) {
            const auto x = normals<In>(s.rows * s.stride, 1, 3.0f);
            const auto w = normals<float>(s.width, 2);
            const Out untouched = from_float<Out>(77.0f);
            std::vector<Out> y(x.size(), untouched);
            std::vector<float> inverse(static_cast<std::size_t>(s.rows));
            rmsnorm_forward(cpu_context{pool(), level}, s.rows, s.width, s.stride, x.data(), w.data(), eps, y.data(), inverse.data());
            const auto expected = oracle::rmsnorm(static_cast<std::size_t>(s.rows), static_cast<std::size_t>(s.width), dense(x, s), widened(w), eps);
            check_error("rmsnorm forward", std::is_same_v<Out, bf16>, error_of(dense(y, s), expected.y), where(level, s, 0));
            check_error("rmsnorm inverse", false, error_of(inverse, expected.inverse_rms), where(level, s, 0));
            for (std::size_t i = 0; i < y.size(); i++) {
                const bool between = static_cast<int64_t>(i) % s.stride >= s.width;
                CHECK(!between || to_float(y[i]) == 77.0f);
            }
        }
    }
}

template <typename In, typename Dy, typename Dx>
void backward_matches() {
    for (const isa level : levels()) {
        const cpu_context cpu{pool(), level};
        for (const shape & s : shapes) {
            const std::size_t rows = static_cast<std::size_t>(s.rows);
            const std::size_t width = static_cast<std::size_t>(s.width);
            const auto x = normals<In>(s.rows * s.stride, 1, 3.0f);
            const auto dy = normals<Dy>(s.rows * s.stride, 3);
            const auto w = normals<float>(s.width, 2);
            const auto before = normals<Dx>(s.rows * s.stride, 4);
            const auto dw_before = normals<float>(s.width, 5);
            const auto forward = oracle::rmsnorm(rows, width, dense(x, s), widened(w), eps);
            std::vector<float> inverse;
            for (const double value : forward.inverse_rms) {
                inverse.push_back(static_cast<float>(value));
            }
            const auto expected = oracle::rmsnorm_backward(rows, width, dense(x, s), widened(w), eps, dense(dy, s));
            for (const bool accumulate : {false, true}) {
                auto dx = before;
                auto dw = dw_before;
                rmsnorm_backward(cpu, s.rows, s.width, s.stride, x.data(), w.data(), inverse.data(), dy.data(), dx.data(), accumulate, accumulate ? nullptr : dw.data());
                auto sum = expected.dx;
                const auto base = dense(before, s);
                for (std::size_t i = 0; i < sum.size(); i++) {
                    sum[i] += accumulate ? base[i] : 0.0;
                }
                check_error("rmsnorm dx", std::is_same_v<Dx, bf16>, error_of(dense(dx, s), sum), where(level, s, 0));
                if (accumulate) {
                    CHECK(same_bits(dw, dw_before));
                } else {
                    auto dw_sum = expected.dw;
                    for (std::size_t i = 0; i < width; i++) {
                        dw_sum[i] += static_cast<double>(dw_before[i]);
                    }
                    check_error("rmsnorm dw", false, error_of(dw, dw_sum), where(level, s, 0));
                }
            }
        }
    }
}

} // namespace

TEST(rmsnorm_forward_matches_the_oracle) {
    forward_matches<float, float>();
    forward_matches<float, bf16>();
    forward_matches<bf16, float>();
    forward_matches<bf16, bf16>();
}

TEST(rmsnorm_backward_matches_the_oracle) {
    backward_matches<float, float, float>();
    backward_matches<float, float, bf16>();
    backward_matches<float, bf16, float>();
    backward_matches<float, bf16, bf16>();
    backward_matches<bf16, float, float>();
    backward_matches<bf16, float, bf16>();
    backward_matches<bf16, bf16, float>();
    backward_matches<bf16, bf16, bf16>();
}

TEST(rmsnorm_oracle_agrees_with_finite_differences) {
    const std::size_t rows = 3;
    const std::size_t width = 5;
    const auto x = widened(normals<float>(15, 1));
    const auto w = widened(normals<float>(5, 2));
    const auto dy = widened(normals<float>(15, 3));
    const auto gradient = oracle::rmsnorm_backward(rows, width, x, w, eps, dy);
    check_error("finite differences", false, error_of(slope([&](const auto & at) { return dot(dy, oracle::rmsnorm(rows, width, at, w, eps).y); }, x), gradient.dx), "rmsnorm dx");
    check_error("finite differences", false, error_of(slope([&](const auto & at) { return dot(dy, oracle::rmsnorm(rows, width, x, at, eps).y); }, w), gradient.dw), "rmsnorm dw");
}

TEST(rmsnorm_in_place_equals_out_of_place) {
    for (const isa level : levels()) {
        const cpu_context cpu{pool(), level};
        const auto x = normals<bf16>(7 * 133, 1);
        const auto w = normals<float>(133, 2);
        std::vector<bf16> y(x.size());
        std::vector<float> inverse(7);
        rmsnorm_forward(cpu, 7, 133, 133, x.data(), w.data(), eps, y.data(), inverse.data());
        auto in_place = x;
        rmsnorm_forward(cpu, 7, 133, 133, in_place.data(), w.data(), eps, in_place.data(), inverse.data());
        CHECK(same_bits(y, in_place));
    }
}

TEST(rmsnorm_is_the_same_on_any_number_of_threads) {
    check_same_on_any_threads<float>([](const cpu_context & cpu) {
        const int64_t rows = 150;
        const int64_t width = 301;
        const auto x = normals<float>(rows * width, 1);
        const auto w = normals<float>(width, 2);
        const auto dy = normals<float>(rows * width, 3);
        std::vector<float> y(x.size());
        std::vector<float> inverse(static_cast<std::size_t>(rows));
        std::vector<float> dx(x.size());
        std::vector<float> dw(static_cast<std::size_t>(width), 0.5f);
        rmsnorm_forward(cpu, rows, width, width, x.data(), w.data(), eps, y.data(), inverse.data());
        rmsnorm_backward(cpu, rows, width, width, x.data(), w.data(), inverse.data(), dy.data(), dx.data(), false, dw.data());
        y.insert(y.end(), dx.begin(), dx.end());
        y.insert(y.end(), dw.begin(), dw.end());
        return y;
    });
}

TEST(rmsnorm_shows_nan_in_the_row_that_has_one) {
    for (const isa level : levels()) {
        auto x = normals<float>(3 * 20, 1);
        x[25] = not_a_number;
        const std::vector<float> w(20, 1.0f);
        std::vector<float> y(x.size());
        std::vector<float> inverse(3);
        rmsnorm_forward(cpu_context{pool(), level}, 3, 20, 20, x.data(), w.data(), eps, y.data(), inverse.data());
        for (std::size_t i = 0; i < y.size(); i++) {
            CHECK_EQ(std::isnan(y[i]), i / 20 == 1);
        }
    }
}
