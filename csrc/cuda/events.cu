// Events, and what streams and devices are asked beside them. Nothing here waits for a device while this thread records
// a graph; asking is allowed then.
#include "core/cuda_table.h"
#include "cuda/graph.h"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

cudaEvent_t event_of(void* event) { return static_cast<cudaEvent_t>(event); }

void* event_new(int device, int timing, int blocking) {
  use_device(device);
  const RelaxedCapture relaxed;
  cudaEvent_t event = nullptr;
  const unsigned flags = (timing ? 0u : cudaEventDisableTiming) | (blocking ? cudaEventBlockingSync : 0u);
  return check(cudaEventCreateWithFlags(&event, flags), "cuda.Event") ? event : nullptr;
}

void event_free(void* event) {
  const RelaxedCapture relaxed;
  cudaEventDestroy(event_of(event));  // when it is reached, if it is to come
  cudaGetLastError();
}

int event_record(void* event, Stream stream) {
  use_device(stream.device);
  return check(cudaEventRecord(event_of(event), handle(stream)), "cuda.Event.record") ? 0 : 1;
}

int event_wait(void* event, Stream stream) {
  use_device(stream.device);
  return check(cudaStreamWaitEvent(handle(stream), event_of(event), 0), "cuda.Event.wait") ? 0 : 1;
}

int event_synchronize(void* event) {
  if (!may_wait("cuda.Event.synchronize")) return 1;
  const RelaxedCapture relaxed;
  return check(cudaEventSynchronize(event_of(event)), "cuda.Event.synchronize") ? 0 : 1;
}

int answer(cudaError_t code, const char* where) {
  if (code == cudaErrorNotReady) return cudaGetLastError(), 0;
  return check(code, where) ? 1 : -1;
}
int event_query(void* event) {
  const RelaxedCapture relaxed;
  return answer(cudaEventQuery(event_of(event)), "cuda.Event.query");
}

int event_elapsed(void* start, void* end, float* milliseconds) {
  const RelaxedCapture relaxed;
  const cudaError_t code = cudaEventElapsedTime(milliseconds, event_of(start), event_of(end));
  if (code == cudaErrorNotReady) return cudaGetLastError(), -1;
  return check(code, "cuda.Event.elapsed_time") ? 0 : 1;
}

int stream_query(Stream stream) {
  if (recording() && !may_wait("cuda.Stream.query")) return -1;
  use_device(stream.device);
  const RelaxedCapture relaxed;
  return answer(cudaStreamQuery(handle(stream)), "cuda.Stream.query");
}

int device_synchronize(int device) {
  if (!may_wait("synchronize")) return 1;
  use_device(device);
  if (!check(cudaDeviceSynchronize(), "synchronize")) return 1;
  raise_found({nullptr, static_cast<int8_t>(device)});
  return failed();
}

}  // namespace

void fill_events(CudaTable& table) {
  table.event_new = event_new;
  table.event_free = event_free;
  table.event_record = event_record;
  table.event_wait = event_wait;
  table.event_synchronize = event_synchronize;
  table.event_query = event_query;
  table.event_elapsed = event_elapsed;
  table.stream_query = stream_query;
  table.device_synchronize = device_synchronize;
}
}  // namespace fg::cuda
