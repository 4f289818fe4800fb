// From a level to the code that was compiled for it. For files that are compiled once (not for _cpu.cpp files).
//
// An op keeps its functions in a table, one for each set of instructions:
//
//     ops/foo_kernels.h   struct foo_kernels { void (*step)(...); };
//     ops/foo_cpu.cpp     namespace continual::CN_ISA {
//                         extern const foo_kernels foo_table;
//                         constexpr foo_kernels foo_table = {step};
//                         }
//     ops/foo.cpp         CN_DECLARE_TABLES(foo_kernels, foo_table);
//                         ... CN_TABLE(cpu.level, foo_table).step(...)
//
// The table must be constant-initialized: nothing of a _cpu.cpp file may run before the processor was asked.
#pragma once

#include "runtime/cpu.h"

#ifndef CN_ISA_COUNT
#error "for files that are compiled once: in a _cpu.cpp file there is nothing to choose from"
#endif

namespace continual {

// Levels that this build has no code for fall to the highest that it has.
inline int32_t compiled_level(isa level) noexcept {
    const int32_t wanted = static_cast<int32_t>(level);
    return wanted < 0 ? 0 : wanted < CN_ISA_COUNT ? wanted : CN_ISA_COUNT - 1;
}

} // namespace continual

#if CN_ISA_COUNT == 4
#define CN_DECLARE_TABLES(type, table)                    \
    namespace isa_portable { extern const type table; }   \
    namespace isa_avx2 { extern const type table; }       \
    namespace isa_avx512 { extern const type table; }     \
    namespace isa_avx512_bf16 { extern const type table; } \
    static_assert(true)
#define CN_TABLES(table) &isa_portable::table, &isa_avx2::table, &isa_avx512::table, &isa_avx512_bf16::table
#elif CN_ISA_COUNT == 1
#define CN_DECLARE_TABLES(type, table)                  \
    namespace isa_portable { extern const type table; } \
    static_assert(true)
#define CN_TABLES(table) &isa_portable::table
#else
#error "name the new sets of instructions here"
#endif

// The table for `level`; CN_DECLARE_TABLES stands before it, at namespace continual.
#define CN_TABLE(level, table)                                                      \
    ([](::continual::isa wanted) noexcept -> const auto & {                         \
        static constexpr decltype(&isa_portable::table) tables[] = {CN_TABLES(table)}; \
        return *tables[::continual::compiled_level(wanted)];                        \
    }(level))
