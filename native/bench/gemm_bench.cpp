// Matrix products against OpenBLAS, in one run, taking turns; medians.
//
//     cmake -S . -B build/native -G Ninja -DCONTINUAL_NATIVE_BENCH=ON && cmake --build build/native && build/native/native/bench/gemm_bench [threads] [repeats]
//
// What to expect. First the speed of the registers alone: FMA on floats and vdpbf16ps, without memory. AMD since Zen 4 starts as many vdpbf16ps as FMA, so
// bf16 has twice the rate there; Intel (seen on Emerald Rapids) starts a quarter as many, so vdpbf16ps has HALF the rate of f32, and preferred_isa() computes
// bf16 products by FMA: no faster than f32, whatever the code. The mark is f32 ≥ 1 × OpenBLAS's sgemm and, where vdpbf16ps is the faster one, bf16 ≥ 2 ×;
// packing and unpacking included, at 512 rows. A product of 512 rows should reach 80 % of the registers' speed and more; thin ones (ranks of an adapter) are
// bound by memory and packing and should still not be slower than OpenBLAS.
#include "ops/gemm.h"
#include "ops/quant.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#if defined(CN_BENCH_OPENBLAS)
#include <dlfcn.h>
#endif

#if defined(__x86_64__)
#include <immintrin.h>
#endif

using namespace continual;

