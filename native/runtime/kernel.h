// What kernels are written in: CUDA C++ for sm_80 and later without any header of the CUDA toolkit. clang makes PTX of a .cu file (CMakeLists.txt); the tests
// compile the same file as C++ on tests/emulator, where every thread of a block is a fiber and every access to shared memory is watched.
//
// Rules that make both work:
//  - A kernel is CN_KERNEL(threads, name, (parameters)) { … } at namespace continual: all scalars and pointers, `threads` the size of its blocks.
//  - Shared memory is dynamic and reached through shared_array only: array[i] reads and writes one element, load_as and store_as several.
//  - All 32 lanes of a warp call its collective functions (shuffles, mma, load_matrix, warp_barrier), and all threads of a block call block_barrier.
#pragma once

#include "runtime/types.h"

#include <stdint.h>

#if defined(__CUDA__)
#define CN_DEVICE __attribute__((device, always_inline)) inline
#define CN_KERNEL(threads, name, parameters) extern "C" __attribute__((global, launch_bounds(threads))) void name parameters
// Before a loop whose index picks elements of a local array: such an array stays in registers only where the loop is unrolled for certain.
#define CN_UNROLL _Pragma("unroll")
#else
#include "emulator/emulator.h"
#define CN_UNROLL
#define CN_DEVICE inline
#define CN_KERNEL(threads, name, parameters)                                                    \
    static void name parameters;                                                                \
    static const emulator::registration name##_registration(#name, threads, emulator::caller(name)); \
    static void name parameters
#endif

namespace continual {

constexpr int warp_size = 32;

// 16 bytes that are moved at once.
struct alignas(16) quad {
    uint32_t x, y, z, w;
};

struct alignas(16) float4 {
    float x, y, z, w;
};

#if defined(__CUDA__)

extern __attribute__((shared, aligned(128))) char cn_shared_memory[];

CN_DEVICE int thread_index() { return __nvvm_read_ptx_sreg_tid_x(); }
CN_DEVICE int threads_of_block() { return __nvvm_read_ptx_sreg_ntid_x(); }
CN_DEVICE int block_x() { return __nvvm_read_ptx_sreg_ctaid_x(); }
CN_DEVICE int block_y() { return __nvvm_read_ptx_sreg_ctaid_y(); }
CN_DEVICE int block_z() { return __nvvm_read_ptx_sreg_ctaid_z(); }
CN_DEVICE int blocks_x() { return __nvvm_read_ptx_sreg_nctaid_x(); }

CN_DEVICE void block_barrier() { __syncthreads(); }
CN_DEVICE void warp_barrier() { __nvvm_bar_warp_sync(0xffffffffu); }

CN_DEVICE float shuffle_xor(float value, int mask) { return __nvvm_shfl_sync_bfly_f32(0xffffffffu, value, mask, 0x1f); }
CN_DEVICE int32_t shuffle_xor(int32_t value, int mask) { return __nvvm_shfl_sync_bfly_i32(0xffffffffu, value, mask, 0x1f); }
CN_DEVICE float shuffle(float value, int lane) { return __nvvm_shfl_sync_idx_f32(0xffffffffu, value, lane, 0x1f); }
CN_DEVICE int32_t shuffle(int32_t value, int lane) { return __nvvm_shfl_sync_idx_i32(0xffffffffu, value, lane, 0x1f); }

CN_DEVICE float exp2_of(float x) { return __nvvm_ex2_approx_f(x); }
// Four times as fast: what is below 2^−126 is zero.
CN_DEVICE float exp2_or_zero(float x) { return __nvvm_ex2_approx_ftz_f(x); }
CN_DEVICE float log2_of(float x) { return __nvvm_lg2_approx_f(x); }
CN_DEVICE float root_of(float x) { return __nvvm_sqrt_rn_f(x); }
CN_DEVICE double root_of(double x) { return __nvvm_sqrt_rn_d(x); }
CN_DEVICE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
CN_DEVICE uint32_t high_product(uint32_t a, uint32_t b) { return static_cast<uint32_t>((static_cast<uint64_t>(a) * b) >> 32); }
// Four of the eight bytes of a (0 to 3) and b (4 to 7): byte i is the one that hexadecimal digit i of selector, 0 to 7, names.
CN_DEVICE uint32_t permuted(uint32_t a, uint32_t b, uint32_t selector) { return __nvvm_prmt(a, b, selector); }

CN_DEVICE float float_of_bits(uint32_t bits) { return __builtin_bit_cast(float, bits); }
CN_DEVICE uint32_t bits_of_float(float x) { return __builtin_bit_cast(uint32_t, x); }

CN_DEVICE float float_of_half(uint16_t half) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
    return value;
}

// To nearest, ties to even; NaN becomes 0x7fff.
CN_DEVICE bf16 rounded(float x) {
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return {bits};
}

// Two to one word, `low` in its lower half.
CN_DEVICE uint32_t packed(float low, float high) {
    uint32_t bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}

// 16 bytes of global memory at once, aligned to that. By hand: of a plain access to a struct or a vector the compiler makes several where it likes to.
template <typename U>
CN_DEVICE U load_from(const void * from) {
    quad x;
    asm volatile("ld.global.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "l"((const __attribute__((address_space(1))) void *)from)
                 : "memory");
    return __builtin_bit_cast(U, x);
}
template <typename U>
CN_DEVICE void store_to(void * to, U value) {
    const quad x = __builtin_bit_cast(quad, value);
    asm volatile("st.global.v4.u32 [%0], {%1,%2,%3,%4};" ::"l"((__attribute__((address_space(1))) void *)to), "r"(x.x), "r"(x.y), "r"(x.z), "r"(x.w) : "memory");
}

