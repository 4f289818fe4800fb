// A machine for kernels (runtime/kernel.h) without a GPU, for tests. Blocks run one after the other; each thread of a block is a fiber. Told as failures of the launch:
// threads that wait at different places for ever (divergent barriers and collective functions), accesses to shared memory that no barrier orders, accesses beyond
// what was asked for, misaligned ones, and reads of what was never written. Global memory is the host's: AddressSanitizer watches it.
#pragma once

#include "runtime/device.h"
#include "runtime/types.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>
#include <utility>

namespace continual::emulator {

struct extent {
    int x = 1;
    int y = 1;
    int z = 1;
};


// Calls a kernel; false when the arguments are not what it takes.
using call = bool (*)(const void * kernel, const kernel_argument * arguments, int count);

// The arguments at these addresses, as the driver takes them, with the kernel's own types; how many there are.
using describe = int (*)(void * const * at, kernel_argument * arguments);

struct callable {
    const void * kernel;
    call by;
    describe from;
};

// Keeps a kernel under its name. threads: the most that a block of it has.
struct registration {
    registration(const char * name, int threads, callable kernel);
};

template <typename T>
bool fits(const kernel_argument & argument) {
    std::remove_cv_t<T> some{};
    const kernel_argument expected = argument_of(some);
    return argument.size == expected.size && argument.what == expected.what;
}

template <typename... Parameters>
callable caller(void (*kernel)(Parameters...)) {
    return {reinterpret_cast<const void *>(kernel), [](const void * address, const kernel_argument * arguments, int count) {
                const auto function = reinterpret_cast<void (*)(Parameters...)>(const_cast<void *>(address));
                return [&]<size_t... I>(std::index_sequence<I...>) {
                    if (count != static_cast<int>(sizeof...(Parameters)) || !(fits<Parameters>(arguments[I]) && ...)) {
                        return false;
                    }
                    function(*static_cast<std::remove_cv_t<Parameters> *>(arguments[I].at)...);
                    return true;
                }(std::index_sequence_for<Parameters...>());
            },
            [](void * const * at, kernel_argument * arguments) {
                int count = 0;
                const auto add = [&]<typename T>(T some) {
                    arguments[count] = argument_of(some);
                    arguments[count].at = at[count];
                    count++;
                };
                (add(std::remove_cv_t<Parameters>{}), ...);
                return count;
            }};
}

// Throws std::runtime_error saying what went wrong, and in which block. backwards: the threads take their turns in the opposite order.
void launch(const char * kernel, extent grid, int threads, int64_t shared_bytes, const kernel_argument * arguments, int count, bool backwards = false);

// The same with arguments as the driver takes them.
void launch(const char * kernel, extent grid, int threads, int64_t shared_bytes, void * const * arguments);

// Launches since the start, and the names of all kernels, in order.
int64_t launches();
std::vector<std::string> kernels();

// --- what a running kernel asks for ---

struct place {
    int thread = 0;
    int threads = 0;
    extent block;
    extent grid;
};

const place & here();
char * shared_memory(int64_t offset);
void reads_shared(const void * at, int64_t bytes, int64_t alignment);
void writes_shared(const void * at, int64_t bytes, int64_t alignment);
void touches_global(const void * at, int64_t alignment);
void at_block_barrier();
void at_warp_barrier();
uint32_t shuffled(uint32_t value, int lane, const char * kind);
void multiply(float * d, const uint32_t * a, uint32_t b0, uint32_t b1);
void load_matrices(uint32_t * to, const void * row, bool transposed);
void begin_copy(void * to, const void * from, bool valid);
void commit_copies();
void wait_for_copies(int left);

template <typename T>
class reference {
public:
    explicit reference(T * at) : at_(at) {}
    reference(const reference &) = default;
    operator T() const {
        reads_shared(at_, sizeof(T), alignof(T));
        return *at_;
    }
    const reference & operator=(T value) const {
        writes_shared(at_, sizeof(T), alignof(T));
        *at_ = value;
        return *this;
    }
    const reference & operator=(const reference & other) const { return *this = static_cast<T>(other); }
    const reference & operator+=(T value) const { return *this = static_cast<T>(*this) + value; }
    const reference & operator*=(T value) const { return *this = static_cast<T>(*this) * value; }

private:
    T * at_;
};

} // namespace continual::emulator