namespace {

// Where others are at work, too, the processor time of a single thread says more than the clock: CONTINUAL_BENCH_CPU_TIME=1 gemm_bench 1
const bool cpu_time = std::getenv("CONTINUAL_BENCH_CPU_TIME") != nullptr;

double now() {
    if (cpu_time) {
        return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> x) {
    std::sort(x.begin(), x.end());
    return x[x.size() / 2];
}

#if defined(__x86_64__)

// 24 sums in registers: more than latency times rate. In assembly, because a compiler moves what it likes.
#define CN_EACH_SUM(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13) x(14) x(15) x(16) x(17) x(18) x(19) x(20) x(21) x(22) x(23)

constexpr int peak_rounds = 400000;

__attribute__((target("avx512f"))) void fma_peak() {
    for (int i = 0; i < peak_rounds; i++) {
#define CN_FMA(n) "vfmadd231ps %%zmm30, %%zmm31, %%zmm" #n "\n"
        __asm__ volatile(CN_EACH_SUM(CN_FMA)::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
            "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23");
    }
}

__attribute__((target("avx512f"))) void dp_peak() {
    for (int i = 0; i < peak_rounds; i++) {
#define CN_DP(n) "vdpbf16ps %%zmm30, %%zmm31, %%zmm" #n "\n"
        __asm__ volatile(CN_EACH_SUM(CN_DP)::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
            "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23");
    }
}

__attribute__((target("avx512f"))) void set_peak_operands() {
    // Numbers, not what happens to be there: denormals may be slow.
    __asm__ volatile("vpxord %%zmm30, %%zmm30, %%zmm30\nvpxord %%zmm31, %%zmm31, %%zmm31" ::: "xmm30", "xmm31");
}

// GFLOP/s of all threads together.
double peak(thread_pool & pool, void (*loop)(), int flops_per_lane) {
    std::vector<double> rates;
    for (int i = 0; i < 9; i++) {
        const double start = now();
        pool.run(pool.threads(), [&](int64_t, int32_t) {
            set_peak_operands();
            loop();
        });
        rates.push_back(24.0 * 16 * flops_per_lane * peak_rounds * pool.threads() / (now() - start) * 1e-9);
    }
    return median(rates);
}

#endif

using sgemm = void (*)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);

// OpenBLAS's, or null.
sgemm find_openblas([[maybe_unused]] int threads) {
#if defined(CN_BENCH_OPENBLAS)
    // It falls to SSE kernels on a processor that is younger than itself; that would be too easy to beat.
    setenv("OPENBLAS_CORETYPE", best_isa() >= isa::avx512 ? "SkylakeX" : "Haswell", 0);
    // Its threads would go on spinning for tens of milliseconds, into our turn.
    setenv("OPENBLAS_THREAD_TIMEOUT", "16", 0);
    setenv("OPENBLAS_NUM_THREADS", std::to_string(threads).c_str(), 0);
    void * const library = dlopen(CN_BENCH_OPENBLAS, RTLD_NOW);
    if (library == nullptr) {
        std::printf("OpenBLAS could not be loaded: %s\n", dlerror());
        return nullptr;
    }
    reinterpret_cast<void (*)(int)>(dlsym(library, "openblas_set_num_threads"))(threads);
    std::printf("OpenBLAS kernels: %s\n", reinterpret_cast<const char * (*)()>(dlsym(library, "openblas_get_corename"))());
    return reinterpret_cast<sgemm>(dlsym(library, "cblas_sgemm"));
#else
    std::printf("OpenBLAS was not found when this was built (Debian: libopenblas-dev); no ratios\n");
    return nullptr;
#endif
}

struct free_aligned {
    void operator()(char * p) const { ::operator delete[](p, std::align_val_t{64}); }
};

std::unique_ptr<char[], free_aligned> make(int64_t bytes) {
    std::unique_ptr<char[], free_aligned> p(new (std::align_val_t{64}) char[static_cast<size_t>(bytes)]);
    std::memset(p.get(), 0, static_cast<size_t>(bytes));
    return p;
}

struct shape {
    const char * what;
    int64_t m;
    int64_t n;
    int64_t k;
    tensor_type type;
    bool transposed;      // of the right side
    bool left_transposed; // stored k × m
    bool left_bf16;
};

void fill(std::vector<float> & x) {
    uint32_t state = 1;
    for (float & value : x) {
        state = state * 1664525u + 1013904223u;
        value = static_cast<float>(static_cast<int32_t>(state)) / 2147483648.0f;
    }
}

void measure(thread_pool & pool, sgemm openblas, const shape & s, int repeats, double fma_rate) {
    std::vector<float> left(static_cast<size_t>(s.m * s.k));
    std::vector<float> right(static_cast<size_t>(s.n * s.k));
    std::vector<float> out(static_cast<size_t>(s.m * s.n));
    fill(left);
    fill(right);
    const int64_t rows = s.transposed ? s.n : s.k;
    const int64_t columns = s.transposed ? s.k : s.n;
    const int64_t stride = row_bytes(s.type, columns);
    const auto stored = make(rows * stride);
    for (int64_t i = 0; i < rows * stride; i++) {
        // Small halves and floats: no denormals, nothing infinite.
        stored[static_cast<size_t>(i)] = static_cast<char>(s.type == tensor_type::f32 || s.type == tensor_type::bf16 ? (i % 2 == 1 ? 0x3c : i * 7) : (i * 7 % 32));
    }
    std::vector<bf16> left_narrow(left.size());
    for (size_t i = 0; i < left.size(); i++) {
        left_narrow[i] = to_bf16(left[i]);
    }
    const auto scratch = make(gemm_scratch_bytes(pool.threads(), s.m, s.k));
    const void * const left_data = s.left_bf16 ? static_cast<const void *>(left_narrow.data()) : left.data();
    const gemm_term term = {{left_data, s.left_bf16, s.left_transposed ? s.m : s.k, s.left_transposed}, {stored.get(), s.type, rows, columns, stride, s.transposed}, s.k, 1.0f};
    const gemm_out to = {out.data(), false, s.n, false, nullptr};
    const auto ours = [&](isa level, precision how) {
        const double start = now();
        gemm({pool, level}, how, s.m, s.n, &term, 1, to, scratch.get());
        return now() - start;
    };
    const bool dp = best_isa() >= isa::avx512_bf16;
    const isa floats = std::min(best_isa(), isa::avx512);
    std::vector<double> times[4];
    for (int r = 0; r < repeats + 1; r++) {
        double t[4] = {};
        if (openblas != nullptr) {
            const double start = now();
            openblas(101, s.left_transposed ? 112 : 111, s.transposed ? 112 : 111, static_cast<int>(s.m), static_cast<int>(s.n), static_cast<int>(s.k), 1.0f, left.data(),
                static_cast<int>(s.left_transposed ? s.m : s.k), right.data(), static_cast<int>(columns), 0.0f, out.data(), static_cast<int>(s.n));
            t[0] = now() - start;
        }
        t[1] = ours(floats, precision::f32);
        t[2] = ours(floats, precision::bf16);
        t[3] = dp ? ours(isa::avx512_bf16, precision::bf16) : 0;
        for (int i = 0; i < 4 && r > 0; i++) {
            times[i].push_back(t[i]);
        }
    }
    const double flops = 2e-9 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
    const double base = openblas != nullptr ? median(times[0]) : NAN;
    std::printf("%-22s %5lld %5lld %5lld %-6s| %6.1f |", s.what, static_cast<long long>(s.m), static_cast<long long>(s.n), static_cast<long long>(s.k), name(s.type), flops / base);
    for (int i = 1; i < 4; i++) {
        const double t = median(times[i]);
        if (t > 0) {
            std::printf(" %6.1f %5.2f× |", flops / t, base / t);
        }
    }
    std::printf(" %3.0f %%\n", 100 * flops / median(times[1]) / fma_rate);
    std::fflush(stdout);
}

} // namespace

