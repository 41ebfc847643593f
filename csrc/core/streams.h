// Streams of a CUDA device beside its default one. Work of one stream runs in order; which stream is the current one is
// chosen for each thread and device. Streams come from a pool and are never destroyed: blocks of memory wait for
// theirs.
//
// A backward pass runs in the current stream. It first waits for all others, and they wait for it afterwards: values
// that were computed elsewhere are there, and memory that the pass frees may be used again where it came from.
#pragma once
#include <atomic>

#include "core/types.h"

namespace fg {

extern std::atomic<bool> streams_in_use;  // false until the first one is made: nothing below costs anything before

void* current_stream_handle(int index);  // nullptr: the default stream
void set_current_stream(Device device, void* stream);
void* new_stream(Device device);
// Later work of `stream` starts after present work of `other`.
void stream_wait(Device device, void* stream, void* other);
void synchronize_stream(Device device, void* stream);
void synchronize_device(Device device);  // everything on it

// Memory that `stream` works on although another one made it: given back only after that work.
void record_stream(const void* storage, void* stream);
void wait_for_recorded(const void* storage, Device device, void* own);

// Whether this thread records a graph, of work in `stream`; others leave that stream alone meanwhile.
bool recording_graph();
void set_recording_graph(void* stream);  // nullptr: not any more
void forget_recording(void* stream);     // of whichever thread: its graph is gone

class JoinedStreams {
 public:
  JoinedStreams() {
    if (streams_in_use.load(std::memory_order_relaxed) && !recording_graph()) join(true);
  }
  ~JoinedStreams() {
    if (streams_in_use.load(std::memory_order_relaxed) && !recording_graph()) join(false);
  }
  JoinedStreams(const JoinedStreams&) = delete;

 private:
  static void join(bool current_waits);
};

}  // namespace fg
