#include "runtime/kernel.h"

namespace continual {

namespace {

constexpr int block = 512;
constexpr int warps = block / warp_size;
// Elements of a row that a thread holds at a time, and the block.
constexpr int kept = 16;
constexpr int chunk = block * kept;

// Where a thread's i-th element of a chunk is, higher for a higher i. wide: four neighbours at once.
template <bool wide>
CN_DEVICE int place_of(int i) {
    return wide ? (i / 4 * block + thread_index()) * 4 + i % 4 : i * block + thread_index();
}

// A thread's elements of a chunk, of which there are `count` from x on; beyond them −inf.
template <bool wide>
CN_DEVICE void read(const float * x, int count, float (&to)[kept]) {
    CN_UNROLL
    for (int i = 0; i < kept; i += 4) {
        if (wide && place_of<wide>(i) + 4 <= count) {
            const float4 four = load_from<float4>(x + place_of<wide>(i));
            to[i] = four.x;
            to[i + 1] = four.y;
            to[i + 2] = four.z;
            to[i + 3] = four.w;
        } else {
            CN_UNROLL
            for (int j = i; j < i + 4; j++) {
                const int at = place_of<wide>(j);
                to[j] = at < count ? x[at] : -infinite();
            }
        }
    }
}

CN_DEVICE void write_four(float * to, float a, float b, float c, float d) { store_to(to, float4{a, b, c, d}); }
CN_DEVICE void write_four(bf16 * to, float a, float b, float c, float d) {
    *reinterpret_cast<uint64_t *>(to) = packed(a, b) | static_cast<uint64_t>(packed(c, d)) << 32;
}

// wide_out: four elements of Out can be written at once.
template <bool wide, typename Out>
CN_DEVICE void write(const float (&from)[kept], int count, bool wide_out, Out * to) {
    CN_UNROLL
    for (int i = 0; i < kept; i += 4) {
        if (wide && wide_out && place_of<wide>(i) + 4 <= count) {
            write_four(to + place_of<wide>(i), from[i], from[i + 1], from[i + 2], from[i + 3]);
        } else {
            CN_UNROLL
            for (int j = i; j < i + 4; j++) {
                const int at = place_of<wide>(j);
                if (at < count) {
                    store(to[at], from[j]);
                }
            }
        }
    }
}

CN_DEVICE float highest_of(const float (&x)[kept]) {
    float most = -infinite();
    CN_UNROLL
    for (int i = 0; i < kept; i++) {
        most = higher_of(x[i], most);
    }
    return most;
}

// With nothing but −inf and NaN there is no maximum to take off; −inf − −inf would make the one into the other.
CN_DEVICE float offset_of(float most) { return most == -infinite() ? 0.0f : most; }

// What was summed with the maximum `most`, in terms of a higher one.
CN_DEVICE float factor_of(float most, float higher) { return most == higher ? 1.0f : exp_of(most - higher); }

// Of the elements that a thread has seen (Milakov and Gimelshein 2018, arXiv 1805.02867, algorithm 3, by chunks).
struct softmax_sum {
    float most;
    double sum; // Σ e^(x − most)
};

CN_DEVICE float raise(softmax_sum & all, float most) {
    if (!(most > all.most)) {
        return 1.0f;
    }
    const float factor = exp_of(all.most - most);
    all.most = most;
    all.sum *= static_cast<double>(factor);
    return factor;
}

struct row_sums {
    softmax_sum model;
    int32_t likeliest; // where `most` was first seen
    softmax_sum reference;
    double apart; // Σ e^(reference − most) · (reference − logit)
};

template <bool wide>
CN_DEVICE void sum_up(int64_t n, const float * x, const float * reference, row_sums & all) {
    for (int64_t begin = 0; begin < n; begin += chunk) {
        const int count = n - begin < chunk ? static_cast<int>(n - begin) : chunk;
        float xs[kept];
        float rs[kept];
        read<wide>(x + begin, count, xs);
        if (reference != nullptr) {
            read<wide>(reference + begin, count, rs);
        }
        const float most = highest_of(xs);
        if (most > all.model.most) {
            int first = 0;
            CN_UNROLL
            for (int i = kept - 1; i >= 0; i--) {
                first = xs[i] == most ? place_of<wide>(i) : first;
            }
            all.likeliest = static_cast<int32_t>(begin + first);
            raise(all.model, most);
        }
        const float offset = offset_of(all.model.most);
        float sum = 0.0f;
        CN_UNROLL
        for (int i = 0; i < kept; i++) {
            sum += exp_of(xs[i] - offset);
        }
        all.model.sum += static_cast<double>(sum);
        if (reference != nullptr) {
            all.apart *= static_cast<double>(raise(all.reference, highest_of(rs)));
            const float reference_offset = offset_of(all.reference.most);
            float reference_sum = 0.0f;
            float apart = 0.0f;
            CN_UNROLL
            for (int i = 0; i < kept; i++) {
                const float e = exp_of(rs[i] - reference_offset);
                reference_sum += e;
                // What is impossible adds nothing, whatever the model gives it: 0 · log 0 = 0.
                apart += e == 0.0f ? 0.0f : e * (rs[i] - xs[i]);
            }
            all.reference.sum += static_cast<double>(reference_sum);
            all.apart += static_cast<double>(apart);
        }
    }
}

// An element's gradient, but for what single tokens take off.
struct dense_terms {
    float p_scale;
    float offset;
    float reference_scale;
    float reference_offset;

