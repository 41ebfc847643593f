// What we call of cuFFT, as its C interface is: X(name, arguments); each returns a cufftResult, 0: success.
#pragma once
#include <cstddef>

#define FG_CUFFT_FUNCTIONS(X)                                                                                      \
  X(cufftCreate, (int* plan))                                                                                      \
  X(cufftDestroy, (int plan))                                                                                      \
  X(cufftSetStream, (int plan, void* stream))                                                                      \
  X(cufftSetAutoAllocation, (int plan, int allocate))                                                              \
  X(cufftSetWorkArea, (int plan, void* memory))                                                                    \
  X(cufftMakePlanMany64,                                                                                           \
    (int plan, int rank, long long* n, long long* in_embed, long long in_stride, long long in_distance,            \
     long long* out_embed, long long out_stride, long long out_distance, int type, long long batch, size_t* work)) \
  X(cufftExecC2C, (int plan, void* in, void* out, int direction))                                                  \
  X(cufftExecZ2Z, (int plan, void* in, void* out, int direction))                                                  \
  X(cufftExecR2C, (int plan, void* in, void* out))                                                                 \
  X(cufftExecD2Z, (int plan, void* in, void* out))                                                                 \
  X(cufftExecC2R, (int plan, void* in, void* out))                                                                 \
  X(cufftExecZ2D, (int plan, void* in, void* out))

namespace fg::cuda::cufft {

#define X(name, arguments) using name##_type = int arguments;
FG_CUFFT_FUNCTIONS(X)
#undef X

enum : int { kR2C = 0x2a, kC2R = 0x2c, kC2C = 0x29, kD2Z = 0x6a, kZ2D = 0x6c, kZ2Z = 0x69 };  // cufftType
enum : int { kForward = -1, kInverse = 1 };

}  // namespace fg::cuda::cufft
