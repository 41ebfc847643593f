// The event list of the profiler. See profile.h.
#include "core/profile.h"

#include <chrono>

#include "core/backend.h"
#include "core/types.h"

namespace fg {

namespace {

struct Recording {
  ProfileOptions options;
  std::vector<ProfileEvent> events;
  std::vector<int64_t> bytes_before;
  int open = -1;  // the innermost scope
};
thread_local Recording recording;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int64_t allocated() {
  if (!recording.options.memory) return 0;
  MemoryStats stats{};
  backend(Device{}).memory_stats(0, &stats);
  return stats.allocated;
}

}  // namespace

void profile_start(ProfileOptions options) {
  recording = {};
  recording.options = options;
  recording.events.reserve(1024);
  mode |= kProfile;
}

std::vector<ProfileEvent> profile_stop() {
  mode = static_cast<uint8_t>(mode & ~kProfile);
  int64_t end = now_ns();
  for (ProfileEvent& e : recording.events)  // scopes that are still open end here
    if (e.end_ns < 0) e.end_ns = end;
  std::vector<ProfileEvent> events = std::move(recording.events);
  recording = {};
  return events;
}

void profile_pause(bool paused) { mode = static_cast<uint8_t>(paused ? mode & ~kProfile : mode | kProfile); }

bool profile_wants_shapes() { return recording.options.shapes; }

int profile_enter(ProfileEvent::Kind kind, const char* name) {
  int event = static_cast<int>(recording.events.size());
  recording.events.push_back({kind, name, 0, -1, allocated(), recording.open, {}});
  recording.open = event;
  recording.events.back().start_ns = now_ns();
  return event;
}

void profile_shape(int event, Dims sizes) {
  if (event >= 0 && event < static_cast<int>(recording.events.size()))
    recording.events[event].shapes.emplace_back(sizes);
}

void profile_exit(int event) {
  if (event >= static_cast<int>(recording.events.size()) || recording.events[event].end_ns >= 0)
    return;  // of a recording before
  ProfileEvent& e = recording.events[event];
  e.end_ns = now_ns();
  e.bytes = allocated() - e.bytes;
  recording.open = e.parent;
}

}  // namespace fg
