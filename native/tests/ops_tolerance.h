// How far each op may be from its oracle, by ops_check's error_of. Beside each limit what was measured: the largest over all shapes of the tests and all
// sets of instructions of a Xeon with AVX-512 BF16 (CONTINUAL_PRINT_ERRORS=1 prints them). Rounding to bf16 alone is up to
// 2^-8 = 3.9e-3 of a value.
#pragma once

namespace ops_check {

struct tolerance {
    const char * what;
    double f32;
    double bf16;
};

inline constexpr tolerance tolerances[] = {
    {"rmsnorm forward", 5e-7, 4e-3},          // 1.7e-7, 3.1e-3
    {"rmsnorm inverse", 2e-7, 0},             // 6.9e-8; always float
    {"rmsnorm dx", 3e-6, 4e-3},               // 1.0e-6 (width 2, where most of it cancels), 3.2e-3
    {"rmsnorm dw", 5e-7, 0},                  // 1.4e-7; always float
    {"swiglu forward", 4e-7, 4e-3},           // 1.2e-7, 3.1e-3
    {"swiglu d_gate", 2e-6, 4e-3},            // 5.4e-7, 3.2e-3
    {"swiglu d_up", 4e-7, 4e-3},              // 1.2e-7, 3.2e-3
    {"embedding forward", 0, 0},              // 0; always float
    {"embedding backward", 1e-6, 0},          // 3.1e-7; always float
    {"rope table", 1e-7, 0},                  // 3.4e-8; always float
    {"rope forward", 4e-7, 4e-3},             // 9.9e-8, 2.5e-3
    {"rope backward", 4e-7, 4e-3},            // 1.2e-7, 2.5e-3
    {"cross entropy log p", 2e-7, 2e-7},      // 3.6e-8; float for both kinds of gradient
    {"cross entropy distilled", 1e-7, 1e-7},  // 2.5e-8; likewise
    {"cross entropy anchored", 4e-7, 4e-7},   // 1.1e-7; likewise
    {"cross entropy gradient", 6e-7, 4e-3},   // 1.9e-7, 3.5e-3
    {"adamw value", 3e-6, 0},                 // 7.1e-7 after 20 steps; always float
    {"adamw first", 1e-6, 0},                 // 3.0e-7; always float
    {"adamw second", 1e-6, 0},                // 2.6e-7; always float
    {"sum of squares", 1e-12, 0},             // 5.0e-14; always double
    {"sum of rows", 2e-6, 0},                 // 7.4e-7 (one column); always float
    {"attention o", 7e-6, 1e-2},              // 2.3e-6, 4.6e-3: the probabilities are rounded too
    {"attention lse", 4e-6, 4e-6},            // 1.2e-6, 1.1e-7; always float
    {"attention dq", 1e-5, 8e-2},             // 3.1e-6, 3.7e-2: o and the scores' gradients are rounded
    {"attention dk", 1e-5, 6e-2},             // 3.1e-6, 2.3e-2: likewise
    {"attention dv", 9e-6, 3e-2},             // 2.7e-6, 1.2e-2: rounded probabilities, summed over queries and heads
    // An oracle's gradient against central differences of itself, in double.
    {"finite differences", 2e-9, 0},          // 4.3e-10
};

} // namespace ops_check
