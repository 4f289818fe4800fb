#include "ops/gemm_kernels.h"

#include <cstring>

#if CN_ISA_LEVEL > 0
#include <immintrin.h>
#endif

#if defined(_MSC_VER)
#define CN_INLINE static __forceinline
#define CN_INLINE_LAMBDA
#else
#define CN_INLINE static inline __attribute__((always_inline))
#define CN_INLINE_LAMBDA __attribute__((always_inline))
#endif

namespace continual::CN_ISA {

extern const gemm_kernel_sets gemm_table;

namespace {

// Loads and stores that allow any alignment and type.
template <typename T>
CN_INLINE T load_as(const void * from) noexcept {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

CN_INLINE uint32_t bits_of(float x) noexcept {
    return load_as<uint32_t>(&x);
}

// to_bf16 without a branch, so that loops of it become vectors.
CN_INLINE uint32_t narrowed(float x) noexcept {
    const uint32_t bits = bits_of(x);
    const uint32_t up = bits + 0x7fffu + ((bits >> 16) & 1u);
    const uint32_t quiet = bits | 0x400000u;
    return ((static_cast<int32_t>(bits & 0x7fffffffu) > 0x7f800000 ? quiet : up) >> 16) & 0xffffu;
}

template <typename T>
CN_INLINE T stored(float x) noexcept {
    if constexpr (sizeof(T) == sizeof(bf16)) {
        return {static_cast<uint16_t>(narrowed(x))};
    } else {
        return x;
    }
}

// What a unit holds.
enum class unit {
    plain,   // a float
    rounded, // a float with a bf16's value
    pair,    // two bf16, the one with the smaller k in the lower half
};

template <unit Kind>
CN_INLINE uint32_t make_unit(float first, float second) noexcept {
    if constexpr (Kind == unit::plain) {
        (void)second;
        return bits_of(first);
    } else if constexpr (Kind == unit::rounded) {
        (void)second;
        return narrowed(first) << 16;
    } else {
        return narrowed(first) | narrowed(second) << 16;
    }
}

template <unit Kind>
constexpr int32_t elements_of = Kind == unit::pair ? 2 : 1;

#if CN_ISA_LEVEL >= 2

constexpr int32_t tile_rows = 14;
constexpr int32_t lanes = 16;
using vector = __m512;

CN_INLINE vector zero() noexcept {
    return _mm512_setzero_ps();
}
CN_INLINE vector load(const void * from) noexcept {
    return _mm512_loadu_ps(from);
}
CN_INLINE void store(float * to, vector x) noexcept {
    _mm512_storeu_ps(to, x);
}
CN_INLINE vector broadcast(const uint32_t * from) noexcept {
    return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int32_t>(*from)));
}
CN_INLINE vector broadcast(float x) noexcept {
    return _mm512_set1_ps(x);
}
CN_INLINE vector multiply_add(vector a, vector b, vector c) noexcept {
    return _mm512_fmadd_ps(a, b, c);
}

#elif CN_ISA_LEVEL == 1

constexpr int32_t tile_rows = 6;
constexpr int32_t lanes = 8;
using vector = __m256;

CN_INLINE vector zero() noexcept {
    return _mm256_setzero_ps();
}
CN_INLINE vector load(const void * from) noexcept {
    return _mm256_loadu_ps(static_cast<const float *>(from));
}
CN_INLINE void store(float * to, vector x) noexcept {
    _mm256_storeu_ps(to, x);
}
CN_INLINE vector broadcast(const uint32_t * from) noexcept {
    return _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int32_t>(*from)));
}
CN_INLINE vector broadcast(float x) noexcept {
    return _mm256_set1_ps(x);
}
CN_INLINE vector multiply_add(vector a, vector b, vector c) noexcept {
    return _mm256_fmadd_ps(a, b, c);
}

#else

// Four floats that any compiler keeps in a vector register where there is one.
constexpr int32_t tile_rows = 4;
constexpr int32_t lanes = 4;
struct vector {
    float x[4];
};

