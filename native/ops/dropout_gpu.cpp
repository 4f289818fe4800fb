#include "ops/dropout.h"
#include "ops/dropout_rate.h"

namespace continual {

namespace {

constexpr int block = 256;
// A thread takes 64 bytes.
constexpr int64_t bytes_of_thread = 64;

} // namespace

template <typename T>
void dropout(const gpu_context & gpu, uint64_t seed, uint64_t stream, int64_t n, float rate, const T * x, T * y) {
    if (n <= 0) {
        return;
    }
    const int64_t bytes = n * static_cast<int64_t>(sizeof(T));
    const dropout_rate of = dropout_rate_of(rate);
    if (of.all) {
        gpu.on.zero(y, bytes);
        return;
    }
    if (of.none) {
        if (y != x) {
            gpu.on.copy(y, x, bytes);
        }
        return;
    }
    // Threads come in the number that shares a group of 64 elements.
    const int64_t threads = pieces(n, 64) * (64 * static_cast<int64_t>(sizeof(T)) / bytes_of_thread);
    launch(gpu, kernel_of<T>("dropout"), {pieces(threads, block)}, block, 0, seed, stream, n, of.threshold, of.scale, x, y);
}

template void dropout(const gpu_context &, uint64_t, uint64_t, int64_t, float, const float *, float *);
template void dropout(const gpu_context &, uint64_t, uint64_t, int64_t, float, const bf16 *, bf16 *);

} // namespace continual
