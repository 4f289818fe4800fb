#include "harness.h"

#include "ops/gemm.h"
#include "ops/quant.h"
#include "oracle/gemm.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <string>

using namespace continual;

namespace {

// Largest |fast - oracle| / Σ |products| seen over all cases below, and what is allowed. Sums are in float, so the error grows with the length of the sum
// (here up to some 1,100); operands of bf16 products are rounded in the oracle, too, so their rounding is no error.
constexpr double tolerance_f32 = 6e-7;  // measured 2.4e-7
constexpr double tolerance_bf16 = 4e-7; // measured 1.1e-7; vdpbf16ps rounds in its own way and takes denormals for zero
// On top, for an out in bf16: half a unit in the last place.
constexpr double tolerance_out_bf16 = 1.0 / 256;

class random_numbers {
public:
    explicit random_numbers(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}

    uint64_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_ * 0x2545f4914f6cdd1du;
    }

    // In [-1, 1).
    float uniform() { return static_cast<float>(static_cast<int64_t>(next() >> 40) - (1 << 23)) / (1 << 23); }

private:
    uint64_t state_;
};

struct free_aligned {
    void operator()(char * p) const { ::operator delete[](p, std::align_val_t{64}); }
};

using bytes = std::unique_ptr<char[], free_aligned>;

// Scratch memory as the caller of gemm brings it, filled with NaN: what gemm does not write must not matter.
bytes scratch_for(int32_t threads, int64_t m, int64_t k, int64_t & size) {
    size = gemm_scratch_bytes(threads, m, k);
    bytes p(new (std::align_val_t{64}) char[static_cast<size_t>(size + 64)]);
    std::memset(p.get(), 0xff, static_cast<size_t>(size));
    std::memset(p.get() + size, 0x5a, 64);
    return p;
}

bool is_whole(const bytes & p, int64_t size) {
    return std::all_of(p.get() + size, p.get() + size + 64, [](char c) { return c == 0x5a; });
}

uint16_t half_bits(float x) {
    // Only for normal numbers of a moderate size: enough for scales of blocks.
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return static_cast<uint16_t>((bits >> 16 & 0x8000u) | (((bits >> 23 & 0xffu) - 112) << 10) | (bits >> 13 & 0x3ffu));
}

double rounded(double x, precision how) {
    return how == precision::bf16 ? static_cast<double>(to_float(to_bf16(static_cast<float>(x)))) : x;
}

// A left side in memory, with room after each row, and its values.
struct left_side {
    std::vector<char> memory;
    gemm_left view;
    oracle::matrix values; // m × k
};

left_side make_left(random_numbers & random, int64_t m, int64_t k, bool is_bf16, bool transposed, precision how) {
    left_side side;
    const int64_t rows = transposed ? k : m;
    const int64_t columns = transposed ? m : k;
    const int64_t stride = columns + 3;
    const int64_t element = is_bf16 ? 2 : 4;
    side.memory.assign(static_cast<size_t>(rows * stride * element), '\xff');
    side.values = oracle::matrix(m, k);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c++) {
            float x = random.uniform();
            char * const at = side.memory.data() + (r * stride + c) * element;
            if (is_bf16) {
                const bf16 b = to_bf16(x);
                std::memcpy(at, &b, 2);
                x = to_float(b);
            } else {
                std::memcpy(at, &x, 4);
            }
            (transposed ? side.values(c, r) : side.values(r, c)) = rounded(x, how);
        }
    }
    side.view = {side.memory.data(), is_bf16, stride, transposed};
    return side;
}

struct right_side {
    std::vector<char> memory;
    gemm_right view;
    oracle::matrix values; // k × n
};

