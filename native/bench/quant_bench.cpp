// Nanoseconds an element of dequantize, for each type and set of instructions, into float and bf16. One run of 4096 elements at a time, so that memory plays no part.
#include "ops/quant.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

namespace {

using continual::bf16;
using continual::isa;
using continual::tensor_type;

template <typename Out>
double nanoseconds(isa level, tensor_type type, const std::vector<uint8_t> & blocks, Out * out, int64_t n) {
    std::vector<double> times;
    for (int repeat = 0; repeat < 9; repeat++) {
        const auto start = std::chrono::steady_clock::now();
        constexpr int rounds = 100;
        for (int round = 0; round < rounds; round++) {
            continual::dequantize(level, type, blocks.data(), out, n);
        }
        const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
        times.push_back(time.count() / (rounds * static_cast<double>(n)));
    }
    std::nth_element(times.begin(), times.begin() + 4, times.end());
    return times[4];
}

} // namespace

int main() {
    constexpr int64_t n = 4096;
    std::vector<float> floats(n);
    std::vector<bf16> halves(n);
    std::mt19937 random(1);
    std::printf("%-8s %-12s %10s %10s   ns an element, median of 9\n", "type", "level", "float", "bf16");
    for (int32_t number = 0; number < 64; number++) {
        if (!continual::is_supported(number)) {
            continue;
        }
        const tensor_type type = static_cast<tensor_type>(number);
        std::vector<uint8_t> blocks(static_cast<std::size_t>(continual::row_bytes(type, n)));
        for (uint8_t & byte : blocks) {
            // No half is infinite or NaN.
            byte = static_cast<uint8_t>(random() & 0x3b);
        }
        for (int32_t level = 0; level <= static_cast<int32_t>(continual::best_isa()); level++) {
            const isa set = static_cast<isa>(level);
            std::printf("%-8s %-12s %10.3f %10.3f\n", continual::name(type), continual::name(set), nanoseconds(set, type, blocks, floats.data(), n),
                        nanoseconds(set, type, blocks, halves.data(), n));
        }
    }
    return 0;
}
