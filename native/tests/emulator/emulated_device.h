// The emulator as a device: its memory is the host's.
#pragma once

#include "runtime/device.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace continual::emulator {

class emulated_device final : public device {
public:
    explicit emulated_device(bool backwards = false) : backwards_(backwards) {}
    ~emulated_device() override;

    void * allocate(int64_t bytes) override;
    void release(void * memory) noexcept override;
    void upload(void * to, const void * from, int64_t bytes) override;
    void download(void * to, const void * from, int64_t bytes) override;
    void copy(void * to, const void * from, int64_t bytes) override;
    void zero(void * at, int64_t bytes) override;
    void synchronize() override {}
    std::unique_ptr<device_mark> make_mark() override;
    void set(device_mark & mark) override;
    void wait(device_mark &) override {}
    double seconds(device_mark & from, device_mark & to) override;
    int32_t multiprocessors() override { return 1; }
    void launch(const char * kernel, grid_size grid, int threads, int64_t shared_bytes, const kernel_argument * arguments, int count, double work) override;
    void multiply(const device_product & product) override;

    // As a device of that much memory does; 0: no limit.
    int64_t capacity = 0;

    // Seconds that have gone by on it: only what is set here takes any.
    double clock = 0;
    // Seconds of a launch, by kernel and work, and of a product.
    std::function<double(const std::string &, double)> launch_takes;
    std::function<double(const device_product &)> product_takes;

private:
    bool backwards_;
    int64_t used_ = 0;
    std::map<void *, int64_t> blocks_;
};

} // namespace continual::emulator
