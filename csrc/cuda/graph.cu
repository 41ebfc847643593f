// CUDA graphs: recording, replay, and what is different while a thread records one. Start at graph_begin.
//
// Random numbers: kernels of a graph read the generator's seed and offset from device memory, where each replay puts
// those of that moment; the offsets of the graph's own draws are added. So a replay draws what the same calls would
// have drawn, and moves the generator as far.
#include "cuda/graph.h"

#include <unistd.h>

#include <atomic>
#include <mutex>
#include <vector>

#include "core/cuda_table.h"
#include "cuda/cublas.h"
#include "cuda/philox.cuh"
#include "cuda/tables.h"

namespace fg::cuda {
namespace {

constexpr int kMaxDevices = 64;
constexpr const char* kWaits =
    "operation not permitted when stream is capturing: it waits for the device (.item(), copies between host and device "
    "but for pinned memory with non_blocking=True, synchronize, results whose size depends on values)";

struct Source {
  PhiloxState* host;
  PhiloxState* device;
  uint64_t taken;
};

struct Graph {
  const int device;
  std::atomic<bool> recording{false}, abandoned{false};
  bool spoilt = false;
  uint64_t pool = 0;
  Stream stream{};
  cudaGraphExec_t exec = nullptr;
  std::vector<Source> sources;
  std::vector<void*> host;  // memory that recorded calls of libraries work in
  // The last replay of a graph that draws: the next one, in another stream, may not change what it reads.
  cudaEvent_t replayed = nullptr;
  void* replayed_in = nullptr;
  explicit Graph(int device) : device(device) {}
};
thread_local Graph* current = nullptr;
std::atomic<int> captures{0}, alive{0};  // being recorded; recorded and not destroyed

// Graphs that were dropped while some thread recorded: destroying one then could spoil the recording.
struct Dropped {
  int device;
  cudaGraphExec_t exec;
  std::vector<void*> host;
};
std::mutex dropped_mutex;
std::vector<Dropped> dropped;

void give_back_host(std::vector<void*>& list) {
  for (void* memory : list) fg::cuda::give_back_host(memory);
  list.clear();
}

// The driver frees one that still runs when it is done.
void destroy_dropped() {
  if (captures) return;
  std::vector<Dropped> list;
  {
    std::lock_guard<std::mutex> lock(dropped_mutex);
    list.swap(dropped);
  }
  const RelaxedCapture relaxed;
  for (Dropped& graph : list) {
    use_device(graph.device);
    if (!graph.host.empty()) check(cudaDeviceSynchronize(), "CUDAGraph.reset");
    check(cudaGraphExecDestroy(graph.exec), "CUDAGraph.reset");
    give_back_host(graph.host);
    --alive;
  }
}

std::atomic<uint64_t> pools{0};
uint64_t pool_new() { return ++pools; }

__global__ void set_state_kernel(PhiloxState* to, PhiloxState state) {
  if (threadIdx.x == 0) *to = state;
}

int fail(const char* where, const char* what) {
  refuse(where, what);
  return 1;
}

void* graph_new(int device) { return new Graph(device); }

// What it holds goes back.
void clear(Graph* g) {
  if (g->exec) {
    {
      std::lock_guard<std::mutex> lock(dropped_mutex);
      dropped.push_back({g->device, g->exec, std::move(g->host)});
    }
    g->exec = nullptr;
    g->host.clear();
    destroy_dropped();
  }
  give_back_host(g->host);
  if (g->replayed) cudaEventDestroy(g->replayed);
  g->replayed = nullptr;
  for (Source& source : g->sources) {
    if (source.device) release(source.device, sizeof(PhiloxState), g->stream);
    source.device = nullptr;
  }
  g->sources.clear();
  if (g->pool) allocator(g->device)->release_pool(g->pool);
  g->pool = 0;
}
void graph_reset(void* graph) {
  Graph* g = static_cast<Graph*>(graph);
  if (g->recording) return refuse("CUDAGraph.reset", "the graph is being captured");
  clear(g);
}

// Only the thread that records can end that. Whoever else drops the graph leaves it to that thread, which finds out
// (own) or ends.
std::mutex ending;
void end_unfinished(Graph* g) {
  cudaGraph_t unused = nullptr;
  if (cudaStreamEndCapture(handle(g->stream), &unused) == cudaSuccess && unused) cudaGraphDestroy(unused);
  cudaGetLastError();
  current = nullptr;
  --captures;
  clear(g);
  bool nobodys;
  {
    std::lock_guard<std::mutex> lock(ending);
    g->recording = false;
    nobodys = g->abandoned;
  }
  if (nobodys) delete g;
}
void graph_free(void* graph) {
  Graph* g = static_cast<Graph*>(graph);
  {
    std::lock_guard<std::mutex> lock(ending);
    if (g->recording) {
      g->abandoned = true;
      if (current != g) return;
    }
  }
  if (g->recording) return end_unfinished(g);
  graph_reset(graph);
  delete g;
}

// A thread that ends while it records. A forked process has no part in what its parent records.
struct EndOfThread {
  pid_t process = getpid();
  ~EndOfThread() {
    if (current && process == getpid()) end_unfinished(current);
  }
};

// The graph that this thread records.
Graph* own() {
  if (current && current->abandoned) end_unfinished(current);
  return current;
}
void graph_register(void* graph, void* generator) {
  static_cast<Graph*>(graph)->sources.push_back({static_cast<PhiloxState*>(generator), nullptr, 0});
}

int graph_begin(void* graph, Stream stream, uint64_t pool, CaptureMode mode) {
  constexpr const char* kWhere = "CUDAGraph.capture_begin";
  Graph* g = static_cast<Graph*>(graph);
  static thread_local const EndOfThread end;
  static_cast<void>(end);
  if (own()) return fail(kWhere, "this thread is already capturing a graph");
  if (g->exec || g->recording)
    return fail(
        kWhere,
        "This CUDAGraph instance already owns a captured graph. To capture a new graph, create a new instance.");
  if (!stream.handle)
    return fail(kWhere,
                "CUDA graphs must be captured on a non-default stream. (However, after capture, it's ok to replay them "
                "on the default stream.)");
  use_device(g->device);
  destroy_dropped();
  cublas_prepare(stream);
  if (!lasting_verdict(stream)) return 1;
  g->pool = pool ? pool : pool_new();
  g->stream = stream;
  allocator(g->device)->retain_pool(g->pool);
  current = g;  // from here on memory comes from its pool
  for (Source& source : g->sources) {
    source.device = static_cast<PhiloxState*>(allocate(sizeof(PhiloxState), stream));
    source.taken = 0;
    if (source.device) continue;
    current = nullptr;
    graph_reset(graph);
    set_out_of_memory("the graph's generators", sizeof(PhiloxState), stream);
    return 1;
  }
  ++captures;
  if (!check(cudaStreamBeginCapture(handle(stream), static_cast<cudaStreamCaptureMode>(mode)), kWhere)) {
    --captures;
    current = nullptr;
    graph_reset(graph);
    return 1;
  }
  g->recording = true;
  g->spoilt = false;
  return 0;
}

int graph_end(void* graph) {
  constexpr const char* kWhere = "CUDAGraph.capture_end";
  Graph* g = static_cast<Graph*>(graph);
  if (current != g || !g->recording) return fail(kWhere, "this thread is not capturing this graph");
  current = nullptr;
  g->recording = false;
  use_device(g->device);
  cudaGraph_t made = nullptr;
  bool ok = check(cudaStreamEndCapture(handle(g->stream), &made), kWhere) && made;
  --captures;
  if (ok && g->spoilt) ok = false, fail(kWhere, "operation failed due to a previous error during capture");
  if (ok) ok = check(cudaGraphInstantiate(&g->exec, made, 0), kWhere);
  if (made) check(cudaGraphDestroy(made), kWhere);
  destroy_dropped();
  if (ok) ++alive;
  if (!ok) {
    g->exec = nullptr;
    graph_reset(graph);
    return fail(kWhere, "the capture failed");
  }
  return 0;
}

int graph_replay(void* graph, Stream stream) {
  constexpr const char* kWhere = "CUDAGraph.replay";
  Graph* g = static_cast<Graph*>(graph);
  if (own()) return fail(kWhere, "a graph cannot be replayed while this thread captures another");
  if (!g->exec) return fail(kWhere, "Called CUDAGraph::replay without a preceding successful capture.");
  destroy_dropped();
  use_device(g->device);
  bool draws = false;
  for (const Source& source : g->sources) draws = draws || source.taken;
  if (draws && g->replayed && g->replayed_in != stream.handle &&
      !check(cudaStreamWaitEvent(handle(stream), g->replayed, 0), kWhere))
    return 1;
  for (Source& source : g->sources) {
    if (!source.taken) continue;
    FG_LAUNCH_FREE(set_state_kernel, 1, 32, 0, stream, source.device, *source.host);
    source.host->offset += source.taken;
  }
  if (failed() || !check(cudaGraphLaunch(g->exec, handle(stream)), kWhere)) return 1;
  if (!draws) return 0;
  const RelaxedCapture relaxed;
  if (!g->replayed && !check(cudaEventCreateWithFlags(&g->replayed, cudaEventDisableTiming), kWhere)) return 1;
  g->replayed_in = stream.handle;
  return check(cudaEventRecord(g->replayed, handle(stream)), kWhere) ? 0 : 1;
}

int graph_recording(void* graph) { return static_cast<Graph*>(graph)->recording; }
uint64_t graph_pool(void* graph) { return static_cast<Graph*>(graph)->pool; }

int is_recording(Stream stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  if (!stream.handle) return 0;  // the default one cannot
  use_device(stream.device);
  return check(cudaStreamIsCapturing(handle(stream), &status), "is_current_stream_capturing") &&
         status != cudaStreamCaptureStatusNone;
}

// ---- bytes of the host as arguments of kernels, which a launch keeps
constexpr size_t kChunk = 3072;
struct Chunk {
  unsigned char bytes[kChunk];
};
__global__ void __launch_bounds__(kThreads)
    upload_kernel(unsigned char* to, const __grid_constant__ Chunk chunk, int count) {
  for (int i = threadIdx.x; i < count; i += kThreads) to[i] = chunk.bytes[i];
}

}  // namespace

void spoil_recording() {
  if (current) current->spoilt = true;
}
bool recording() { return own() != nullptr; }
void keep_with_graph(void* memory) {
  if (own()) current->host.push_back(memory);
}
bool capturing() { return captures != 0; }
bool graphs_alive() { return captures != 0 || alive != 0; }
int capture_mode(int mode) {
  auto exchanged = static_cast<cudaStreamCaptureMode>(mode);
  cudaThreadExchangeStreamCaptureMode(&exchanged);
  return static_cast<int>(exchanged);
}
uint64_t recording_pool() { return own() ? current->pool : 0; }

bool may_wait(const char* where) {
  if (!recording()) return true;
  refuse(where, kWaits);
  return false;
}

bool upload(void* to, const void* from, size_t bytes, Stream stream) {
  constexpr size_t kMost = size_t{1} << 20;  // of one graph node after the other
  use_device(stream.device);
  if (!current) return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, handle(stream)), "upload");
  if (bytes > kMost) {
    set_error("copy",
              "operation not permitted when stream is capturing: more than 1 MiB of host memory that is not pinned");
    return false;
  }
  for (size_t done = 0; done < bytes; done += kChunk) {
    Chunk chunk;
    const size_t count = bytes - done < kChunk ? bytes - done : kChunk;
    memcpy(chunk.bytes, static_cast<const unsigned char*>(from) + done, count);
    FG_LAUNCH_FREE(upload_kernel, 1, kThreads, 0, stream, static_cast<unsigned char*>(to) + done, chunk,
                   static_cast<int>(count));
  }
  return true;
}

