#include "runtime/cublas.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <utility>

namespace continual {

namespace {

// From NVIDIA's documentation of cuBLASLt; the values are the same in 12 and 13.
using status = int32_t;
constexpr int32_t type_f32 = 0;          // CUDA_R_32F
constexpr int32_t type_bf16 = 14;        // CUDA_R_16BF
constexpr int32_t compute_f32 = 68;      // CUBLAS_COMPUTE_32F
constexpr int32_t operation_t = 1;       // CUBLAS_OP_T
constexpr int32_t attribute_trans_a = 3; // CUBLASLT_MATMUL_DESC_TRANSA
constexpr int32_t attribute_trans_b = 4; // CUBLASLT_MATMUL_DESC_TRANSB
constexpr int32_t preference_workspace = 1;
constexpr int32_t preference_reduction = 3; // CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK
constexpr uint32_t reduction_in_float = 2;  // CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
constexpr status not_supported = 15;
constexpr int32_t preference_alignment[4] = {5, 6, 7, 8}; // of A, B, C, D in bytes

struct heuristic {
    uint64_t algorithm[8];
    size_t workspace;
    status state;
    float waves;
    int32_t reserved[4];
};
static_assert(sizeof(heuristic) == 96);

#define CN_CUBLAS_FUNCTIONS(f)                                                                                                                                        \
    f(create, "cublasLtCreate", (void **))                                                                                                                            \
    f(destroy, "cublasLtDestroy", (void *))                                                                                                                           \
    f(product_create, "cublasLtMatmulDescCreate", (void **, int32_t, int32_t))                                                                                        \
    f(product_set, "cublasLtMatmulDescSetAttribute", (void *, int32_t, const void *, size_t))                                                                         \
    f(product_destroy, "cublasLtMatmulDescDestroy", (void *))                                                                                                         \
    f(layout_create, "cublasLtMatrixLayoutCreate", (void **, int32_t, uint64_t, uint64_t, int64_t))                                                                   \
    f(layout_destroy, "cublasLtMatrixLayoutDestroy", (void *))                                                                                                        \
    f(preference_create, "cublasLtMatmulPreferenceCreate", (void **))                                                                                                 \
    f(preference_set, "cublasLtMatmulPreferenceSetAttribute", (void *, int32_t, const void *, size_t))                                                                \
    f(preference_destroy, "cublasLtMatmulPreferenceDestroy", (void *))                                                                                                \
    f(choose, "cublasLtMatmulAlgoGetHeuristic", (void *, void *, void *, void *, void *, void *, void *, int32_t, heuristic *, int32_t *))                            \
    f(run, "cublasLtMatmul",                                                                                                                                          \
      (void *, void *, const void *, const void *, void *, const void *, void *, const void *, const void *, void *, void *, void *, const void *, void *, size_t, cu_stream))

struct functions {
#define CN_DECLARE(member, symbol, parameters) status(*member) parameters = nullptr;
    CN_CUBLAS_FUNCTIONS(CN_DECLARE)
#undef CN_DECLARE
};

void check(status result, const char * what) {
    if (result == 0) {
        return;
    }
    // CUBLAS_STATUS_NOT_INITIALIZED, _ALLOC_FAILED, _INVALID_VALUE, _ARCH_MISMATCH, _EXECUTION_FAILED, _NOT_SUPPORTED
    const char * name = result == 1    ? "not initialized"
                        : result == 3  ? "allocation failed"
                        : result == 7  ? "invalid value"
                        : result == 8  ? "the device lacks a feature"
                        : result == 13 ? "execution failed"
                        : result == 15 ? "not supported"
                                       : "unknown";
    throw error(result == 3 ? failure::memory : failure::device, std::string(what) + " failed with cuBLAS's status " + std::to_string(result) + " (" + name + ")");
}

uint32_t alignment_of(const void * pointer) {
    const auto bits = reinterpret_cast<uintptr_t>(pointer) | 256;
    return static_cast<uint32_t>(bits & (~bits + 1));
}

// What the choice of an algorithm depends on.
using key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int32_t, uint32_t, uint32_t, uint32_t>;

// The library's description of a product, with the algorithm that it chose; product null: it has none.
struct plan {
    void * product = nullptr;
    void * layouts[3] = {}; // right, left, out
    heuristic chosen{};
};

// A library with all that is needed, and a handle of it to show that it works on this machine.
struct opened {
    library from;
    functions call;
};

bool find_all(opened & made) {
#define CN_FIND(member, symbol, parameters)                                                   \
    made.call.member = reinterpret_cast<decltype(made.call.member)>(made.from.find(symbol)); \
    if (made.call.member == nullptr) {                                                        \
        return false;                                                                         \
    }
    CN_CUBLAS_FUNCTIONS(CN_FIND)
#undef CN_FIND
    return true;
}

// The library that is used in this process, or null. A context must be current.
const opened * working() {
#if defined(_WIN32)
    constexpr const char * names[] = {"cublasLt64_13.dll", "cublasLt64_12.dll"};
#else
    constexpr const char * names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
#endif
    // Decision: never closed. It brings a runtime of its own along, which does not like to go while contexts live.
    static const opened * works = nullptr;
    static std::set<std::string> broken; // opened, and of no use
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    if (const char * own = std::getenv("CONTINUAL_OWN_PRODUCTS"); own != nullptr && *own != 0) {
        return nullptr;
    }
    // What llama.cpp has loaded goes first: two versions side by side would be a waste of memory.
    for (const bool loaded : {true, false}) {
        for (const char * name : names) {
            if (works != nullptr) {
                return works;
            }
            if (broken.contains(name)) {
                continue;
            }
            auto made = std::make_unique<opened>();
            made->from = loaded ? library::loaded(name) : library({name});
            if (!made->from.is_open()) {
                continue;
            }
            // Opened is opened: it is left so even where it does not work.
            const opened * const tried = made.get();
            void * handle = nullptr;
            const bool complete = find_all(*made);
            static_cast<void>(made.release());
            if (complete && tried->call.create(&handle) == 0) {
                tried->call.destroy(handle);
                works = tried;
            } else {
                broken.insert(name);
            }
        }
    }
    return works;
}

// Batches differ in length, and each length is a plan: so many are kept.
constexpr size_t most_plans = 2048;

} // namespace

struct cublas::state {
    const opened & from;
    const functions & call;
    void * handle = nullptr;
    std::map<key, plan> plans;

