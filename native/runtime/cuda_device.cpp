#include "runtime/cuda_device.h"

#include "ops/tile_gemm.h"
#include "runtime/kernel_code.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string_view>

namespace continual {

namespace {

constexpr int32_t least_major = 8;
constexpr int64_t staging_bytes = int64_t{8} << 20;

// Throws for what cannot train.
cu_device opened(const cuda_driver & driver, int32_t ordinal) {
    if (kernel_code_count == 0) {
        throw error(failure::device, std::string("this build has no GPU kernels: ") + kernel_code_absence);
    }
    int32_t devices = 0;
    driver.check(driver.device_count(&devices), "cuDeviceGetCount");
    if (ordinal < 0 || ordinal >= devices) {
        throw error(failure::device, "there is no GPU " + std::to_string(ordinal) + ": the driver shows " + std::to_string(devices) +
                                         (devices == 0 ? ". CUDA_VISIBLE_DEVICES may hide them" : ", counted from 0"));
    }
    cu_device found = 0;
    driver.check(driver.device_get(&found, ordinal), "cuDeviceGet");
    int32_t major = 0;
    driver.check(driver.device_attribute(&major, cu_attribute_capability_major, found), "cuDeviceGetAttribute");
    if (major < least_major) {
        throw error(failure::device, "GPU " + std::to_string(ordinal) + " is of compute capability " + std::to_string(major) + ".x; training needs 8.0 (Ampere) or later, for bf16 tensor cores");
    }
    return found;
}

// Its context is current.
device_info info_of(const cuda_driver & driver, cu_device which) {
    device_info found;
    char name[256] = {};
    driver.check(driver.device_name(name, sizeof name - 1, which), "cuDeviceGetName");
    found.name = name;
    driver.check(driver.device_attribute(&found.major, cu_attribute_capability_major, which), "cuDeviceGetAttribute");
    driver.check(driver.device_attribute(&found.minor, cu_attribute_capability_minor, which), "cuDeviceGetAttribute");
    driver.check(driver.device_attribute(&found.multiprocessors, cu_attribute_multiprocessors, which), "cuDeviceGetAttribute");
    size_t available = 0;
    size_t total = 0;
    driver.check(driver.memory_info(&available, &total), "cuMemGetInfo");
    found.memory = static_cast<int64_t>(total);
    found.free_memory = static_cast<int64_t>(available);
    return found;
}

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

// Decision: pushed and popped, not set. The thread is anybody's, llama.cpp's context is the same one, and a context that is gone may not stay current.
class cuda_device::entered {
public:
    explicit entered(const cuda_device & device) : lock_(device.mutex_), driver_(device.driver_) { driver_.check(driver_.context_push(device.context_), "cuCtxPushCurrent"); }
    ~entered() {
        cu_context ignored = nullptr;
        driver_.context_pop(&ignored);
    }
    entered(const entered &) = delete;
    entered & operator=(const entered &) = delete;

private:
    const std::lock_guard<std::recursive_mutex> lock_;
    const cuda_driver & driver_;
};

class cuda_device::mark final : public device_mark {
public:
    // Who waits sleeps: the processor is the server's.
    explicit mark(cuda_device & on) : on_(on) { on_.driver_.check(on_.driver_.event_create(&event, cu_event_blocking), "cuEventCreate"); }
    ~mark() override {
        const std::lock_guard lock(on_.mutex_);
        if (on_.driver_.context_push(on_.context_) == cu_success) {
            on_.driver_.event_destroy(event);
            cu_context ignored = nullptr;
            on_.driver_.context_pop(&ignored);
        }
    }

