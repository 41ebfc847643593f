// What kernels that run out of memory leave behind. They are compiled without landing pads, so an exception passes
// through their frames and none of them gives back what it got from scratch(). Hence every thread remembers what its
// kernels hold, and whoever throws through them gives that back.
#pragma once

namespace fg::cpu {

// Where an exception is caught again: what was held before it stays held.
class ScratchMark {
 public:
  ScratchMark();
  ~ScratchMark();
  ScratchMark(const ScratchMark&) = delete;

 private:
  int before_;
};

void drop_scratch();  // of this thread, up to the mark: the kernels that hold it do not go on

}  // namespace fg::cpu
