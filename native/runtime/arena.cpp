#include "runtime/arena.h"

#if defined(__linux__) || defined(__APPLE__)
#include <sys/mman.h>
#else
#include <cstring>
#endif

namespace continual {

#if defined(__linux__) || defined(__APPLE__)

arena::arena(int64_t bytes) : base_(nullptr), bytes_(bytes < 1 ? 1 : bytes) {
    void * memory = mmap(nullptr, static_cast<size_t>(bytes_), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::bad_alloc();
    }
    base_ = static_cast<char *>(memory);
#ifdef MADV_HUGEPAGE
    // Large pages, where the system gives them, spare the GEMM its misses of the translation cache.
    madvise(memory, static_cast<size_t>(bytes_), MADV_HUGEPAGE);
#endif
}

arena::~arena() {
    munmap(base_, static_cast<size_t>(bytes_));
}

#else

arena::arena(int64_t bytes) : base_(nullptr), bytes_(bytes < 1 ? 1 : bytes) {
    base_ = static_cast<char *>(::operator new(static_cast<size_t>(bytes_), std::align_val_t(64)));
    std::memset(base_, 0, static_cast<size_t>(bytes_));
}

arena::~arena() {
    ::operator delete(base_, std::align_val_t(64));
}

#endif

} // namespace continual
