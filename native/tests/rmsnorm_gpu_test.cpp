#include "gpu_check.h"
#include "ops/rmsnorm.h"
#include "oracle/rmsnorm.h"
#include "rmsnorm_rows.h"

using namespace continual;
using namespace gpu_check;
using namespace ops_check;

namespace {

constexpr float eps = 1e-5f;

// Wider than what a thread keeps in registers, too.
constexpr shape shapes[] = {{1, 2, 2}, {13, 7, 7}, {5, 16, 19}, {17, 128, 128}, {9, 512, 515}, {2, 513, 513}, {9, 896, 896}, {3, 2300, 2301}};

std::string where(const tried_device & tried, const shape & s) {
    return tried.name + " " + std::to_string(s.rows) + "x" + std::to_string(s.width);
}

template <typename In, typename Out>
void forward_matches() {
    for (const tried_device & tried : devices()) {
        for (const shape & s : shapes) {
            const auto x = normals<In>(s.rows * s.stride, 1, 3.0f);
            const auto w = normals<float>(s.width, 2);
            const on_device<In> x_there(tried.on, x);
            const on_device<float> w_there(tried.on, w);
            const on_device<Out> y_there(tried.on, std::vector<Out>(x.size(), from_float<Out>(77.0f)));
            const on_device<float> inverse_there(tried.on, s.rows);
            rmsnorm_forward(gpu_context{*tried.on}, s.rows, s.width, s.stride, static_cast<const In *>(x_there.data()), static_cast<const float *>(w_there.data()), eps, y_there.data(),
                            inverse_there.data());
            const auto y = y_there.values();
            const auto expected = oracle::rmsnorm(static_cast<std::size_t>(s.rows), static_cast<std::size_t>(s.width), dense(x, s), widened(w), eps);
            check_error("rmsnorm forward", std::is_same_v<Out, bf16>, error_of(dense(y, s), expected.y), where(tried, s));
            check_error("rmsnorm inverse", false, error_of(inverse_there.values(), expected.inverse_rms), where(tried, s));
            for (std::size_t i = 0; i < y.size(); i++) {
                const bool between = static_cast<int64_t>(i) % s.stride >= s.width;
                CHECK(!between || to_float(y[i]) == 77.0f);
            }
        }
    }
}

template <typename In, typename Dy, typename Dx>
void backward_matches() {
    for (const tried_device & tried : devices()) {
        for (const shape & s : shapes) {
            const std::size_t rows = static_cast<std::size_t>(s.rows);
            const std::size_t width = static_cast<std::size_t>(s.width);
            const auto x = normals<In>(s.rows * s.stride, 1, 3.0f);
            const auto dy = normals<Dy>(s.rows * s.stride, 3);
            const auto w = normals<float>(s.width, 2);
            const auto before = normals<Dx>(s.rows * s.stride, 4);
            const auto dw_before = normals<float>(s.width, 5);
            std::vector<float> inverse;
            for (const double value : oracle::rmsnorm(rows, width, dense(x, s), widened(w), eps).inverse_rms) {
                inverse.push_back(static_cast<float>(value));
            }
            const auto expected = oracle::rmsnorm_backward(rows, width, dense(x, s), widened(w), eps, dense(dy, s));
            const on_device<In> x_there(tried.on, x);
            const on_device<Dy> dy_there(tried.on, dy);
            const on_device<float> w_there(tried.on, w);
            const on_device<float> inverse_there(tried.on, inverse);
            for (const bool accumulate : {false, true}) {
                const on_device<Dx> dx_there(tried.on, before);
                const on_device<float> dw_there(tried.on, dw_before);
                rmsnorm_backward(gpu_context{*tried.on}, s.rows, s.width, s.stride, static_cast<const In *>(x_there.data()), static_cast<const float *>(w_there.data()),
                                 static_cast<const float *>(inverse_there.data()), static_cast<const Dy *>(dy_there.data()), dx_there.data(), accumulate,
                                 accumulate ? nullptr : dw_there.data());
                auto sum = expected.dx;
                const auto base = dense(before, s);
                for (std::size_t i = 0; i < sum.size(); i++) {
                    sum[i] += accumulate ? base[i] : 0.0;
                }
                check_error("rmsnorm dx", std::is_same_v<Dx, bf16>, error_of(dense(dx_there.values(), s), sum), where(tried, s));
                if (accumulate) {
                    CHECK(same_bits(dw_there.values(), dw_before));
                } else {
                    auto dw_sum = expected.dw;
                    for (std::size_t i = 0; i < width; i++) {
                        dw_sum[i] += static_cast<double>(dw_before[i]);
                    }
                    check_error("rmsnorm dw", false, error_of(dw_there.values(), dw_sum), where(tried, s));
                }
            }
        }
    }
}

} // namespace

TEST(rmsnorm_gpu_forward_matches_the_oracle) {
    forward_matches<float, float>();
    forward_matches<float, bf16>();
    forward_matches<bf16, float>();
    forward_matches<bf16, bf16>();
}

TEST(rmsnorm_gpu_backward_matches_the_oracle) {
    backward_matches<float, float, float>();
    backward_matches<float, bf16, float>();
    backward_matches<bf16, bf16, bf16>();
}
