#include "ops/attention_tile.h"
#include "ops/vec.h"

namespace continual::CN_ISA {

namespace {

// The keys of the tile that a query sees, as [begin, end) within the tile; empty where begin ≥ end.
struct span {
    int64_t begin;
    int64_t end;
};

span visible(const attention_tile & tile, int64_t query) {
    const int64_t place = tile.first_query + query;
    const int64_t end = place + 1 - tile.first_key;
    const int64_t begin = tile.window > 0 ? place + 1 - tile.window - tile.first_key : 0;
    return {begin > 0 ? begin : 0, end < tile.keys ? end : tile.keys};
}

template <typename T>
void zero(T * x, int64_t begin, int64_t end) {
    if (begin < end) {
        memset(static_cast<void *>(x + begin), 0, static_cast<size_t>(end - begin) * sizeof(T));
    }
}

} // namespace

// From scores to e^(score − most) in `p`, zero where a query may not look; `most` and `sum` (of each query) and the rows of `o` that were summed so far follow
// (Dao 2023, arXiv 2307.08691, algorithm 1, lines 9 and 10).
template <typename T>
void attention_softmax(const attention_tile & tile, const float * scores, T * p, float * most, float * sum, float * o, int64_t o_width) {
    for (int64_t query = 0; query < tile.queries; query++, scores += tile.stride, p += tile.stride, o += o_width) {
        const span seen = visible(tile, query);
        zero(p, 0, seen.begin < tile.keys ? seen.begin : tile.keys);
        zero(p, seen.end > 0 ? seen.end : 0, tile.keys);
        if (seen.begin >= seen.end) {
            continue;
        }
        const float before = most[query];
        const float here = highest_of(scores + seen.begin, seen.end - seen.begin);
        const float now = here > before ? here : before;
        // Nothing but −inf and NaN so far: there is no maximum to take off.
        const float offset = now == -HUGE_VALF ? 0.0f : now;
        const float total = sum_of<float>(seen.end - seen.begin, [&](int64_t i) {
            const float e = exp_of(scores[seen.begin + i] - offset);
            store(p[seen.begin + i], e);
            return e;
        });
        if (now > before) {
            const float factor = exp_of(before - now);
            sum[query] *= factor;
            CN_SIMD
            for (int64_t i = 0; i < o_width; i++) {
                o[i] *= factor;
            }
            most[query] = now;
        }
        sum[query] += total;
    }
}

// The finished rows of o, divided by their sums, and the logarithms of the sums.
template <typename T>
void attention_finish(int64_t queries, int64_t width, const float * from, const float * most, const float * sum, T * o, int64_t o_stride, float * lse, int64_t lse_stride) {
    for (int64_t query = 0; query < queries; query++, from += width, o += o_stride, lse += lse_stride) {
        const float share = 1.0f / sum[query];
        CN_SIMD
        for (int64_t i = 0; i < width; i++) {
            store(o[i], from[i] * share);
        }
        *lse = (most[query] == -HUGE_VALF ? 0.0f : most[query]) + logf(sum[query]);
    }
}

// Σ dO ∘ O of each row.
template <typename T>
void attention_row_dots(int64_t rows, int64_t width, int64_t stride, const T * a, const T * b, float * dots) {
    for (int64_t row = 0; row < rows; row++, a += stride, b += stride) {
        dots[row] = sum_of<float>(width, [&](int64_t i) { return load(a[i]) * load(b[i]); });
    }
}

// The probabilities again, and from their gradients those of the scores: p = e^(score − lse), ds = p · (dp − dot) · scale; zero where a query may not look.
template <typename T>
void attention_score_gradients(const attention_tile & tile, const float * scores, const float * dp, const float * lse, int64_t lse_stride, const float * dots, float scale, T * p, T * ds) {
    for (int64_t query = 0; query < tile.queries; query++, scores += tile.stride, dp += tile.stride, p += tile.stride, ds += tile.stride) {
        const span seen = visible(tile, query);
        const int64_t begin = seen.begin < tile.keys ? seen.begin : tile.keys;
        const int64_t end = seen.end > begin ? seen.end : begin;
        zero(p, 0, begin);
        zero(ds, 0, begin);
        zero(p, end, tile.keys);
        zero(ds, end, tile.keys);
        const float offset = lse[query * lse_stride];
        const float dot = dots[query];
        CN_SIMD
        for (int64_t key = begin; key < end; key++) {
            const float probability = exp_of(scores[key] - offset);
            store(p[key], probability);
            store(ds[key], probability * (dp[key] - dot) * scale);
        }
    }
}

template <typename T>
void attention_store(int64_t rows, int64_t width, const float * from, T * to, int64_t stride) {
    for (int64_t row = 0; row < rows; row++, from += width, to += stride) {
        CN_SIMD
        for (int64_t i = 0; i < width; i++) {
            store(to[i], from[i]);
        }
    }
}

#define CN_FOR(T)                                                                                                                                            \
    template void attention_softmax(const attention_tile &, const float *, T *, float *, float *, float *, int64_t);                                         \
    template void attention_finish(int64_t, int64_t, const float *, const float *, const float *, T *, int64_t, float *, int64_t);                           \
    template void attention_row_dots(int64_t, int64_t, int64_t, const T *, const T *, float *);                                                              \
    template void attention_score_gradients(const attention_tile &, const float *, const float *, const float *, int64_t, const float *, float, T *, T *); \
    template void attention_store(int64_t, int64_t, const float *, T *, int64_t);
CN_FOR(float)
CN_FOR(bf16)

} // namespace continual::CN_ISA
