// cuFFT, when it is there: opened at the first transform. FASTGRAD_CUFFT=0 turns it off, FASTGRAD_CUFFT=<path> names
// the library.
#pragma once
#include "core/backend.h"

namespace fg::cuda {
bool cufft_run(const FftSeveralArgs& args);  // unscaled; false: an error is set
int64_t cufft_plans(int device, FftPlans what, int64_t value);
void wait_for_device(int device);  // fft.cu
}  // namespace fg::cuda
