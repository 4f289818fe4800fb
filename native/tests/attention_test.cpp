#include "attention_check.h"

using namespace ops_check;
using namespace continual;

namespace {

// A shape with all that it points to. Rows of q, k, v and o are a few elements further apart than they need to be.
struct problem {
    std::vector<int32_t> bounds;
    attention_shape shape;

    problem(std::vector<int32_t> lengths, int32_t heads, int32_t kv_heads, int32_t width, int32_t v_width, int32_t window, int64_t apart = 0) {
        // The rows before the first sequence belong to none.
        bounds.push_back(apart > 0 ? 2 : 0);
        for (const int32_t length : lengths) {
            bounds.push_back(bounds.back() + length);
        }
        shape.bounds = bounds.data();
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
    problem(const problem &) = delete;

    int64_t rows() const { return bounds.back(); }
    int64_t longest() const {
        int64_t most = 0;
        for (std::size_t s = 1; s < bounds.size(); s++) {
            most = std::max<int64_t>(most, bounds[s] - bounds[s - 1]);
        }
        return most;
    }
};

template <typename T>
struct inputs {
    std::vector<T> q;
    std::vector<T> k;
    std::vector<T> v;
    std::vector<T> d_o;

    explicit inputs(const problem & all)
        : q(normals<T>(all.rows() * all.shape.q_stride, 1, 1.5f)), k(normals<T>(all.rows() * all.shape.k_stride, 2, 1.5f)), v(normals<T>(all.rows() * all.shape.v_stride, 3)),
          d_o(normals<T>(all.rows() * all.shape.o_stride, 4)) {}
};

template <typename T>
attention_result<T> run(const cpu_context & cpu, const problem & all, const inputs<T> & in) {
    const T mark = from_float<T>(untouched);
    attention_result<T> out = {std::vector<T>(in.d_o.size(), mark), std::vector<float>(static_cast<std::size_t>(all.rows() * all.shape.heads), untouched), std::vector<T>(in.q.size(), mark),
                         std::vector<T>(in.k.size(), mark), std::vector<T>(in.v.size(), mark)};
    // Exactly as large as stated, so that a sanitizer sees a byte too many; whatever it holds must not matter.
    const int64_t bytes = attention_scratch_bytes(all.shape, cpu.pool.threads(), all.longest());
    const std::unique_ptr<char, decltype(&std::free)> scratch(static_cast<char *>(std::aligned_alloc(64, static_cast<std::size_t>((bytes + 63) / 64 * 64))), &std::free);
    std::memset(scratch.get(), 0xff, static_cast<std::size_t>(bytes));
    attention_forward(cpu, all.shape, in.q.data(), in.k.data(), in.v.data(), out.o.data(), out.lse.data(), scratch.get());
    std::memset(scratch.get(), 0xff, static_cast<std::size_t>(bytes));
    attention_backward(cpu, all.shape, in.q.data(), in.k.data(), in.v.data(), out.o.data(), out.lse.data(), in.d_o.data(), out.dq.data(), out.dk.data(), out.dv.data(), scratch.get());
    return out;
}

template <typename T>
void matches(const problem & all) {
    const attention_shape & shape = all.shape;
    const inputs<T> in(all);
    const auto expected = oracle_of(shape, all.bounds, in);
    for (const isa level : levels()) {
        const attention_result<T> got = run({pool(), level}, all, in);
        check_attention(shape, all.bounds, got, expected, std::string(name(level)) + " " + std::to_string(all.longest()) + " width " + std::to_string(shape.width) + " window " + std::to_string(shape.window));

        const auto marks = [](const auto & x) { return std::count_if(x.begin(), x.end(), [](auto value) { return to_float(value) == untouched; }); };
        const int64_t outside = shape.bounds[0];
        const int64_t inside = all.rows() - outside;
        CHECK(marks(got.o) >= outside * shape.o_stride + inside * (shape.o_stride - shape.heads * shape.v_width));
        CHECK(marks(got.dq) >= outside * shape.q_stride + inside * (shape.q_stride - shape.heads * shape.width));
        CHECK(marks(got.dk) >= outside * shape.k_stride + inside * (shape.k_stride - shape.kv_heads * shape.width));
        CHECK(marks(got.dv) >= outside * shape.v_stride + inside * (shape.v_stride - shape.kv_heads * shape.v_width));
    }
}

template <typename T>
void matches_in_all_shapes() {
    matches<T>(problem({1}, 1, 1, 4, 4, 0));
    matches<T>(problem({5, 0, 1, 9}, 3, 1, 6, 10, 0, 3));
    matches<T>(problem({64, 65, 63}, 2, 2, 16, 16, 0));
    matches<T>(problem({200, 129}, 4, 2, 33, 17, 0, 5));
    matches<T>(problem({131}, 7, 1, 64, 64, 0));
}

template <typename T>
void matches_with_windows() {
    matches<T>(problem({40, 3}, 2, 1, 8, 8, 2, 1));
    matches<T>(problem({40}, 2, 1, 8, 8, 7));
    matches<T>(problem({300}, 2, 2, 20, 12, 64));
    matches<T>(problem({300}, 2, 1, 16, 16, 130));
    matches<T>(problem({100}, 2, 1, 16, 16, 100));
    matches<T>(problem({100}, 2, 1, 16, 16, 1000));
}

} // namespace

TEST(attention_matches_the_oracle_in_f32) {
    matches_in_all_shapes<float>();
}

TEST(attention_matches_the_oracle_in_bf16) {
    matches_in_all_shapes<bf16>();
}

TEST(attention_with_a_sliding_window_matches_the_oracle) {
    matches_with_windows<float>();
    matches_with_windows<bf16>();
}

// Who sees only itself has its own value for its output, and nothing to learn about where to look.
TEST(attention_with_a_window_of_one_copies_the_values) {
    for (const isa level : levels()) {
        const problem all({150}, 2, 1, 8, 8, 1);
        const inputs<float> in(all);
        const auto got = run({pool(), level}, all, in);
        for (std::size_t i = 0; i < got.o.size(); i++) {
            CHECK(std::abs(got.o[i] - in.v[i / 16 * 8 + i % 8]) < 1e-6f);
            CHECK(std::abs(got.dq[i]) < 1e-5f);
        }
        for (std::size_t i = 0; i < got.dv.size(); i++) {
            const std::size_t at = i / 8 * 16 + i % 8;
            CHECK(std::abs(got.dk[i]) < 1e-5f);
            CHECK(std::abs(got.dv[i] - (in.d_o[at] + in.d_o[at + 8])) < 1e-5f);
        }
    }
}

TEST(attention_oracle_agrees_with_finite_differences) {
    for (const std::size_t window : {std::size_t{0}, std::size_t{3}}) {
        const std::size_t rows = 7;
        const std::size_t width = 4;
        const std::size_t v_width = 3;
        const auto q = widened(normals<float>(28, 1));
        const auto k = widened(normals<float>(28, 2));
        const auto v = widened(normals<float>(21, 3));
        const auto d_o = widened(normals<float>(21, 4));
        const auto gradient = oracle::attention_backward(rows, width, v_width, 0.5, window, q, k, v, d_o);
        const auto total = [&](const std::vector<double> & a, const std::vector<double> & b, const std::vector<double> & c) {
            return dot(d_o, oracle::attention(rows, width, v_width, 0.5, window, a, b, c).o);
        };
        check_error("finite differences", false, error_of(slope([&](const auto & at) { return total(at, k, v); }, q), gradient.dq), "attention dq");
        check_error("finite differences", false, error_of(slope([&](const auto & at) { return total(q, at, v); }, k), gradient.dk), "attention dk");
        check_error("finite differences", false, error_of(slope([&](const auto & at) { return total(q, k, at); }, v), gradient.dv), "attention dv");
    }
}

TEST(attention_of_packed_sequences_equals_each_for_itself) {
    for (const isa level : levels()) {
        const problem both({70, 45}, 4, 2, 16, 16, 0);
        const inputs<bf16> in(both);
        const auto packed = run({pool(), level}, both, in);
        // The second alone: the first one's rows belong to no sequence.
        problem second({45}, 4, 2, 16, 16, 0);
        second.bounds = {70, 115};
        second.shape.bounds = second.bounds.data();
        const auto alone = run({pool(), level}, second, in);
        const auto tail = [](const auto & x, int64_t stride) { return std::vector(x.begin() + 70 * stride, x.end()); };
        CHECK(same_bits(tail(packed.o, 64), tail(alone.o, 64)));
        CHECK(same_bits(tail(packed.dq, 64), tail(alone.dq, 64)));
        CHECK(same_bits(tail(packed.dk, 32), tail(alone.dk, 32)));
        CHECK(same_bits(tail(packed.dv, 32), tail(alone.dv, 32)));
    }
}

TEST(attention_is_the_same_on_any_number_of_threads) {
    const problem all({150, 40, 90}, 6, 3, 24, 16, 0);
    const inputs<bf16> in(all);
    check_same_on_any_threads<bf16>([&](const cpu_context & cpu) {
        auto out = run(cpu, all, in);
        append(out.o, out.dq);
        append(out.o, out.dk);
        append(out.o, out.dv);
        return out.o;
    });
}

TEST(attention_memory_does_not_grow_with_the_square_of_the_length) {
    const problem all({1}, 14, 2, 64, 64, 0);
    const int64_t at_2048 = attention_scratch_bytes(all.shape, 2, 2048);
    const int64_t at_4096 = attention_scratch_bytes(all.shape, 2, 4096);
    CHECK(at_4096 - at_2048 == 2 * 2048 * (64 + 64) * static_cast<int64_t>(sizeof(float)));
    CHECK(at_2048 < 8 << 20);
}

TEST(attention_shows_nan_to_those_who_look_at_it) {
    for (const isa level : levels()) {
        const problem all({100, 20}, 2, 1, 8, 8, 0);
        inputs<float> in(all);
        in.k[30 * 8] = not_a_number;
        const auto got = run({pool(), level}, all, in);
        for (int64_t row = 0; row < 120; row++) {
            CHECK_EQ(std::isnan(got.o[static_cast<std::size_t>(row * 16)]), row >= 30 && row < 100);
            CHECK_EQ(std::isnan(got.lse[static_cast<std::size_t>(row * 2)]), row >= 30 && row < 100);
        }
        CHECK(std::isnan(got.dq[40 * 16]) && std::isnan(got.dk[0]));
        CHECK(!std::isnan(got.dq[110 * 16]) && !std::isnan(got.dk[110 * 8]));
    }
}
