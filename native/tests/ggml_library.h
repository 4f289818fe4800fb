// ggml as the packaged engine has it: what our readings of its formats are held against.
#pragma once

#include "harness.h"

#include <cstdlib>
#include <string>

#if !defined(_WIN32)
#include <dlfcn.h>

// The library's handle, or a skipped test.
inline void * packaged_ggml() {
    const char * const engine = std::getenv("CONTINUAL_ENGINE");
#if defined(__APPLE__)
    const std::string platforms[] = {"mac-arm64-metal", "mac-x64"};
    const std::string library = "libggml-base.dylib";
#elif defined(__aarch64__)
    const std::string platforms[] = {"linux-arm64"};
    const std::string library = "libggml-base.so";
#else
    const std::string platforms[] = {"linux-x64"};
    const std::string library = "libggml-base.so";
#endif
    for (const std::string & platform : platforms) {
        const std::string path = std::string(engine == nullptr ? "." : engine) + "/node_modules/@node-llama-cpp/" + platform + "/bins/" + platform + "/" + library;
        if (void * const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
            return handle;
        }
    }
    SKIP("no packaged engine");
}

#endif
