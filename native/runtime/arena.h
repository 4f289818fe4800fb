// One allocation for a whole run. Offsets are given out first, so that the size is known, and can be refused, before anything is allocated.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace continual {

class arena_layout {
public:
    // Offset of `count` elements of T, aligned to a cache line.
    template <typename T>
    int64_t add(int64_t count) {
        const int64_t at = size_;
        size_ += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
        return at;
    }

    int64_t size() const { return size_; }

private:
    int64_t size_ = 0;
};

class arena {
public:
    // Zeroed (by the system, page by page on first touch). Throws std::bad_alloc.
    explicit arena(int64_t bytes);
    ~arena();
    arena(const arena &) = delete;
    arena & operator=(const arena &) = delete;

    template <typename T>
    T * at(int64_t offset) const {
        return reinterpret_cast<T *>(base_ + offset);
    }

private:
    char * base_;
    int64_t bytes_;
};

} // namespace continual
