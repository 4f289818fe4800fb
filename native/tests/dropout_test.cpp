#include "ops/dropout.h"
#include "ops_check.h"

using namespace ops_check;
using namespace continual;

TEST(philox_gives_the_known_answers) {
    // From Random123's known-answer file (philox4x32, 10 rounds): all zeros, all ones, and digits of π.
    struct known {
        uint32_t counter[4];
        uint32_t key[2];
        uint32_t out[4];
    };
    const known all[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (const known & one : all) {
        uint32_t out[4];
        philox4x32(one.counter, one.key, out);
        for (int i = 0; i < 4; i++) {
            CHECK_EQ(out[i], one.out[i]);
        }
    }
}

TEST(dropout_mask_is_philox_by_the_documented_place) {
    const uint64_t seed = 0x123456789abcdef0ull;
    const uint64_t stream = 0xfedcba9876543210ull;
    const int64_t n = 40001;
    const float rate = 0.3f;
    const std::vector<float> x(static_cast<std::size_t>(n), 1.0f);
    for (const isa level : levels()) {
        std::vector<float> y(x.size());
        dropout(cpu_context{pool(), level}, seed, stream, n, rate, x.data(), y.data());
        for (int64_t i = 0; i < n; i++) {
            const uint64_t at = static_cast<uint64_t>(16 * (i / 64) + i % 16);
            const uint32_t counter[4] = {static_cast<uint32_t>(at), static_cast<uint32_t>(at >> 32), static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)};
            const uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
            uint32_t words[4];
            philox4x32(counter, key, words);
            const bool kept = static_cast<double>(words[i % 64 / 16]) >= 0.3 * 4294967296.0;
            CHECK_EQ(y[static_cast<std::size_t>(i)], kept ? 1.0f / 0.7f : 0.0f);
        }
    }
}

TEST(dropout_drops_its_share_and_keeps_the_mean) {
    const int64_t n = 200000;
    for (const float rate : {0.05f, 0.1f, 0.5f, 0.9f}) {
        const std::vector<float> x(static_cast<std::size_t>(n), 1.0f);
        std::vector<float> y(x.size());
        dropout(cpu_context{pool(), best_isa()}, 42, 7, n, rate, x.data(), y.data());
        double dropped = 0.0;
        double both = 0.0; // neighbours
        double sum = 0.0;
        for (std::size_t i = 0; i < y.size(); i++) {
            dropped += y[i] == 0.0f ? 1.0 : 0.0;
            both += i > 0 && y[i] == 0.0f && y[i - 1] == 0.0f ? 1.0 : 0.0;
            sum += static_cast<double>(y[i]);
        }
        const double share = static_cast<double>(rate);
        // Five standard deviations.
        CHECK(std::abs(dropped / static_cast<double>(n) - share) < 5.0 * std::sqrt(share * (1.0 - share) / static_cast<double>(n)));
        CHECK(std::abs(sum / static_cast<double>(n) - 1.0) < 5.0 * std::sqrt(share / (1.0 - share) / static_cast<double>(n)));
        CHECK(std::abs(both / static_cast<double>(n) - share * share) < 8.0 * std::sqrt(share * share / static_cast<double>(n)));
    }
}

TEST(dropout_masks_of_streams_and_seeds_differ) {
    const std::vector<bf16> x(10000, to_bf16(1.0f));
    const auto masked = [&](uint64_t seed, uint64_t stream) {
        std::vector<bf16> y(x.size());
        dropout(cpu_context{pool(), best_isa()}, seed, stream, 10000, 0.5f, x.data(), y.data());
        return y;
    };
    const auto first = masked(1, 1);
    CHECK(same_bits(first, masked(1, 1)));
    for (const auto & other : {masked(1, 2), masked(2, 1), masked(1, 1ull << 40), masked(1ull << 40, 1)}) {
        int same = 0;
        for (std::size_t i = 0; i < first.size(); i++) {
            same += first[i].bits == other[i].bits ? 1 : 0;
        }
        CHECK(std::abs(same - 5000) < 300);
    }
}

TEST(dropout_at_the_ends_of_the_rate_and_in_place) {
    for (const isa level : levels()) {
        const cpu_context cpu{pool(), level};
        const auto x = normals<bf16>(1001, 1);
        std::vector<bf16> y(x.size());
        dropout(cpu, 1, 1, 1001, 0.0f, x.data(), y.data());
        CHECK(same_bits(x, y));
        dropout(cpu, 1, 1, 1001, 1.0f, x.data(), y.data());
        CHECK(same_bits(y, std::vector<bf16>(1001, bf16{0})));
        dropout(cpu, 1, 1, 1001, 0.4f, x.data(), y.data());
        auto in_place = x;
        dropout(cpu, 1, 1, 1001, 0.4f, in_place.data(), in_place.data());
        CHECK(same_bits(in_place, y));
    }
}

TEST(dropout_is_the_same_on_any_number_of_threads_and_instructions) {
    const auto x = normals<float>(50021, 1);
    std::vector<float> first;
    check_same_on_any_threads<float>([&](const cpu_context & cpu) {
        std::vector<float> y(x.size());
        dropout(cpu, 3, 4, 50021, 0.1f, x.data(), y.data());
        if (first.empty()) {
            first = y;
        }
        CHECK(same_bits(first, y));
        return y;
    });
}