Counter take(void* generator, int64_t counters) {
  auto* host = static_cast<PhiloxState*>(generator);
  if (!current) {
    const Counter counter{host->seed, host->offset, nullptr};
    host->offset += static_cast<uint64_t>(counters);
    return counter;
  }
  for (Source& source : current->sources) {
    if (source.host != host) continue;
    const Counter counter{0, source.taken, source.device};
    source.taken += static_cast<uint64_t>(counters);
    return counter;
  }
  set_error("random",
            "a generator other than the default one must be registered with the graph that is captured: "
            "CUDAGraph.register_generator_state");
  return {};
}

// ---- verdicts of kernels in graphs
namespace {
std::atomic<long long*> verdicts[kMaxDevices];
std::atomic<bool> verdicts_used[kMaxDevices];  // by a graph
}  // namespace
long long* lasting_verdict(Stream stream) {
  const int device = stream.device;
  long long* found = verdicts[device].load(std::memory_order_acquire);
  if (found) return found;
  void* memory = nullptr;
  use_device(device);
  const RelaxedCapture relaxed;  // of another thread
  if (!check(cudaMalloc(&memory, sizeof(long long)), "graph") ||
      !check(cudaMemsetAsync(memory, kNoPlaceByte, sizeof(long long), handle(stream)), "graph") ||
      !check(cudaStreamSynchronize(handle(stream)), "graph"))
    return nullptr;
  found = nullptr;
  if (!verdicts[device].compare_exchange_strong(found, static_cast<long long*>(memory))) {
    cudaFree(memory);
    return found;
  }
  return static_cast<long long*>(memory);
}
void raise_found(Stream stream) {
  if (!verdicts_used[stream.device].load(std::memory_order_relaxed)) return;
  long long *verdict = verdicts[stream.device].load(std::memory_order_acquire), place = kNoPlace;
  if (!fetch(&place, verdict, stream) || place == kNoPlace) return;
  check(cudaMemsetAsync(verdict, kNoPlaceByte, sizeof place, handle(stream)), "graph");
  set_error("CUDA graph",
            "a kernel of a replayed graph found an index out of range; what it was to write was left out");
}

