// A container of named sections for a trainer's state, each with a checksum.
//
//   8 bytes    "CNCHKPT\n"
//   u32        version, 1
//   u32        number of sections
//   u64        length of the file
//   u64        length of the table
//   u64        CRC-64 of the 32 bytes before this and of the table
//   table      per section: u32 kind, u32 length of the name, u64 offset in the file, u64 bytes, u64 CRC-64 of the bytes, the name
//   sections   each at a multiple of 64, zeros between them
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace continual {

// What a section holds; the reader's caller must ask for the same.
enum class section_kind : uint32_t {
    bytes = 0,
    text = 1,
    f32 = 2,
    i64 = 3,
    f64 = 4,
};

// CRC-64/XZ (ECMA-182, reflected): finds every damage of up to 64 bits in a row, and any other but for one in 2^64.
uint64_t crc64(std::span<const uint8_t> bytes, uint64_t before = 0) noexcept;

class checkpoint_writer {
public:
    // The bytes must live until write(). Throws error (failure::argument) for a name that is empty, longer than 255 bytes or already there.
    void add(std::string_view name, section_kind kind, std::span<const uint8_t> bytes);
    void add(std::string_view name, std::string_view text);
    void add(std::string_view name, std::span<const float> values);
    void add(std::string_view name, std::span<const int64_t> values);
    void add(std::string_view name, std::span<const double> values);

    // Replaces path as a whole.
    void write(const std::string & path) const;

private:
    struct section {
        std::string name;
        section_kind kind;
        std::span<const uint8_t> bytes;
    };
    std::vector<section> sections_;
};

struct checkpoint_section {
    std::string name;
    section_kind kind = section_kind::bytes;
    std::span<const uint8_t> bytes;
};

// Reads from bytes that must outlive it. All of it is checked, checksums too, before the constructor returns; error (failure::file) names the section that is
// damaged.
class checkpoint_reader {
public:
    // name: the file's, for messages.
    checkpoint_reader(std::span<const uint8_t> bytes, std::string name);

    const std::vector<checkpoint_section> & sections() const noexcept { return sections_; }
    bool has(std::string_view name) const noexcept { return look(name) != nullptr; }

    // Error (failure::file) where there is no such section, or of another kind.
    std::span<const uint8_t> bytes(std::string_view name) const { return find(name, section_kind::bytes).bytes; }
    std::string text(std::string_view name) const;
    std::vector<int64_t> integers(std::string_view name) const;
    std::vector<double> doubles(std::string_view name) const;
    // Elements of a section of floats.
    int64_t count(std::string_view name) const;
    // Error (failure::mismatch) when it does not hold exactly as many.
    void read(std::string_view name, std::span<float> to) const;

private:
    const checkpoint_section * look(std::string_view name) const noexcept;
    const checkpoint_section & find(std::string_view name, section_kind kind) const;

    std::string name_;
    std::vector<checkpoint_section> sections_;
};

} // namespace continual
