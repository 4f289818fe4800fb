// The emulator must see what it is there to see: kernels that are wrong on purpose, and the collective functions against plain loops.
#include "gpu_check.h"
#include "runtime/kernel.h"

#include <stdexcept>

using namespace gpu_check;
using namespace ops_check;

namespace continual {

namespace {

CN_KERNEL(64, emulator_race, (float * out)) {
    const shared_array<float> tile(0);
    tile[thread_index()] = 1.0f;
    out[thread_index()] = tile[(thread_index() + 1) % 64];
}

CN_KERNEL(64, emulator_race_of_writes, (int32_t different)) {
    const shared_array<float> tile(0);
    tile[thread_index() / (different != 0 ? 1 : 2)] = 1.0f;
}

CN_KERNEL(64, emulator_write_behind_read, (float * out)) {
    const shared_array<float> tile(0);
    tile[thread_index()] = 1.0f;
    block_barrier();
    out[thread_index()] = tile[63 - thread_index()];
    tile[thread_index()] = 2.0f;
}

// Its warps need no barrier of the block.
CN_KERNEL(64, emulator_within_warps, (float * out)) {
    const shared_array<float> tile(0);
    tile[thread_index()] = static_cast<float>(thread_index());
    warp_barrier();
    out[thread_index()] = tile[thread_index() ^ 1];
}

CN_KERNEL(64, emulator_parted, (int32_t limit)) {
    if (thread_index() < limit) {
        block_barrier();
    }
}

CN_KERNEL(64, emulator_parted_warp, (float * out)) {
    if (thread_index() != 5) {
        out[thread_index()] = shuffle_xor(1.0f, 1);
    } else {
        warp_barrier();
    }
}

CN_KERNEL(64, emulator_unwritten, (float * out)) {
    const shared_array<float> tile(0);
    if (thread_index() < 63) {
        tile[thread_index()] = 0.0f;
    }
    block_barrier();
    out[thread_index()] = tile[thread_index()];
}

CN_KERNEL(64, emulator_beyond, (float * out)) {
    const shared_array<float> tile(4);
    tile[thread_index()] = 0.0f;
    out[0] = 0.0f;
}

CN_KERNEL(32, emulator_misaligned, (float * out)) {
    const shared_array<float> tile(0);
    tile.store_as<quad>(thread_index() * 4 + 1, quad{});
    out[0] = 0.0f;
}

CN_KERNEL(32, emulator_copies, (const float * from, float * to, int32_t waits)) {
    const shared_array<float> tile(0);
    copy_async(tile, 4 * thread_index(), from + 4 * thread_index(), thread_index() != 3);
    copy_commit();
    if (waits != 0) {
        copy_wait<0>();
    }
    for (int i = 0; i < 4; i++) {
        to[4 * thread_index() + i] = tile[4 * thread_index() + i];
    }
}

CN_KERNEL(32, emulator_shuffles, (const float * from, float * across, float * at)) {
    across[thread_index()] = shuffle_xor(from[thread_index()], 5);
    at[thread_index()] = shuffle(from[thread_index()], (thread_index() * 7 + 3) % 32);
}

// d [16 × 8] = a [16 × 16] · b [8 × 16]ᵀ, through shared memory.
CN_KERNEL(32, emulator_product, (const bf16 * a, const bf16 * b, float * d)) {
    const shared_array<bf16> as(0);
    const shared_array<bf16> bs(16 * 16 * 2);
    for (int i = thread_index(); i < 256; i += 32) {
        as[i] = a[i];
        // Rows of 16, and then the same matrix again as if it were eight further rows, for the second half of load_matrix's x4.
        bs[i] = b[i % 128];
    }
    block_barrier();
    const int lane = lane_index();
    uint32_t left[4];
    uint32_t right[4];
    load_matrix<false>(left, as, (lane % 16) * 16 + lane / 16 * 8);
    load_matrix<false>(right, bs, (lane % 8) * 16 + lane / 8 % 2 * 8);
    float sum[4] = {};
    mma(sum, left, right[0], right[1]);
    for (int i = 0; i < 4; i++) {
        d[(lane / 4 + i / 2 * 8) * 8 + 2 * (lane % 4) + i % 2] = sum[i];
    }
}

CN_KERNEL(32, emulator_transposed, (const bf16 * from, uint32_t * to)) {
    const shared_array<bf16> tile(0);
    for (int i = thread_index(); i < 256; i += 32) {
        tile[i] = from[i];
    }
    warp_barrier();
    uint32_t words[4];
    load_matrix<true>(words, tile, (lane_index() % 8) * 8 + lane_index() / 8 * 64);
    for (int j = 0; j < 4; j++) {
        to[lane_index() * 4 + j] = words[j];
    }
}

CN_KERNEL(128, emulator_reductions, (const float * from, float * sums, float * highest)) {
    const shared_array<float> scratch(0);
    sums[thread_index()] = sum_of_block(from[thread_index()], scratch);
    block_barrier();
    highest[thread_index()] = highest_of_block(from[thread_index()], scratch);
}

CN_KERNEL(32, emulator_exponentials, (int32_t n, const float * from, float * to)) {
    for (int32_t i = thread_index(); i < n; i += 32) {
        to[i] = exp_of(from[i]);
    }
}

// What a launch is refused for; empty when it is not.
template <typename... Arguments>
std::string refusal(const char * kernel, int threads, int64_t shared_bytes, Arguments... arguments) {
    std::string said;
    for (const bool backwards : {false, true}) {
        emulator::emulated_device on(backwards);
        try {
            launch(gpu_context{on}, kernel, {2}, threads, shared_bytes, arguments...);
            said += "|";
        } catch (const std::runtime_error & e) {
            said += std::string(e.what()) + "|";
        }
    }
    return said == "||" ? "" : said;
}

bool says(const std::string & said, const char * what) {
    // In both orders.
    const size_t first = said.find(what);
    const bool both = first != std::string::npos && said.find(what, first + 1) != std::string::npos;
    if (!both) {
        std::fprintf(stderr, "said: %s\n", said.c_str());
    }
    return both;
}

} // namespace

} // namespace continual