Verdict::Verdict(Stream stream, const char* where)
    : own_(current ? 0 : sizeof(long long), stream),
      word_(current ? lasting_verdict(stream) : own_.as<long long>()),
      stream_(stream) {
  if (current) verdicts_used[stream.device] = true;
  if (current || !word_) return;
  use_device(stream.device);
  if (!check(cudaMemsetAsync(word_, kNoPlaceByte, sizeof(long long), handle(stream)), where)) word_ = nullptr;
}
int64_t Verdict::place() const {
  long long place = kNoPlace;
  if (current || !word_ || !fetch(&place, word_, stream_) || place == kNoPlace) return -1;
  return place;
}

}  // namespace fg::cuda

namespace fg::cuda {
namespace {
const CudaTable& cuda_only() {
  static const CudaTable table = [] {
    CudaTable t{};
    t.abi_version = kCudaTableAbi;
    t.struct_size = sizeof(CudaTable);
    t.pool_new = pool_new;
    t.graph_new = graph_new;
    t.graph_free = graph_free;
    t.graph_register = graph_register;
    t.graph_begin = graph_begin;
    t.graph_end = graph_end;
    t.graph_recording = graph_recording;
    t.graph_replay = graph_replay;
    t.graph_reset = graph_reset;
    t.graph_pool = graph_pool;
    t.is_recording = is_recording;
    t.capturing = [] { return static_cast<int>(capturing()); };
    fill_optim_counted(t);
    fill_pinned(t);
    fill_events(t);
    fill_memory(t);
    fill_matmul_switch(t);
    return t;
  }();
  return table;
}
}  // namespace
}  // namespace fg::cuda

// The library's second symbol. nullptr: built for another version of the table.
extern "C" __attribute__((visibility("default"))) const fg::CudaTable* fg_get_cuda(uint32_t abi) {
  return abi == fg::kCudaTableAbi ? &fg::cuda::cuda_only() : nullptr;
}
