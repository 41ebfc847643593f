// The recording behind fastgrad.profiler: what ran, when, and with which shapes.
//
// A ProfileScope stands where Python calls an op (python/args.h, the operator slots), where the engine runs a node, and
// in record_function. It looks at the mode byte and does nothing while kProfile is off. Events belong to the thread
// that made them, like the mode.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/mode.h"
#include "core/tensor.h"

namespace fg {

struct ProfileEvent {
  enum Kind : uint8_t { Op, Backward, User } kind;
  std::string name;
  int64_t start_ns, end_ns;  // of a steady clock
  int64_t bytes;             // CPU memory that was allocated and not given back in between
  int parent;                // index of the event around it, -1: none
  std::vector<DimArray> shapes;
};

struct ProfileOptions {
  bool shapes = false, memory = false;
};

void profile_start(ProfileOptions options);  // on this thread; what was recorded before is dropped
std::vector<ProfileEvent> profile_stop();    // events in the order of their starts
void profile_pause(bool paused);             // recording goes on, or not, into the same list
bool profile_wants_shapes();
int profile_enter(ProfileEvent::Kind kind, const char* name);
void profile_shape(int event, Dims sizes);
void profile_exit(int event);

class ProfileScope {
 public:
  ProfileScope(ProfileEvent::Kind kind, const char* name)  // no name: nothing is recorded
      : event_((mode & kProfile) && name ? profile_enter(kind, name) : -1) {}
  ~ProfileScope() {
    if (event_ >= 0) profile_exit(event_);
  }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;
  int event() const { return event_; }  // -1: nothing is recorded

 private:
  int event_;
};

}  // namespace fg
