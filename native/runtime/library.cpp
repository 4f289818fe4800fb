#include "runtime/library.h"

#include <utility>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace continual {

library::library(std::initializer_list<const char *> names) {
    for (const char * name : names) {
#if defined(_WIN32)
        // The second way looks along PATH, where the toolkit's installer puts its own.
        handle_ = LoadLibraryExA(name, nullptr, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
        handle_ = handle_ != nullptr ? handle_ : LoadLibraryA(name);
        if (handle_ == nullptr) {
            why_ = std::string(name) + " cannot be opened (error " + std::to_string(GetLastError()) + ")";
        }
#else
        handle_ = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        if (handle_ == nullptr) {
            const char * const said = dlerror();
            why_ = said == nullptr ? name : said;
        }
#endif
        if (handle_ != nullptr) {
            name_ = name;
            return;
        }
    }
}

library library::loaded(const char * name) {
    library found;
#if defined(_WIN32)
    HMODULE module = nullptr;
    if (GetModuleHandleExA(0, name, &module)) {
        found.handle_ = module;
    }
#else
    found.handle_ = dlopen(name, RTLD_NOW | RTLD_NOLOAD);
#endif
    if (found.handle_ != nullptr) {
        found.name_ = name;
    } else {
        found.why_ = std::string(name) + " is not loaded";
    }
    return found;
}

library::~library() {
    if (handle_ != nullptr) {
#if defined(_WIN32)
        FreeLibrary(static_cast<HMODULE>(handle_));
#else
        dlclose(handle_);
#endif
    }
}

library::library(library && other) noexcept : handle_(std::exchange(other.handle_, nullptr)), name_(std::move(other.name_)), why_(std::move(other.why_)) {}

library & library::operator=(library && other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(name_, other.name_);
    std::swap(why_, other.why_);
    return *this;
}

void * library::find(const char * function) const noexcept {
    if (handle_ == nullptr) {
        return nullptr;
    }
#if defined(_WIN32)
    return reinterpret_cast<void *>(GetProcAddress(static_cast<HMODULE>(handle_), function));
#else
    return dlsym(handle_, function);
#endif
}

} // namespace continual
