// What the tests of the ops share: made-up data, the sets of instructions to try, errors against the oracle and their limits.
#pragma once

#include "harness.h"
#include "ops_tolerance.h"
#include "runtime/cpu.h"
#include "runtime/thread_pool.h"
#include "runtime/types.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace ops_check {

using continual::bf16;
using continual::cpu_context;
using continual::isa;
using continual::thread_pool;

inline constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
inline constexpr float infinity = std::numeric_limits<float>::infinity();

// Every set of instructions that this machine has.
inline std::vector<isa> levels() {
    std::vector<isa> all;
    for (int32_t level = 0; level <= static_cast<int32_t>(continual::best_isa()); level++) {
        all.push_back(static_cast<isa>(level));
    }
    return all;
}

// The pool that tests run on unless threads are what they are about. Made once a process.
inline thread_pool & pool() {
    static thread_pool one(1, continual::scheduling::normal);
    return one;
}

// xorshift64* (Vigna 2016, arXiv 1402.6246): the same numbers on every machine, which <random>'s distributions don't promise.
class random_source {
public:
    explicit random_source(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull + 1) {}

    uint64_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545f4914f6cdd1dull;
    }

    // In [0, 1).
    double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

    // Of mean 0 and variance 1, roughly normal.
    float normal() {
        double sum = -6.0;
        for (int i = 0; i < 12; i++) {
            sum += uniform();
        }
        return static_cast<float>(sum);
    }

private:
    uint64_t state_;
};

template <typename T>
std::vector<T> normals(int64_t n, uint64_t seed, float scale = 1.0f) {
    random_source source(seed);
    std::vector<T> values(static_cast<std::size_t>(n));
    for (T & value : values) {
        value = continual::from_float<T>(source.normal() * scale);
    }
    return values;
}

template <typename T>
std::vector<double> widened(const std::vector<T> & values) {
    std::vector<double> wide;
    for (const T & value : values) {
        wide.push_back(static_cast<double>(continual::to_float(value)));
    }
    return wide;
}

// The largest |actual − expected| / (|expected| + root mean square of expected): relative for what is large, against its neighbours for what is small.
inline double error_of(const std::vector<double> & actual, const std::vector<double> & expected) {
    double squares = 0.0;
    for (const double value : expected) {
        squares += value * value;
    }
    const double rms = std::sqrt(squares / static_cast<double>(std::max<std::size_t>(1, expected.size())));
    double most = actual.size() == expected.size() ? 0.0 : infinity;
    for (std::size_t i = 0; i < actual.size() && i < expected.size(); i++) {
        const double apart = std::abs(actual[i] - expected[i]);
        // Not a number is never within a limit.
        const double error = apart == 0.0 ? 0.0 : apart / (std::abs(expected[i]) + rms);
        most = error <= most ? most : error;
    }
    return most;
}

template <typename T>
double error_of(const std::vector<T> & actual, const std::vector<double> & expected) {
    return error_of(widened(actual), expected);
}

// The limit for `what` and T from ops_tolerance.h.
inline double limit_of(const char * what, bool is_bf16) {
    for (const tolerance & entry : tolerances) {
        if (std::strcmp(entry.what, what) == 0) {
            return is_bf16 ? entry.bf16 : entry.f32;
        }
    }
    return not_a_number;
}

inline void check_error(const char * what, bool is_bf16, double error, const std::string & where) {
    if (std::getenv("CONTINUAL_PRINT_ERRORS") != nullptr) {
        std::fprintf(stderr, "error %-28s %s %.2e  %s\n", what, is_bf16 ? "bf16" : "f32 ", error, where.c_str());
    }
    if (!(error <= limit_of(what, is_bf16))) {
        char text[256];
        std::snprintf(text, sizeof text, "%s in %s is off by %.3e, limit %.1e (%s)", what, is_bf16 ? "bf16" : "f32", error, limit_of(what, is_bf16), where.c_str());
        continual_tests::report(__FILE__, __LINE__, text);
    }
}

template <typename T>
void check_error(const char * what, const std::vector<T> & actual, const std::vector<double> & expected, const std::string & where) {
    check_error(what, std::is_same_v<T, bf16>, error_of(actual, expected), where);
}

// The gradient of f at x by central differences, to compare an oracle's own gradient with.
inline std::vector<double> slope(const std::function<double(const std::vector<double> &)> & f, std::vector<double> x) {
    std::vector<double> gradient;
    for (double & value : x) {
        const double before = value;
        const double step = 1e-5 * (1.0 + std::abs(before));
        value = before + step;
        const double up = f(x);
        value = before - step;
        const double down = f(x);
        value = before;
        gradient.push_back((up - down) / (2.0 * step));
    }
    return gradient;
}

inline double dot(const std::vector<double> & a, const std::vector<double> & b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

template <typename T>
bool same_bits(const std::vector<T> & a, const std::vector<T> & b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// body(cpu) gives all that an op computes, as bytes are compared: on 1, 2 and 5 threads, and again.
template <typename T>
void check_same_on_any_threads(const std::function<std::vector<T>(const cpu_context &)> & body) {
    for (const isa level : levels()) {
        std::vector<T> first;
        for (const int32_t threads : {1, 2, 5, 2}) {
            thread_pool workers(threads, continual::scheduling::normal);
            const std::vector<T> result = body({workers, level});
            if (first.empty()) {
                first = result;
            }
            CHECK(!result.empty() && same_bits(first, result));
        }
    }
}

} // namespace ops_check