using namespace continual;

TEST(emulator_sees_races_of_shared_memory) {
    std::vector<float> out(64);
    CHECK(says(refusal("emulator_race", 64, 256, out.data()), "nobody wrote") || says(refusal("emulator_race", 64, 256, out.data()), "race"));
    CHECK(says(refusal("emulator_race_of_writes", 64, 256, int32_t{0}), "both write"));
    CHECK_EQ(refusal("emulator_race_of_writes", 64, 256, int32_t{1}), "");
    CHECK(says(refusal("emulator_write_behind_read", 64, 256, out.data()), "race"));
    CHECK_EQ(refusal("emulator_within_warps", 64, 256, out.data()), "");
    CHECK(out[4] == 5.0f && out[5] == 4.0f);
}

TEST(emulator_sees_threads_that_part) {
    std::vector<float> out(64);
    CHECK(says(refusal("emulator_parted", 64, 0, int32_t{63}), "threads have parted"));
    CHECK(says(refusal("emulator_parted", 64, 0, int32_t{32}), "threads have parted"));
    CHECK_EQ(refusal("emulator_parted", 64, 0, int32_t{64}), "");
    CHECK(says(refusal("emulator_parted_warp", 64, 0, out.data()), "threads have parted"));
}

TEST(emulator_sees_bad_accesses_and_launches) {
    std::vector<float> out(64);
    CHECK(says(refusal("emulator_unwritten", 64, 256, out.data()), "nobody wrote"));
    CHECK(says(refusal("emulator_beyond", 64, 256, out.data()), "of 256 bytes"));
    CHECK(says(refusal("emulator_misaligned", 32, 1024, out.data()), "misaligned"));
    CHECK(says(refusal("emulator_parted", 64, 0, int64_t{64}), "not what the kernel takes"));
    CHECK(says(refusal("emulator_parted", 64, 0, 64.0f), "not what the kernel takes"));
    CHECK(says(refusal("emulator_parted", 96, 0, int32_t{96}), "can't be launched"));
    CHECK(says(refusal("emulator_parted", 64, 1 << 20, int32_t{64}), "can't be launched"));
    CHECK(says(refusal("no_such_kernel", 64, 0, int32_t{0}), "no kernel"));
}

