// cuBLAS, when it is there: looked for at the first product, opened with dlopen, never linked. FASTGRAD_CUBLAS=0 turns
// it off, FASTGRAD_CUBLAS=<path> names the library.
#pragma once
#include "core/backend.h"

namespace fg::cuda {
bool cublas_accepts(const GemmArgs& args);  // the library is found and can express this product
bool cublas_gemm(const GemmArgs& args);     // without bias; false: it has no such product, nothing was done
void cublas_prepare(Stream stream);         // makes what the first product would make

// matmul.cu: whether float32 products may round their operands to tf32 (10 bits); off at first, as in torch.
bool tf32_allowed();
void exact_gemm(const GemmArgs& args);  // float32 in full, whatever is allowed
}  // namespace fg::cuda