CN_INLINE vector zero() noexcept {
    return {};
}
CN_INLINE vector load(const void * from) noexcept {
    return load_as<vector>(from);
}
CN_INLINE void store(float * to, vector x) noexcept {
    std::memcpy(to, &x, sizeof x);
}
CN_INLINE vector broadcast(float x) noexcept {
    return {{x, x, x, x}};
}
CN_INLINE vector broadcast(const uint32_t * from) noexcept {
    return broadcast(load_as<float>(from));
}
CN_INLINE vector multiply_add(vector a, vector b, vector c) noexcept {
    return {{a.x[0] * b.x[0] + c.x[0], a.x[1] * b.x[1] + c.x[1], a.x[2] * b.x[2] + c.x[2], a.x[3] * b.x[3] + c.x[3]}};
}

#endif

// Into the second level: it is the next tile's, the first level holds this one's.
CN_INLINE void prefetch([[maybe_unused]] const uint32_t * at) noexcept {
#if CN_ISA_LEVEL > 0
    _mm_prefetch(reinterpret_cast<const char *>(at), _MM_HINT_T1);
#elif defined(__GNUC__)
    __builtin_prefetch(at, 0, 2);
#endif
}

constexpr int32_t tile_vectors = 2;
constexpr int32_t tile_columns = tile_vectors * lanes;

template <unit Kind>
CN_INLINE vector multiply_unit(vector a, vector b, vector c) noexcept {
#if CN_ISA_LEVEL >= 3
    if constexpr (Kind == unit::pair) {
        return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
    }
#endif
    return multiply_add(a, b, c);
}

template <int32_t N>
struct number {
    static constexpr int32_t value = N;
};

// body(number<0>) … body(number<N - 1>), written out before the compiler looks: an array that is indexed by constants only becomes registers, one that is
// indexed in a loop which is unrolled later stays in memory (GCC 12).
template <int32_t N, typename Body>
CN_INLINE void each(const Body & body) {
    if constexpr (N > 0) {
        each<N - 1>(body);
        body(number<N - 1>{});
    }
}

// The sums stay in registers; each unit of k costs Vectors loads and Rows broadcasts for Rows · Vectors products.
template <unit Kind, int32_t Rows, int32_t Vectors>
void multiply_tile(int64_t units, const uint32_t * left, const uint32_t * right, const uint32_t * soon, float scale, bool replace, float * c, int64_t stride) {
    vector sum[Rows][Vectors];
    each<Rows * Vectors>([&](auto i) CN_INLINE_LAMBDA { sum[i.value / Vectors][i.value % Vectors] = zero(); });
    for (int64_t u = 0; u < units; u++) {
        vector b[Vectors];
        each<Vectors>([&](auto v) CN_INLINE_LAMBDA { b[v.value] = load(right + v.value * lanes); });
        prefetch(soon);
        each<Rows>([&](auto r) CN_INLINE_LAMBDA {
            const vector a = broadcast(left + r.value);
            each<Vectors>([&](auto v) CN_INLINE_LAMBDA { sum[r.value][v.value] = multiply_unit<Kind>(a, b[v.value], sum[r.value][v.value]); });
        });
        left += tile_rows;
        right += tile_columns;
        soon += 16;
    }
    const vector factor = broadcast(scale);
    each<Rows>([&](auto r) CN_INLINE_LAMBDA {
        each<Vectors>([&](auto v) CN_INLINE_LAMBDA {
            float * const at = c + v.value * lanes;
            store(at, multiply_add(sum[r.value][v.value], factor, replace ? zero() : load(at)));
        });
        c += stride;
    });
}

using tile_function = void (*)(int64_t, const uint32_t *, const uint32_t *, const uint32_t *, float, bool, float *, int64_t);

// By rows, for a tile of one and of two vectors.
template <unit Kind, int32_t Rows = 1>
struct tile_functions {
    tile_function narrow[tile_rows + 1];
    tile_function wide[tile_rows + 1];

    constexpr tile_functions() : narrow{}, wide{} { fill<1>(); }

    template <int32_t R>
    constexpr void fill() {
        if constexpr (R <= tile_rows) {
            narrow[R] = multiply_tile<Kind, R, 1>;
            wide[R] = multiply_tile<Kind, R, tile_vectors>;
            fill<R + 1>();
        }
    }
};

template <unit Kind>
void multiply(int64_t units, int32_t rows, int32_t columns, const uint32_t * left, const uint32_t * right, const uint32_t * soon, float scale, bool replace, float * c, int64_t stride) {
    static constexpr tile_functions<Kind> functions;
    (columns <= lanes ? functions.narrow : functions.wide)[rows](units, left, right, soon, scale, replace, c, stride);
}

