// Text from files, which may be anything.
#pragma once

#include "runtime/error.h"

#include <string>
#include <string_view>

namespace continual {

// Whether it is UTF-8 without overlong forms and surrogates.
bool is_utf8(std::string_view text) noexcept;

// For a message: in quotation marks, what is not printable ASCII or valid UTF-8 replaced, cut when long.
std::string in_quotes(std::string_view text);

// Throws failure::file with "where: what".
[[noreturn]] void refuse(std::string_view where, const std::string & what);

} // namespace continual
