// Numbers out of bytes that need not be aligned.
#pragma once

#include <cstdint>
#include <cstring>

namespace continual {

template <typename T>
T load(const uint8_t * p) noexcept {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
}

} // namespace continual
