#include "ops/attention.h"
#include "ops/attention_tiles.cuh"

#include <algorithm>

namespace continual {

namespace {

namespace tiles = attention_tiles;

// Heads are taken as wide as the next width that there are kernels for; what is beyond their own is zero.
template <typename T>
int padded_width(const attention_shape & shape) {
    const int32_t wider = std::max(shape.width, shape.v_width);
    for (const int width : {32, 64, 96, 128, 256}) {
        if (wider <= width && (std::is_same_v<T, bf16> || (width != 32 && width != 96))) {
            return width;
        }
    }
    throw error(failure::unsupported, "a GPU's attention has heads of at most 256, not of " + std::to_string(wider));
}

template <typename T>
bool are_aligned(const attention_shape & shape, std::initializer_list<const void *> pointers) {
    bool all = true;
    for (const void * const pointer : pointers) {
        all = all && reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
    }
    for (const int64_t elements : {static_cast<int64_t>(shape.width), static_cast<int64_t>(shape.v_width), shape.q_stride, shape.k_stride, shape.v_stride, shape.o_stride}) {
        all = all && elements * static_cast<int64_t>(sizeof(T)) % 16 == 0;
    }
    return all;
}

// A window that no sequence fills is none.
int32_t window_of(const attention_shape & shape, const attention_blocks & blocks) {
    return shape.window > 0 && shape.window < blocks.longest ? shape.window : 0;
}

// blocks_of_it: the part of the list that it goes by, on the device; null where it needs none.
template <typename... Arguments>
void launch_problem(const gpu_context & gpu, const std::string & kernel, const attention_shape & shape, const attention_blocks & blocks, const int32_t * blocks_of_it, grid_size grid,
                    int threads, int64_t bytes, double work, bool aligned, Arguments... arguments) {
    launch_of(gpu, kernel, grid, threads, bytes, work, shape.bounds, blocks_of_it, shape.sequences, shape.heads, shape.kv_heads, shape.width, shape.v_width, shape.q_stride, shape.k_stride,
              shape.v_stride, shape.o_stride, shape.scale, window_of(shape, blocks), static_cast<int32_t>(aligned), arguments...);
}

// Blocks `first` and the next `count` − 1 of the list, in as many launches as the device wants.
template <typename... Arguments>
void launch_for(const gpu_context & gpu, const std::string & kernel, const attention_shape & shape, const attention_blocks & blocks, int64_t first, int64_t count, grid_size grid,
                int64_t bytes, bool aligned, Arguments... arguments) {
    const double most = gpu.on.most_work(kernel.c_str());
    const double each = static_cast<double>(grid.y * grid.z);
    for (int64_t done = 0; done < count;) {
        int64_t next = done;
        double sum = 0;
        do {
            sum += each * blocks.work[static_cast<std::size_t>(first + next++)];
        } while (next < count && sum + each * blocks.work[static_cast<std::size_t>(first + next)] <= most);
        grid.x = next - done;
        launch_problem(gpu, kernel, shape, blocks, blocks.there + 2 * (first + done), grid, tiles::threads, bytes, sum, aligned, arguments...);
        done = next;
    }
}

template <typename T>
std::string kernel_for(const char * op, int width) {
    return kernel_of<T>(op) + "_" + std::to_string(width);
}

} // namespace

int64_t attention_gpu_scratch_bytes(const attention_shape & shape, int64_t rows) noexcept {
    return rows * shape.heads * static_cast<int64_t>(sizeof(float));
}

int64_t most_attention_blocks(int64_t rows, int32_t sequences) noexcept {
    // The smallest tile there is, and a sequence's last one, which may be less than whole.
    return 3 * 2 * (rows / tiles::float_rows + sequences);
}

template <typename T>
attention_blocks attention_blocks_of(const attention_shape & shape, const int32_t * bounds) {
    const int width = padded_width<T>(shape);
    attention_blocks blocks;
    blocks.rows = bounds[shape.sequences] - bounds[0];
    for (int32_t s = 0; s < shape.sequences; s++) {
        blocks.longest = std::max(blocks.longest, bounds[s + 1] - bounds[s]);
    }
    const int32_t window = window_of(shape, blocks);
    struct block {
        int32_t sequence;
        int32_t first;
        int32_t work;
    };
    std::vector<block> some;
    const auto add = [&](int32_t rows, bool of_keys) {
        some.clear();
        for (int32_t s = 0; s < shape.sequences; s++) {
            const int32_t length = bounds[s + 1] - bounds[s];
            for (int32_t first = 0; first < length; first += rows) {
                const int32_t seen = of_keys ? length - first : first + rows;
                some.push_back({s, first, window > 0 ? std::min(seen, window + rows) : seen});
            }
        }
        std::stable_sort(some.begin(), some.end(), [](const block & a, const block & b) { return a.work > b.work; });
        for (const block & b : some) {
            blocks.list.push_back(b.sequence);
            blocks.list.push_back(b.first);
            blocks.work.push_back(b.work);
        }
        return static_cast<int64_t>(some.size());
    };
    blocks.forward = add(tiles::forward_rows<T>(width), false);
    blocks.backward = add(tiles::backward_rows<T>(width), false);
    add(tiles::backward_rows<T>(width), true);
    return blocks;
}

template <typename T>
void attention_forward(const gpu_context & gpu, const attention_shape & shape, const attention_blocks & blocks, const T * q, const T * k, const T * v, T * o, float * lse) {
    const int width = padded_width<T>(shape);
    const bool aligned = are_aligned<T>(shape, {q, k, v, o});
    launch_for(gpu, kernel_for<T>("attention_forward", width), shape, blocks, 0, blocks.forward, {1, shape.heads}, tiles::forward_bytes<T>(width), aligned, q,
               k, v, o, lse);
}

template <typename T>
void attention_backward(const gpu_context & gpu, const attention_shape & shape, const attention_blocks & blocks, const T * q, const T * k, const T * v, const T * o, const float * lse,
                        const T * d_o, T * dq, T * dk, T * dv, void * scratch) {
    const int width = padded_width<T>(shape);
    const bool aligned = are_aligned<T>(shape, {q, k, v, o, d_o, dq, dk, dv});
    float * const dots = static_cast<float *>(scratch);
    // Enough for any GPU; each goes through the rows in steps.
    constexpr int64_t most_blocks = 4096;
    launch_problem(gpu, kernel_of<T>("attention_dots"), shape, blocks, nullptr, {std::min(most_blocks, pieces(blocks.rows, tiles::dots_threads / 32))}, tiles::dots_threads, 0,
                   static_cast<double>(blocks.rows) * shape.heads, aligned, d_o, o, dots);

    const int64_t parts = std::is_same_v<T, bf16> && tiles::is_split(width) ? 2 : 1;
    const int64_t queries = blocks.forward;
    const int64_t keys = queries + blocks.backward;
    launch_for(gpu, kernel_for<T>("attention_keys", width), shape, blocks, keys, blocks.backward, {1, shape.kv_heads, parts}, tiles::backward_bytes<T>(width), aligned, q, k, v, lse, d_o, static_cast<const float *>(dots), dk, dv);
    launch_for(gpu, kernel_for<T>("attention_queries", width), shape, blocks, queries, blocks.backward, {1, shape.heads}, tiles::backward_bytes<T>(width), aligned, q, k, v, lse, d_o, static_cast<const float *>(dots), dq);
}

#define CN_FOR(T)                                                                                                                                                       \
    template attention_blocks attention_blocks_of<T>(const attention_shape &, const int32_t *);                                                                         \
    template void attention_forward(const gpu_context &, const attention_shape &, const attention_blocks &, const T *, const T *, const T *, T *, float *);             \
    template void attention_backward(const gpu_context &, const attention_shape &, const attention_blocks &, const T *, const T *, const T *, const T *, const float *, \
                                     const T *, T *, T *, T *, void *);
CN_FOR(float)
CN_FOR(bf16)

} // namespace continual
