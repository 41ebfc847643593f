// Matmul for float64: see gemm_driver.h.
#include "cpu/gemm_driver.h"

namespace fg::cpu::FG_ISA {

void gemm_float64(const GemmArgs& args) { gemm<double, double>(args); }

}  // namespace fg::cpu::FG_ISA
