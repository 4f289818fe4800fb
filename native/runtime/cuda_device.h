// A GPU by the CUDA driver, in the device's primary context, which is where llama.cpp's backend has its weights.
#pragma once

#include "runtime/cublas.h"
#include "runtime/cuda_driver.h"
#include "runtime/device.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace continual {

struct device_info {
    std::string name;
    int32_t major = 0;
    int32_t minor = 0;
    int32_t multiprocessors = 0;
    int64_t memory = 0;      // bytes
    int64_t free_memory = 0; // bytes, at the time of asking
};

// Several trainers may use one at a time: each call is whole.
class cuda_device final : public device {
public:
    // Throws error(device) for no driver, no such device, one older than sm_80, or a build without kernels.
    explicit cuda_device(int32_t ordinal) : cuda_device(ordinal, cuda_driver::get()) {}
    // By another driver, for tests.
    cuda_device(int32_t ordinal, const cuda_driver & driver);
    ~cuda_device() override;
    cuda_device(const cuda_device &) = delete;
    cuda_device & operator=(const cuda_device &) = delete;

    device_info info() const;
    // The same of a device that nobody has opened: nothing is left behind. Throws as the constructor does.
    // products: is set to the library that would make products there, which is opened for it; empty: our own kernels.
    static device_info look(int32_t ordinal, std::string * products = nullptr);

    void * allocate(int64_t bytes) override;
    void release(void * memory) noexcept override;
    void upload(void * to, const void * from, int64_t bytes) override;
    void download(void * to, const void * from, int64_t bytes) override;
    void copy(void * to, const void * from, int64_t bytes) override;
    void zero(void * at, int64_t bytes) override;
    void synchronize() override;
    std::unique_ptr<device_mark> make_mark() override;
    void set(device_mark & mark) override;
    void wait(device_mark & mark) override;
    double seconds(device_mark & from, device_mark & to) override;
    int32_t multiprocessors() override { return multiprocessors_; }
    void launch(const char * kernel, grid_size grid, int threads, int64_t shared_bytes, const kernel_argument * arguments, int count, double work) override;
    void multiply(const device_product & product) override;

private:
    struct loaded {
        cu_function function = nullptr;
        int64_t shared_bytes = 0; // allowed so far
    };

    // The context is current while one of these lives, and the caller's own again after.
    class entered;
    class mark;

    void close() noexcept;
    void drain();
    loaded & find(const char * kernel);
    cu_module load(int32_t code);

    const cuda_driver & driver_;
    cu_device device_ = 0;
    cu_context context_ = nullptr;
    cu_stream stream_ = nullptr;
    cu_event done_ = nullptr; // of whoever waits for everything
    char * staging_ = nullptr; // of the host, pinned: what is uploaded lies here until it is there
    int64_t staged_ = 0;
    int32_t multiprocessors_ = 0;
    int64_t most_shared_ = 0; // bytes of shared memory that a block may have
    mutable std::recursive_mutex mutex_; // tile_gemm launches from within multiply
    std::unique_ptr<cublas> cublas_; // null: products run on tile_gemm
    void * workspace_ = nullptr;
    std::map<int32_t, cu_module> modules_;
    std::map<std::string, loaded, std::less<>> kernels_;
};

} // namespace continual
