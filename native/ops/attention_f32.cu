#include "ops/attention_kernels.cuh"

namespace continual {

CN_ATTENTION_FLOAT(64)
CN_ATTENTION_FLOAT(128)
CN_ATTENTION_FLOAT(256)

} // namespace continual