TEST(emulator_copies_when_it_is_waited_for) {
    const auto from = normals<float>(128, 1);
    // The standard allocator's alignment is 16.
    std::vector<float> to(128);
    CHECK_EQ(refusal("emulator_copies", 32, 512, static_cast<const float *>(from.data()), to.data(), int32_t{1}), "");
    for (std::size_t i = 0; i < 128; i++) {
        CHECK(to[i] == (i / 4 == 3 ? 0.0f : from[i]));
    }
    CHECK(says(refusal("emulator_copies", 32, 512, static_cast<const float *>(from.data()), to.data(), int32_t{0}), "never waited for"));
}

TEST(emulator_shuffles_and_reduces) {
    const auto from = normals<float>(128, 2);
    std::vector<float> a(128);
    std::vector<float> b(128);
    CHECK_EQ(refusal("emulator_shuffles", 32, 0, static_cast<const float *>(from.data()), a.data(), b.data()), "");
    for (std::size_t i = 0; i < 32; i++) {
        CHECK(a[i] == from[i ^ 5]);
        CHECK(b[i] == from[(i * 7 + 3) % 32]);
    }
    CHECK_EQ(refusal("emulator_reductions", 128, 16, static_cast<const float *>(from.data()), a.data(), b.data()), "");
    double sum = 0.0;
    float highest = from[0];
    for (const float x : from) {
        sum += static_cast<double>(x);
        highest = x > highest ? x : highest;
    }
    for (std::size_t i = 0; i < 128; i++) {
        CHECK(std::abs(static_cast<double>(a[i]) - sum) < 1e-5 && a[i] == a[0]);
        CHECK(b[i] == highest);
    }
}

TEST(emulator_multiplies_as_tensor_cores_do) {
    const auto a = normals<bf16>(256, 3);
    const auto b = normals<bf16>(128, 4);
    std::vector<float> d(128);
    CHECK_EQ(refusal("emulator_product", 32, 1024, a.data(), b.data(), d.data()), "");
    for (std::size_t row = 0; row < 16; row++) {
        for (std::size_t column = 0; column < 8; column++) {
            double sum = 0.0;
            for (std::size_t k = 0; k < 16; k++) {
                sum += static_cast<double>(to_float(a[row * 16 + k])) * static_cast<double>(to_float(b[column * 16 + k]));
            }
            CHECK(std::abs(static_cast<double>(d[row * 8 + column]) - sum) < 1e-5);
        }
    }
    std::vector<uint32_t> words(128);
    CHECK_EQ(refusal("emulator_transposed", 32, 512, a.data(), words.data()), "");
    for (std::size_t lane = 0; lane < 32; lane++) {
        for (std::size_t j = 0; j < 4; j++) {
            const std::size_t column = lane / 4;
            const std::size_t row = 2 * (lane % 4);
            CHECK_EQ(words[lane * 4 + j], a[j * 64 + row * 8 + column].bits | static_cast<uint32_t>(a[j * 64 + (row + 1) * 8 + column].bits) << 16);
        }
    }
}

TEST(emulator_exponentials_are_exact_enough) {
    std::vector<float> x = {0.0f, 1.0f, -1.0f, 80.0f, -80.0f, -103.0f, -200.0f, 88.7f, 200.0f, infinity, -infinity, not_a_number};
    for (const float value : normals<float>(1000, 5, 20.0f)) {
        x.push_back(value);
    }
    std::vector<float> e(x.size());
    CHECK_EQ(refusal("emulator_exponentials", 32, 0, static_cast<int32_t>(x.size()), static_cast<const float *>(x.data()), e.data()), "");
    for (std::size_t i = 0; i < x.size(); i++) {
        const double exact = std::exp(static_cast<double>(x[i]));
        const double apart = std::abs(static_cast<double>(e[i]) - exact);
        CHECK(std::isnan(x[i]) ? std::isnan(e[i]) : exact > 3.4e38 ? e[i] == infinity : apart <= 3e-7 * exact + 1e-44);
    }
}
