#include "ops/attention_kernels.cuh"

namespace continual {

CN_ATTENTION_DOTS(bf16, _bf16)
CN_ATTENTION_DOTS(float, _f32)

} // namespace continual
