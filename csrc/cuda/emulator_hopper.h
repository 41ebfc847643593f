// What kernels for compute capability 9.0 need of the emulator: barriers in shared memory that count arrivals and
// bytes, copies of tiles by tensor maps, and products of a warpgroup with operands in shared memory. Written from the
// PTX ISA and the driver's documentation, not from the kernels: a descriptor is taken apart from its 64 bits, a copy
// permutes by the address that it writes to, a wait has its parity. What it knows to be undefined is an error.
//
// A copy arrives as late as it can, and until then its tile is NaN. So is the accumulator of a product until the wait
// for it, and only then are the operands read. (With threads in shuffled order, copies arrive at any time.) It does not
// see: which proxy wrote ordinary values to shared memory, ordering of memory beyond barriers, registers of setmaxnreg.
#pragma once
#include "cuda/emulator.h"

// ---- of the driver: tensor maps
enum CUresult { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1 };
enum CUtensorMapDataType { CU_TENSOR_MAP_DATA_TYPE_FLOAT16 = 6, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 = 9 };
enum CUtensorMapInterleave { CU_TENSOR_MAP_INTERLEAVE_NONE = 0 };
enum CUtensorMapSwizzle {
  CU_TENSOR_MAP_SWIZZLE_NONE = 0,
  CU_TENSOR_MAP_SWIZZLE_32B,
  CU_TENSOR_MAP_SWIZZLE_64B,
  CU_TENSOR_MAP_SWIZZLE_128B
};
enum CUtensorMapL2promotion { CU_TENSOR_MAP_L2_PROMOTION_NONE = 0, CU_TENSOR_MAP_L2_PROMOTION_L2_128B = 2 };
enum CUtensorMapFloatOOBfill { CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE = 0 };
using cuuint32_t = uint32_t;
using cuuint64_t = uint64_t;
struct alignas(64) CUtensorMap {
  uint64_t kept[16];
};
CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address,
                                const cuuint64_t* sizes, const cuuint64_t* strides, const cuuint32_t* box,
                                const cuuint32_t* steps, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill);
enum cudaDriverEntryPointQueryResult { cudaDriverEntryPointSuccess = 0, cudaDriverEntryPointSymbolNotFound = 1 };
constexpr unsigned long long cudaEnableDefault = 0;
cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned version,
                                             unsigned long long flags, cudaDriverEntryPointQueryResult* result);

namespace emu {

// ---- mbarrier; the word lies in shared memory
void barrier_init(uint64_t* word, uint32_t count);
void barrier_fence();  // copies see the barriers that this thread has initialised
void barrier_arrive(uint64_t* word);
void barrier_arrive_expecting(uint64_t* word, uint32_t bytes);
void barrier_wait(uint64_t* word, uint32_t parity);  // until the phase of this parity is over

// ---- cp.async.bulk.tensor of three dimensions, from global memory into the block's
void copy_tile(uint32_t to, const CUtensorMap* map, uint64_t* barrier, const int32_t (&at)[3]);

// ---- wgmma of 16-bit numbers: m64nNk16, float sums
using Number = float (*)(uint16_t bits);
void product_fence();
void product(float* sums, int columns, uint64_t a, uint64_t b, bool a_turned, bool b_turned, bool add, Number number);
void product_commit();
void product_wait(int pending);

}  // namespace emu
