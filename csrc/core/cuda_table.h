// What only CUDA devices have: graphs of recorded work, events, and host memory that copies need not wait for. A table
// of its own beside Backend: kernels know nothing of it and are not compiled again when it changes.
//
// A graph is recorded by one thread: what that thread gives to a stream between begin and end runs later, as often as
// the graph is replayed. Memory that the thread takes meanwhile comes from a pool that lives as long as the graph.
#pragma once
#include "core/backend.h"

namespace fg {

constexpr uint32_t kCudaTableAbi = 4;

// Which calls other threads may not make while a graph is recorded; numbers of cudaStreamCaptureMode.
enum class CaptureMode : int32_t { global, own_thread, relaxed };

// Numbers of optimizers' states on the device, one of each list for each parameter: what ops/optim_numbers.h moves on.
struct OptimCounts {
  void *const *steps, *const *kept1, *const *kept2;  // kept: null when unused
  DType dtype;                                       // of all of them: Float32 or Float64
  const void* lr;                                    // on the device, or null: OptimArgs::lr
  DType lr_dtype;                                    // Float32 or Float64
};

// Functions that return int: 0, or an error is there to be taken (Backend::take_error).
struct CudaTable {
  uint32_t abi_version;
  uint32_t struct_size;

  uint64_t (*pool_new)();
  void* (*graph_new)(int device);
  void (*graph_free)(void* graph);
  // A generator of this device whose draws the graph may contain. Each replay goes on where the generator is.
  void (*graph_register)(void* graph, void* generator);
  int (*graph_begin)(void* graph, Stream stream, uint64_t pool, CaptureMode mode);  // pool 0: a new one
  int (*graph_end)(void* graph);
  int (*graph_recording)(void* graph);              // between begin and end, in whichever thread: 1 or 0
  int (*graph_replay)(void* graph, Stream stream);  // whoever calls has the locks of its generators
  void (*graph_reset)(void* graph);
  uint64_t (*graph_pool)(void* graph);
  int (*is_recording)(Stream stream);  // 1 or 0
  int (*capturing)();                  // whether any thread records a graph

  // An optimizer's step whose counts are on the device: they move on first. OptimArgs::numbers is not read.
  void (*optim_counted)(const OptimArgs& args, const OptimCounts& counts);

  // Page-locked host memory, cached. A block is used again once the copies that copy_later made with it are done.
  void* (*pinned_allocate)(size_t bytes);  // nullptr: no more
  void (*pinned_release)(void* block);
  int (*is_pinned)(const void* address);
  // Between a device and page-locked memory; does not wait.
  int (*copy_later)(void* dst, const void* src, size_t bytes, CopyKind kind, Stream stream);

  // Moments in the work of streams. One that was never recorded is in the past, and nothing waits for it.
  void* (*event_new)(int device, int timing, int blocking);  // nullptr: an error
  void (*event_free)(void* event);
  int (*event_record)(void* event, Stream stream);
  int (*event_wait)(void* event, Stream stream);  // later work of the stream waits, the host does not
  int (*event_synchronize)(void* event);
  int (*event_query)(void* event);                                    // 1: in the past, 0: to come, -1: an error
  int (*event_elapsed)(void* start, void* end, float* milliseconds);  // -1: one of them is to come

  // Sizes of live blocks above 1 MiB, the largest first; how many of them were written.
  int (*largest_blocks)(int device, int64_t* bytes, int most);

  int (*stream_query)(Stream stream);     // 1: nothing to do, 0: work, -1: an error
  int (*device_synchronize)(int device);  // waits for whatever runs there, of other libraries too

  void (*allow_tf32)(int allowed);  // float32 products may round their operands to 10 bits
};

const CudaTable& cuda_table();  // an error without CUDA
int cuda_devices();             // how many there are; also in a forked process, which cannot use them
void allow_tf32(bool allowed);  // kept for the library when it is not open yet

}  // namespace fg
