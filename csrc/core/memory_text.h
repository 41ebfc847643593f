// What an error says about a device that has no more memory, the same words for tensors (core/storage.cpp) and for what
// kernels and libraries work in (cuda/backend.cu). Plain text, as devices do not throw.
#pragma once
#include <cstdio>

#include "core/backend.h"

namespace fg {

struct ByteCount {  // "1.5 MiB"
  char text[24];
  explicit ByteCount(size_t bytes) {
    const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = static_cast<double>(bytes);
    int unit = 0;
    while (value >= 1024 && unit < 6) value /= 1024, ++unit;
    std::snprintf(text, sizeof text, "%.4g %s", value, units[unit]);
  }
};

// What the memory of a device is used for, for whoever got no more of it.
struct MemoryReport {
  static constexpr int kMost = 5;
  char text[256];
  // largest: sizes of the largest live blocks, n <= kMost of them
  MemoryReport(const MemoryStats& stats, const int64_t* largest, int n) {
    int used = std::snprintf(text, sizeof text, ". In use: %s", bytes(stats.allocated).text);
    for (int i = 0; i < n; ++i)
      used += std::snprintf(text + used, sizeof text - static_cast<size_t>(used), "%s%s",
                            i == 0 ? ", the largest blocks: " : ", ", bytes(largest[i]).text);
    if (stats.reserved > stats.allocated)
      std::snprintf(text + used, sizeof text - static_cast<size_t>(used), "; cached: %s",
                    bytes(stats.reserved - stats.allocated).text);
  }

 private:
  static ByteCount bytes(int64_t count) { return ByteCount(static_cast<size_t>(count)); }
};

}  // namespace fg
