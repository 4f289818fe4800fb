#include "ops/attention_kernels.cuh"

namespace continual {

CN_ATTENTION_BF16(32)

} // namespace continual
