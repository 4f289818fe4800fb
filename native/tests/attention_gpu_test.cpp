#include "attention_check.h"
#include "gpu_check.h"

using namespace continual;
using namespace gpu_check;
using namespace ops_check;

namespace {

// A shape, its sequences, and rows before the first and after the last that belong to none. Rows are `apart` elements further apart than they need to be.
struct problem {
    std::vector<int32_t> bounds;
    attention_shape shape;
    int64_t rows;

    problem(const std::vector<int32_t> & lengths, int32_t heads, int32_t kv_heads, int32_t width, int32_t v_width, int32_t window = 0, int64_t apart = 0) {
        bounds.push_back(2);
        for (const int32_t length : lengths) {
            bounds.push_back(bounds.back() + length);
        }
        rows = bounds.back() + 1;
        shape.sequences = static_cast<int32_t>(lengths.size());
        shape.heads = heads;
        shape.kv_heads = kv_heads;
        shape.width = width;
        shape.v_width = v_width;
        shape.q_stride = static_cast<int64_t>(heads) * width + apart;
        shape.k_stride = static_cast<int64_t>(kv_heads) * width + 2 * apart;
        shape.v_stride = static_cast<int64_t>(kv_heads) * v_width + apart;
        shape.o_stride = static_cast<int64_t>(heads) * v_width + apart;
        shape.scale = 1.0f / std::sqrt(static_cast<float>(width));
        shape.window = window;
    }

    int64_t start(int32_t s) const { return bounds[static_cast<std::size_t>(s)]; }
    int64_t length(int32_t s) const { return bounds[static_cast<std::size_t>(s) + 1] - start(s); }
    int64_t longest() const {
        int64_t most = 0;
        for (int32_t s = 0; s < shape.sequences; s++) {
            most = std::max(most, length(s));
        }
        return most;
    }
};

// Not a number in rows of no sequence: they are not read.
template <typename T>
std::vector<T> values_of(const problem & all, int64_t stride, uint64_t seed, float scale) {
    auto values = normals<T>(all.rows * stride, seed, scale);
    std::fill_n(values.begin(), all.bounds.front() * stride, from_float<T>(not_a_number));
    std::fill(values.begin() + all.bounds.back() * stride, values.end(), from_float<T>(not_a_number));
    return values;
}

template <typename T>
struct inputs {
    std::vector<T> q;
    std::vector<T> k;
    std::vector<T> v;
    std::vector<T> d_o;

    explicit inputs(const problem & all)
        : q(values_of<T>(all, all.shape.q_stride, 1, 1.5f)), k(values_of<T>(all, all.shape.k_stride, 2, 1.5f)), v(values_of<T>(all, all.shape.v_stride, 3, 1.0f)),
          d_o(values_of<T>(all, all.shape.o_stride, 4, 1.0f)) {}
};

template <typename T>
bool same_results(const attention_result<T> & a, const attention_result<T> & b) {
    return same_bits(a.o, b.o) && same_bits(a.lse, b.lse) && same_bits(a.dq, b.dq) && same_bits(a.dk, b.dk) && same_bits(a.dv, b.dv);
}

template <typename T>
attention_result<T> run(const std::shared_ptr<device> & on, const problem & all, const inputs<T> & in) {
    const gpu_context gpu{*on};
    const auto marked = [](const auto & like) { return std::vector<T>(like.size(), from_float<T>(untouched)); };
    const on_device<int32_t> bounds(on, all.bounds);
    const on_device<T> q(on, in.q);
    const on_device<T> k(on, in.k);
    const on_device<T> v(on, in.v);
    const on_device<T> d_o(on, in.d_o);
    const on_device<T> o(on, marked(in.d_o));
    const on_device<float> lse(on, std::vector<float>(static_cast<std::size_t>(all.rows * all.shape.heads), untouched));
    const on_device<T> dq(on, marked(in.q));
    const on_device<T> dk(on, marked(in.k));
    const on_device<T> dv(on, marked(in.v));
    const on_device<char> scratch(on, attention_gpu_scratch_bytes(all.shape, all.bounds.back()));
    attention_shape shape = all.shape;
    shape.bounds = bounds.data();
    const auto constant = [](const on_device<T> & x) { return static_cast<const T *>(x.data()); };
    attention_blocks blocks = attention_blocks_of<T>(shape, all.bounds.data());
    CHECK(static_cast<int64_t>(blocks.list.size()) <= most_attention_blocks(all.bounds.back(), shape.sequences));
    const on_device<int32_t> list(on, blocks.list);
    blocks.there = list.data();
    attention_forward(gpu, shape, blocks, constant(q), constant(k), constant(v), o.data(), lse.data());
    attention_backward(gpu, shape, blocks, constant(q), constant(k), constant(v), constant(o), static_cast<const float *>(lse.data()), constant(d_o), dq.data(),
                       dk.data(), dv.data(), scratch.data());
    return {o.values(), lse.values(), dq.values(), dk.values(), dv.values()};
}

// What is in no sequence, and between the heads of a row and the next row's.
template <typename T>
bool is_untouched_outside(const problem & all, const std::vector<T> & x, int64_t stride, int64_t width) {
    for (int64_t i = 0; i < static_cast<int64_t>(x.size()); i++) {
        const bool inside = i / stride >= all.bounds.front() && i / stride < all.bounds.back() && i % stride < width;
        if (!inside && to_float(x[static_cast<std::size_t>(i)]) != untouched) {
            return false;
        }
    }
    return true;
}

// Whether two devices give the same, too.
template <typename T>
void matches(const problem & all, bool both = false) {
    const attention_shape & shape = all.shape;
    const inputs<T> in(all);
    const auto expected = oracle_of(shape, all.bounds, in);
    attention_result<T> first;
    for (const tried_device & tried : devices(both)) {
        const attention_result<T> got = run<T>(tried.on, all, in);
        if (first.o.empty()) {
            first = got;
        }
        CHECK(same_results(got, first));
        check_attention(shape, all.bounds, got, expected, tried.name + " " + std::to_string(all.longest()) + " width " + std::to_string(shape.width) + " window " + std::to_string(shape.window));
        CHECK(is_untouched_outside(all, got.o, shape.o_stride, shape.heads * shape.v_width));
        CHECK(is_untouched_outside(all, got.lse, shape.heads, shape.heads));
        CHECK(is_untouched_outside(all, got.dq, shape.q_stride, shape.heads * shape.width));
        CHECK(is_untouched_outside(all, got.dk, shape.k_stride, shape.kv_heads * shape.width));
        CHECK(is_untouched_outside(all, got.dv, shape.v_stride, shape.kv_heads * shape.v_width));
    }
}

template <typename T>
void matches_in_small_shapes() {
    matches<T>(problem({1}, 1, 1, 4, 4), true);
    matches<T>(problem({5, 0, 1, 9}, 3, 1, 6, 10, 0, 3), true);
    // Rows that are further apart than they are wide, but aligned.
    matches<T>(problem({3, 33}, 2, 2, 16, 8, 0, 8));
}

template <typename T>
void matches_with_small_windows() {
    matches<T>(problem({40, 3}, 2, 1, 8, 8, 2, 1));
    matches<T>(problem({40}, 2, 1, 8, 8, 7));
}

} // namespace

