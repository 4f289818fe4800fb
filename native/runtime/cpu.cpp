#include "runtime/cpu.h"

#include "runtime/dispatch.h"

#if defined(__x86_64__) || defined(_M_X64)
#define CN_X86 1
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace continual {

namespace {

struct found {
    isa best = isa::portable;
    isa preferred = isa::portable;
};

#ifdef CN_X86

struct registers {
    uint32_t a = 0, b = 0, c = 0, d = 0;
};

// All zero when the processor does not know the leaf.
registers ask(uint32_t leaf, uint32_t sub_leaf) noexcept {
    registers r;
#if defined(_MSC_VER)
    int highest[4];
    __cpuid(highest, 0);
    if (static_cast<uint32_t>(highest[0]) < leaf) {
        return r;
    }
    int values[4];
    __cpuidex(values, static_cast<int>(leaf), static_cast<int>(sub_leaf));
    r = {static_cast<uint32_t>(values[0]), static_cast<uint32_t>(values[1]), static_cast<uint32_t>(values[2]), static_cast<uint32_t>(values[3])};
#else
    if (__get_cpuid_count(leaf, sub_leaf, &r.a, &r.b, &r.c, &r.d) == 0) {
        r = {};
    }
#endif
    return r;
}

// Register states that the operating system saves and restores (XCR0).
uint64_t saved_states() noexcept {
#if defined(_MSC_VER)
    return _xgetbv(0);
#else
    uint32_t low;
    uint32_t high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<uint64_t>(high) << 32) | low;
#endif
}

bool has(uint32_t word, int bit) noexcept {
    return ((word >> bit) & 1u) != 0;
}

// Bits as in Intel's Software Developer's Manual, volume 2, CPUID.
found detect() noexcept {
    found result;
    const registers basic = ask(0, 0);
    const registers one = ask(1, 0);
    const registers seven = ask(7, 0);
    const bool os_saves = has(one.c, 27);
    const uint64_t states = os_saves ? saved_states() : 0;
    const bool ymm = (states & 0x06) == 0x06;
    const bool zmm = (states & 0xe6) == 0xe6;
    const bool avx2 = ymm && has(one.c, 28) && has(one.c, 12) && has(one.c, 29) && has(seven.b, 5);
    if (!avx2) {
        return result;
    }
    result.best = result.preferred = isa::avx2;
    const bool avx512 = zmm && has(seven.b, 16) && has(seven.b, 17) && has(seven.b, 28) && has(seven.b, 30) && has(seven.b, 31);
    if (!avx512) {
        return result;
    }
    result.best = result.preferred = isa::avx512;
    const bool bf16 = seven.a >= 1 && has(ask(7, 1).a, 5);
    if (!bf16) {
        return result;
    }
    result.best = isa::avx512_bf16;
    // Decision: Intel's cores start two FMA of 16 floats a cycle, but only one vdpbf16ps of 32 products every second cycle: half the rate (measured on
    // Emerald Rapids: 1.35 against 5.3 thousand million a second; gemm_bench prints it). AMD's start one of each, so there vdpbf16ps has twice the rate.
    const bool intel = basic.b == 0x756e6547u && basic.d == 0x49656e69u && basic.c == 0x6c65746eu;
    result.preferred = intel ? isa::avx512 : isa::avx512_bf16;
    return result;
}

#else

found detect() noexcept {
    return {};
}

#endif

const found & answer() noexcept {
    static const found value = [] {
        found result = detect();
        result.best = static_cast<isa>(compiled_level(result.best));
        result.preferred = static_cast<isa>(compiled_level(result.preferred));
        return result;
    }();
    return value;
}

} // namespace

isa best_isa() noexcept {
    return answer().best;
}

isa preferred_isa() noexcept {
    return answer().preferred;
}

const char * name(isa level) noexcept {
    switch (level) {
    case isa::portable:
        return "portable";
    case isa::avx2:
        return "avx2";
    case isa::avx512:
        return "avx512";
    case isa::avx512_bf16:
        return "avx512_bf16";
    }
    return "unknown";
}

} // namespace continual
