#include "runtime/cuda_driver.h"

#include "runtime/error.h"

#include <memory>
#include <string>

namespace continual {

namespace {

// PTX 7.5, which the kernels are compiled to, came with CUDA 11.5.
constexpr int32_t least_version = 11050;

std::string version_text(int32_t version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void open(cuda_driver & driver) {
#if defined(_WIN32)
    driver.from = library({"nvcuda.dll"});
#else
    driver.from = library({"libcuda.so.1", "libcuda.so"});
#endif
    if (!driver.from.is_open()) {
        throw error(failure::device, "no NVIDIA driver: " + driver.from.why() + ". Install the driver, or train on the CPU");
    }
#define CN_FIND(member, symbol, parameters)                                                                                                    \
    driver.member = reinterpret_cast<decltype(driver.member)>(driver.from.find(symbol));                                                     \
    if (driver.member == nullptr) {                                                                                                           \
        throw error(failure::device, "the NVIDIA driver is too old: it has no " symbol ". Install one for CUDA " + version_text(least_version) + " or later"); \
    }
    CN_DRIVER_FUNCTIONS(CN_FIND)
#undef CN_FIND
    driver.check(driver.init(0), "cuInit");
    int32_t version = 0;
    driver.check(driver.driver_version(&version), "cuDriverGetVersion");
    if (version < least_version) {
        throw error(failure::device, "the NVIDIA driver is too old: it knows CUDA " + version_text(version) + ", and the kernels need " + version_text(least_version) + ". Update the driver, or train on the CPU");
    }
}

} // namespace

const cuda_driver & cuda_driver::get() {
    // Never closed, not even when it was of no use: a driver that unloads itself while other libraries' threads run is no help to anybody. What was wrong is found
    // again by the next call: a driver may have been installed meanwhile.
    static const cuda_driver * const driver = [] {
        auto opened = std::make_unique<cuda_driver>();
        try {
            open(*opened);
        } catch (...) {
            if (opened->from.is_open()) {
                static_cast<void>(opened.release());
            }
            throw;
        }
        return opened.release();
    }();
    return *driver;
}

void cuda_driver::check(cu_result result, const char * what) const {
    if (result == cu_success) {
        return;
    }
    const char * name = nullptr;
    const char * text = nullptr;
    if (error_name(result, &name) != cu_success || name == nullptr) {
        name = "an unknown error";
    }
    if (error_text(result, &text) != cu_success || text == nullptr) {
        text = "no description";
    }
    const std::string message = std::string(what) + " failed with " + name + " (" + std::to_string(result) + "): " + text;
    throw error(result == cu_out_of_memory ? failure::memory : failure::device, message);
}

} // namespace continual
