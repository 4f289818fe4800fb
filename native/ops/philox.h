// The constants of Philox4x32-10 (Salmon et al. 2011, table 2 and section 3.3).
#pragma once

#include <stdint.h>

namespace continual {

inline constexpr uint32_t philox_multiplier[2] = {0xd2511f53u, 0xcd9e8d57u};
// Added to the key from round to round: the golden ratio's and √3's fractions.
inline constexpr uint32_t philox_weyl[2] = {0x9e3779b9u, 0xbb67ae85u};
inline constexpr int philox_rounds = 10;

} // namespace continual