namespace continual {

struct quad;

inline int thread_index() { return emulator::here().thread; }
inline int threads_of_block() { return emulator::here().threads; }
inline int block_x() { return emulator::here().block.x; }
inline int block_y() { return emulator::here().block.y; }
inline int block_z() { return emulator::here().block.z; }
inline int blocks_x() { return emulator::here().grid.x; }

inline void block_barrier() { emulator::at_block_barrier(); }
inline void warp_barrier() { emulator::at_warp_barrier(); }

inline float float_of_bits(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

inline uint32_t bits_of_float(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline float shuffle_xor(float value, int mask) { return float_of_bits(emulator::shuffled(bits_of_float(value), (emulator::here().thread ^ mask) % 32, "shuffle_xor")); }
inline int32_t shuffle_xor(int32_t value, int mask) {
    return static_cast<int32_t>(emulator::shuffled(static_cast<uint32_t>(value), (emulator::here().thread ^ mask) % 32, "shuffle_xor"));
}
inline float shuffle(float value, int lane) { return float_of_bits(emulator::shuffled(bits_of_float(value), lane % 32, "shuffle")); }
inline int32_t shuffle(int32_t value, int lane) { return static_cast<int32_t>(emulator::shuffled(static_cast<uint32_t>(value), lane % 32, "shuffle")); }

inline float exp2_of(float x) { return std::exp2(x); }
inline float exp2_or_zero(float x) {
    const float e = std::exp2(x);
    return e < 0x1p-126f ? 0.0f : e;
}
inline float log2_of(float x) { return std::log2(x); }
inline float root_of(float x) { return std::sqrt(x); }
inline double root_of(double x) { return std::sqrt(x); }
inline float fused(float a, float b, float c) { return std::fma(a, b, c); }
inline uint32_t high_product(uint32_t a, uint32_t b) { return static_cast<uint32_t>((static_cast<uint64_t>(a) * b) >> 32); }
inline uint32_t permuted(uint32_t a, uint32_t b, uint32_t selector) {
    const uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
    uint32_t result = 0;
    for (int i = 0; i < 4; i++) {
        result |= static_cast<uint32_t>(bytes >> (selector >> (4 * i) & 7) * 8 & 0xff) << (8 * i);
    }
    return result;
}

inline float float_of_half(uint16_t half) {
    const int exponent = half >> 10 & 31;
    const float fraction = static_cast<float>(half & 1023);
    const float size = exponent == 0    ? std::ldexp(fraction, -24)
                       : exponent == 31 ? (fraction == 0.0f ? HUGE_VALF : std::nanf(""))
                                        : std::ldexp(1024.0f + fraction, exponent - 25);
    return (half & 0x8000) != 0 ? -size : size;
}

inline bf16 rounded(float x) { return x == x ? to_bf16(x) : bf16{0x7fff}; }
inline uint32_t packed(float low, float high) { return rounded(low).bits | static_cast<uint32_t>(rounded(high).bits) << 16; }

template <typename U>
U load_from(const void * from) {
    static_assert(sizeof(U) == 16 && alignof(U) == 16);
    emulator::touches_global(from, alignof(U));
    U value;
    std::memcpy(&value, from, sizeof value);
    return value;
}
template <typename U>
void store_to(void * to, U value) {
    static_assert(sizeof(U) == 16 && alignof(U) == 16);
    emulator::touches_global(to, alignof(U));
    std::memcpy(to, &value, sizeof value);
}

inline int opaque(int x) { return x; }

template <typename T>
class shared_array {
public:
    explicit shared_array(int byte_offset) : data_(reinterpret_cast<T *>(emulator::shared_memory(byte_offset))) {}
    emulator::reference<T> operator[](int i) const { return emulator::reference<T>(data_ + i); }
    template <typename U>
    U load_as(int i) const {
        emulator::reads_shared(data_ + i, sizeof(U), alignof(U));
        U value;
        std::memcpy(&value, data_ + i, sizeof value);
        return value;
    }
    template <typename U>
    void store_as(int i, U value) const {
        emulator::writes_shared(data_ + i, sizeof(U), alignof(U));
        std::memcpy(static_cast<void *>(data_ + i), &value, sizeof value);
    }
    T * address(int i) const { return data_ + i; }

private:
    T * data_;
};

template <typename T>
void copy_async(const shared_array<T> & to, int i, const void * from, bool valid = true) {
    emulator::begin_copy(to.address(i), from, valid);
}
inline void copy_commit() { emulator::commit_copies(); }
template <int left>
void copy_wait() {
    emulator::wait_for_copies(left);
}

inline void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) { emulator::multiply(d, a, b0, b1); }

template <bool transposed>
void load_matrix(uint32_t (&to)[4], const shared_array<bf16> & from, int i) {
    emulator::load_matrices(to, from.address(i), transposed);
}

} // namespace continual
