#include "ops/rope.h"
#include "oracle/rope.h"
#include "padded.h"

using namespace continual;
using namespace gpu_check;
using namespace ops_check;

namespace {

struct shape {
    int32_t dimensions;
    int64_t heads;
    int64_t width;
    int64_t stride;
    int64_t offset;
};

// Several rows a block and several blocks a row; 16 bytes at once, and not: by the dimensions, the width, the stride or the place.
constexpr shape shapes[] = {
    {64, 3, 64, 208, 0}, {64, 3, 72, 216, 0}, {16, 1, 16, 16, 0}, {64, 70, 64, 4480, 0}, {64, 3, 64, 192, 1},
    {64, 3, 64, 197, 0}, {64, 9, 67, 603, 0}, {6, 3, 11, 37, 0}, {2, 1, 2, 2, 0},
};

template <typename T>
void matches(const shape & s, rope_style style) {
    constexpr int64_t positions = 40;
    rope_config config;
    config.style = style;
    config.dimensions = s.dimensions;
    config.attention_factor = 1.1f;
    std::vector<float> table;
    for (int64_t position = 0; position < positions; position++) {
        for (const double turn : oracle::rope_turns(config, static_cast<double>(position))) {
            table.push_back(static_cast<float>(turn));
        }
    }
    const std::vector<int32_t> position = {0, 39, 5, 6, 7, 0, 21};
    const int64_t rows = static_cast<int64_t>(position.size());
    const auto before = normals<T>(rows * s.stride, 1);
    for (const bool backward : {false, true}) {
        auto expected = widened(before);
        for (int64_t row = 0; row < rows; row++) {
            for (int64_t head = 0; head < s.heads; head++) {
                const auto at = static_cast<std::ptrdiff_t>(row * s.stride + head * s.width);
                const double angle = position[static_cast<std::size_t>(row)];
                const std::vector<double> x(expected.begin() + at, expected.begin() + at + s.width);
                const auto y = oracle::rope(config, backward ? -angle : angle, x);
                std::copy(y.begin(), y.end(), expected.begin() + at);
            }
        }
        for (const tried_device & tried : devices()) {
            const padded<T> x(tried.on, before, s.offset);
            const on_device<float> table_there(tried.on, table);
            const on_device<int32_t> position_there(tried.on, position);
            rope(gpu_context{*tried.on}, config, table_there.data(), rows, s.heads, s.width, s.stride, position_there.data(), x.data(), backward);
            const auto turned = x.values();
            check_error(backward ? "rope backward" : "rope forward", turned, expected, tried.name + " " + std::to_string(s.dimensions) + " of " + std::to_string(s.width));
            for (int64_t i = 0; i < rows * s.stride; i++) {
                const int64_t of_row = i % s.stride;
                const bool stays = of_row >= s.heads * s.width || of_row % s.width >= s.dimensions;
                const auto at = static_cast<std::size_t>(i);
                CHECK(!stays || to_float(turned[at]) == to_float(before[at]));
            }
        }
    }
}

} // namespace

TEST(rope_gpu_matches_the_oracle) {
    for (const shape & s : shapes) {
        for (const rope_style style : {rope_style::adjacent, rope_style::halves}) {
            matches<float>(s, style);
            matches<bf16>(s, style);
        }
    }
}

TEST(rope_gpu_of_nothing) {
    for (const tried_device & tried : devices()) {
        rope_config config;
        rope<float>(gpu_context{*tried.on}, config, nullptr, 3, 1, 8, 8, nullptr, nullptr, false);
        config.dimensions = 8;
        rope<float>(gpu_context{*tried.on}, config, nullptr, 0, 1, 8, 8, nullptr, nullptr, false);
        rope<bf16>(gpu_context{*tried.on}, config, nullptr, 3, 0, 8, 8, nullptr, nullptr, false);
    }
}