    CN_DEVICE float of_model(float x) const { return p_scale * exp_of(x - offset); }
    CN_DEVICE float of_reference(float r) const { return reference_scale * exp_of(r - reference_offset); }
};

template <bool wide, typename Out>
CN_DEVICE void write_dense(int64_t n, const float * x, const float * reference, const dense_terms & terms, bool nothing, bool wide_out, Out * d) {
    // Where d is the row of logits itself, element i of a narrower Out lies where logit i / 2 (or so) was. Then the elements before `covered` can be written, since
    // all threads have read the logits that they cover. That is so for twice as many elements as have been read, so that barriers get rarer and rarer. A float
    // replaces the logit that the same thread has just read.
    int64_t covered = sizeof(Out) == sizeof(float) ? n : 0;
    for (int64_t begin = 0; begin < n; begin += chunk) {
        const int count = n - begin < chunk ? static_cast<int>(n - begin) : chunk;
        float gradient[kept];
        if (nothing) {
            CN_UNROLL
            for (int i = 0; i < kept; i++) {
                gradient[i] = 0.0f;
            }
        } else {
            read<wide>(x + begin, count, gradient);
            CN_UNROLL
            for (int i = 0; i < kept; i++) {
                gradient[i] = terms.of_model(gradient[i]);
            }
            if (terms.reference_scale != 0.0f) {
                float rs[kept];
                read<wide>(reference + begin, count, rs);
                CN_UNROLL
                for (int i = 0; i < kept; i++) {
                    gradient[i] -= terms.of_reference(rs[i]);
                }
            }
        }
        if (begin >= covered) {
            block_barrier();
            covered = 2 * (begin + chunk);
        }
        write<wide>(gradient, count, wide_out, d + begin);
    }
}

CN_DEVICE double exchanged(double x, int mask) {
    const uint64_t bits = __builtin_bit_cast(uint64_t, x);
    const uint32_t low = static_cast<uint32_t>(shuffle_xor(static_cast<int32_t>(bits), mask));
    const uint32_t high = static_cast<uint32_t>(shuffle_xor(static_cast<int32_t>(bits >> 32), mask));
    return __builtin_bit_cast(double, low | static_cast<uint64_t>(high) << 32);
}

CN_DEVICE int32_t lowest_of_warp(int32_t x) {
    for (int mask = warp_size / 2; mask > 0; mask /= 2) {
        const int32_t other = shuffle_xor(x, mask);
        x = other < x ? other : x;
    }
    return x;
}

// To 1e-15. Of 0, of normal numbers from there on, and of NaN. x = m · 2^e with m near 1, log m = 2 artanh((m − 1) / (m + 1)).
CN_DEVICE double exact_log_of(double x) {
    if (!(x > 0.0)) {
        return x == 0.0 ? static_cast<double>(-infinite()) : x;
    }
    const uint64_t bits = __builtin_bit_cast(uint64_t, x);
    int exponent = static_cast<int>(bits >> 52) - 1023;
    double m = __builtin_bit_cast(double, (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        exponent++;
    }
    const double s = (m - 1.0) / (m + 1.0);
    double series = 0.0;
    for (int power = 19; power > 0; power -= 2) {
        series = series * (s * s) + 1.0 / power;
    }
    return 2.0 * s * series + exponent * 0.69314718055994531;
}

// What is added up over the block.
enum { sum_of_model, sum_of_reference, sum_apart, sum_of_teacher, sum_distilled, sums };

CN_DEVICE void keep(const shared_array<double> & parts, int which, double x) {
    for (int mask = warp_size / 2; mask > 0; mask /= 2) {
        x += exchanged(x, mask);
    }
    if (lane_index() == 0) {
        parts[warp_index() * sums + which] = x;
    }
}

CN_DEVICE double total_of(const shared_array<double> & parts, int which) {
    double sum = 0.0;
    for (int warp = 0; warp < warps; warp++) {
        sum += parts[warp * sums + which];
    }
    return sum;
}

// One block a row. Shared memory: 1024 bytes for what the warps find, then for the token and the teacher's tokens their ids, what each takes off its element's
// gradient, and their logits, kept since the gradient may replace them. Places without a token have the id −1.
template <typename Out>
CN_DEVICE void row_of(int64_t n, int64_t stride, const float * logits, const int32_t * tokens, const float * weights, const int32_t * teacher_tokens,
                      const float * teacher_log_probs, int32_t teacher_k, const float * teacher_weights, const float * references, int64_t stride_reference,
                      const float * reference_weights, float scale, uint32_t * results, Out * d_logits, int64_t d_stride, bool wide, bool wide_out) {
    const int places = (teacher_k + 4) / 4 * 4;
    const shared_array<double> parts(0);
    const shared_array<float> highest(sizeof(double) * warps * sums);
    const shared_array<int32_t> lowest(sizeof(double) * warps * sums + sizeof(float) * warps * 3);
    const shared_array<int32_t> ids(1024);
    const shared_array<float> amounts(1024 + 4 * places);
    const shared_array<float> their_logits(1024 + 8 * places);
    const int64_t row = block_x();
    const float * const x = logits + row * stride;
    const float * const reference = references != nullptr ? references + row * stride_reference : nullptr;
    const int32_t * const teacher_token = teacher_tokens + row * teacher_k;
    const float * const teacher_log_prob = teacher_log_probs + row * teacher_k;
    const int32_t token = tokens != nullptr ? tokens[row] : -1;

    row_sums own = {{-infinite(), 0.0}, 0x7fffffff, {-infinite(), 0.0}, 0.0};
    if (wide) {
        sum_up<true>(n, x, reference, own);
    } else {
        sum_up<false>(n, x, reference, own);
    }
    float teacher_own = -infinite();
    for (int32_t k = thread_index(); k < teacher_k; k += block) {
        teacher_own = teacher_token[k] >= 0 ? higher_of(teacher_log_prob[k], teacher_own) : teacher_own;
    }

    float most = highest_of_warp(own.model.most);
    float reference_most = reference != nullptr ? highest_of_warp(own.reference.most) : own.reference.most;
    float teacher_most = teacher_k > 0 ? highest_of_warp(teacher_own) : teacher_own;
    if (lane_index() == 0) {
        highest[warp_index() * 3] = most;
        highest[warp_index() * 3 + 1] = reference_most;
        highest[warp_index() * 3 + 2] = teacher_most;
    }
    block_barrier();
    for (int warp = 0; warp < warps; warp++) {
        most = higher_of(highest[warp * 3], most);
        reference_most = higher_of(highest[warp * 3 + 1], reference_most);
        teacher_most = higher_of(highest[warp * 3 + 2], teacher_most);
    }

    // The teacher's k tokens: e^(log q), not normalized yet, and Σ e^(log q) · (log q − logit).
    double teacher_sum = 0.0;
    double distilled = 0.0;
    for (int32_t place = thread_index(); place < places; place += block) {
        int32_t id = place == 0 ? token : -1;
        float amount = 0.0f;
        if (place > 0 && place <= teacher_k) {
            const float log_q = teacher_log_prob[place - 1];
            // A place with −inf is as good as unused; a NaN goes on.
            if (log_q != -infinite()) {
                id = teacher_token[place - 1];
            }
            if (id >= 0) {
                amount = exp_of(log_q - teacher_most);
                teacher_sum += static_cast<double>(amount);
                distilled += amount == 0.0f ? 0.0 : static_cast<double>(amount) * (static_cast<double>(log_q) - static_cast<double>(teacher_most) - static_cast<double>(x[id]));
            }
        }
        ids[place] = id;
        amounts[place] = amount;
        their_logits[place] = id >= 0 ? x[id] : 0.0f;
    }

    const float factor = factor_of(own.model.most, most);
    const float reference_factor = factor_of(own.reference.most, reference_most);
    const int32_t first_seen = lowest_of_warp(own.model.most == most ? own.likeliest : 0x7fffffff);
    if (lane_index() == 0) {
        lowest[warp_index()] = first_seen;
    }
    keep(parts, sum_of_model, own.model.sum * static_cast<double>(factor));
    if (reference != nullptr) {
        keep(parts, sum_of_reference, own.reference.sum * static_cast<double>(reference_factor));
        keep(parts, sum_apart, own.apart * static_cast<double>(reference_factor));
    }
    if (teacher_k > 0) {
        keep(parts, sum_of_teacher, teacher_sum);
        keep(parts, sum_distilled, distilled);
    }
    // All have read all of the row: from here on only write_dense reads it, and it knows that the gradient may be there.
    block_barrier();
    const double sum = total_of(parts, sum_of_model);
    const double reference_sum = reference != nullptr ? total_of(parts, sum_of_reference) : 1.0;
    teacher_sum = teacher_k > 0 ? total_of(parts, sum_of_teacher) : 0.0;
    const float offset = offset_of(most);
    const float reference_offset = offset_of(reference_most);
    const bool taught = teacher_sum != 0.0;

    if (thread_index() == 0) {
        const double log_sum = static_cast<double>(offset) + exact_log_of(sum);
        int32_t likeliest = lowest[0];
        for (int warp = 1; warp < warps; warp++) {
            const int32_t other = lowest[warp];
            likeliest = other < likeliest ? other : likeliest;
        }
        const float log_prob = token >= 0 ? static_cast<float>(static_cast<double>(their_logits[0]) - log_sum) : 0.0f;
        const float from_teacher = taught ? static_cast<float>(total_of(parts, sum_distilled) / teacher_sum - exact_log_of(teacher_sum) + log_sum) : 0.0f;
        const double reference_log_sum = static_cast<double>(reference_offset) + exact_log_of(reference_sum);
        const float anchored = reference != nullptr ? static_cast<float>(total_of(parts, sum_apart) / reference_sum - reference_log_sum + log_sum) : 0.0f;
        results[4 * row] = bits_of_float(log_prob);
        results[4 * row + 1] = bits_of_float(from_teacher);
        results[4 * row + 2] = bits_of_float(anchored);
        // Where there is no maximum (only −inf and NaN), any will do.
        results[4 * row + 3] = likeliest == 0x7fffffff ? 0u : static_cast<uint32_t>(likeliest);
    }
    if (d_logits == nullptr) {
        return;
    }

    Out * const d = d_logits + row * d_stride;
    const float weight = token >= 0 && weights != nullptr ? weights[row] : 0.0f;
    const float teacher_weight = taught && teacher_weights != nullptr ? teacher_weights[row] : 0.0f;
    const float reference_weight = reference != nullptr && reference_weights != nullptr ? reference_weights[row] : 0.0f;
    const bool nothing = weight == 0.0f && teacher_weight == 0.0f && reference_weight == 0.0f;
    const double wide_scale = static_cast<double>(scale);
    const double total = static_cast<double>(weight) + static_cast<double>(teacher_weight) + static_cast<double>(reference_weight);
    const dense_terms terms = {static_cast<float>(wide_scale * total / sum), offset,
                               reference_weight != 0.0f ? static_cast<float>(wide_scale * static_cast<double>(reference_weight) / reference_sum) : 0.0f, reference_offset};
    const int entries = teacher_weight != 0.0f ? teacher_k + 1 : 1;
    for (int place = thread_index(); place < entries; place += block) {
        const double share = place == 0 ? static_cast<double>(weight) : static_cast<double>(teacher_weight) * (static_cast<double>(amounts[place]) / teacher_sum);
        amounts[place] = static_cast<float>(wide_scale * share);
    }
    if (wide) {
        write_dense<true>(n, x, reference, terms, nothing, wide_out, d);
    } else {
        write_dense<false>(n, x, reference, terms, nothing, wide_out, d);
    }
    if (nothing) {
        return;
    }
    // Single tokens' elements once more, from what was kept of them. Of equal tokens the first place takes them all, in order.
    block_barrier();
    for (int place = thread_index(); place < entries; place += block) {
        const int32_t id = ids[place];
        if (id < 0) {
            continue;
        }
        float gradient = terms.of_model(their_logits[place]);
        if (terms.reference_scale != 0.0f) {
            gradient -= terms.of_reference(reference[id]);
        }
        bool first = true;
        for (int begin = 0; begin < entries; begin += 4) {
            const quad four = ids.load_as<quad>(begin);
            const uint32_t others[4] = {four.x, four.y, four.z, four.w};
            CN_UNROLL
            for (int i = 0; i < 4; i++) {
                if (others[i] == static_cast<uint32_t>(id) && begin + i < entries) {
                    first = first && begin + i >= place;
                    gradient -= amounts[begin + i];
                }
            }
        }
        if (first) {
            store(d[id], gradient);
        }
    }
}

} // namespace

#define CN_CROSS_ENTROPY(Out, suffix)                                                                                                                                   \
    CN_KERNEL(block, cross_entropy##suffix,                                                                                                                             \
              (int64_t vocabulary, int64_t stride, const float * logits, const int32_t * token, const float * weight, const int32_t * teacher_token,                    \
               const float * teacher_log_prob, int32_t teacher_k, const float * teacher_weight, const float * reference, int64_t stride_reference,                      \
               const float * reference_weight, float scale, uint32_t * results, Out * d_logits, int64_t d_stride, int32_t wide, int32_t wide_out)) {                    \
        row_of(vocabulary, stride, logits, token, weight, teacher_token, teacher_log_prob, teacher_k, teacher_weight, reference, stride_reference, reference_weight,    \
               scale, results, d_logits, d_stride, wide != 0, wide_out != 0);                                                                                           \
    }
CN_CROSS_ENTROPY(float, _f32)
CN_CROSS_ENTROPY(bf16, _bf16)

} // namespace continual
