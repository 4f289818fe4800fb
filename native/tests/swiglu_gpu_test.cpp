#include "ops/swiglu.h"
#include "oracle/swiglu.h"
#include "padded.h"

using namespace continual;
using namespace gpu_check;
using namespace ops_check;

namespace {

template <typename T>
void matches(int64_t n) {
    const auto gate = normals<T>(n, 1, 5.0f);
    const auto up = normals<T>(n, 2);
    const auto dy = normals<T>(n, 3);
    std::vector<double> y;
    std::vector<double> d_gate;
    std::vector<double> d_up;
    for (std::size_t i = 0; i < gate.size(); i++) {
        const double g = static_cast<double>(to_float(gate[i]));
        const double u = static_cast<double>(to_float(up[i]));
        const double d = static_cast<double>(to_float(dy[i]));
        y.push_back(oracle::swiglu(g, u));
        d_gate.push_back(d * u * oracle::silu_slope(g));
        d_up.push_back(d * oracle::silu(g));
    }
    for (const tried_device & tried : devices()) {
        const gpu_context gpu{*tried.on};
        // 16 bytes at once, and not.
        for (const int64_t offset : {0, 3}) {
            const std::string where = tried.name + " " + std::to_string(n);
            const padded<T> gate_there(tried.on, gate, offset);
            const padded<T> up_there(tried.on, up, offset);
            const padded<T> dy_there(tried.on, dy, offset);
            const padded<T> y_there(tried.on, n, offset);
            const padded<T> d_gate_there(tried.on, n, offset);
            const padded<T> d_up_there(tried.on, n, offset);
            swiglu_forward(gpu, n, gate_there.data(), up_there.data(), y_there.data());
            swiglu_backward(gpu, n, gate_there.data(), up_there.data(), dy_there.data(), d_gate_there.data(), d_up_there.data());
            check_error("swiglu forward", y_there.values(), y, where);
            check_error("swiglu d_gate", d_gate_there.values(), d_gate, where);
            check_error("swiglu d_up", d_up_there.values(), d_up, where);

            for (const bool over_gate : {false, true}) {
                const padded<T> gate_over(tried.on, gate, offset);
                const padded<T> up_over(tried.on, up, offset);
                const padded<T> & over = over_gate ? gate_over : up_over;
                swiglu_forward(gpu, n, gate_over.data(), up_over.data(), over.data());
                CHECK(same_bits(over.values(), y_there.values()));
            }
            const padded<T> gate_over(tried.on, gate, offset);
            const padded<T> up_over(tried.on, up, offset);
            swiglu_backward(gpu, n, gate_over.data(), up_over.data(), dy_there.data(), gate_over.data(), up_over.data());
            CHECK(same_bits(gate_over.values(), d_gate_there.values()));
            CHECK(same_bits(up_over.values(), d_up_there.values()));
            const padded<T> gate_crossed(tried.on, gate, offset);
            const padded<T> dy_over(tried.on, dy, offset);
            swiglu_backward(gpu, n, gate_crossed.data(), up_there.data(), dy_over.data(), dy_over.data(), gate_crossed.data());
            CHECK(same_bits(dy_over.values(), d_gate_there.values()));
            CHECK(same_bits(gate_crossed.values(), d_up_there.values()));
        }
    }
}

} // namespace

TEST(swiglu_gpu_matches_the_oracle) {
    for (const int64_t n : {1, 15, 64, 1000, 5003}) {
        matches<float>(n);
        matches<bf16>(n);
    }
}

TEST(swiglu_gpu_far_from_zero) {
    for (const tried_device & tried : devices()) {
        const gpu_context gpu{*tried.on};
        const on_device<float> gate(tried.on, std::vector<float>{-1000.0f, -100.0f, -88.0f, 0.0f, 88.0f, 1000.0f, infinity, not_a_number});
        const on_device<float> up(tried.on, std::vector<float>(8, 2.0f));
        const on_device<float> y_there(tried.on, 8);
        swiglu_forward(gpu, 8, gate.data(), up.data(), y_there.data());
        const auto y = y_there.values();
        CHECK_EQ(y[0], 0.0f);
        CHECK(std::abs(y[1]) < 1e-36f);
        CHECK_EQ(y[3], 0.0f);
        CHECK_EQ(y[4], 176.0f);
        CHECK_EQ(y[5], 2000.0f);
        CHECK_EQ(y[6], infinity);
        CHECK(std::isnan(y[7]));
        const on_device<float> d_gate_there(tried.on, 8);
        const on_device<float> d_up_there(tried.on, 8);
        swiglu_backward(gpu, 8, gate.data(), up.data(), up.data(), d_gate_there.data(), d_up_there.data());
        const auto d_gate = d_gate_there.values();
        CHECK_EQ(d_gate[0], 0.0f);
        CHECK_EQ(d_gate[3], 2.0f);
        CHECK_EQ(d_gate[5], 4.0f);
        CHECK(std::isnan(d_gate[7]) && std::isnan(d_up_there.values()[7]));
    }
}

TEST(swiglu_gpu_of_nothing) {
    for (const tried_device & tried : devices()) {
        swiglu_forward<float>(gpu_context{*tried.on}, 0, nullptr, nullptr, nullptr);
        swiglu_backward<bf16>(gpu_context{*tried.on}, 0, nullptr, nullptr, nullptr, nullptr, nullptr);
    }
}
