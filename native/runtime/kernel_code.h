// The kernels as the build made them: one PTX text for each .cu file. None where the build had no clang.
#pragma once

#include <cstdint>

namespace continual {

struct kernel_code {
    const char * file;
    const char * ptx; // zero-terminated
    int64_t size;     // without the zero
};

// Generated (kernel_code.cmake).
extern const kernel_code kernel_codes[];
extern const int32_t kernel_code_count;
// Why there are none, otherwise empty.
extern const char * const kernel_code_absence;

} // namespace continual
