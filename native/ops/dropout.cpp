#include "ops/dropout.h"

#include "ops/chunks.h"
#include "ops/dropout_rate.h"
#include "ops/every_isa.h"
#include "ops/philox.h"

#include <cstring>

namespace continual {

CN_EVERY_ISA(
    template <typename T>
    void dropout_range(uint64_t seed, uint64_t stream, int64_t begin, int64_t n, uint32_t threshold, float scale, const T * x, T * y);)

template <typename T>
void dropout(const cpu_context & cpu, uint64_t seed, uint64_t stream, int64_t n, float rate, const T * x, T * y) {
    if (n <= 0) {
        return;
    }
    const dropout_rate of = dropout_rate_of(rate);
    if (of.all) {
        std::memset(static_cast<void *>(y), 0, static_cast<std::size_t>(n) * sizeof(T));
        return;
    }
    if (of.none) {
        if (y != x) {
            std::memcpy(y, x, static_cast<std::size_t>(n) * sizeof(T));
        }
        return;
    }
    // A multiple of the 64 elements that one group of counters covers.
    for_chunks(cpu, n, 16384, [&](int64_t begin, int64_t end) {
        CN_DISPATCH(cpu.level, dropout_range(seed, stream, begin, end - begin, of.threshold, of.scale, x + begin, y + begin));
    });
}

template void dropout(const cpu_context &, uint64_t, uint64_t, int64_t, float, const float *, float *);
template void dropout(const cpu_context &, uint64_t, uint64_t, int64_t, float, const bf16 *, bf16 *);

void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
    uint32_t k[2] = {key[0], key[1]};
    for (int round = 0; round < philox_rounds; round++) {
        const uint64_t a = static_cast<uint64_t>(philox_multiplier[0]) * c[0];
        const uint64_t b = static_cast<uint64_t>(philox_multiplier[1]) * c[2];
        const uint32_t next[4] = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(b), static_cast<uint32_t>(a >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(a)};
        std::memcpy(c, next, sizeof c);
        k[0] += philox_weyl[0];
        k[1] += philox_weyl[1];
    }
    std::memcpy(out, c, sizeof c);
}

} // namespace continual
