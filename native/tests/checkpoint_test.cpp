#include "io/checkpoint.h"

#include "io/file.h"
#include "io_check.h"

#include <limits>

using continual::checkpoint_reader;
using continual::checkpoint_writer;
using io_check::bytes;
using io_check::folder;

namespace {

const std::vector<float> weights = {1.0f, -2.5f, std::numeric_limits<float>::infinity(), 0.0f, 1e-42f};
const std::vector<int64_t> progress = {-1, INT64_MAX, 7};
const std::vector<double> numbers = {0.1, -3.0};

bytes example(const folder & folder) {
    checkpoint_writer writer;
    writer.add("weights", std::span<const float>(weights));
    writer.add("nothing", std::span<const float>());
    writer.add("progress", std::span<const int64_t>(progress));
    writer.add("numbers", std::span<const double>(numbers));
    writer.add("config", "a text");
    writer.add("data", continual::section_kind::bytes, std::span<const uint8_t>(reinterpret_cast<const uint8_t *>("\x00\x01\x02"), 3));
    writer.write(folder / "a.ckpt");
    return io_check::read(folder / "a.ckpt");
}

void read(const bytes & file) {
    const checkpoint_reader reader(file, "a.ckpt");
}

} // namespace

TEST(crc64_is_the_standard_one) {
    // Check value of CRC-64/XZ in the catalogue of parametrised CRC algorithms.
    const bytes digits = io_check::of("123456789");
    CHECK_EQ(continual::crc64(digits), 0x995dc9bbdf1939fau);
    CHECK_EQ(continual::crc64({}), 0u);
    // In parts it is the same, however they are cut.
    const bytes text(257, 'x');
    for (std::size_t cut = 0; cut <= text.size(); cut++) {
        const std::span<const uint8_t> all(text);
        CHECK_EQ(continual::crc64(all.subspan(cut), continual::crc64(all.first(cut))), continual::crc64(all));
    }
}

TEST(checkpoint_comes_back_bit_for_bit) {
    const folder folder;
    const bytes file = example(folder);
    const checkpoint_reader reader(file, "a.ckpt");
    CHECK_EQ(reader.sections().size(), 6u);
    CHECK_EQ(reader.count("weights"), 5);
    std::vector<float> floats(5);
    reader.read("weights", floats);
    CHECK_EQ(std::memcmp(floats.data(), weights.data(), sizeof(float) * 5), 0);
    CHECK_EQ(reader.count("nothing"), 0);
    reader.read("nothing", {});
    CHECK(reader.integers("progress") == progress);
    CHECK(reader.doubles("numbers") == numbers);
    CHECK_EQ(reader.text("config"), "a text");
    CHECK_EQ(reader.bytes("data").size(), 3u);
    CHECK(reader.has("data") && !reader.has("datum"));
    CHECK(example(folder) == file);
}

TEST(checkpoint_of_another_shape_is_refused) {
    const folder folder;
    const bytes file = example(folder);
    const checkpoint_reader reader(file, "a.ckpt");
    std::vector<float> floats(4);
    CHECK_REFUSED(reader.read("weights", floats), "section 'weights' holds 5 numbers, where this trainer has 4");
    CHECK_REFUSED(reader.text("weights"), "of another kind");
    CHECK_REFUSED(reader.integers("moments"), "no section 'moments'");
    checkpoint_writer writer;
    writer.add("a", "x");
    CHECK_REFUSED(writer.add("a", "y"), "already there");
    CHECK_REFUSED(writer.add("", "y"), "empty");
}

TEST(damaged_checkpoint_is_refused_by_section) {
    const folder folder;
    const bytes file = example(folder);
    const checkpoint_reader whole(file, "a.ckpt");
    // Every bit of the file counts.
    for (std::size_t bit = 0; bit < file.size() * 8; bit++) {
        bytes damaged = file;
        damaged[bit / 8] = static_cast<uint8_t>(damaged[bit / 8] ^ (1u << bit % 8));
        const auto message = io_check::refusal([&] { read(damaged); });
        CHECK(message.has_value());
        for (const continual::checkpoint_section & section : whole.sections()) {
            const std::size_t begin = static_cast<std::size_t>(section.bytes.data() - file.data());
            if (bit / 8 >= begin && bit / 8 < begin + section.bytes.size()) {
                CHECK(message->find("section '" + section.name + "' has the wrong checksum") != std::string::npos);
            }
        }
    }
    for (std::size_t size = 0; size < file.size(); size++) {
        CHECK(io_check::refusal([&] { read(bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size))); }).has_value());
    }
    bytes cut = file;
    cut.pop_back();
    CHECK_REFUSED(read(cut), "section 'data' is cut off");
    bytes longer = file;
    longer.push_back(0);
    CHECK_REFUSED(read(longer), "where its header says");
    bytes newer = file;
    newer[8] = 2;
    CHECK_REFUSED(read(newer), "version 2");
    CHECK_REFUSED(read(io_check::of("GGUF, for example")), "not a checkpoint");
}

TEST(checkpoint_survives_mutations) {
    const folder folder;
    const bytes file = example(folder);
    std::mt19937 random(6);
    for (int i = 0; i < 20000; i++) {
        bytes damaged = io_check::mutated(file, random);
        if (i % 2 == 0 && damaged.size() >= 40) {
            // With the right checksum over the table, so that what stands behind it is tried too.
            uint64_t table = 0;
            std::memcpy(&table, damaged.data() + 24, sizeof table);
            const std::span<const uint8_t> all(damaged);
            const uint64_t crc = continual::crc64(all.subspan(40, std::min<std::size_t>(table, damaged.size() - 40)), continual::crc64(all.first(32)));
            std::memcpy(damaged.data() + 32, &crc, sizeof crc);
        }
        if (damaged == file) {
            continue;
        }
        const auto message = io_check::refusal([&] {
            const checkpoint_reader reader(damaged, "a.ckpt");
            uint64_t sum = 0;
            for (const continual::checkpoint_section & section : reader.sections()) {
                for (const uint8_t byte : section.bytes) {
                    sum += byte;
                }
            }
            // Only the table's own words may differ, such as a name: the data is what was written.
            CHECK(sum > 0);
        });
        CHECK(!message || message->find("a.ckpt: ") == 0);
    }
}