// x, of which the compiler knows nothing: what is computed from it in a loop is computed there, not before and kept in registers.
CN_DEVICE int opaque(int x) {
    asm volatile("" : "+r"(x));
    return x;
}

template <typename T>
class shared_array {
public:
    CN_DEVICE explicit shared_array(int byte_offset) : data_(reinterpret_cast<T *>(cn_shared_memory + byte_offset)) {}
    CN_DEVICE T & operator[](int i) const { return data_[i]; }
    // sizeof(U) bytes from element i on, which must be aligned to that.
    template <typename U>
    CN_DEVICE U load_as(int i) const {
        return *reinterpret_cast<const U *>(data_ + i);
    }
    template <typename U>
    CN_DEVICE void store_as(int i, U value) const {
        *reinterpret_cast<U *>(data_ + i) = value;
    }
    CN_DEVICE uint32_t address(int i) const { return static_cast<uint32_t>(reinterpret_cast<uint64_t>((__attribute__((address_space(3))) T *)(data_ + i))); }

private:
    T * data_;
};

// 16 bytes from global to shared memory without registers; both aligned to 16. valid false: zeros.
template <typename T>
CN_DEVICE void copy_async(const shared_array<T> & to, int i, const void * from, bool valid = true) {
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to.address(i)), "l"(from), "r"(bytes) : "memory");
}

CN_DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Until at most `left` of this thread's groups are on their way. Others see the bytes after a barrier.
template <int left>
CN_DEVICE void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
}

// d (16 × 8) += a (16 × 16) · b (16 × 8), bf16 to float: PTX mma.m16n8k16. With g = lane / 4 and t = lane % 4, a holds rows g and g + 8 (registers 0, 2 and 1, 3),
// columns 2t, 2t + 1 and those + 8 (registers 0, 1 and 2, 3); b holds rows 2t, 2t + 1 (register 0) and those + 8 (register 1) of column g; d holds columns
// 2t, 2t + 1 of rows g (0, 1) and g + 8 (2, 3).
CN_DEVICE void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four matrices of 8 × 8 bf16: lane 8·j + r gives the place of row r of matrix j (16 bytes, aligned), and gets from each matrix row lane / 4, columns 2·(lane % 4) and
// the next; transposed: column lane / 4, rows 2·(lane % 4) and the next.
template <bool transposed>
CN_DEVICE void load_matrix(uint32_t (&to)[4], const shared_array<bf16> & from, int i) {
    if (transposed) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(from.address(i)) : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(from.address(i)) : "memory");
    }
}

#endif

CN_DEVICE int lane_index() { return thread_index() % warp_size; }
CN_DEVICE int warp_index() { return thread_index() / warp_size; }

CN_DEVICE bool is_nan(float x) { return !(x == x); }
CN_DEVICE float infinite() { return float_of_bits(0x7f800000u); }
CN_DEVICE float higher_of(float a, float b) { return a > b ? a : b; }

// e^x. log2(e) in two parts, since a product of one rounding is off by 2^−24 of the exponent, which is as much of the result times ln 2 · |x|.
CN_DEVICE float exp_of(float x) {
    constexpr float high = 1.442695041f;
    constexpr float low = 1.925963033e-8f;
    const float power = x * high;
    const float rest = fused(x, low, fused(x, high, -power));
    const float e = exp2_of(power);
    // Beyond any rounding: infinity · (1 + …) and 0 · (1 + …) stay what they are, and x of −inf has a `rest` that is not a number.
    return power > -150.0f && power < 129.0f ? fused(e, rest * 0.693147181f, e) : e;
}

CN_DEVICE float log_of(float x) { return log2_of(x) * 0.693147181f; }

CN_DEVICE float sigmoid_of(float x) { return 1.0f / (1.0f + exp_of(-x)); }

CN_DEVICE float load(float x) { return x; }
CN_DEVICE float load(bf16 x) { return float_of_bits(static_cast<uint32_t>(x.bits) << 16); }

CN_DEVICE void store(float & to, float x) { to = x; }
CN_DEVICE void store(bf16 & to, float x) { to = rounded(x); }

// The sum over the warp, the same in every lane.
CN_DEVICE float sum_of_warp(float x) {
    for (int mask = warp_size / 2; mask > 0; mask /= 2) {
        x += shuffle_xor(x, mask);
    }
    return x;
}

CN_DEVICE float highest_of_warp(float x) {
    for (int mask = warp_size / 2; mask > 0; mask /= 2) {
        x = higher_of(shuffle_xor(x, mask), x);
    }
    return x;
}

// The sum over the block, the same in every thread and on every run. scratch: a float a warp; free to use again after the next block_barrier.
CN_DEVICE float sum_of_block(float x, const shared_array<float> & scratch) {
    x = sum_of_warp(x);
    if (lane_index() == 0) {
        scratch[warp_index()] = x;
    }
    block_barrier();
    float sum = 0.0f;
    for (int warp = 0; warp < threads_of_block() / warp_size; warp++) {
        sum += scratch[warp];
    }
    return sum;
}

CN_DEVICE float highest_of_block(float x, const shared_array<float> & scratch) {
    x = highest_of_warp(x);
    if (lane_index() == 0) {
        scratch[warp_index()] = x;
    }
    block_barrier();
    float highest = scratch[0];
    for (int warp = 1; warp < threads_of_block() / warp_size; warp++) {
        highest = higher_of(scratch[warp], highest);
    }
    return highest;
}

} // namespace continual
