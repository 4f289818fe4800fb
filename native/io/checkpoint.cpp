#include "io/checkpoint.h"

#include "io/file.h"
#include "io/load.h"
#include "io/text.h"

#include <algorithm>
#include <cstring>

namespace continual {

namespace {

constexpr char magic[8] = {'C', 'N', 'C', 'H', 'K', 'P', 'T', '\n'};
constexpr uint32_t version = 1;
constexpr uint64_t header_bytes = 40;
constexpr uint64_t checked_header_bytes = 32;
constexpr uint64_t entry_bytes = 32;
constexpr uint64_t alignment = 64;
constexpr std::size_t longest_name = 255;
constexpr std::size_t most_sections = 4096;

// Eight bytes at a time: tables[k][b] is the remainder of byte b with k zero bytes behind it.
struct crc_tables {
    uint64_t at[8][256];
};
constexpr crc_tables tables = [] {
    crc_tables result = {};
    for (uint64_t byte = 0; byte < 256; byte++) {
        uint64_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xc96c5795d7870f42u : 0u);
        }
        result.at[0][byte] = crc;
    }
    for (int k = 1; k < 8; k++) {
        for (int byte = 0; byte < 256; byte++) {
            const uint64_t before = result.at[k - 1][byte];
            result.at[k][byte] = (before >> 8) ^ result.at[0][before & 255];
        }
    }
    return result;
}();

uint64_t padded(uint64_t size) noexcept {
    return (size + alignment - 1) / alignment * alignment;
}

uint64_t size_of(section_kind kind) noexcept {
    switch (kind) {
    case section_kind::bytes:
    case section_kind::text:
        return 1;
    case section_kind::f32:
        return 4;
    case section_kind::i64:
    case section_kind::f64:
        return 8;
    }
    return 0;
}

template <typename T>
void append(std::string & to, T value) {
    to.append(reinterpret_cast<const char *>(&value), sizeof value);
}

template <typename T>
std::span<const uint8_t> as_bytes(std::span<const T> values) noexcept {
    return {reinterpret_cast<const uint8_t *>(values.data()), values.size_bytes()};
}

template <typename T>
std::vector<T> as_values(std::span<const uint8_t> bytes) {
    std::vector<T> values(bytes.size() / sizeof(T));
    if (!values.empty()) {
        std::memcpy(values.data(), bytes.data(), bytes.size());
    }
    return values;
}

} // namespace

uint64_t crc64(std::span<const uint8_t> bytes, uint64_t before) noexcept {
    uint64_t crc = ~before;
    const uint8_t * p = bytes.data();
    std::size_t size = bytes.size();
    for (; size >= 8; size -= 8, p += 8) {
        const uint64_t x = crc ^ load<uint64_t>(p);
        crc = tables.at[7][x & 255] ^ tables.at[6][x >> 8 & 255] ^ tables.at[5][x >> 16 & 255] ^ tables.at[4][x >> 24 & 255] ^ tables.at[3][x >> 32 & 255] ^
              tables.at[2][x >> 40 & 255] ^ tables.at[1][x >> 48 & 255] ^ tables.at[0][x >> 56];
    }
    for (; size > 0; size--, p++) {
        crc = (crc >> 8) ^ tables.at[0][(crc ^ *p) & 255];
    }
    return ~crc;
}

void checkpoint_writer::add(std::string_view name, section_kind kind, std::span<const uint8_t> bytes) {
    const bool there = std::any_of(sections_.begin(), sections_.end(), [&](const section & one) { return one.name == name; });
    if (name.empty() || name.size() > longest_name || there || sections_.size() == most_sections) {
        throw error(failure::argument, "a checkpoint's section name is empty, too long or already there, or there are too many: " + in_quotes(name));
    }
    sections_.push_back({std::string(name), kind, bytes});
}

void checkpoint_writer::add(std::string_view name, std::string_view text) {
    add(name, section_kind::text, {reinterpret_cast<const uint8_t *>(text.data()), text.size()});
}

void checkpoint_writer::add(std::string_view name, std::span<const float> values) {
    add(name, section_kind::f32, as_bytes(values));
}

void checkpoint_writer::add(std::string_view name, std::span<const int64_t> values) {
    add(name, section_kind::i64, as_bytes(values));
}

void checkpoint_writer::add(std::string_view name, std::span<const double> values) {
    add(name, section_kind::f64, as_bytes(values));
}

void checkpoint_writer::write(const std::string & path) const {
    uint64_t table_bytes = 0;
    for (const section & one : sections_) {
        table_bytes += entry_bytes + one.name.size();
    }
    std::string table;
    uint64_t end = header_bytes + table_bytes;
    for (const section & one : sections_) {
        const uint64_t offset = padded(end);
        append(table, one.kind);
        append(table, static_cast<uint32_t>(one.name.size()));
        append(table, offset);
        append(table, static_cast<uint64_t>(one.bytes.size()));
        append(table, crc64(one.bytes));
        table += one.name;
        end = offset + one.bytes.size();
    }
    std::string header(magic, sizeof magic);
    append(header, version);
    append(header, static_cast<uint32_t>(sections_.size()));
    append(header, end);
    append(header, table_bytes);
    header += table;
    const uint64_t crc = crc64({reinterpret_cast<const uint8_t *>(header.data()), header.size()});

    atomic_file file(path);
    file.write(header.data(), checked_header_bytes);
    file.write(&crc, sizeof crc);
    file.write(table.data(), static_cast<int64_t>(table.size()));
    for (const section & one : sections_) {
        file.pad(static_cast<int64_t>(padded(static_cast<uint64_t>(file.size()))) - file.size());
        file.write(one.bytes.data(), static_cast<int64_t>(one.bytes.size()));
    }
    file.commit();
}

