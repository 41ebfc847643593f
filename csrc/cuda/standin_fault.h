// What FASTGRAD_EMU_FAIL=<call>:<status>,... wants of a call of the emulated runtime or of a stand-in; 0: nothing.
#pragma once
#include <cstdlib>
#include <cstring>

inline int wanted_fault(const char* call) {
  const char* wish = std::getenv("FASTGRAD_EMU_FAIL");
  const size_t length = std::strlen(call);
  while (wish && *wish) {
    if (!std::strncmp(wish, call, length) && wish[length] == ':') return std::atoi(wish + length + 1);
    const char* comma = std::strchr(wish, ',');
    wish = comma ? comma + 1 : nullptr;
  }
  return 0;
}
