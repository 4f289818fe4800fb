#include "emulated_device.h"

#include "emulator.h"

#include <cstring>
#include <new>

namespace continual::emulator {

namespace {

constexpr std::align_val_t alignment{256};

float element(const device_product::side & side, int64_t row, int64_t column) {
    const int64_t at = side.transposed ? column * side.stride + row : row * side.stride + column;
    return side.is_bf16 ? to_float(static_cast<const bf16 *>(side.data)[at]) : static_cast<const float *>(side.data)[at];
}

} // namespace

emulated_device::~emulated_device() {
    for (const auto & [memory, bytes] : blocks_) {
        ::operator delete(memory, alignment);
    }
}

void * emulated_device::allocate(int64_t bytes) {
    if (capacity > 0 && used_ + bytes > capacity) {
        throw error(failure::memory, "the emulated device has " + std::to_string(capacity - used_) + " bytes left, and " + std::to_string(bytes) + " were asked for");
    }
    void * const memory = ::operator new(static_cast<size_t>(bytes), alignment);
    // What is read before it was written shows.
    std::memset(memory, 0xff, static_cast<size_t>(bytes));
    blocks_[memory] = bytes;
    used_ += bytes;
    return memory;
}

void emulated_device::release(void * memory) noexcept {
    const auto found = blocks_.find(memory);
    if (found != blocks_.end()) {
        used_ -= found->second;
        blocks_.erase(found);
        ::operator delete(memory, alignment);
    }
}

void emulated_device::upload(void * to, const void * from, int64_t bytes) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
}

void emulated_device::download(void * to, const void * from, int64_t bytes) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
}

void emulated_device::copy(void * to, const void * from, int64_t bytes) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
}

void emulated_device::zero(void * at, int64_t bytes) {
    std::memset(at, 0, static_cast<size_t>(bytes));
}

namespace {

struct emulated_mark final : device_mark {
    double at = 0;
};

} // namespace

std::unique_ptr<device_mark> emulated_device::make_mark() {
    return std::make_unique<emulated_mark>();
}

void emulated_device::set(device_mark & mark) {
    static_cast<emulated_mark &>(mark).at = clock;
}

double emulated_device::seconds(device_mark & from, device_mark & to) {
    return static_cast<emulated_mark &>(to).at - static_cast<emulated_mark &>(from).at;
}

void emulated_device::launch(const char * kernel, grid_size grid, int threads, int64_t shared_bytes, const kernel_argument * arguments, int count, double work) {
    clock += launch_takes ? launch_takes(kernel, work) : 0;
    emulator::launch(kernel, {static_cast<int>(grid.x), static_cast<int>(grid.y), static_cast<int>(grid.z)}, threads, shared_bytes, arguments, count, backwards_);
}

void emulated_device::multiply(const device_product & p) {
    if (p.left.is_bf16 != p.right.is_bf16 || p.m < 1 || p.n < 1 || p.k < 1) {
        throw error(failure::device, "no product of such operands");
    }
    clock += product_takes ? product_takes(p) : 0;
    for (int64_t row = 0; row < p.m; row++) {
        for (int64_t column = 0; column < p.n; column++) {
            float sum = 0.0f;
            for (int64_t k = 0; k < p.k; k++) {
                sum += element(p.left, row, k) * element(p.right, k, column);
            }
            sum *= p.scale;
            const int64_t at = row * p.out_stride + column;
            if (p.out_is_bf16) {
                bf16 & out = static_cast<bf16 *>(p.out)[at];
                out = to_bf16(p.accumulate ? to_float(out) + sum : sum);
            } else {
                float & out = static_cast<float *>(p.out)[at];
                out = p.accumulate ? out + sum : sum;
            }
        }
    }
}

} // namespace continual::emulator
