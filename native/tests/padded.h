// An array on a device that begins some elements behind an aligned place, between marks which kernels must leave alone.
#pragma once

#include "gpu_check.h"

namespace gpu_check {

template <typename T>
class padded {
public:
    padded(const std::shared_ptr<device> & owner, const std::vector<T> & values, int64_t offset) : offset_(offset), there_(owner, marked(values, offset)) {}
    padded(const std::shared_ptr<device> & owner, int64_t count, int64_t offset) : padded(owner, std::vector<T>(static_cast<std::size_t>(count)), offset) {}

    T * data() const { return there_.data() + offset_; }
    std::vector<T> values() const {
        const std::vector<T> all = there_.values();
        const auto begin = all.begin() + offset_;
        const std::vector<T> inner(begin, all.end() - behind);
        CHECK(ops_check::same_bits(all, marked(inner, offset_)));
        return inner;
    }

private:
    static constexpr int64_t behind = 9;

    static std::vector<T> marked(const std::vector<T> & values, int64_t offset) {
        std::vector<T> all(static_cast<std::size_t>(offset), mark());
        all.insert(all.end(), values.begin(), values.end());
        all.insert(all.end(), static_cast<std::size_t>(behind), mark());
        return all;
    }
    static T mark() {
        if constexpr (std::is_same_v<T, continual::bf16>) {
            return continual::to_bf16(77.0f);
        } else {
            return T{77};
        }
    }

    int64_t offset_;
    on_device<T> there_;
};

} // namespace gpu_check
