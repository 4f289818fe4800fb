// A GPU as the ops see it: memory, kernels by name, matrix products. Two implementations: cuda_device (the CUDA driver), and the tests' emulated_device.
#pragma once

#include "runtime/error.h"
#include "runtime/types.h"

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>

namespace continual {

struct grid_size {
    int64_t x = 1;
    int64_t y = 1;
    int64_t z = 1;
};

// A kernel's argument, with what tells a wrong one: the driver itself believes anything.
struct kernel_argument {
    enum class kind : int32_t { integer, real, pointer };
    void * at;
    int32_t size;
    kind what;
};

// out [m × n] (+)= scale · op(left) op(right), all row-major with `stride` elements between rows; op transposes. Sums are in float.
struct device_product {
    struct side {
        const void * data = nullptr;
        bool is_bf16 = true;
        int64_t stride = 0;
        bool transposed = false;
    };
    int64_t m = 0;
    int64_t n = 0;
    int64_t k = 0;
    side left;  // m × k, or k × m when transposed
    side right; // k × n, or n × k when transposed; same type as left
    void * out = nullptr;
    bool out_is_bf16 = false;
    int64_t out_stride = 0;
    float scale = 1.0f;
    bool accumulate = false;
};

// A place in the order of the work, and when it was reached.
class device_mark {
public:
    virtual ~device_mark() = default;
};

// All work is done in the order in which it was asked for, on one stream. One thread at a time. Everything throws error: failure::device for what the driver refuses
// and for what went wrong in work asked for earlier, failure::memory where the device has too little.
class device {
public:
    virtual ~device() = default;

    // Aligned to 256. Never inside a step.
    virtual void * allocate(int64_t bytes) = 0;
    virtual void release(void * memory) noexcept = 0;

    // The host's memory may be reused when it returns.
    virtual void upload(void * to, const void * from, int64_t bytes) = 0;
    // Waits for all that was asked for before.
    virtual void download(void * to, const void * from, int64_t bytes) = 0;
    virtual void copy(void * to, const void * from, int64_t bytes) = 0;
    virtual void zero(void * at, int64_t bytes) = 0;
    virtual void synchronize() = 0;

    // Marks are the device's, and end before it does.
    virtual std::unique_ptr<device_mark> make_mark() = 0;
    virtual void set(device_mark & mark) = 0;
    // Until all that was asked for before the mark was set is done.
    virtual void wait(device_mark & mark) = 0;
    // Between two marks that were waited for.
    virtual double seconds(device_mark & from, device_mark & to) = 0;

    virtual int32_t multiprocessors() = 0;

    // work: what the launch has to do, in any unit that is the kernel's own; its time is taken to be in proportion.
    virtual void launch(const char * kernel, grid_size grid, int threads, int64_t shared_bytes, const kernel_argument * arguments, int count, double work) = 0;
    // The work that one launch of a kernel should have at most, where it can be cut.
    virtual double most_work(const char *) { return std::numeric_limits<double>::infinity(); }
    virtual void multiply(const device_product & product) = 0;
};

// What an op runs on.
struct gpu_context {
    device & on;
};

template <typename T>
kernel_argument argument_of(T & value) {
    using kind = kernel_argument::kind;
    static_assert(std::is_arithmetic_v<T> || std::is_pointer_v<T>);
    return {const_cast<void *>(static_cast<const void *>(&value)), sizeof(T), std::is_pointer_v<T> ? kind::pointer : std::is_floating_point_v<T> ? kind::real : kind::integer};
}

// The arguments' types must be the kernel's exactly; a grid without blocks launches nothing.
template <typename... Arguments>
void launch_of(const gpu_context & gpu, const std::string & kernel, grid_size grid, int threads, int64_t shared_bytes, double work, Arguments... arguments) {
    if (grid.x < 1 || grid.y < 1 || grid.z < 1) {
        return;
    }
    const kernel_argument all[] = {argument_of(arguments)...};
    gpu.on.launch(kernel.c_str(), grid, threads, shared_bytes, all, static_cast<int>(sizeof...(arguments)), work);
}

// The same where every block does as much as the others.
template <typename... Arguments>
void launch(const gpu_context & gpu, const std::string & kernel, grid_size grid, int threads, int64_t shared_bytes, Arguments... arguments) {
    launch_of(gpu, kernel, grid, threads, shared_bytes, static_cast<double>(grid.x) * static_cast<double>(grid.y) * static_cast<double>(grid.z), arguments...);
}

template <typename T>
constexpr const char * type_suffix() {
    return std::is_same_v<T, bf16> ? "_bf16" : "_f32";
}

// "rmsnorm_forward_f32_bf16".
template <typename... Types>
std::string kernel_of(const char * op) {
    std::string name = op;
    ((name += type_suffix<Types>()), ...);
    return name;
}

constexpr int64_t pieces(int64_t n, int64_t of) noexcept {
    return (n + of - 1) / of;
}

} // namespace continual