TEST(attention_gpu_matches_the_oracle_in_f32) {
    matches_in_small_shapes<float>();
    matches<float>(problem({64, 65, 63}, 1, 1, 16, 16));
}

TEST(attention_gpu_matches_the_oracle_in_bf16) {
    matches_in_small_shapes<bf16>();
}

TEST(attention_gpu_of_groups_matches_the_oracle_in_f32) {
    matches<float>(problem({70, 33}, 4, 2, 33, 17, 0, 5));
}

TEST(attention_gpu_of_groups_matches_the_oracle_in_bf16) {
    matches<bf16>(problem({65, 40}, 4, 2, 33, 17, 0, 5));
}

TEST(attention_gpu_of_wide_heads_matches_the_oracle_in_f32) {
    matches<float>(problem({35}, 2, 1, 64, 64));
    matches<float>(problem({34}, 1, 1, 80, 96));
    matches<float>(problem({33}, 1, 1, 131, 200));
}

TEST(attention_gpu_of_long_sequences_matches_the_oracle_in_bf16) {
    matches<bf16>(problem({260, 129}, 2, 1, 32, 32));
}

TEST(attention_gpu_of_heads_of_40_matches_the_oracle_in_bf16) {
    matches<bf16>(problem({130, 7}, 2, 1, 40, 40));
}

TEST(attention_gpu_of_heads_of_64_matches_the_oracle_in_bf16) {
    matches<bf16>(problem({131, 66}, 3, 1, 64, 64));
}

TEST(attention_gpu_of_heads_of_80_matches_the_oracle_in_bf16) {
    matches<bf16>(problem({131}, 2, 2, 80, 72, 70, 16));
}

TEST(attention_gpu_of_heads_of_128_matches_the_oracle_in_bf16) {
    matches<bf16>(problem({130, 5}, 2, 1, 128, 128));
}

TEST(attention_gpu_of_heads_of_256_matches_the_oracle_in_bf16) {
    matches<bf16>(problem({67}, 2, 1, 256, 192));
}

TEST(attention_gpu_with_a_small_window_matches_the_oracle) {
    matches_with_small_windows<float>();
    matches_with_small_windows<bf16>();
}

