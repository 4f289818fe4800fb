#include "ops/attention.h"

#include "ops/attention_tile.h"
#include "ops/every_isa.h"

#include <algorithm>
#include <limits>
#include <type_traits>

namespace continual {

CN_EVERY_ISA(
    template <typename T>
    void attention_softmax(const attention_tile & tile, const float * scores, T * p, float * most, float * sum, float * o, int64_t o_width);
    template <typename T>
    void attention_finish(int64_t queries, int64_t width, const float * from, const float * most, const float * sum, T * o, int64_t o_stride, float * lse, int64_t lse_stride);
    template <typename T>
    void attention_row_dots(int64_t rows, int64_t width, int64_t stride, const T * a, const T * b, float * dots);
    template <typename T>
    void attention_score_gradients(const attention_tile & tile, const float * scores, const float * dp, const float * lse, int64_t lse_stride, const float * dots, float scale, T * p,
                                   T * ds);
    template <typename T>
    void attention_store(int64_t rows, int64_t width, const float * from, T * to, int64_t stride);)

namespace {

// A tile's scores, their gradients and both in T (64 KiB each at most) fit into the second cache beside gemm's panels. Fewer keys cost more packing: 5 % with 128.
constexpr int64_t tile_queries = 64;
constexpr int64_t tile_keys = 256;

constexpr int64_t aligned(int64_t bytes) noexcept {
    return (bytes + 63) / 64 * 64;
}

constexpr int64_t floats(int64_t count) noexcept {
    return aligned(count * static_cast<int64_t>(sizeof(float)));
}

// What a thread needs, in the order in which it lies.
struct workspace {
    float * scores;    // tile_queries × tile_keys
    float * d_p;       // likewise; backward only
    void * p;          // likewise, in T
    void * d_s;        // likewise; backward only
    float * out;       // tile_queries × the wider of width and v_width: rows of o or of dq
    float * most;      // tile_queries
    float * sum;       // tile_queries; backward: Σ dO ∘ O
    void * products;   // of gemm
    float * dk;        // longest × width; backward only
    float * dv;        // longest × v_width; backward only
};

constexpr int64_t tile_bytes = floats(tile_queries * tile_keys);

int64_t product_bytes(const attention_shape & shape) noexcept {
    const int64_t most_k = std::max<int64_t>({shape.width, shape.v_width, tile_keys, tile_queries});
    return aligned(gemm_scratch_bytes(1, std::max(tile_queries, tile_keys), most_k));
}

int64_t out_width(const attention_shape & shape) noexcept {
    return std::max(shape.width, shape.v_width);
}

int64_t thread_bytes(const attention_shape & shape, int64_t longest) noexcept {
    return 4 * tile_bytes + floats(tile_queries * out_width(shape)) + 2 * floats(tile_queries) + product_bytes(shape) + floats(longest * shape.width) + floats(longest * shape.v_width);
}

workspace workspace_of(const attention_shape & shape, int64_t longest, void * scratch, int32_t worker) noexcept {
    char * at = static_cast<char *>(scratch) + worker * thread_bytes(shape, longest);
    const auto take = [&](int64_t bytes) {
        char * const here = at;
        at += bytes;
        return here;
    };
    workspace w;
    w.scores = reinterpret_cast<float *>(take(tile_bytes));
    w.d_p = reinterpret_cast<float *>(take(tile_bytes));
    w.p = take(tile_bytes);
    w.d_s = take(tile_bytes);
    w.out = reinterpret_cast<float *>(take(floats(tile_queries * out_width(shape))));
    w.most = reinterpret_cast<float *>(take(floats(tile_queries)));
    w.sum = reinterpret_cast<float *>(take(floats(tile_queries)));
    w.products = take(product_bytes(shape));
    w.dk = reinterpret_cast<float *>(take(floats(longest * shape.width)));
    w.dv = reinterpret_cast<float *>(take(floats(longest * shape.v_width)));
    return w;
}

int64_t longest_of(const attention_shape & shape) noexcept {
    int64_t longest = 0;
    for (int32_t s = 0; s < shape.sequences; s++) {
        longest = std::max<int64_t>(longest, shape.bounds[s + 1] - shape.bounds[s]);
    }
    return longest;
}

int64_t tiles_of(int64_t length) noexcept {
    return (length + tile_queries - 1) / tile_queries;
}

template <typename T>
gemm_left left_of(const T * data, int64_t stride, bool transposed = false) noexcept {
    return {data, std::is_same_v<T, bf16>, stride, transposed};
}

template <typename T>
gemm_right right_of(const T * data, int64_t rows, int64_t columns, int64_t stride, bool transposed) noexcept {
    return {data, std::is_same_v<T, bf16> ? tensor_type::bf16 : tensor_type::f32, rows, columns, stride * static_cast<int64_t>(sizeof(T)), transposed};
}

template <typename T>
void multiply(const cpu_context & cpu, int64_t m, int64_t n, int64_t k, const gemm_left & left, const gemm_right & right, float scale, float * out, int64_t stride, bool accumulate,
              void * scratch) {
    const gemm_term term = {left, right, k, scale};
    gemm_serial(cpu.level, std::is_same_v<T, bf16> ? precision::bf16 : precision::f32, m, n, &term, 1, {out, false, stride, accumulate, nullptr}, scratch);
}

// Calls visit(tile) for the tiles that some of the queries may look at, keys ascending.
template <typename Visit>
void each_tile(const attention_shape & shape, int64_t first_query, int64_t queries, const Visit & visit) {
    const int64_t end = first_query + queries;
    const int64_t begin = shape.window > 0 ? std::max<int64_t>(0, first_query + 1 - shape.window) : 0;
    for (int64_t key = begin; key < end; key += tile_keys) {
        visit(attention_tile{first_query, queries, key, std::min(tile_keys, end - key), shape.window, tile_keys});
    }
}

} // namespace

int64_t attention_scratch_bytes(const attention_shape & shape, int32_t threads, int64_t longest) noexcept {
    return threads * thread_bytes(shape, longest);
}

template <typename T>
void attention_forward(const cpu_context & cpu, const attention_shape & shape, const T * q, const T * k, const T * v, T * o, float * lse, void * scratch) {
    int64_t tasks = 0;
    for (int32_t s = 0; s < shape.sequences; s++) {
        tasks += tiles_of(shape.bounds[s + 1] - shape.bounds[s]) * shape.heads;
    }
    if (tasks == 0) {
        return;
    }
    const int64_t longest = longest_of(shape);
    cpu.pool.run(tasks, [&](int64_t task, int32_t worker) {
        int32_t s = 0;
        int64_t tiles = tiles_of(shape.bounds[1] - shape.bounds[0]);
        while (task >= tiles * shape.heads) {
            task -= tiles * shape.heads;
            s++;
            tiles = tiles_of(shape.bounds[s + 1] - shape.bounds[s]);
        }
        // The last queries look at most keys: they go first, so that no thread waits long at the end.
        const int64_t first_query = (tiles - 1 - task / shape.heads) * tile_queries;
        const int64_t head = task % shape.heads;
        const int64_t kv_head = head / (shape.heads / shape.kv_heads);
        const int64_t start = shape.bounds[s];
        const int64_t queries = std::min<int64_t>(tile_queries, shape.bounds[s + 1] - start - first_query);
        const int64_t row = start + first_query;

        const workspace w = workspace_of(shape, longest, scratch, worker);
        T * const p = static_cast<T *>(w.p);
        std::fill_n(w.out, queries * shape.v_width, 0.0f);
        std::fill_n(w.most, queries, -std::numeric_limits<float>::infinity());
        std::fill_n(w.sum, queries, 0.0f);
        each_tile(shape, first_query, queries, [&](const attention_tile & tile) {
            const int64_t key_row = start + tile.first_key;
            multiply<T>(cpu, queries, tile.keys, shape.width, left_of(q + row * shape.q_stride + head * shape.width, shape.q_stride),
                        right_of(k + key_row * shape.k_stride + kv_head * shape.width, tile.keys, shape.width, shape.k_stride, true), shape.scale, w.scores, tile.stride, false, w.products);
            CN_DISPATCH(cpu.level, attention_softmax(tile, w.scores, p, w.most, w.sum, w.out, shape.v_width));
            multiply<T>(cpu, queries, shape.v_width, tile.keys, left_of(p, tile.stride),
                        right_of(v + key_row * shape.v_stride + kv_head * shape.v_width, tile.keys, shape.v_width, shape.v_stride, false), 1.0f, w.out, shape.v_width, true, w.products);
        });
        CN_DISPATCH(cpu.level, attention_finish(queries, shape.v_width, w.out, w.most, w.sum, o + row * shape.o_stride + head * shape.v_width, shape.o_stride,
                                                lse + row * shape.heads + head, shape.heads));
    });
}

// Decision: a task is a sequence and a kv head, with all query heads that look at it, so that dk and dv are summed by one thread in one order and the scores are
// made again once, not twice. With fewer such tasks than threads some threads have nothing to do.
template <typename T>
void attention_backward(const cpu_context & cpu, const attention_shape & shape, const T * q, const T * k, const T * v, const T * o, const float * lse, const T * d_o, T * dq, T * dk,
                        T * dv, void * scratch) {
    const int64_t longest = longest_of(shape);
    if (longest == 0) {
        return;
    }
    cpu.pool.run(static_cast<int64_t>(shape.sequences) * shape.kv_heads, [&](int64_t task, int32_t worker) {
        const int64_t s = task / shape.kv_heads;
        const int64_t kv_head = task % shape.kv_heads;
        const int64_t group = shape.heads / shape.kv_heads;
        const int64_t start = shape.bounds[s];
        const int64_t length = shape.bounds[s + 1] - start;
        if (length == 0) {
            return;
        }
        const workspace w = workspace_of(shape, longest, scratch, worker);
        T * const p = static_cast<T *>(w.p);
        T * const d_s = static_cast<T *>(w.d_s);
        std::fill_n(w.dk, length * shape.width, 0.0f);
        std::fill_n(w.dv, length * shape.v_width, 0.0f);
        for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
            for (int64_t first_query = 0; first_query < length; first_query += tile_queries) {
                const int64_t queries = std::min(tile_queries, length - first_query);
                const int64_t row = start + first_query;
                const T * const q_rows = q + row * shape.q_stride + head * shape.width;
                const T * const d_o_rows = d_o + row * shape.o_stride + head * shape.v_width;
                CN_DISPATCH(cpu.level, attention_row_dots(queries, shape.v_width, shape.o_stride, d_o_rows, o + row * shape.o_stride + head * shape.v_width, w.sum));
                std::fill_n(w.out, queries * shape.width, 0.0f);
                each_tile(shape, first_query, queries, [&](const attention_tile & tile) {
                    const int64_t key_row = start + tile.first_key;
                    const T * const k_rows = k + key_row * shape.k_stride + kv_head * shape.width;
                    const T * const v_rows = v + key_row * shape.v_stride + kv_head * shape.v_width;
                    multiply<T>(cpu, queries, tile.keys, shape.width, left_of(q_rows, shape.q_stride), right_of(k_rows, tile.keys, shape.width, shape.k_stride, true), shape.scale, w.scores,
                                tile.stride, false, w.products);
                    multiply<T>(cpu, queries, tile.keys, shape.v_width, left_of(d_o_rows, shape.o_stride), right_of(v_rows, tile.keys, shape.v_width, shape.v_stride, true), 1.0f, w.d_p,
                                tile.stride, false, w.products);
                    CN_DISPATCH(cpu.level,
                                attention_score_gradients(tile, w.scores, w.d_p, lse + row * shape.heads + head, shape.heads, w.sum, shape.scale, p, d_s));
                    multiply<T>(cpu, tile.keys, shape.v_width, queries, left_of(p, tile.stride, true), right_of(d_o_rows, queries, shape.v_width, shape.o_stride, false), 1.0f,
                                w.dv + tile.first_key * shape.v_width, shape.v_width, true, w.products);
                    multiply<T>(cpu, queries, shape.width, tile.keys, left_of(d_s, tile.stride), right_of(k_rows, tile.keys, shape.width, shape.k_stride, false), 1.0f, w.out, shape.width,
                                true, w.products);
                    multiply<T>(cpu, tile.keys, shape.width, queries, left_of(d_s, tile.stride, true), right_of(q_rows, queries, shape.width, shape.q_stride, false), 1.0f,
                                w.dk + tile.first_key * shape.width, shape.width, true, w.products);
                });
                CN_DISPATCH(cpu.level, attention_store(queries, shape.width, w.out, dq + row * shape.q_stride + head * shape.width, shape.q_stride));
            }
        }
        CN_DISPATCH(cpu.level, attention_store(length, shape.width, w.dk, dk + start * shape.k_stride + kv_head * shape.width, shape.k_stride));
        CN_DISPATCH(cpu.level, attention_store(length, shape.v_width, w.dv, dv + start * shape.v_stride + kv_head * shape.v_width, shape.v_stride));
    });
}

#define CN_FOR(T)                                                                                                                                             \
    template void attention_forward(const cpu_context &, const attention_shape &, const T *, const T *, const T *, T *, float *, void *);                     \
    template void attention_backward(const cpu_context &, const attention_shape &, const T *, const T *, const T *, const T *, const float *, const T *, T *, T *, T *, void *);
CN_FOR(float)
CN_FOR(bf16)

} // namespace continual
