// Any bytes: read as safetensors or refused with `error`; what is announced can be touched.
#include "io/safetensors.h"
#include "runtime/error.h"

#include <cstddef>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t * data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t * data, std::size_t size) {
    try {
        const continual::safetensors_reader reader({data, size}, "fuzz");
        for (const continual::safetensors_tensor & tensor : reader.tensors()) {
            if (static_cast<int64_t>(tensor.floats().size()) != tensor.elements()) {
                std::abort();
            }
        }
    } catch (const continual::error &) {
    }
    return 0;
}
