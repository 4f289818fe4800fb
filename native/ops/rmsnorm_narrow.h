// Which rows are narrow, for the kernels and for who launches them.
#pragma once

namespace continual {

// Elements of the widest row that a warp takes alone.
constexpr int rmsnorm_narrow = 512;

} // namespace continual
