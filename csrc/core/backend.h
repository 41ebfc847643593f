// A device is a table of function pointers. This header is the whole contract between what is computed (ops/) and how
// (cpu/, cuda/): plain structs in (args.h, args_nn.h, args_data.h), nothing thrown, no Tensor.
//
// Shape work ends before it: operands are broadcast, their dimensions sorted (dimension 0 moves fastest) and collapsed,
// reductions are (outer, size, inner). An entry that a device lacks is nullptr; ops/ turns that into one clear error.
// Kernel files include this header, so it holds plain data only: no inline functions, no containers.
#pragma once
#include "core/args.h"
#include "core/args_data.h"
#include "core/args_nn.h"

namespace fg {

constexpr uint32_t kBackendAbi = 1;

// ---- memory
struct MemoryStats {
  int64_t allocated, reserved, peak_allocated, peak_reserved, blocks;
};
enum class CopyKind : uint8_t { within, to_device, to_host };
enum class DeviceError : uint8_t { runtime, out_of_memory };

struct Backend {
  uint32_t abi_version;
  uint32_t struct_size;
  const char* name;

  // Memory. allocate returns 64-byte aligned bytes, or nullptr when there is no more.
  void* (*allocate)(size_t bytes, Stream stream);
  void (*release)(void* block, size_t bytes, Stream stream);
  void (*empty_cache)(int device);
  void (*memory_stats)(int device, MemoryStats* out);
  void (*reset_peak)(int device);
  int (*copy_bytes)(void* dst, const void* src, size_t bytes, CopyKind kind, Stream stream);  // 0, or an error
  void (*synchronize)(Stream stream);
  // What went wrong first in this thread since it was last asked, or nullptr. Entries that return nothing keep it until
  // then. Ops do not ask: the entries that they see do, and throw (core/guarded.cpp).
  const char* (*take_error)(DeviceError* kind);

  ElementwiseFn elementwise[kOps][kComputes];
  ElementwiseFn elementwise_grad[kOps][3][kComputes];  // floating and complex ones only
  ElementwiseFn copy;                                  // out <- in[0], any real dtype to any real dtype
  ElementwiseFn copy_complex;  // the same where one of them is complex; complex to real drops the imaginary part
  ElementwiseFn fill;          // out <- params[0]: .i for integer dtypes, .f for floating ones
  ElementwiseFn arange;        // out, 1-d: params[0] + i * params[1], computed in double or int64

  ReduceFn reduce[kReduces][kComputes];  // complex: prod only, ops/ brings the others back to real ones
  RowFn row[kRows];
  RowFn cumprod_complex;
  void (*layer_norm)(const LayerNormArgs&);
  void (*layer_norm_grad)(const LayerNormArgs&);
  void (*rnn)(const RnnArgs&);
  void (*rnn_grad)(const RnnArgs&);
  int64_t (*nll_loss)(const NllArgs&);
  void (*nll_loss_grad)(const NllArgs&);
  void (*gemm)(const GemmArgs&);
  void (*attention)(const AttentionArgs&);
  void (*attention_grad)(const AttentionArgs&);
  void (*linalg)(const LinalgArgs&);
  void (*conv)(const ConvArgs&);
  void (*max_pool)(const MaxPoolArgs&);
  void (*max_pool_grad)(const MaxPoolArgs&);  // out is gx
  void (*resample)(const ResampleArgs&);
  void (*grid_sample)(const GridArgs&);
  void (*grid_sample_grad)(const GridArgs&);
  void (*fft)(const FftArgs&);
  void (*fft_several)(const FftSeveralArgs&);
  int64_t (*fft_plans)(int device, FftPlans what, int64_t value);
  int64_t (*bag_sums)(const BagArgs&);
  void (*distances)(const DistanceArgs&);
  void (*pad)(const PadArgs&);
  void (*pad_grad)(const PadArgs&);
  void (*batch_norm)(const BatchNormArgs&);
  void (*batch_norm_grad)(const BatchNormArgs&);

  int64_t (*gather)(IndexArgs&);
  int64_t (*scatter)(IndexArgs&);
  int64_t (*offsets)(OffsetArgs&);
  // out null: only count. On the CPU out[0] says how many positions there is room for; more than that, none is written.
  int64_t (*nonzero)(const uint8_t* mask, int64_t n, int64_t* out, Stream stream);
  // out <- in where keep, else 0: in is (batch, rows, cols) contiguous, bytes of one element given; upper 0: tril, 1:
  // triu
  void (*triangle)(void* out, const void* in, int64_t bytes, int64_t batch, int64_t rows, int64_t cols,
                   int64_t diagonal, int upper, Stream stream);

  void (*sort)(const SortArgs&);
  void (*topk)(const SortArgs&);
  void (*pick)(const SortArgs&, Pick kind);
  void (*searchsorted)(const SearchArgs&);

  void (*random)(const RandomArgs&);
  void (*randperm)(int64_t* out, int64_t n, void* generator, Stream stream);
  void (*optim_step)(const OptimArgs&);
  void (*draw)(const DrawArgs&);

  // Devices with streams (null on CPU).
  int (*device_count)();
  void* (*stream_create)(int device);
  void (*stream_wait)(void* stream, void* other);
  const char* (*device_name)(int device);
  const char* (*missing_library)(const char* name);  // why cublas, cusolver or cufft cannot be used, or nullptr
  // Generator of a device without a host generator (CUDA: Philox; seed and offset).
  void* (*generator_create)(int64_t seed);
  void (*generator_destroy)(void* generator);
  void (*generator_seed)(void* generator, int64_t seed);
};

}  // namespace fg