// Random blocks. The scales at the places of half floats are made moderate, everything else is any bits.
right_side make_right(random_numbers & random, int64_t k, int64_t n, tensor_type type, bool transposed, precision how) {
    right_side side;
    const int64_t rows = transposed ? n : k;
    const int64_t columns = transposed ? k : n;
    const int64_t row = row_bytes(type, columns);
    // Not a multiple of the element's size where that is allowed: rows of blocks lie anywhere.
    const int64_t stride = row + (block_elements(type) > 1 ? 2 : block_bytes(type));
    side.memory.assign(static_cast<size_t>(rows * stride), '\xff');
    side.values = oracle::matrix(k, n);
    std::vector<float> floats(static_cast<size_t>(columns));
    for (int64_t r = 0; r < rows; r++) {
        char * const at = side.memory.data() + r * stride;
        if (type == tensor_type::f32) {
            for (int64_t c = 0; c < columns; c++) {
                const float x = random.uniform();
                std::memcpy(at + c * 4, &x, 4);
            }
        } else if (type == tensor_type::bf16 || type == tensor_type::f16) {
            for (int64_t c = 0; c < columns; c++) {
                const float x = random.uniform() + 1.5f;
                const uint16_t bits = type == tensor_type::bf16 ? to_bf16(x).bits : half_bits(x);
                std::memcpy(at + c * 2, &bits, 2);
            }
        } else {
            const int64_t size = block_bytes(type);
            for (int64_t b = 0; b < row; b += size) {
                for (int64_t i = 0; i < size; i++) {
                    at[b + i] = static_cast<char>(random.next() >> 32);
                }
                const uint16_t scale = half_bits(0.01f * (1.5f + random.uniform()));
                const bool at_end = type == tensor_type::q2_k || type == tensor_type::q3_k || type == tensor_type::q6_k;
                const bool two = type == tensor_type::q4_1 || type == tensor_type::q5_1 || type == tensor_type::q2_k || type == tensor_type::q4_k || type == tensor_type::q5_k;
                const int64_t place = at_end ? size - (two ? 4 : 2) : 0;
                std::memcpy(at + b + place, &scale, 2);
                if (two) {
                    std::memcpy(at + b + place + 2, &scale, 2);
                }
            }
        }
        if (columns > 0) {
            dequantize(isa::portable, type, at, floats.data(), columns);
        }
        for (int64_t c = 0; c < columns; c++) {
            (transposed ? side.values(c, r) : side.values(r, c)) = rounded(floats[static_cast<size_t>(c)], how);
        }
    }
    side.view = {side.memory.data(), type, rows, columns, stride, transposed};
    return side;
}

struct term_kind {
    tensor_type type = tensor_type::f32;
    bool transposed = true;
    int64_t k = 0;
    bool left_bf16 = false;
    bool left_transposed = false;
    float scale = 1.0f;
};

struct out_kind {
    bool is_bf16 = false;
    bool accumulate = false;
    bool bias = false;
};

std::vector<isa> levels() {
    std::vector<isa> all;
    for (int32_t level = 0; level <= static_cast<int32_t>(best_isa()); level++) {
        all.push_back(static_cast<isa>(level));
    }
    return all;
}

constexpr precision precisions[] = {precision::f32, precision::bf16};

double worst_error[2] = {};

