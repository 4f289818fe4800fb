#include "io/text.h"

#include <cstddef>
#include <cstdint>

namespace continual {

namespace {

// Bytes of the character that starts at text[0], or 0 when it is not UTF-8 (Unicode 15, table 3-7).
std::size_t character(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0u; };
    const auto follows = [&](std::size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
    const uint32_t first = byte(0);
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xc2 && first <= 0xdf) {
        return follows(1) ? 2 : 0;
    }
    if (first >= 0xe0 && first <= 0xef) {
        const bool overlong = first == 0xe0 && byte(1) < 0xa0;
        const bool surrogate = first == 0xed && byte(1) > 0x9f;
        return follows(1) && follows(2) && !overlong && !surrogate ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const bool overlong = first == 0xf0 && byte(1) < 0x90;
        const bool beyond = first == 0xf4 && byte(1) > 0x8f;
        return follows(1) && follows(2) && follows(3) && !overlong && !beyond ? 4 : 0;
    }
    return 0;
}

} // namespace

bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const std::size_t length = character(text);
        if (length == 0) {
            return false;
        }
        text.remove_prefix(length);
    }
    return true;
}

std::string in_quotes(std::string_view text) {
    std::string result = "'";
    while (!text.empty()) {
        if (result.size() > 80) {
            return result + "…'";
        }
        const std::size_t length = character(text);
        const uint8_t first = static_cast<uint8_t>(text[0]);
        if (length == 0 || first < 0x20 || first == 0x7f) {
            result += '?';
            text.remove_prefix(1);
        } else {
            result += text.substr(0, length);
            text.remove_prefix(length);
        }
    }
    return result + "'";
}

void refuse(std::string_view where, const std::string & what) {
    throw error(failure::file, std::string(where) + ": " + what);
}

} // namespace continual
