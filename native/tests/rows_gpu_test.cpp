#include "ops/rows.h"
#include "padded.h"

using namespace continual;
using namespace gpu_check;
using namespace ops_check;

namespace {

struct shape {
    int64_t width;
    int64_t stride;
    int64_t offset;
};

// Several rows a block and several blocks a row; 16 bytes at once, and not.
constexpr shape shapes[] = {{1, 1, 0}, {7, 9, 0}, {8, 8, 0}, {8, 16, 0}, {8, 16, 1}, {24, 31, 0}, {300, 304, 0}, {301, 301, 1}, {2080, 2088, 0}};

// Also of none.
template <typename T>
bool same(const std::vector<T> & a, const std::vector<T> & b) {
    return a.empty() ? b.empty() : same_bits(a, b);
}

template <typename T>
void adds_bias(int64_t rows, const shape & s) {
    const auto before = normals<T>(rows * s.stride, 1);
    const auto bias = normals<float>(s.width, 2);
    auto expected = before;
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < s.width; i++) {
            T & value = expected[static_cast<std::size_t>(row * s.stride + i)];
            value = from_float<T>(to_float(value) + bias[static_cast<std::size_t>(i)]);
        }
    }
    for (const tried_device & tried : devices()) {
        const padded<T> x(tried.on, before, s.offset);
        const padded<float> bias_there(tried.on, bias, 0);
        add_bias(gpu_context{*tried.on}, rows, s.width, bias_there.data(), x.data(), s.stride);
        CHECK(same(x.values(), expected));
    }
}

template <typename T>
void sums_rows(int64_t rows, const shape & s) {
    const auto x = normals<T>(rows * s.stride, 1);
    const auto before = normals<float>(s.width, 2);
    auto expected = widened(before);
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < s.width; i++) {
            expected[static_cast<std::size_t>(i)] += static_cast<double>(to_float(x[static_cast<std::size_t>(row * s.stride + i)]));
        }
    }
    for (const tried_device & tried : devices()) {
        const padded<T> there(tried.on, x, s.offset);
        const padded<float> sums(tried.on, before, 0);
        sum_of_rows(gpu_context{*tried.on}, rows, s.width, there.data(), s.stride, sums.data());
        // Sums are of floats whatever T is.
        check_error("sum of rows", false, error_of(sums.values(), expected), tried.name + " " + std::to_string(rows) + "x" + std::to_string(s.width));
    }
}

} // namespace

TEST(rows_gpu_gather_and_scatter) {
    constexpr int64_t all = 11;
    const std::vector<int32_t> any_order = {10, 0, 3, 3, 7, 1};
    const std::vector<int32_t> ascending = {0, 2, 3, 7, 8, 10};
    for (const tried_device & tried : devices()) {
        const gpu_context gpu{*tried.on};
        for (const shape & s : shapes) {
            const auto rows = normals<float>(all * s.stride, 1);
            const padded<float> rows_there(tried.on, rows, s.offset);
            for (const int64_t count : {0, 1, 6}) {
                const padded<int32_t> any_there(tried.on, any_order, 0);
                const padded<float> gathered(tried.on, std::vector<float>(static_cast<std::size_t>(count * s.width), 5.0f), 0);
                gather_rows(gpu, count, s.width, any_there.data(), rows_there.data(), s.stride, gathered.data());
                std::vector<float> expected;
                for (std::size_t i = 0; i < static_cast<std::size_t>(count); i++) {
                    const auto from = rows.begin() + any_order[i] * s.stride;
                    expected.insert(expected.end(), from, from + s.width);
                }
                CHECK(same(gathered.values(), expected));

                const padded<int32_t> ascending_there(tried.on, ascending, 0);
                const padded<float> to(tried.on, rows, s.offset);
                const auto packed_rows = normals<float>(count * s.width, 2);
                const padded<float> packed_there(tried.on, packed_rows, 0);
                scatter_rows(gpu, count, s.width, ascending_there.data(), packed_there.data(), to.data(), s.stride);
                auto scattered = rows;
                for (std::size_t i = 0; i < static_cast<std::size_t>(count); i++) {
                    const auto from = packed_rows.begin() + static_cast<int64_t>(i) * s.width;
                    std::copy(from, from + s.width, scattered.begin() + ascending[i] * s.stride);
                }
                CHECK(same(to.values(), scattered));
            }
        }
    }
}

TEST(rows_gpu_fill) {
    for (const tried_device & tried : devices()) {
        for (const int64_t n : {0, 1, 3, 1024, 1027, 2500}) {
            for (const int64_t offset : {0, 3}) {
                const padded<float> to(tried.on, n, offset);
                fill(gpu_context{*tried.on}, n, -0.25f, to.data());
                CHECK(same(to.values(), std::vector<float>(static_cast<std::size_t>(n), -0.25f)));
            }
        }
    }
}

TEST(rows_gpu_positions) {
    const std::vector<std::vector<int32_t>> all = {{0}, {0, 1}, {0, 300}, {0, 3, 3, 10, 299}, {2, 5, 7}, {0, 1, 2, 3, 4, 5, 6, 300}};
    for (const tried_device & tried : devices()) {
        for (const auto & bounds : all) {
            for (const int64_t count : {0, 1, 300}) {
                std::vector<int32_t> expected(static_cast<std::size_t>(count));
                for (std::size_t s = 0; s + 1 < bounds.size(); s++) {
                    for (int32_t row = bounds[s]; row < bounds[s + 1] && row < count; row++) {
                        expected[static_cast<std::size_t>(row)] = row - bounds[s];
                    }
                }
                const padded<int32_t> bounds_there(tried.on, bounds, 0);
                const padded<int32_t> position(tried.on, std::vector<int32_t>(expected.size(), -1), 0);
                positions_of(gpu_context{*tried.on}, bounds_there.data(), static_cast<int32_t>(bounds.size()) - 1, count, position.data());
                CHECK(same(position.values(), expected));
            }
        }
    }
}

TEST(rows_gpu_add_bias) {
    for (const shape & s : shapes) {
        for (const int64_t rows : {0, 1, 4, 7}) {
            adds_bias<float>(rows, s);
            adds_bias<bf16>(rows, s);
        }
    }
}

TEST(rows_gpu_sum) {
    for (const shape & s : {shape{1, 1, 0}, shape{33, 40, 0}, shape{64, 64, 1}}) {
        for (const int64_t rows : {0, 1, 31, 33, 131, 300}) {
            sums_rows<float>(rows, s);
            sums_rows<bf16>(rows, s);
        }
    }
}
