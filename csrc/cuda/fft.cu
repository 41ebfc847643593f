// Discrete Fourier transforms: those of cuFFT (cufft.cpp), and what it leaves out.
#include "cuda/cufft.h"
#include "cuda/device.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

template <class T> __global__ void __launch_bounds__(kThreads) scale_kernel(T* x, int64_t n, T factor) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) x[i] *= factor;
}

// The imaginary parts of the points that are real, of lines of half a transform: they do not count, but are looked at.
template <class T>
__global__ void __launch_bounds__(kThreads) clear_ends_kernel(T* x, int64_t lines, int64_t points, bool both) {
  for (int64_t i = global_thread(); i < lines; i += global_threads()) {
    T* line = x + 2 * i * points;
    line[1] = 0;
    if (both) line[2 * points - 1] = 0;
  }
}

template <class T> void run(const FftSeveralArgs& a) {
  const int64_t last = a.sizes[a.rank - 1];
  int64_t others = a.batch;
  for (int d = 0; d < a.rank - 1; ++d) others *= a.sizes[d];
  if (a.kind == Fft::to_real) {
    FG_LAUNCH_FREE(clear_ends_kernel<T>, grid_for(others, a.stream), kThreads, 0, a.stream, static_cast<T*>(a.in),
                   others, last / 2 + 1, last % 2 == 0);
  }
  if (!cufft_run(a) || a.scale == 1) return;
  const int64_t points = a.kind == Fft::from_real ? last / 2 + 1 : last;
  const int64_t n = others * points * (a.kind == Fft::to_real ? 1 : 2);
  FG_LAUNCH_FREE(scale_kernel<T>, grid_for(n, a.stream), kThreads, 0, a.stream, static_cast<T*>(a.out), n,
                 static_cast<T>(a.scale));
}

void fft_several(const FftSeveralArgs& a) { return a.dtype == DType::Float64 ? run<double>(a) : run<float>(a); }

}  // namespace

void wait_for_device(int device) {
  use_device(device);
  check(cudaDeviceSynchronize(), "cuFFT");
}

void fill_fft(Backend& table) {
  table.fft_several = fft_several;
  table.fft_plans = cufft_plans;
}

}  // namespace fg::cuda
