#include "core/streams.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/cuda_table.h"

namespace fg {

std::atomic<bool> streams_in_use{false};

namespace {

constexpr int kMaxIndex = 128, kPoolSize = 32;

std::mutex lock;
std::vector<void*> pools[kMaxIndex];
size_t next_in_pool[kMaxIndex];
std::unordered_map<const void*, std::vector<void*>> recorded;
thread_local std::unique_ptr<void*[]> current;
std::vector<void*> recorded_anywhere;
struct Recording {  // the stream whose work this thread records
  void* stream = nullptr;
  ~Recording() {
    if (stream) forget_recording(stream);  // the thread ends, and with it the recording
  }
};
thread_local Recording recording;

bool is_recorded(void* stream) {
  return std::find(recorded_anywhere.begin(), recorded_anywhere.end(), stream) != recorded_anywhere.end();
}

// The stream's own word: a graph that another thread dropped is recorded until its thread finds out.
bool is_captured(void* stream, int index) {
  return cuda_table().capturing() && cuda_table().is_recording({stream, index});
}

}  // namespace

void* current_stream_handle(int index) {
  if (!streams_in_use.load(std::memory_order_relaxed) || !current) return nullptr;
  return current[index];
}

void set_current_stream(Device device, void* stream) {
  if (!current) current = std::make_unique<void*[]>(kMaxIndex);
  current[device.index] = stream;
}

bool recording_graph() {
  if (!recording.stream) return false;
  std::lock_guard guard(lock);
  if (!is_recorded(recording.stream)) recording.stream = nullptr;  // another thread dropped the graph
  return recording.stream;
}
void set_recording_graph(void* stream) {
  std::lock_guard guard(lock);
  if (recording.stream) std::erase(recorded_anywhere, recording.stream);
  recording.stream = stream;
  if (stream) recorded_anywhere.push_back(stream);
}
void forget_recording(void* stream) {
  std::lock_guard guard(lock);
  std::erase(recorded_anywhere, stream);
}

void* new_stream(Device device) {
  const Backend& table = backend(device);
  FG_CHECK(device.index < table.device_count(), Runtime, "cuda.Stream: there is no device ", device_name(device));
  std::lock_guard guard(lock);
  auto& pool = pools[device.index];
  if (pool.size() == kPoolSize) return pool[next_in_pool[device.index]++ % kPoolSize];
  void* stream = table.stream_create(device.index);
  check_device(device, "cuda.Stream");
  pool.push_back(stream);
  streams_in_use = true;
  return stream;
}

void stream_wait(Device device, void* stream, void* other) {
  if (stream == other) return;
  backend(device).stream_wait(stream, other);
  check_device(device, "wait_stream");
}

void synchronize_stream(Device device, void* stream) {
  const Backend& table = backend(device);
  FG_CHECK(device.index < table.device_count(), Runtime, "cuda.synchronize: there is no device ", device_name(device));
  table.synchronize({stream, device.index});
}

// The work of other libraries is waited for as well, but not while somebody records a graph: that would spoil it.
void synchronize_device(Device device) {
  FG_CHECK(device.index < backend(device).device_count(), Runtime, "cuda.synchronize: there is no device ",
           device_name(device));
  if (!cuda_table().capturing()) {
    cuda_table().device_synchronize(device.index);
    return check_device(device, "cuda.synchronize");
  }
  std::vector<void*> streams;
  {
    std::lock_guard guard(lock);
    for (void* stream : pools[device.index])
      if (stream == recording.stream || !is_captured(stream, device.index)) streams.push_back(stream);
  }
  synchronize_stream(device, nullptr);
  for (void* stream : streams) synchronize_stream(device, stream);
}

void record_stream(const void* storage, void* stream) {
  std::lock_guard guard(lock);
  recorded[storage].push_back(stream);
}

void wait_for_recorded(const void* storage, Device device, void* own) {
  if (cuda_unavailable_reason()) return;  // in a forked process
  std::vector<void*> streams;
  {
    std::lock_guard guard(lock);
    auto found = recorded.find(storage);
    if (found == recorded.end()) return;
    streams = std::move(found->second);
    recorded.erase(found);
  }
  if (recording_graph()) return;  // what is recorded does not run yet
  const Backend& table = backend(device);
  for (void* stream : streams)
    if (stream != own) table.stream_wait(own, stream);
  table.take_error(nullptr);  // nothing can be raised where memory is given back; a device in trouble says so again
}

void JoinedStreams::join(bool current_waits) {
  std::lock_guard guard(lock);
  for (int i = 0; i < kMaxIndex; ++i) {
    if (pools[i].empty()) continue;
    const Backend& table = backend({DeviceType::CUDA, static_cast<int8_t>(i)});
    void* here = current_stream_handle(i);
    auto meet = [&](void* other) {
      if (other != here) table.stream_wait(current_waits ? here : other, current_waits ? other : here);
    };
    meet(nullptr);
    for (void* stream : pools[i])
      if (!is_captured(stream, i)) meet(stream);
    if (current_waits) check_device({DeviceType::CUDA, static_cast<int8_t>(i)}, "backward");
    else table.take_error(nullptr);  // in a destructor
  }
}

}  // namespace fg