    explicit state(const opened & library) : from(library), call(library.call) {}

    ~state() {
        for (auto & [shape, p] : plans) {
            drop(p);
        }
        if (handle != nullptr) {
            call.destroy(handle);
        }
    }

    void drop(plan & p) {
        for (void * layout : p.layouts) {
            if (layout != nullptr) {
                call.layout_destroy(layout);
            }
        }
        if (p.product != nullptr) {
            call.product_destroy(p.product);
        }
    }

    const plan & plan_of(const device_product & p) {
        const int32_t flags = (p.left.is_bf16 ? 1 : 0) | (p.out_is_bf16 ? 2 : 0) | (p.left.transposed ? 4 : 0) | (p.right.transposed ? 8 : 0);
        const uint32_t alignments[3] = {alignment_of(p.right.data), alignment_of(p.left.data), alignment_of(p.out)};
        const key shape(p.m, p.n, p.k, p.left.stride, p.right.stride, p.out_stride, flags, alignments[0], alignments[1], alignments[2]);
        const auto found = plans.find(shape);
        if (found != plans.end()) {
            return found->second;
        }
        if (plans.size() >= most_plans) {
            for (auto & [other, old] : plans) {
                drop(old);
            }
            plans.clear();
        }
        plan made;
        try {
            if (!describe(p, alignments, made)) {
                drop(made);
                made = {};
            }
        } catch (...) {
            drop(made);
            throw;
        }
        return plans.emplace(shape, made).first->second;
    }

    // Row-major matrices are the column-major transposes of themselves: outᵀ = rightᵀ · leftᵀ. false: there is no algorithm for it.
    bool describe(const device_product & p, const uint32_t alignments[3], plan & made) {
        check(call.product_create(&made.product, compute_f32, type_f32), "cublasLtMatmulDescCreate");
        if (p.right.transposed) {
            check(call.product_set(made.product, attribute_trans_a, &operation_t, sizeof operation_t), "cublasLtMatmulDescSetAttribute");
        }
        if (p.left.transposed) {
            check(call.product_set(made.product, attribute_trans_b, &operation_t, sizeof operation_t), "cublasLtMatmulDescSetAttribute");
        }
        const auto layout = [&](int which, bool is_bf16, int64_t rows, int64_t columns, int64_t stride) {
            check(call.layout_create(&made.layouts[which], is_bf16 ? type_bf16 : type_f32, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), stride), "cublasLtMatrixLayoutCreate");
        };
        layout(0, p.right.is_bf16, p.right.transposed ? p.k : p.n, p.right.transposed ? p.n : p.k, p.right.stride);
        layout(1, p.left.is_bf16, p.left.transposed ? p.m : p.k, p.left.transposed ? p.k : p.m, p.left.stride);
        layout(2, p.out_is_bf16, p.n, p.m, p.out_stride);
        void * preference = nullptr;
        check(call.preference_create(&preference), "cublasLtMatmulPreferenceCreate");
        const size_t workspace = workspace_bytes;
        status set = call.preference_set(preference, preference_workspace, &workspace, sizeof workspace);
        // Parts of a sum may not be added up in bf16.
        set = set != 0 ? set : call.preference_set(preference, preference_reduction, &reduction_in_float, sizeof reduction_in_float);
        for (int i = 0; i < 4 && set == 0; i++) {
            set = call.preference_set(preference, preference_alignment[i], &alignments[i < 2 ? i : 2], sizeof(uint32_t));
        }
        int32_t count = 0;
        if (set == 0) {
            set = call.choose(handle, made.product, made.layouts[0], made.layouts[1], made.layouts[2], made.layouts[2], preference, 1, &made.chosen, &count);
        }
        call.preference_destroy(preference);
        if (set == not_supported || (set == 0 && (count < 1 || made.chosen.state != 0))) {
            return false;
        }
        check(set, "cublasLtMatmulAlgoGetHeuristic");
        return true;
    }
};

cublas::cublas(std::unique_ptr<state> made) : state_(std::move(made)) {}
cublas::~cublas() = default;

std::unique_ptr<cublas> cublas::open() {
    const opened * const works = working();
    if (works == nullptr) {
        return nullptr;
    }
    auto made = std::make_unique<state>(*works);
    check(works->call.create(&made->handle), "cublasLtCreate");
    return std::unique_ptr<cublas>(new cublas(std::move(made)));
}

std::string cublas::library_name() {
    const opened * const works = working();
    return works == nullptr ? "" : works->from.name();
}

bool cublas::multiply(const device_product & p, void * workspace, cu_stream stream) {
    const plan & made = state_->plan_of(p);
    if (made.product == nullptr) {
        return false;
    }
    const float beta = p.accumulate ? 1.0f : 0.0f;
    check(state_->call.run(state_->handle, made.product, &p.scale, p.right.data, made.layouts[0], p.left.data, made.layouts[1], &beta, p.out, made.layouts[2], p.out, made.layouts[2],
                           made.chosen.algorithm, workspace, workspace_bytes, stream),
          "cublasLtMatmul");
    return true;
}

} // namespace continual
