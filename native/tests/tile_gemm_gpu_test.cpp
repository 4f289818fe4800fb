#include "gpu_check.h"
#include "ops/tile_gemm.h"
#include "oracle/gemm.h"

#include <cstring>

using namespace continual;
using namespace gpu_check;
using namespace ops_check;

namespace {

// Largest |fast − oracle| / Σ |products| over all cases below, and what is allowed: as in gemm_test.cpp. Sums are in float.
constexpr double tolerance_f32 = 6e-7;  // measured 2.0e-7
constexpr double tolerance_bf16 = 4e-7; // measured 1.1e-7
// On top, for an out in bf16: half a unit in the last place.
constexpr double tolerance_out_bf16 = 1.0 / 256;

double worst_error[2] = {};

// How an operand or out lies in memory.
struct layout {
    int64_t offset = 0;
    int64_t apart = 8; // between rows, beyond the next multiple of `unit`
    int64_t unit = 8;

    int64_t stride(int64_t columns) const { return pieces(columns, unit) * unit + apart; }
};

constexpr layout aligned = {};
constexpr layout odd = {1, 3, 1};     // aligned to an element
constexpr layout even = {2, 2, 2};    // to two of bf16
constexpr layout compact = {0, 0, 1}; // rows without a gap

struct product_case {
    int64_t m;
    int64_t n;
    int64_t k;
    bool left_transposed = false;
    bool right_transposed = false;
    layout left = aligned;
    layout right = aligned;
    layout out = aligned;
    bool out_is_bf16 = false;
    float scale = 1.0f;
    bool accumulate = false;
    int32_t side = 0;
    bool in_parts = true;
};

double uniform(random_source & random) {
    return 2.0 * random.uniform() - 1.0;
}

// An operand in memory and its values. Around them is what is not a number.
template <typename T>
struct side_data {
    std::vector<T> memory;
    oracle::matrix values;

    side_data(random_source & random, int64_t rows, int64_t columns, bool transposed, const layout & lies) : values(rows, columns) {
        const int64_t height = transposed ? columns : rows;
        const int64_t width = transposed ? rows : columns;
        // Ends with the last element.
        memory.assign(static_cast<std::size_t>(lies.offset + (height - 1) * lies.stride(width) + width), from_float<T>(not_a_number));
        for (int64_t r = 0; r < height; r++) {
            for (int64_t c = 0; c < width; c++) {
                T & at = memory[static_cast<std::size_t>(lies.offset + r * lies.stride(width) + c)];
                at = from_float<T>(static_cast<float>(uniform(random)));
                (transposed ? values(c, r) : values(r, c)) = static_cast<double>(to_float(at));
            }
        }
    }
};

template <typename T, typename Out>
void check(const product_case & c) {
    constexpr bool is_bf16 = std::is_same_v<T, bf16>;
    random_source random(static_cast<uint64_t>(c.m * 1000003 + c.n * 1009 + c.k));
    const side_data<T> left(random, c.m, c.k, c.left_transposed, c.left);
    const side_data<T> right(random, c.k, c.n, c.right_transposed, c.right);
    const int64_t stride = c.out.stride(c.n);
    std::vector<Out> before(static_cast<std::size_t>(c.out.offset + c.m * stride));
    for (Out & value : before) {
        value = from_float<Out>(static_cast<float>(uniform(random)));
    }
    const auto place = [&](int64_t r, int64_t column) { return static_cast<std::size_t>(c.out.offset + r * stride + column); };
    oracle::matrix expected(c.m, c.n);
    oracle::matrix size(c.m, c.n);
    oracle::multiply(left.values, right.values, static_cast<double>(c.scale), expected, size);
    for (int64_t r = 0; r < c.m; r++) {
        for (int64_t column = 0; c.accumulate && column < c.n; column++) {
            const double more = static_cast<double>(to_float(before[place(r, column)]));
            expected(r, column) += more;
            size(r, column) += std::fabs(more);
        }
    }
    std::vector<Out> first;
    for (const tried_device & tried : devices()) {
        const on_device<T> left_there(tried.on, left.memory);
        const on_device<T> right_there(tried.on, right.memory);
        const on_device<Out> out_there(tried.on, before);
        const int64_t scratch_bytes = is_bf16 ? tile_gemm_scratch_bytes(c.m, c.n, c.k) : 0;
        const on_device<char> scratch(tried.on, scratch_bytes);
        device_product product;
        product.m = c.m;
        product.n = c.n;
        product.k = c.k;
        product.left = {left_there.data() + c.left.offset, is_bf16, c.left.stride(c.left_transposed ? c.m : c.k), c.left_transposed};
        product.right = {right_there.data() + c.right.offset, is_bf16, c.right.stride(c.right_transposed ? c.k : c.n), c.right_transposed};
        product.out = out_there.data() + c.out.offset;
        product.out_is_bf16 = std::is_same_v<Out, bf16>;
        product.out_stride = stride;
        product.scale = c.scale;
        product.accumulate = c.accumulate;
        tile_gemm(gpu_context{*tried.on}, product, c.in_parts && scratch_bytes > 0 ? scratch.data() : nullptr, c.side);
        const auto result = out_there.values();
        double worst = 0.0;
        std::size_t changed = 0;
        for (int64_t r = 0; r < c.m; r++) {
            for (int64_t column = 0; column < stride; column++) {
                const Out x = result[place(r, column)];
                if (column >= c.n) {
                    changed += std::memcmp(&x, &before[place(r, column)], sizeof x) != 0 ? 1 : 0;
                    continue;
                }
                double error = std::fabs(static_cast<double>(to_float(x)) - expected(r, column));
                if (std::is_same_v<Out, bf16>) {
                    error = std::max(0.0, error - tolerance_out_bf16 * std::fabs(expected(r, column)));
                }
                error /= size(r, column);
                worst = std::isfinite(error) ? std::max(worst, error) : HUGE_VAL;
            }
        }
        CHECK_EQ(changed, 0u);
        worst_error[is_bf16 ? 1 : 0] = std::max(worst_error[is_bf16 ? 1 : 0], worst);
        if (!(worst <= (is_bf16 ? tolerance_bf16 : tolerance_f32))) {
            continual_tests::report(__FILE__, __LINE__,
                                    tried.name + " m=" + std::to_string(c.m) + " n=" + std::to_string(c.n) + " k=" + std::to_string(c.k) + (c.left_transposed ? " t" : " n") +
                                        (c.right_transposed ? "t" : "n") + ": error " + std::to_string(worst * 1e6) + "e-6");
        }
        CHECK(first.empty() || same_bits(first, result));
        first = result;
    }
    if (std::getenv("CONTINUAL_PRINT_ERRORS") != nullptr) {
        std::fprintf(stderr, "largest error so far: f32 %.2e, bf16 %.2e\n", worst_error[0], worst_error[1]);
    }
}

// In all ways to transpose.
template <typename T, typename Out>
void check_all(product_case c) {
    for (const int ways : {0, 1, 2, 3}) {
        c.left_transposed = (ways & 1) != 0;
        c.right_transposed = (ways & 2) != 0;
        check<T, Out>(c);
    }
}

} // namespace