#if CN_ISA_LEVEL >= 2

// Row and column change places in a square of 16 × 16 units.
CN_INLINE void transpose(__m512i (&x)[16]) noexcept {
    __m512i t[16];
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
    }
    for (int i = 0; i < 4; i++) {
        x[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        x[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        x[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        x[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    // Now x[4 i + j], part p: rows 4 i … 4 i + 3 of column 4 p + j.
    for (int j = 0; j < 4; j++) {
        t[j] = _mm512_shuffle_i32x4(x[j], x[4 + j], 0x88);
        t[4 + j] = _mm512_shuffle_i32x4(x[j], x[4 + j], 0xdd);
        t[8 + j] = _mm512_shuffle_i32x4(x[8 + j], x[12 + j], 0x88);
        t[12 + j] = _mm512_shuffle_i32x4(x[8 + j], x[12 + j], 0xdd);
    }
    for (int j = 0; j < 4; j++) {
        x[j] = _mm512_shuffle_i32x4(t[j], t[8 + j], 0x88);
        x[4 + j] = _mm512_shuffle_i32x4(t[4 + j], t[12 + j], 0x88);
        x[8 + j] = _mm512_shuffle_i32x4(t[j], t[8 + j], 0xdd);
        x[12 + j] = _mm512_shuffle_i32x4(t[4 + j], t[12 + j], 0xdd);
    }
}

CN_INLINE __mmask16 first_lanes(int64_t count) noexcept {
    return count >= 16 ? static_cast<__mmask16>(0xffff) : count <= 0 ? static_cast<__mmask16>(0) : static_cast<__mmask16>((1u << count) - 1u);
}

// bf16 in the upper halves of the lanes, the lower halves zero: to_bf16 for 16 floats.
CN_INLINE __m512i rounded(__m512i x) noexcept {
    const __m512i magnitude = _mm512_and_si512(x, _mm512_set1_epi32(0x7fffffff));
    const __mmask16 nan = _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(0x7f800000));
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(_mm512_add_epi32(x, _mm512_set1_epi32(0x7fff)), odd);
    const __m512i quiet = _mm512_or_si512(x, _mm512_set1_epi32(0x400000));
    return _mm512_and_si512(_mm512_mask_mov_epi32(up, nan, quiet), _mm512_set1_epi32(static_cast<int32_t>(0xffff0000)));
}

// 16 units of which the first `count` elements exist (the rest are zero), from elements that follow each other in k.
template <unit Kind>
CN_INLINE __m512i load_units(const float * from, int64_t count) noexcept {
    const __m512i low = _mm512_castps_si512(_mm512_maskz_loadu_ps(first_lanes(count), from));
    if constexpr (Kind == unit::plain) {
        return low;
    } else if constexpr (Kind == unit::rounded) {
        return rounded(low);
    } else {
        const __m512i high = _mm512_castps_si512(_mm512_maskz_loadu_ps(first_lanes(count - 16), from + 16));
        return _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded(low), 16))), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded(high), 16)), 1);
    }
}

template <unit Kind>
CN_INLINE __m512i load_units(const bf16 * from, int64_t count) noexcept {
    if constexpr (Kind == unit::pair) {
        const __mmask32 mask = count >= 32 ? 0xffffffffu : count <= 0 ? 0u : (1u << count) - 1u;
        return _mm512_maskz_loadu_epi16(mask, from);
    } else {
        return _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(count), from)), 16);
    }
}

// 16 units from two rows of elements (k and k + 1; `second` null: zeros), of which the first `count` exist.
template <unit Kind, typename T>
CN_INLINE __m512i load_across(const T * first, const T * second, int64_t count) noexcept {
    if constexpr (Kind == unit::plain) {
        (void)second;
        return load_units<unit::plain>(first, count);
    } else if constexpr (Kind == unit::rounded) {
        (void)second;
        return load_units<unit::rounded>(first, count);
    } else {
        const __m512i low = _mm512_srli_epi32(load_units<unit::rounded>(first, count), 16);
        return second == nullptr ? low : _mm512_or_si512(low, load_units<unit::rounded>(second, count));
    }
}