// Who sees only itself has its own value for its output, and nothing to learn about where to look.
TEST(attention_gpu_with_a_window_of_one_copies_the_values) {
    const problem all({45}, 2, 1, 8, 8, 1);
    const inputs<float> in(all);
    const auto got = run<float>(devices().front().on, all, in);
    for (std::size_t i = 2 * 16; i < 47 * 16; i++) {
        CHECK(std::abs(got.o[i] - in.v[i / 16 * 8 + i % 8]) < 1e-6f);
        CHECK(std::abs(got.dq[i]) < 1e-5f);
    }
    for (std::size_t i = 2 * 8; i < 47 * 8; i++) {
        const std::size_t at = i / 8 * 16 + i % 8;
        CHECK(std::abs(got.dk[i]) < 1e-5f);
        CHECK(std::abs(got.dv[i] - (in.d_o[at] + in.d_o[at + 8])) < 1e-5f);
    }
}

TEST(attention_gpu_with_a_window_of_some_tiles_matches_the_oracle_in_f32) {
    matches<float>(problem({150}, 2, 2, 20, 12, 64));
    matches<float>(problem({100}, 1, 1, 16, 16, 100));
    matches<float>(problem({100}, 1, 1, 16, 16, 1000));
}

TEST(attention_gpu_with_a_window_of_some_tiles_matches_the_oracle_in_bf16) {
    // Of the second tile of 128 queries, the first sees all but one of the keys in its first step.
    matches<bf16>(problem({300}, 1, 1, 20, 12, 63));
    matches<bf16>(problem({100}, 1, 1, 16, 16, 99));
    matches<bf16>(problem({100}, 1, 1, 16, 16, 1000));
}

TEST(attention_gpu_of_both_orders_of_threads_is_the_same) {
    matches<bf16>(problem({70, 20}, 4, 2, 24, 16), true);
    matches<float>(problem({40, 20}, 2, 1, 24, 16), true);
}

TEST(attention_gpu_of_packed_sequences_equals_each_for_itself) {
    for (const tried_device & tried : devices(false)) {
        const problem both({70, 45}, 2, 1, 16, 16);
        const inputs<bf16> in(both);
        const auto packed = run<bf16>(tried.on, both, in);
        // The second alone: the first one's rows belong to no sequence.
        problem second = both;
        second.bounds = {72, 117};
        second.shape.sequences = 1;
        const auto alone = run<bf16>(tried.on, second, in);
        const auto tail = [](const auto & x, int64_t stride) { return std::vector(x.begin() + 72 * stride, x.end()); };
        CHECK(same_bits(tail(packed.o, 32), tail(alone.o, 32)));
        CHECK(same_bits(tail(packed.lse, 2), tail(alone.lse, 2)));
        CHECK(same_bits(tail(packed.dq, 32), tail(alone.dq, 32)));
        CHECK(same_bits(tail(packed.dk, 16), tail(alone.dk, 16)));
        CHECK(same_bits(tail(packed.dv, 16), tail(alone.dv, 16)));
    }
}

namespace {

// A key that is not a number in the first of three sequences, a query in the last.
template <typename T>
void shows_nan() {
    const problem all({50, 20, 9}, 2, 1, 8, 8);
    inputs<T> in(all);
    in.k[(2 + 30) * 8] = from_float<T>(not_a_number);
    in.q[(72 + 4) * 16] = from_float<T>(not_a_number);
    const auto got = run<T>(devices().front().on, all, in);
    const auto is_nan_at = [](const auto & x, int64_t i) { return std::isnan(to_float(x[static_cast<std::size_t>(i)])); };
    for (int64_t row = 2; row < 81; row++) {
        const bool looks = (row >= 32 && row < 52) || row == 76;
        CHECK_EQ(is_nan_at(got.o, row * 16), looks);
        CHECK_EQ(is_nan_at(got.lse, row * 2), looks);
    }
    CHECK(is_nan_at(got.dq, 40 * 16) && is_nan_at(got.dk, 2 * 8) && is_nan_at(got.dv, 2 * 8));
    CHECK(!is_nan_at(got.dq, 60 * 16) && !is_nan_at(got.dk, 60 * 8) && !is_nan_at(got.dv, 60 * 8));
    CHECK(is_nan_at(got.dq, 76 * 16) && is_nan_at(got.dk, 72 * 8) && !is_nan_at(got.dq, 77 * 16));
}

} // namespace

TEST(attention_gpu_shows_nan_to_those_who_look_at_it) {
    shows_nan<float>();
    shows_nan<bf16>();
}

TEST(attention_gpu_of_no_rows_does_nothing) {
    const auto on = devices().front().on;
    const problem all({0, 0}, 2, 1, 8, 8);
    const inputs<bf16> in(all);
    const auto got = run<bf16>(on, all, in);
    CHECK(is_untouched_outside(all, got.o, all.shape.o_stride, 16) && is_untouched_outside(all, got.dv, all.shape.v_stride, 8));
}

TEST(attention_gpu_of_heads_that_are_too_wide_is_refused) {
    const auto on = devices().front().on;
    const problem all({3}, 1, 1, 8, 264);
    const inputs<float> in(all);
    try {
        run<float>(on, all, in);
        CHECK(!"refused");
    } catch (const error & e) {
        CHECK(e.kind() == failure::unsupported);
    }
}
