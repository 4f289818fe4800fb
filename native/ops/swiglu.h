// y = silu(gate) · up, silu(g) = g / (1 + e^−g) (Shazeer 2020, arXiv 2002.05202, eq. 6).
#pragma once

#include "runtime/device.h"
#include "runtime/thread_pool.h"
#include "runtime/types.h"

#include <cstdint>

namespace continual {

// n elements each. y may be gate or up.
template <typename T>
void swiglu_forward(const cpu_context & cpu, int64_t n, const T * gate, const T * up, T * y);

// d_gate and d_up are replaced; either may be gate, up or dy itself (same index only).
template <typename T>
void swiglu_backward(const cpu_context & cpu, int64_t n, const T * gate, const T * up, const T * dy, T * d_gate, T * d_up);

// The same on a GPU; all pointers are the device's.
template <typename T>
void swiglu_forward(const gpu_context & gpu, int64_t n, const T * gate, const T * up, T * y);

template <typename T>
void swiglu_backward(const gpu_context & gpu, int64_t n, const T * gate, const T * up, const T * dy, T * d_gate, T * d_up);

} // namespace continual
