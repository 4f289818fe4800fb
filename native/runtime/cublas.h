// Matrix products by cuBLASLt, opened at run time: the library that llama.cpp's CUDA backend brings along.
#pragma once

#include "runtime/cuda_driver.h"
#include "runtime/device.h"

#include <memory>
#include <string>

namespace continual {

class cublas {
public:
    // Bytes of device memory that a product may use beside its operands.
    static constexpr int64_t workspace_bytes = int64_t{32} << 20;

    // Null where no version of the library can be opened and works. A context must be current. The library itself stays open for good.
    static std::unique_ptr<cublas> open();
    // The file's name of what open uses; empty where it gives null.
    static std::string library_name();
    ~cublas();

    // Queued on `stream`. false: it has no algorithm for such a product, and nothing was queued. Throws error(device). workspace: workspace_bytes of device memory, which
    // only products on this stream use.
    bool multiply(const device_product & product, void * workspace, cu_stream stream);

private:
    struct state;
    explicit cublas(std::unique_ptr<state> made);
    std::unique_ptr<state> state_;
};

} // namespace continual