checkpoint_reader::checkpoint_reader(std::span<const uint8_t> bytes, std::string name) : name_(std::move(name)) {
    const auto damaged = [&](const std::string & what) { refuse(name_, "is damaged: " + what + ". Resume from an earlier checkpoint."); };
    const uint8_t * const start = bytes.data();
    if (bytes.size() < sizeof magic || std::memcmp(start, magic, sizeof magic) != 0) {
        refuse(name_, "is not a checkpoint of this trainer");
    }
    if (bytes.size() < header_bytes) {
        damaged("it ends inside its header");
    }
    if (load<uint32_t>(start + 8) != version) {
        refuse(name_, "is a checkpoint of version " + std::to_string(load<uint32_t>(start + 8)) + ", where version 1 is read. Resume it with the version of this program that wrote it.");
    }
    const uint64_t count = load<uint32_t>(start + 12);
    const uint64_t length = load<uint64_t>(start + 16);
    const uint64_t table_bytes = load<uint64_t>(start + 24);
    if (table_bytes > bytes.size() - header_bytes || count > most_sections) {
        damaged("its table of sections has an impossible size");
    }
    const std::span<const uint8_t> table = bytes.subspan(header_bytes, static_cast<std::size_t>(table_bytes));
    if (crc64(table, crc64(bytes.first(checked_header_bytes))) != load<uint64_t>(start + checked_header_bytes)) {
        damaged("its table of sections has the wrong checksum");
    }
    uint64_t at = 0;
    uint64_t end = header_bytes + table_bytes;
    for (uint64_t i = 0; i < count; i++) {
        if (table.size() - at < entry_bytes) {
            damaged("its table of sections is too short");
        }
        const uint8_t * const entry = table.data() + at;
        checkpoint_section section;
        section.kind = static_cast<section_kind>(load<uint32_t>(entry));
        const uint64_t name_bytes = load<uint32_t>(entry + 4);
        const uint64_t offset = load<uint64_t>(entry + 8);
        const uint64_t size = load<uint64_t>(entry + 16);
        const uint64_t crc = load<uint64_t>(entry + 24);
        at += entry_bytes;
        if (name_bytes == 0 || name_bytes > longest_name || name_bytes > table.size() - at) {
            damaged("section number " + std::to_string(i) + " has no proper name");
        }
        section.name.assign(reinterpret_cast<const char *>(table.data() + at), static_cast<std::size_t>(name_bytes));
        at += name_bytes;
        const std::string shown = "section " + in_quotes(section.name);
        if (has(section.name)) {
            damaged(shown + " is there twice");
        }
        if (offset != padded(end) || offset > bytes.size() || size > bytes.size() - offset) {
            damaged(shown + " is cut off or lies in the wrong place");
        }
        if (size_of(section.kind) == 0 || size % size_of(section.kind) != 0) {
            damaged(shown + " has a size that does not fit its kind");
        }
        section.bytes = bytes.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(size));
        const std::span<const uint8_t> gap = bytes.subspan(static_cast<std::size_t>(end), static_cast<std::size_t>(offset - end));
        if (crc64(section.bytes) != crc || std::any_of(gap.begin(), gap.end(), [](uint8_t byte) { return byte != 0; })) {
            damaged(shown + " has the wrong checksum");
        }
        end = offset + size;
        sections_.push_back(std::move(section));
    }
    if (at != table.size() || end != length || length != bytes.size()) {
        damaged("it has " + std::to_string(bytes.size()) + " bytes, where its header says " + std::to_string(length));
    }
}

const checkpoint_section * checkpoint_reader::look(std::string_view name) const noexcept {
    const auto found = std::find_if(sections_.begin(), sections_.end(), [&](const checkpoint_section & one) { return one.name == name; });
    return found == sections_.end() ? nullptr : &*found;
}

const checkpoint_section & checkpoint_reader::find(std::string_view name, section_kind kind) const {
    const checkpoint_section * const found = look(name);
    if (found == nullptr || found->kind != kind) {
        refuse(name_, found == nullptr ? "has no section " + in_quotes(name) + ": it was written for another purpose" : "section " + in_quotes(name) + " is of another kind");
    }
    return *found;
}

std::string checkpoint_reader::text(std::string_view name) const {
    const std::span<const uint8_t> bytes = find(name, section_kind::text).bytes;
    return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

std::vector<int64_t> checkpoint_reader::integers(std::string_view name) const {
    return as_values<int64_t>(find(name, section_kind::i64).bytes);
}

std::vector<double> checkpoint_reader::doubles(std::string_view name) const {
    return as_values<double>(find(name, section_kind::f64).bytes);
}

int64_t checkpoint_reader::count(std::string_view name) const {
    return static_cast<int64_t>(find(name, section_kind::f32).bytes.size() / sizeof(float));
}

void checkpoint_reader::read(std::string_view name, std::span<float> to) const {
    const std::span<const uint8_t> bytes = find(name, section_kind::f32).bytes;
    if (bytes.size() != to.size_bytes()) {
        throw error(failure::mismatch, name_ + ": section " + in_quotes(name) + " holds " + std::to_string(bytes.size() / sizeof(float)) + " numbers, where this trainer has " +
                                           std::to_string(to.size()) + ". Use the model and options that the checkpoint was made with.");
    }
    if (!to.empty()) {
        std::memcpy(to.data(), bytes.data(), bytes.size());
    }
}

} // namespace continual