    cu_event event = nullptr;

private:
    cuda_device & on_;
};

cuda_device::cuda_device(int32_t ordinal, const cuda_driver & driver) : driver_(driver) {
    device_ = opened(driver_, ordinal);
    driver_.check(driver_.context_retain(&context_, device_), "cuDevicePrimaryCtxRetain");
    try {
        const entered here(*this);
        int32_t most_shared = 0;
        driver_.check(driver_.device_attribute(&most_shared, cu_attribute_shared_optin, device_), "cuDeviceGetAttribute");
        most_shared_ = most_shared;
        driver_.check(driver_.device_attribute(&multiprocessors_, cu_attribute_multiprocessors, device_), "cuDeviceGetAttribute");
        int32_t lowest = 0;
        int32_t highest = 0;
        driver_.check(driver_.context_priorities(&lowest, &highest), "cuCtxGetStreamPriorityRange");
        // The lowest, which is what streams have that ask for none: who serves may ask for more. What keeps training out of the way is slices.
        driver_.check(driver_.stream_create(&stream_, cu_stream_non_blocking, lowest), "cuStreamCreateWithPriority");
        driver_.check(driver_.event_create(&done_, cu_event_without_timing | cu_event_blocking), "cuEventCreate");
        void * staging = nullptr;
        driver_.check(driver_.host_allocate(&staging, static_cast<size_t>(staging_bytes), 0), "cuMemHostAlloc");
        staging_ = static_cast<char *>(staging);
        cublas_ = cublas::open();
        workspace_ = allocate(cublas_ != nullptr ? cublas::workspace_bytes : most_tile_gemm_scratch_bytes);
    } catch (...) {
        close();
        throw;
    }
}

void cuda_device::close() noexcept {
    if (driver_.context_push(context_) == cu_success) {
        cublas_.reset();
        if (workspace_ != nullptr) {
            driver_.memory_free(address_of(workspace_));
        }
        if (staging_ != nullptr) {
            driver_.host_free(staging_);
        }
        for (const auto & [code, module] : modules_) {
            driver_.module_unload(module);
        }
        if (done_ != nullptr) {
            driver_.event_destroy(done_);
        }
        if (stream_ != nullptr) {
            driver_.stream_destroy(stream_);
        }
        cu_context ignored = nullptr;
        driver_.context_pop(&ignored);
    }
    driver_.context_release(device_);
}

cuda_device::~cuda_device() {
    // Whatever fails here has failed before, and been told.
    if (driver_.context_push(context_) == cu_success) {
        driver_.stream_synchronize(stream_);
        cu_context ignored = nullptr;
        driver_.context_pop(&ignored);
    }
    close();
}

device_info cuda_device::info() const {
    const entered here(*this);
    return info_of(driver_, device_);
}

device_info cuda_device::look(int32_t ordinal, std::string * products) {
    const cuda_driver & driver = cuda_driver::get();
    const cu_device which = opened(driver, ordinal);
    cu_context context = nullptr;
    driver.check(driver.context_retain(&context, which), "cuDevicePrimaryCtxRetain");
    struct kept {
        const cuda_driver & driver;
        cu_device which;
        bool pushed;
        ~kept() {
            cu_context ignored = nullptr;
            if (pushed) {
                driver.context_pop(&ignored);
            }
            driver.context_release(which);
        }
    } until_the_end{driver, which, false};
    driver.check(driver.context_push(context), "cuCtxPushCurrent");
    until_the_end.pushed = true;
    if (products != nullptr) {
        *products = cublas::library_name();
    }
    return info_of(driver, which);
}

void * cuda_device::allocate(int64_t bytes) {
    const entered here(*this);
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
    const std::lock_guard lock(mutex_);
    if (memory != nullptr && driver_.context_push(context_) == cu_success) {
        driver_.memory_free(address_of(memory));
        cu_context ignored = nullptr;
        driver_.context_pop(&ignored);
    }
}

// All that was asked for before is done.
void cuda_device::drain() {
    driver_.check(driver_.event_record(done_, stream_), "cuEventRecord");
    driver_.check(driver_.event_synchronize(done_), "the work on the GPU");
    staged_ = 0;
}

// Through pinned memory: what the driver makes of an asynchronous copy from any other is not promised.
void cuda_device::upload(void * to, const void * from, int64_t bytes) {
    const entered here(*this);
    for (int64_t done = 0; done < bytes;) {
        if (staged_ == staging_bytes) {
            drain();
        }
        const int64_t count = std::min(bytes - done, staging_bytes - staged_);
        std::memcpy(staging_ + staged_, static_cast<const char *>(from) + done, static_cast<size_t>(count));
        driver_.check(driver_.copy_up(address_of(to) + static_cast<cu_address>(done), staging_ + staged_, static_cast<size_t>(count), stream_), "cuMemcpyHtoDAsync");
        staged_ += count;
        done += count;
    }
}

void cuda_device::download(void * to, const void * from, int64_t bytes) {
    const entered here(*this);
    driver_.check(driver_.copy_down(to, address_of(from), static_cast<size_t>(bytes), stream_), "cuMemcpyDtoHAsync");
    drain();
}

void cuda_device::copy(void * to, const void * from, int64_t bytes) {
    const entered here(*this);
    driver_.check(driver_.copy_within(address_of(to), address_of(from), static_cast<size_t>(bytes), stream_), "cuMemcpyDtoDAsync");
}

void cuda_device::zero(void * at, int64_t bytes) {
    const entered here(*this);
    driver_.check(driver_.memory_set(address_of(at), 0, static_cast<size_t>(bytes), stream_), "cuMemsetD8Async");
}

void cuda_device::synchronize() {
    const entered here(*this);
    drain();
}

std::unique_ptr<device_mark> cuda_device::make_mark() {
    const entered here(*this);
    return std::make_unique<mark>(*this);
}

void cuda_device::set(device_mark & at) {
    const entered here(*this);
    driver_.check(driver_.event_record(static_cast<mark &>(at).event, stream_), "cuEventRecord");
}

void cuda_device::wait(device_mark & at) {
    const entered here(*this);
    driver_.check(driver_.event_synchronize(static_cast<mark &>(at).event), "the work on the GPU");
}

double cuda_device::seconds(device_mark & from, device_mark & to) {
    const entered here(*this);
    float milliseconds = 0;
    driver_.check(driver_.event_elapsed(&milliseconds, static_cast<mark &>(from).event, static_cast<mark &>(to).event), "cuEventElapsedTime");
    return static_cast<double>(milliseconds) / 1000;
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

void cuda_device::launch(const char * kernel, grid_size grid, int threads, int64_t shared_bytes, const kernel_argument * arguments, int count, double) {
    constexpr int most = 32;
    constexpr int64_t without_asking = 48 * 1024;
    if (count > most || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) {
        throw error(failure::device, std::string(kernel) + " cannot be launched with so many blocks or arguments");
    }
    const entered here(*this);
    if (shared_bytes > most_shared_) {
        throw error(failure::unsupported, std::string(kernel) + " needs " + std::to_string(shared_bytes) + " bytes of shared memory, and a block of this GPU has at most " + std::to_string(most_shared_) +
                                              ": heads this wide need a larger GPU");
    }
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
    const entered here(*this);
    if (cublas_ == nullptr || !cublas_->multiply(product, workspace_, stream_)) {
        tile_gemm(gpu_context{*this}, product, workspace_);
    }
}

} // namespace continual
