// Any bytes, as they are and with the table's checksum put right: read as a checkpoint or refused with `error`.
#include "io/checkpoint.h"
#include "runtime/error.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

void read(std::span<const uint8_t> bytes) {
    try {
        const continual::checkpoint_reader reader(bytes, "fuzz");
        for (const continual::checkpoint_section & section : reader.sections()) {
            if (!section.bytes.empty() && (section.bytes.data() < bytes.data() || section.bytes.data() + section.bytes.size() > bytes.data() + bytes.size())) {
                std::abort();
            }
            if (section.kind == continual::section_kind::f32) {
                std::vector<float> values(static_cast<std::size_t>(reader.count(section.name)));
                reader.read(section.name, values);
            } else if (section.kind == continual::section_kind::text) {
                reader.text(section.name);
            } else if (section.kind == continual::section_kind::i64) {
                reader.integers(section.name);
            } else if (section.kind == continual::section_kind::f64) {
                reader.doubles(section.name);
            }
        }
    } catch (const continual::error &) {
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t * data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t * data, std::size_t size) {
    read({data, size});
    if (size >= 40) {
        std::vector<uint8_t> right(data, data + size);
        const std::span<const uint8_t> all(right);
        uint64_t table = 0;
        std::memcpy(&table, right.data() + 24, sizeof table);
        const uint64_t crc = continual::crc64(all.subspan(40, std::min<std::size_t>(table, size - 40)), continual::crc64(all.first(32)));
        std::memcpy(right.data() + 32, &crc, sizeof crc);
        read(right);
    }
    return 0;
}