// One product at every level and precision, on 1, 2 and 5 threads and serially, which must agree in every bit; the first against the oracle.
void check(int64_t m, int64_t n, const std::vector<term_kind> & kinds, out_kind out = {}) {
    static thread_pool pools[] = {{1, scheduling::normal}, {2, scheduling::normal}, {5, scheduling::normal}};
    for (const precision how : precisions) {
        random_numbers random(static_cast<uint64_t>(m * 1000003 + n * 1009 + static_cast<int64_t>(kinds.size())));
        std::vector<left_side> lefts;
        std::vector<right_side> rights;
        std::vector<gemm_term> terms;
        oracle::matrix expected(m, n);
        oracle::matrix size(m, n);
        int64_t k = 0;
        for (const term_kind & kind : kinds) {
            lefts.push_back(make_left(random, m, kind.k, kind.left_bf16, kind.left_transposed, how));
            rights.push_back(make_right(random, kind.k, n, kind.type, kind.transposed, how));
            oracle::multiply(lefts.back().values, rights.back().values, static_cast<double>(kind.scale), expected, size);
            k += kind.k;
        }
        for (size_t t = 0; t < kinds.size(); t++) {
            terms.push_back({lefts[t].view, rights[t].view, kinds[t].k, kinds[t].scale});
        }
        const int64_t stride = n + 5;
        const int64_t element = out.is_bf16 ? 2 : 4;
        std::vector<float> bias(static_cast<size_t>(n));
        std::vector<char> before(static_cast<size_t>(m * stride * element), '\x7f');
        for (int64_t c = 0; c < n; c++) {
            bias[static_cast<size_t>(c)] = random.uniform();
        }
        for (int64_t r = 0; r < m; r++) {
            for (int64_t c = 0; c < n; c++) {
                float x = random.uniform();
                char * const at = before.data() + (r * stride + c) * element;
                if (out.is_bf16) {
                    const bf16 b = to_bf16(x);
                    std::memcpy(at, &b, 2);
                    x = to_float(b);
                } else {
                    std::memcpy(at, &x, 4);
                }
                const double more = (out.accumulate ? static_cast<double>(x) : 0.0) + (out.bias ? static_cast<double>(bias[static_cast<size_t>(c)]) : 0.0);
                expected(r, c) += more;
                size(r, c) += std::fabs(more);
            }
        }
        for (const isa level : levels()) {
            std::vector<char> first;
            for (int run = 0; run < 4; run++) {
                std::vector<char> result = before;
                const gemm_out to = {result.data(), out.is_bf16, stride, out.accumulate, out.bias ? bias.data() : nullptr};
                int64_t scratch_size = 0;
                const bytes scratch = scratch_for(run == 3 ? 1 : pools[run].threads(), m, k, scratch_size);
                if (run == 3) {
                    gemm_serial(level, how, m, n, terms.data(), static_cast<int32_t>(terms.size()), to, scratch.get());
                } else {
                    gemm({pools[run], level}, how, m, n, terms.data(), static_cast<int32_t>(terms.size()), to, scratch.get());
                }
                CHECK(is_whole(scratch, scratch_size));
                if (run > 0) {
                    CHECK(result == first);
                    continue;
                }
                first = result;
                double worst = 0;
                for (int64_t r = 0; r < m; r++) {
                    for (int64_t c = 0; c < stride; c++) {
                        const char * const at = result.data() + (r * stride + c) * element;
                        if (c >= n) {
                            CHECK(std::memcmp(at, before.data() + (r * stride + c) * element, static_cast<size_t>(element)) == 0);
                            continue;
                        }
                        float x;
                        if (out.is_bf16) {
                            bf16 b;
                            std::memcpy(&b, at, 2);
                            x = to_float(b);
                        } else {
                            std::memcpy(&x, at, 4);
                        }
                        double error = std::fabs(static_cast<double>(x) - expected(r, c));
                        if (out.is_bf16) {
                            error = std::max(0.0, error - tolerance_out_bf16 * std::fabs(expected(r, c)));
                        }
                        error = size(r, c) == 0.0 ? error : error / size(r, c);
                        worst = std::isfinite(error) ? std::max(worst, error) : INFINITY;
                    }
                }
                double & seen = worst_error[static_cast<int32_t>(how)];
                seen = std::max(seen, worst);
                if (!(worst <= (how == precision::f32 ? tolerance_f32 : tolerance_bf16))) {
                    continual_tests::report(__FILE__, __LINE__,
                        std::string(name(level)) + (how == precision::f32 ? " f32" : " bf16") + " m=" + std::to_string(m) + " n=" + std::to_string(n) + " " +
                            name(kinds.empty() ? tensor_type::f32 : kinds[0].type) + (kinds.empty() || kinds[0].transposed ? " transposed" : "") +
                            " k=" + std::to_string(k) + ": error " + std::to_string(worst * 1e6) + "e-6");
                }
            }
        }
    }
    if (std::getenv("CONTINUAL_TEST_ERRORS") != nullptr) {
        std::fprintf(stderr, "largest error so far: f32 %.2e, bf16 %.2e\n", worst_error[0], worst_error[1]);
    }
}

void check_type(tensor_type type) {
    const int64_t block = std::max<int64_t>(block_elements(type), 1);
    const bool dense = block == 1;
    // Along the blocks: more than one block of k, an uneven number of them, and panels that are not full.
    const int64_t along = dense ? 573 : block == 32 ? 32 * 19 : 256 * 3;
    const int64_t across[] = {1, 5, 33, 131};
    for (const int64_t other : across) {
        check(17, other, {{type, true, along}});
    }
    check(3, 300, {{type, true, block}});
    for (const int64_t k : {1, 2, 37, 263}) {
        check(17, dense ? 333 : along, {{type, false, k}});
    }
    check(1, dense ? 70 : block * 2, {{type, false, 131}});
}

void check_sizes(const std::vector<int64_t> & rows) {
    for (const int64_t m : rows) {
        for (const int64_t n : {1, 5, 8, 15, 16, 17, 31, 32, 33, 65}) {
            for (const int64_t k : {1, 2, 7, 16, 33, 47}) {
                check(m, n, {{tensor_type::f32, (m + n + k) % 2 == 0, k, n % 2 == 0, k % 3 == 0}});
            }
        }
    }
}

} // namespace

TEST(gemm_takes_f32) {
    check_type(tensor_type::f32);
}

TEST(gemm_takes_f16) {
    check_type(tensor_type::f16);
}

TEST(gemm_takes_bf16) {
    check_type(tensor_type::bf16);
}

TEST(gemm_takes_q4_0) {
    check_type(tensor_type::q4_0);
}

TEST(gemm_takes_q4_1) {
    check_type(tensor_type::q4_1);
}

TEST(gemm_takes_q5_0) {
    check_type(tensor_type::q5_0);
}

