// Any bytes: refused with `error`, or read, and then what is written is read as the same.
#include "io/json.h"
#include "runtime/error.h"

#include <cstddef>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t * data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t * data, std::size_t size) {
    std::string written;
    try {
        written = continual::json::parse({reinterpret_cast<const char *>(data), size}, "fuzz").write(0);
    } catch (const continual::error &) {
        return 0;
    }
    if (continual::json::parse(written, "fuzz").write(2) != continual::json::parse(continual::json::parse(written, "fuzz").write(2), "fuzz").write(2) ||
        continual::json::parse(written, "fuzz").write(0) != written) {
        std::abort();
    }
    return 0;
}
