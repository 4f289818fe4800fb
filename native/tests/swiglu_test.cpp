#include "ops/swiglu.h"
#include "ops_check.h"
#include "oracle/swiglu.h"

using namespace ops_check;
using namespace continual;

namespace {

template <typename T>
void matches() {
    for (const isa level : levels()) {
        const cpu_context cpu{pool(), level};
        for (const int64_t n : {1, 15, 64, 1000, 33001}) {
            const auto gate = normals<T>(n, 1, 5.0f);
            const auto up = normals<T>(n, 2);
            const auto dy = normals<T>(n, 3);
            std::vector<double> y;
            std::vector<double> d_gate;
            std::vector<double> d_up;
            for (std::size_t i = 0; i < gate.size(); i++) {
                const double g = to_float(gate[i]);
                const double u = to_float(up[i]);
                const double d = to_float(dy[i]);
                y.push_back(oracle::swiglu(g, u));
                d_gate.push_back(d * u * oracle::silu_slope(g));
                d_up.push_back(d * oracle::silu(g));
            }
            const std::string where = std::string(name(level)) + " " + std::to_string(n);
            std::vector<T> out(gate.size());
            swiglu_forward(cpu, n, gate.data(), up.data(), out.data());
            check_error("swiglu forward", out, y, where);
            std::vector<T> out_gate(gate.size());
            std::vector<T> out_up(gate.size());
            swiglu_backward(cpu, n, gate.data(), up.data(), dy.data(), out_gate.data(), out_up.data());
            check_error("swiglu d_gate", out_gate, d_gate, where);
            check_error("swiglu d_up", out_up, d_up, where);

            auto in_place = gate;
            swiglu_forward(cpu, n, in_place.data(), up.data(), in_place.data());
            CHECK(same_bits(in_place, out));
            auto gate_in_place = gate;
            auto up_in_place = up;
            swiglu_backward(cpu, n, gate_in_place.data(), up_in_place.data(), dy.data(), gate_in_place.data(), up_in_place.data());
            CHECK(same_bits(gate_in_place, out_gate));
            CHECK(same_bits(up_in_place, out_up));
            auto over_dy = dy;
            swiglu_backward(cpu, n, gate.data(), up.data(), over_dy.data(), over_dy.data(), out_up.data());
            CHECK(same_bits(over_dy, out_gate));
        }
    }
}

} // namespace

TEST(swiglu_matches_the_oracle) {
    matches<float>();
    matches<bf16>();
}

TEST(swiglu_oracle_agrees_with_finite_differences) {
    const auto gate = widened(normals<float>(50, 1, 4.0f));
    const auto up = widened(normals<float>(50, 2));
    std::vector<double> expected;
    for (std::size_t i = 0; i < gate.size(); i++) {
        expected.push_back(up[i] * oracle::silu_slope(gate[i]));
    }
    const auto total = [&](const std::vector<double> & at) {
        double sum = 0.0;
        for (std::size_t i = 0; i < at.size(); i++) {
            sum += oracle::swiglu(at[i], up[i]);
        }
        return sum;
    };
    check_error("finite differences", false, error_of(slope(total, gate), expected), "swiglu");
}

TEST(swiglu_far_from_zero) {
    for (const isa level : levels()) {
        const cpu_context cpu{pool(), level};
        const std::vector<float> gate = {-1000.0f, -100.0f, -88.0f, 0.0f, 88.0f, 1000.0f, infinity, not_a_number};
        const std::vector<float> up(8, 2.0f);
        std::vector<float> y(8);
        swiglu_forward(cpu, 8, gate.data(), up.data(), y.data());
        CHECK(y[0] == 0.0f);
        CHECK(std::abs(y[1]) < 1e-36f);
        CHECK_EQ(y[3], 0.0f);
        CHECK_EQ(y[4], 176.0f);
        CHECK_EQ(y[5], 2000.0f);
        CHECK_EQ(y[6], infinity);
        CHECK(std::isnan(y[7]));
        std::vector<float> d_gate(8);
        std::vector<float> d_up(8);
        swiglu_backward(cpu, 7, gate.data(), up.data(), up.data(), d_gate.data(), d_up.data());
        CHECK_EQ(d_gate[0], 0.0f);
        CHECK_EQ(d_gate[3], 2.0f);
        CHECK_EQ(d_gate[5], 4.0f);
    }
}

TEST(swiglu_is_the_same_on_any_number_of_threads) {
    check_same_on_any_threads<float>([](const cpu_context & cpu) {
        const int64_t n = 70001;
        const auto gate = normals<float>(n, 1);
        const auto up = normals<float>(n, 2);
        std::vector<float> y(static_cast<std::size_t>(2 * n));
        swiglu_forward(cpu, n, gate.data(), up.data(), y.data());
        swiglu_backward(cpu, n, gate.data(), up.data(), y.data(), y.data(), y.data() + n);
        return y;
    });
}