// `count` rows to units of one panel. Width: units from one k to the next in the panel.
template <unit Kind, typename T, int32_t Width, int32_t Written>
CN_INLINE void pack_rows_as(const T * source, int64_t stride, int64_t count, int64_t depth, uint32_t * packed) {
    constexpr int64_t step = 16 * elements_of<Kind>;
    for (int64_t k = 0; k < depth; k += step) {
        __m512i x[16];
        for (int i = 0; i < 16; i++) {
            x[i] = i < count ? load_units<Kind>(source + i * stride + k, depth - k) : _mm512_setzero_si512();
        }
        transpose(x);
        const int64_t units = (depth - k + elements_of<Kind> - 1) / elements_of<Kind>;
        uint32_t * const to = packed + k / elements_of<Kind> * Width;
        for (int i = 0; i < 16; i++) {
            if (i < units) {
                _mm512_mask_storeu_epi32(to + i * Width, first_lanes(Written), x[i]);
            }
        }
    }
}

template <unit Kind, typename T>
void pack_rows(const void * source, int64_t stride, int64_t count, int64_t depth, uint32_t * packed) {
    const T * const rows = static_cast<const T *>(source);
    for (int32_t v = 0; v < tile_vectors; v++) {
        if (v == 0 || count > v * 16) {
            pack_rows_as<Kind, T, tile_columns, 16>(rows + v * 16 * stride, stride, count - v * 16, depth, packed + v * 16);
        } else {
            const int64_t units = (depth + elements_of<Kind> - 1) / elements_of<Kind>;
            for (int64_t u = 0; u < units; u++) {
                _mm512_storeu_si512(packed + u * tile_columns + v * 16, _mm512_setzero_si512());
            }
        }
    }
}

template <unit Kind, typename T>
void pack_unit(const void * first, const void * second, int64_t count, uint32_t * packed, int64_t panel_stride) {
    const T * const one = static_cast<const T *>(first);
    const T * const other = static_cast<const T *>(second);
    for (int64_t c = 0; c < count; c += tile_columns) {
        for (int32_t v = 0; v < tile_vectors; v++) {
            const int64_t at = c + v * 16;
            const bool any = at < count;
            _mm512_storeu_si512(packed + v * 16, any ? load_across<Kind>(one + at, other == nullptr ? nullptr : other + at, count - at) : _mm512_setzero_si512());
        }
        packed += panel_stride;
    }
}

template <unit Kind, typename T>
void pack_left_as(const gemm_left & left, int64_t row, int64_t count, int64_t k, int64_t depth, uint32_t * packed) {
    const T * const data = static_cast<const T *>(left.data);
    const int64_t units = (depth + elements_of<Kind> - 1) / elements_of<Kind>;
    for (int64_t r = 0; r < count; r += tile_rows) {
        const int64_t rows = count - r < tile_rows ? count - r : tile_rows;
        if (!left.transposed) {
            pack_rows_as<Kind, T, tile_rows, tile_rows>(data + (row + r) * left.stride + k, left.stride, rows, depth, packed);
        } else {
            const __mmask16 written = first_lanes(tile_rows);
            for (int64_t u = 0; u < units; u++) {
                const T * const from = data + (k + u * elements_of<Kind>) * left.stride + row + r;
                const bool whole = (u + 1) * elements_of<Kind> <= depth;
                _mm512_mask_storeu_epi32(packed + u * tile_rows, written, load_across<Kind>(from, whole ? from + left.stride : nullptr, rows));
            }
        }
        packed += units * tile_rows;
    }
}

#else

template <unit Kind, typename T>
CN_INLINE void pack_rows_as(const T * source, int64_t stride, int64_t count, int64_t depth, uint32_t * packed, int32_t width) {
    constexpr int32_t elements = elements_of<Kind>;
    const int64_t units = (depth + elements - 1) / elements;
    for (int32_t c = 0; c < width; c++) {
        const T * const from = source + c * stride;
        for (int64_t u = 0; u < units; u++) {
            const bool whole = (u + 1) * elements <= depth;
            packed[u * width + c] =
                c < count ? make_unit<Kind>(to_float(from[u * elements]), elements > 1 && whole ? to_float(from[u * elements + elements - 1]) : 0.0f) : 0u;
        }
    }
}

template <unit Kind, typename T>
void pack_rows(const void * source, int64_t stride, int64_t count, int64_t depth, uint32_t * packed) {
    pack_rows_as<Kind>(static_cast<const T *>(source), stride, count, depth, packed, tile_columns);
}

