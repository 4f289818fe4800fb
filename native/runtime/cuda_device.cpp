#include "runtime/cuda_device.h"

#include "ops/tile_gemm.h"
#include "runtime/kernel_code.h"

#include <cstdlib>
#include <functional>
#include <string_view>

namespace continual {

namespace {

constexpr int32_t least_major = 8;

std::string bytes_text(int64_t bytes) {
    return std::to_string(bytes / (1024 * 1024)) + " MiB";
}

cu_address address_of(const void * memory) {
    return reinterpret_cast<cu_address>(memory);
}

// The file that has a kernel, by its entry point in the text.
int32_t code_of(std::string_view kernel) {
    const std::string entry = ".entry " + std::string(kernel) + "(";
    for (int32_t i = 0; i < kernel_code_count; i++) {
        if (std::string_view(kernel_codes[i].ptx, static_cast<size_t>(kernel_codes[i].size)).find(entry) != std::string_view::npos) {
            return i;
        }
    }
    throw error(failure::device, "this build has no kernel " + std::string(kernel));
}

} // namespace

int32_t cuda_device::count() noexcept {
    try {
        int32_t devices = 0;
        const cuda_driver & driver = cuda_driver::get();
        return driver.device_count(&devices) == cu_success ? devices : 0;
    } catch (const std::exception &) {
        return 0;
    }
}

cuda_device::cuda_device(int32_t ordinal, const cuda_driver & driver) : driver_(driver) {
    if (kernel_code_count == 0) {
        throw error(failure::device, std::string("this build has no GPU kernels: ") + kernel_code_absence);
    }
    int32_t devices = 0;
    driver_.check(driver_.device_count(&devices), "cuDeviceGetCount");
    if (ordinal < 0 || ordinal >= devices) {
        throw error(failure::device, "there is no GPU " + std::to_string(ordinal) + ": the driver shows " + std::to_string(devices) +
                                         (devices == 0 ? ". CUDA_VISIBLE_DEVICES may hide them" : ", counted from 0"));
    }
    driver_.check(driver_.device_get(&device_, ordinal), "cuDeviceGet");
    int32_t major = 0;
    driver_.check(driver_.device_attribute(&major, cu_attribute_capability_major, device_), "cuDeviceGetAttribute");
    if (major < least_major) {
        throw error(failure::device, "GPU " + std::to_string(ordinal) + " is of compute capability " + std::to_string(major) + ".x; training needs 8.0 (Ampere) or later, for bf16 tensor cores");
    }
    driver_.check(driver_.context_retain(&context_, device_), "cuDevicePrimaryCtxRetain");
    try {
        enter();
        int32_t lowest = 0;
        int32_t highest = 0;
        driver_.check(driver_.context_priorities(&lowest, &highest), "cuCtxGetStreamPriorityRange");
        // Decision: the lowest priority, so that what serving asks for goes first wherever both wait for the device.
        driver_.check(driver_.stream_create(&stream_, cu_stream_non_blocking, lowest), "cuStreamCreateWithPriority");
        for (cu_event & mark : marks_) {
            driver_.check(driver_.event_create(&mark, cu_event_without_timing), "cuEventCreate");
        }
        std::string why = "CONTINUAL_OWN_PRODUCTS is set";
        if (const char * own = std::getenv("CONTINUAL_OWN_PRODUCTS"); own == nullptr || *own == 0) {
            cublas_ = cublas::open(why);
        }
        products_ = cublas_ != nullptr ? cublas_->name() : "own kernels (" + why + ")";
        workspace_ = allocate(cublas_ != nullptr ? cublas::workspace_bytes : most_tile_gemm_scratch_bytes);
    } catch (...) {
        close();
        throw;
    }
}

void cuda_device::close() noexcept {
    cublas_.reset();
    release(workspace_);
    for (const auto & [code, module] : modules_) {
        driver_.module_unload(module);
    }
    for (cu_event mark : marks_) {
        if (mark != nullptr) {
            driver_.event_destroy(mark);
        }
    }
    if (stream_ != nullptr) {
        driver_.stream_destroy(stream_);
    }
    driver_.context_release(device_);
}

cuda_device::~cuda_device() {
    // Whatever fails here has failed before, and been told.
    driver_.context_set(context_);
    driver_.stream_synchronize(stream_);
    close();
}

// Cheap when it is current already. The context is llama.cpp's too: the thread that calls may be anybody's.
void cuda_device::enter() const {
    driver_.check(driver_.context_set(context_), "cuCtxSetCurrent");
}

device_info cuda_device::info() const {
    enter();
    device_info found;
    char name[256] = {};
    driver_.check(driver_.device_name(name, sizeof name - 1, device_), "cuDeviceGetName");
    found.name = name;
    driver_.check(driver_.device_attribute(&found.major, cu_attribute_capability_major, device_), "cuDeviceGetAttribute");
    driver_.check(driver_.device_attribute(&found.minor, cu_attribute_capability_minor, device_), "cuDeviceGetAttribute");
    driver_.check(driver_.device_attribute(&found.multiprocessors, cu_attribute_multiprocessors, device_), "cuDeviceGetAttribute");
    size_t available = 0;
    size_t total = 0;
    driver_.check(driver_.memory_info(&available, &total), "cuMemGetInfo");
    found.memory = static_cast<int64_t>(total);
    found.free_memory = static_cast<int64_t>(available);
    return found;
}

void * cuda_device::allocate(int64_t bytes) {
    enter();
    cu_address address = 0;
    const cu_result result = driver_.memory_allocate(&address, static_cast<size_t>(bytes < 1 ? 1 : bytes));
    if (result == cu_out_of_memory) {
        size_t available = 0;
        size_t total = 0;
        driver_.check(driver_.memory_info(&available, &total), "cuMemGetInfo");
        throw error(failure::memory, "the GPU has " + bytes_text(static_cast<int64_t>(available)) + " of " + bytes_text(static_cast<int64_t>(total)) + " free, and " + bytes_text(bytes) +
                                         " were asked for. Lower the memory budget or the batch, or free memory that other processes hold");
    }
    driver_.check(result, "cuMemAlloc");
    return reinterpret_cast<void *>(address);
}

void cuda_device::release(void * memory) noexcept {
    if (memory != nullptr && driver_.context_set(context_) == cu_success) {
        driver_.memory_free(address_of(memory));
    }
}

void cuda_device::upload(void * to, const void * from, int64_t bytes) {
    enter();
    // From memory that is not pinned the driver has copied before it returns.
    driver_.check(driver_.copy_up(address_of(to), from, static_cast<size_t>(bytes), stream_), "cuMemcpyHtoDAsync");
}

void cuda_device::download(void * to, const void * from, int64_t bytes) {
    enter();
    driver_.check(driver_.copy_down(to, address_of(from), static_cast<size_t>(bytes), stream_), "cuMemcpyDtoHAsync");
    driver_.check(driver_.stream_synchronize(stream_), "the work on the GPU");
}

void cuda_device::copy(void * to, const void * from, int64_t bytes) {
    enter();
    driver_.check(driver_.copy_within(address_of(to), address_of(from), static_cast<size_t>(bytes), stream_), "cuMemcpyDtoDAsync");
}

void cuda_device::zero(void * at, int64_t bytes) {
    enter();
    driver_.check(driver_.memory_set(address_of(at), 0, static_cast<size_t>(bytes), stream_), "cuMemsetD8Async");
}

void cuda_device::synchronize() {
    enter();
    driver_.check(driver_.stream_synchronize(stream_), "the work on the GPU");
}

void cuda_device::pace() {
    enter();
    driver_.check(driver_.event_record(marks_[paced_ % 2], stream_), "cuEventRecord");
    if (paced_++ > 0) {
        driver_.check(driver_.event_synchronize(marks_[paced_ % 2]), "the work on the GPU");
    }
}

cu_module cuda_device::load(int32_t code) {
    const auto found = modules_.find(code);
    if (found != modules_.end()) {
        return found->second;
    }
    char log[4096] = {};
    int32_t options[] = {cu_jit_error_log, cu_jit_error_log_bytes};
    void * values[] = {log, reinterpret_cast<void *>(sizeof log - 1)};
    cu_module module = nullptr;
    // Compiled for this device by the driver, which keeps the result for the next process.
    const cu_result result = driver_.module_load(&module, kernel_codes[code].ptx, 2, options, values);
    if (result != cu_success && log[0] != 0) {
        throw error(failure::device, std::string("the driver cannot compile the kernels of ") + kernel_codes[code].file + ": " + log);
    }
    driver_.check(result, kernel_codes[code].file);
    modules_[code] = module;
    return module;
}

cuda_device::loaded & cuda_device::find(const char * kernel) {
    const auto found = kernels_.find(std::string_view(kernel));
    if (found != kernels_.end()) {
        return found->second;
    }
    loaded made;
    driver_.check(driver_.module_function(&made.function, load(code_of(kernel)), kernel), kernel);
    return kernels_.emplace(kernel, made).first->second;
}

void cuda_device::launch(const char * kernel, grid_size grid, int threads, int64_t shared_bytes, const kernel_argument * arguments, int count) {
    constexpr int most = 32;
    constexpr int64_t without_asking = 48 * 1024;
    if (count > most || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) {
        throw error(failure::device, std::string(kernel) + " cannot be launched with so many blocks or arguments");
    }
    enter();
    loaded & which = find(kernel);
    if (shared_bytes > without_asking && shared_bytes > which.shared_bytes) {
        driver_.check(driver_.function_set(which.function, cu_function_shared_bytes, static_cast<int32_t>(shared_bytes)), kernel);
        which.shared_bytes = shared_bytes;
    }
    void * pointers[most];
    for (int i = 0; i < count; i++) {
        pointers[i] = arguments[i].at;
    }
    driver_.check(driver_.launch(which.function, static_cast<uint32_t>(grid.x), static_cast<uint32_t>(grid.y), static_cast<uint32_t>(grid.z), static_cast<uint32_t>(threads), 1, 1,
                                 static_cast<uint32_t>(shared_bytes), stream_, pointers, nullptr),
                  kernel);
}

void cuda_device::multiply(const device_product & product) {
    if (cublas_ == nullptr) {
        tile_gemm(gpu_context{*this}, product, workspace_);
        return;
    }
    enter();
    cublas_->multiply(product, workspace_, stream_);
}

} // namespace continual
