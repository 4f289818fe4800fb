// From a call to the version of a function for one set of instructions. For <op>.cpp files: CN_ISA_COUNT is not defined elsewhere.
#pragma once

#include "runtime/cpu.h"

// CN_EVERY_ISA(declarations): the declarations, once in the namespace of each set of instructions.
// CN_DISPATCH(level, call): the call in the namespace for `level`, or in that of the highest one compiled.
#if CN_ISA_COUNT > 1
#define CN_EVERY_ISA(...)               \
    namespace isa_portable {            \
    __VA_ARGS__                         \
    }                                   \
    namespace isa_avx2 {                \
    __VA_ARGS__                         \
    }                                   \
    namespace isa_avx512 {              \
    __VA_ARGS__                         \
    }                                   \
    namespace isa_avx512_bf16 {         \
    __VA_ARGS__                         \
    }
#define CN_DISPATCH(level, ...)             \
    do {                                    \
        switch (level) {                    \
        case isa::avx512_bf16:              \
            isa_avx512_bf16::__VA_ARGS__;   \
            break;                          \
        case isa::avx512:                   \
            isa_avx512::__VA_ARGS__;        \
            break;                          \
        case isa::avx2:                     \
            isa_avx2::__VA_ARGS__;          \
            break;                          \
        default:                            \
            isa_portable::__VA_ARGS__;      \
        }                                   \
    } while (false)
#else
#define CN_EVERY_ISA(...)    \
    namespace isa_portable { \
    __VA_ARGS__              \
    }
#define CN_DISPATCH(level, ...) (static_cast<void>(level), isa_portable::__VA_ARGS__)
#endif