template <unit Kind, typename T>
void pack_unit(const void * first, const void * second, int64_t count, uint32_t * packed, int64_t panel_stride) {
    const T * const one = static_cast<const T *>(first);
    const T * const other = static_cast<const T *>(second);
    for (int64_t c = 0; c < count; c += tile_columns) {
        const int64_t here = count - c < tile_columns ? count - c : tile_columns;
        for (int64_t i = 0; i < here; i++) {
            packed[i] = make_unit<Kind>(to_float(one[c + i]), other == nullptr ? 0.0f : to_float(other[c + i]));
        }
        for (int64_t i = here; i < tile_columns; i++) {
            packed[i] = 0;
        }
        packed += panel_stride;
    }
}

template <unit Kind, typename T>
void pack_left_as(const gemm_left & left, int64_t row, int64_t count, int64_t k, int64_t depth, uint32_t * packed) {
    constexpr int32_t elements = elements_of<Kind>;
    const T * const data = static_cast<const T *>(left.data);
    const int64_t units = (depth + elements - 1) / elements;
    for (int64_t r = 0; r < count; r += tile_rows) {
        const int64_t rows = count - r < tile_rows ? count - r : tile_rows;
        if (!left.transposed) {
            pack_rows_as<Kind>(data + (row + r) * left.stride + k, left.stride, rows, depth, packed, tile_rows);
        } else {
            for (int64_t u = 0; u < units; u++) {
                const T * const from = data + (k + u * elements) * left.stride + row + r;
                const bool whole = (u + 1) * elements <= depth;
                for (int64_t i = 0; i < rows; i++) {
                    packed[u * tile_rows + i] = make_unit<Kind>(to_float(from[i]), elements > 1 && whole ? to_float(from[left.stride + i]) : 0.0f);
                }
            }
        }
        packed += units * tile_rows;
    }
}

#endif

template <unit Kind>
void pack_left(const gemm_left & left, int64_t row, int64_t count, int64_t k, int64_t depth, uint32_t * packed) {
    (left.is_bf16 ? pack_left_as<Kind, bf16> : pack_left_as<Kind, float>)(left, row, count, k, depth, packed);
}

template <typename T, bool Accumulate>
CN_INLINE void finish_row(const float * __restrict sums, T * __restrict to, const float * __restrict bias, int64_t columns) {
    if (bias == nullptr) {
        for (int64_t i = 0; i < columns; i++) {
            to[i] = stored<T>(Accumulate ? sums[i] + to_float(to[i]) : sums[i]);
        }
    } else {
        for (int64_t i = 0; i < columns; i++) {
            const float sum = sums[i] + bias[i];
            to[i] = stored<T>(Accumulate ? sum + to_float(to[i]) : sum);
        }
    }
}

template <typename T>
CN_INLINE void finish_rows(const float * c, int64_t stride, const gemm_out & out, int64_t row, int64_t rows, int64_t column, int64_t columns) {
    const float * const bias = out.bias == nullptr ? nullptr : out.bias + column;
    for (int64_t r = 0; r < rows; r++) {
        T * const to = static_cast<T *>(out.data) + (row + r) * out.stride + column;
        if (out.accumulate) {
            finish_row<T, true>(c + r * stride, to, bias, columns);
        } else {
            finish_row<T, false>(c + r * stride, to, bias, columns);
        }
    }
}

void finish(const float * c, int64_t stride, const gemm_out & out, int64_t row, int64_t rows, int64_t column, int64_t columns) {
    if (out.is_bf16) {
        finish_rows<bf16>(c, stride, out, row, rows, column, columns);
    } else {
        finish_rows<float>(c, stride, out, row, rows, column, columns);
    }
}

template <unit Kind, typename T>
constexpr gemm_kernels kernels(bool reads_bf16) {
    return {tile_rows, tile_columns, elements_of<Kind>, reads_bf16, pack_left<Kind>, pack_rows<Kind, T>, pack_unit<Kind, T>, multiply<Kind>, finish};
}

#if CN_ISA_LEVEL >= 3
constexpr unit narrow_unit = unit::pair;
#else
constexpr unit narrow_unit = unit::rounded;
#endif

} // namespace

constexpr gemm_kernel_sets gemm_table = {{kernels<unit::plain, float>(false), kernels<narrow_unit, bf16>(true)}};

} // namespace continual::CN_ISA