TEST(tile_gemm_gpu_small_tiles) {
    check_all<bf16, float>({.m = 70, .n = 75, .k = 237, .side = 64});
    check_all<bf16, bf16>({.m = 65, .n = 104, .k = 32, .scale = 0.3f, .accumulate = true, .side = 64});
}

TEST(tile_gemm_gpu_large_tiles) {
    check_all<bf16, float>({.m = 133, .n = 131, .k = 118, .side = 128});
}

TEST(tile_gemm_gpu_large_tiles_to_bf16) {
    check<bf16, bf16>({.m = 129, .n = 136, .k = 72, .right_transposed = true, .scale = -1.5f, .accumulate = true, .side = 128});
    check<bf16, bf16>({.m = 40, .n = 140, .k = 40, .left_transposed = true, .left = odd, .right = even, .out = odd, .side = 128});
}

TEST(tile_gemm_gpu_takes_operands_of_any_alignment) {
    for (const layout & lies : {odd, even, compact}) {
        check_all<bf16, float>({.m = 67, .n = 37, .k = 45, .left = lies, .right = lies, .out = lies});
    }
    check_all<bf16, bf16>({.m = 33, .n = 67, .k = 45, .left = odd, .right = aligned, .out = even, .accumulate = true});
    check_all<bf16, bf16>({.m = 33, .n = 67, .k = 45, .left = aligned, .right = odd, .out = odd, .scale = 2.0f, .accumulate = true});
}

TEST(tile_gemm_gpu_takes_every_size) {
    for (const int64_t m : {1, 7, 17}) {
        for (const int64_t n : {1, 6, 33}) {
            for (const int64_t k : {1, 8, 35}) {
                check<bf16, float>({.m = m, .n = n, .k = k, .left_transposed = (m + k) % 2 == 0, .right_transposed = (n + k) % 3 == 0});
            }
        }
    }
}

// Enough tiles for more than one group of rows of them.
TEST(tile_gemm_gpu_many_tiles) {
    check<bf16, float>({.m = 600, .n = 140, .k = 16});
}

// As LoRA has them: one side is a rank, and the sum may be over all tokens.
TEST(tile_gemm_gpu_thin_products_in_parts) {
    CHECK(tile_gemm_scratch_bytes(16, 200, 1100) == 4 * 16 * 200 * 4);
    check_all<bf16, float>({.m = 16, .n = 200, .k = 1100, .scale = 0.5f, .accumulate = true});
    check<bf16, bf16>({.m = 130, .n = 8, .k = 800, .right_transposed = true, .scale = 2.0f, .accumulate = true});
    check<bf16, bf16>({.m = 7, .n = 9, .k = 517, .left = odd, .right = odd, .out = odd});
    check<bf16, float>({.m = 16, .n = 64, .k = 600, .in_parts = false});
}

TEST(tile_gemm_gpu_scratch_is_small) {
    for (const int64_t m : {1, 8, 64, 100, 1000, 4096}) {
        for (const int64_t n : {1, 16, 65, 4096, 151936}) {
            for (const int64_t k : {1, 300, 4096, 1000000}) {
                const int64_t bytes = tile_gemm_scratch_bytes(m, n, k);
                CHECK(bytes >= 0 && bytes <= 4 << 20);
                CHECK_EQ(bytes % (m * n), 0);
            }
        }
    }
}

TEST(tile_gemm_gpu_plain_floats) {
    check_all<float, float>({.m = 70, .n = 67, .k = 131});
    check_all<float, float>({.m = 35, .n = 66, .k = 19, .left = odd, .right = odd, .out = odd, .scale = 0.3f, .accumulate = true});
    check<float, bf16>({.m = 600, .n = 70, .k = 5, .right_transposed = true, .accumulate = true});
    check<float, float>({.m = 1, .n = 1, .k = 1});
}

TEST(tile_gemm_gpu_refuses_operands_of_different_kinds) {
    const auto on = devices(false)[0].on;
    device_product product;
    product.m = product.n = product.k = 1;
    product.left.is_bf16 = false;
    bool refused = false;
    try {
        tile_gemm(gpu_context{*on}, product);
    } catch (const error & e) {
        refused = e.kind() == failure::device;
    }
    CHECK(refused);
}