int main(int argc, char ** argv) {
    const int threads = argc > 1 ? std::atoi(argv[1]) : static_cast<int>(std::thread::hardware_concurrency());
    const int repeats = argc > 2 ? std::atoi(argv[2]) : 9;
    const char * const only = argc > 3 ? argv[3] : "";
    thread_pool pool(threads, scheduling::normal);
    std::printf("best set of instructions: %s, preferred: %s, %d threads\n", name(best_isa()), name(preferred_isa()), threads);
    const sgemm openblas = find_openblas(threads);
    double fma = NAN;
#if defined(__x86_64__)
    if (best_isa() >= isa::avx512) {
        fma = peak(pool, fma_peak, 2);
        std::printf("registers: FMA %.0f GFLOP/s", fma);
        if (best_isa() >= isa::avx512_bf16) {
            const double dp = peak(pool, dp_peak, 4);
            std::printf(", vdpbf16ps %.0f GFLOP/s (%.2f of FMA)", dp, dp / fma);
        }
        std::printf("\n");
    }
#endif
    std::printf("GFLOP/s and × OpenBLAS; last: f32 of FMA's registers\n");
    std::printf("%-22s %5s %5s %5s %-6s| %6s | %14s | %14s | %14s |\n", "product", "m", "n", "k", "right", "sgemm", "f32", "bf16 by FMA", "vdpbf16ps");
    const tensor_type q4 = tensor_type::q4_k;
    const shape shapes[] = {
        {"down, forwards", 512, 896, 4864, q4, true, false, false},
        {"down, backwards", 512, 4864, 896, q4, false, false, false},
        {"1B down, forwards", 512, 2048, 8192, q4, true, false, false},
        {"1B down, backwards", 512, 8192, 2048, q4, false, false, false},
        {"up, forwards", 512, 4864, 896, tensor_type::q8_0, true, false, true},
        {"up, backwards", 512, 896, 4864, tensor_type::q8_0, false, false, true},
        {"dense, forwards", 512, 4864, 896, tensor_type::f32, true, false, false},
        {"dense, backwards", 512, 896, 4864, tensor_type::f32, false, false, false},
        {"dense, forwards", 512, 896, 4864, tensor_type::bf16, true, false, true},
        {"dense, backwards", 512, 4864, 896, tensor_type::bf16, false, false, true},
        {"square q, forwards", 512, 896, 896, tensor_type::f32, true, false, true},
        {"x A^T", 512, 16, 4864, tensor_type::f32, true, false, true},
        {"x A^T, rank 48", 512, 48, 896, tensor_type::f32, true, false, true},
        {"u B^T", 512, 4864, 16, tensor_type::f32, true, false, false},
        {"dy B", 512, 16, 4864, tensor_type::f32, false, false, true},
        {"du^T x", 16, 4864, 512, tensor_type::bf16, false, true, false},
        {"dy^T u", 4864, 16, 512, tensor_type::f32, false, true, true},
        {"few rows", 8, 896, 4864, q4, true, false, true},
    };
    for (const shape & s : shapes) {
        if (std::strstr(s.what, only) != nullptr) {
            measure(pool, openblas, s, repeats, fma);
        }
    }
    return 0;
}
