// What the tests of kernels share: the devices to try them on, and memory there.
#pragma once

#include "emulator/emulated_device.h"
#include "ops_check.h"
#include "runtime/cuda_device.h"
#include "runtime/device.h"

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace gpu_check {

using continual::device;
using continual::gpu_context;

struct tried_device {
    std::string name;
    std::shared_ptr<device> on;
};

// The emulator, its threads in one order and the other; only where the other order is all the same, and a shape is large, the first will do. With CONTINUAL_TEST_GPU, the number
// of a GPU: that one alone.
inline std::vector<tried_device> devices(bool both = true) {
    if (const char * number = std::getenv("CONTINUAL_TEST_GPU"); number != nullptr && *number != 0) {
        static const std::shared_ptr<device> real = std::make_shared<continual::cuda_device>(std::atoi(number));
        return std::vector<tried_device>(both ? 2 : 1, {"gpu", real});
    }
    std::vector<tried_device> all = {{"emulated", std::make_shared<continual::emulator::emulated_device>()}};
    if (both) {
        all.push_back({"emulated backwards", std::make_shared<continual::emulator::emulated_device>(true)});
    }
    return all;
}

// An array in a device's memory.
template <typename T>
class on_device {
public:
    on_device(const std::shared_ptr<device> & owner, const std::vector<T> & values) : on_device(owner, static_cast<int64_t>(values.size())) {
        if (count_ > 0) {
            owner_->upload(data_, values.data(), bytes());
        }
    }
    on_device(const std::shared_ptr<device> & owner, int64_t count) : owner_(owner), count_(count), data_(static_cast<T *>(owner->allocate(bytes()))) {}
    ~on_device() { owner_->release(data_); }
    on_device(const on_device &) = delete;
    on_device & operator=(const on_device &) = delete;

    T * data() const { return data_; }
    std::vector<T> values() const {
        std::vector<T> all(static_cast<std::size_t>(count_));
        if (count_ > 0) {
            owner_->download(all.data(), data_, bytes());
        }
        return all;
    }

private:
    int64_t bytes() const { return count_ * static_cast<int64_t>(sizeof(T)); }

    std::shared_ptr<device> owner_;
    int64_t count_;
    T * data_;
};

} // namespace gpu_check
