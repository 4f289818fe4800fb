// A range in pieces of a fixed size, one task each.
#pragma once

#include "runtime/thread_pool.h"

#include <algorithm>
#include <cstdint>

namespace continual {

// body(begin, end) for each piece of [0, n). Decision: the size of a piece never depends on the number of threads, since a vector loop may round its last
// elements otherwise than those before (fused or not), and the same pieces give the same bits.
template <typename Body>
void for_chunks(const cpu_context & cpu, int64_t n, int64_t chunk, Body && body) {
    if (n <= 0) {
        return;
    }
    cpu.pool.run((n + chunk - 1) / chunk, [&](int64_t task, int32_t) {
        const int64_t begin = task * chunk;
        body(begin, std::min(n, begin + chunk));
    });
}

// Rows of `width` elements that make up a task of some ten microseconds.
inline int64_t chunk_rows(int64_t width) noexcept {
    return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width));
}

} // namespace continual
