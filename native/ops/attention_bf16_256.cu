#include "ops/attention_kernels.cuh"

namespace continual {

CN_ATTENTION_BF16(256)

} // namespace continual
