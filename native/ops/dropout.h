// Inverted dropout (Srivastava et al. 2014, Journal of Machine Learning Research 15, section 10) whose mask is a function of (seed, stream, index).
#pragma once

#include "runtime/device.h"
#include "runtime/thread_pool.h"
#include "runtime/types.h"

#include <cstdint>

namespace continual {

// y[i] = x[i] / (1 − rate), or 0 with probability `rate`; y may be x. rate 0 copies, rate 1 or more gives zeros. The mask is the same for the same seed, stream
// and i on any number of threads and any set of instructions: the backward pass calls this with dy for x. Use a new stream for each step and place.
// T: float or bf16. The probability is kept to 2^−32.
template <typename T>
void dropout(const cpu_context & cpu, uint64_t seed, uint64_t stream, int64_t n, float rate, const T * x, T * y);

// The same on a GPU, to the bit (but for which NaN a NaN becomes); x and y are the device's.
template <typename T>
void dropout(const gpu_context & gpu, uint64_t seed, uint64_t stream, int64_t n, float rate, const T * x, T * y);

// Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3): four random words for a counter and a key.
// dropout takes element i's word from counter {low, high word of 16·(i / 64) + i % 16, low, high word of stream}, key {low, high word of seed}, word (i % 64) / 16.
void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

} // namespace continual