TEST(gemm_takes_q5_1) {
    check_type(tensor_type::q5_1);
}

TEST(gemm_takes_q8_0) {
    check_type(tensor_type::q8_0);
}

TEST(gemm_takes_q2_k) {
    check_type(tensor_type::q2_k);
}

TEST(gemm_takes_q3_k) {
    check_type(tensor_type::q3_k);
}

TEST(gemm_takes_q4_k) {
    check_type(tensor_type::q4_k);
}

TEST(gemm_takes_q5_k) {
    check_type(tensor_type::q5_k);
}

TEST(gemm_takes_q6_k) {
    check_type(tensor_type::q6_k);
}

TEST(gemm_takes_iq4_nl) {
    check_type(tensor_type::iq4_nl);
}

TEST(gemm_takes_iq4_xs) {
    check_type(tensor_type::iq4_xs);
}

// Two tests, so that they run side by side where tests are slow.
// Under a sanitizer each takes a minute; it sees as much in fewer.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

TEST(gemm_takes_every_size_of_few_rows) {
    check_sizes(sanitized ? std::vector<int64_t>{1, 7} : std::vector<int64_t>{1, 2, 3, 6, 7});
}

TEST(gemm_takes_every_size_of_many_rows) {
    check_sizes(sanitized ? std::vector<int64_t>{14, 29} : std::vector<int64_t>{13, 14, 15, 17, 29});
}

// Enough of both for every way to cut: whole columns, the last columns by rows, all by rows.
TEST(gemm_shares_out_rows_and_columns) {
    check(150, 700, {{tensor_type::q8_0, true, 64}});
    check(75, 1184, {{tensor_type::q4_0, false, 33, true}});
    check(201, 20, {{tensor_type::f32, true, 40}});
    check(64, 1536, {{tensor_type::q4_k, false, 9}});
}

TEST(gemm_takes_many_rows_in_passes) {
    check(1100, 40, {{tensor_type::f32, true, 70}, {tensor_type::bf16, false, 16, true}});
    check(513, 33, {{tensor_type::f32, false, 5, true}});
}

TEST(gemm_takes_the_shapes_of_weight_gradients) {
    // dB += dyᵀ u and dA += duᵀ x: the left side is stored with k outside.
    check(16, 300, {{tensor_type::f32, false, 520, false, true}}, {false, true, false});
    check(131, 16, {{tensor_type::bf16, false, 520, true, true}}, {false, true, false});
    check(48, 48, {{tensor_type::f32, false, 1037, true, true}}, {false, true, false});
}

TEST(gemm_takes_several_terms) {
    check(65, 96, {{tensor_type::q8_0, true, 320}, {tensor_type::f32, true, 16, false, false, 2.0f}});
    check(65, 96, {{tensor_type::q8_0, false, 31, true}, {tensor_type::f32, false, 3, false, true, -0.37f}, {tensor_type::bf16, true, 5}, {tensor_type::f16, true, 600, false, false, 0.5f}});
}

TEST(gemm_writes_every_kind_of_out) {
    for (int i = 0; i < 8; i++) {
        check(19, 37, {{tensor_type::f32, true, 51, false, false, 1.7f}}, {(i & 1) != 0, (i & 2) != 0, (i & 4) != 0});
    }
}

TEST(gemm_of_nothing_is_the_bias) {
    check(5, 7, {}, {false, true, true});
    check(5, 7, {{tensor_type::f32, true, 0}}, {false, false, true});
    check(0, 7, {{tensor_type::f32, true, 3}});
}

TEST(gemm_passes_on_what_is_not_finite) {
    thread_pool pool(2, scheduling::normal);
    for (const isa level : levels()) {
        for (const precision how : precisions) {
            std::vector<float> left(20 * 40, 1.0f);
            std::vector<float> right(30 * 40, 1.0f);
            std::vector<float> out(20 * 30);
            left[3 * 40 + 11] = NAN;
            right[4 * 40 + 12] = INFINITY;
            const gemm_term term = {{left.data(), false, 40, false}, {right.data(), tensor_type::f32, 30, 40, 160, true}, 40, 1.0f};
            int64_t size = 0;
            const bytes scratch = scratch_for(2, 20, 40, size);
            gemm({pool, level}, how, 20, 30, &term, 1, {out.data(), false, 30, false, nullptr}, scratch.get());
            for (int64_t r = 0; r < 20; r++) {
                for (int64_t c = 0; c < 30; c++) {
                    const float x = out[static_cast<size_t>(r * 30 + c)];
                    CHECK(r == 3 ? std::isnan(x) : c == 4 ? x == INFINITY : x == 40.0f);
                }
            }
        }
    }
}
