// Matmul for float32 and the half types, which are converted while packing and summed in float: see gemm_driver.h.
#include "cpu/gemm_driver.h"

namespace fg::cpu::FG_ISA {

void gemm_float32(const GemmArgs& args) { gemm<float, float>(args); }
void gemm_float16(const GemmArgs& args) { gemm<F16, float>(args); }
void gemm_bfloat16(const GemmArgs& args) { gemm<BF16, float>(args); }

}  // namespace fg::cpu::FG_ISA
