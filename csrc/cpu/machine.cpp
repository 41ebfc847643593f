// Reads /proc and /sys/fs/cgroup. A container sees its own cgroup as the root; outside of one the path is in
// /proc/self/cgroup and every parent may carry a limit, so all of them are asked.
#include "cpu/machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

namespace fg::cpu {
namespace {

std::string read_file(const std::string& path) {
  std::string text;
  if (FILE* file = std::fopen(path.c_str(), "r")) {
    char buffer[4096];
    size_t n;
    while ((n = std::fread(buffer, 1, sizeof buffer, file)) > 0 && text.size() < (1u << 16)) text.append(buffer, n);
    std::fclose(file);
  }
  return text;
}

// The folder of this process below /sys/fs/cgroup: of the one hierarchy of version 2, or of a controller of version 1.
std::string cgroup_path(const char* controller) {
  std::string text = read_file("/proc/self/cgroup");
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    size_t names = line.find(':'), path = line.find(':', names + 1);
    if (names == std::string::npos || path == std::string::npos) continue;
    std::string list = line.substr(names + 1, path - names - 1);  // "" or "cpu,cpuacct"
    std::string name = controller == nullptr ? "" : controller;
    bool wanted = list == name;
    for (size_t at = list.find(name); !wanted && !name.empty() && at != std::string::npos; at = list.find(name, at + 1))
      wanted = (at == 0 || list[at - 1] == ',') && (at + name.size() == list.size() || list[at + name.size()] == ',');
    if (wanted) return line.substr(path + 1);
  }
  return "/";
}

// Calls visit(folder) for the folder of this process and each of its parents.
template <class F> void for_each_cgroup(const char* controller, F visit) {
  std::string root = "/sys/fs/cgroup", path = cgroup_path(controller);
  if (controller != nullptr) root += std::string("/") + controller;
  while (!path.empty() && path != "/") {
    visit(root + path);
    path.resize(path.rfind('/'));
  }
  visit(root);
}

// A number at the start of a file; -1 for "max", for no file, and for version 1's 2^63 that means no limit.
int64_t read_number(const std::string& path) {
  std::string text = read_file(path);
  char* end = nullptr;
  long long value = std::strtoll(text.c_str(), &end, 10);
  return end == text.c_str() || value >= (int64_t{1} << 60) ? -1 : value;
}

double cpu_quota() {  // in CPUs; 0: none
  double quota = 0;
  auto limit = [&](double cpus) {
    if (cpus > 0 && (quota == 0 || cpus < quota)) quota = cpus;
  };
  for_each_cgroup(nullptr, [&](const std::string& folder) {
    long long time = 0, period = 0;
    if (std::sscanf(read_file(folder + "/cpu.max").c_str(), "%lld %lld", &time, &period) == 2 && period > 0)
      limit(double(time) / double(period));
  });
  for_each_cgroup("cpu", [&](const std::string& folder) {
    int64_t time = read_number(folder + "/cpu.cfs_quota_us"), period = read_number(folder + "/cpu.cfs_period_us");
    if (time > 0 && period > 0) limit(double(time) / double(period));
  });
  return quota;
}

// The number after `name` at the start of a line; 0 without such a line.
int64_t field(const std::string& text, const char* name) {
  std::string key = "\n";
  key += name;
  size_t at = ("\n" + text).find(key);
  return at == std::string::npos ? 0 : std::strtoll(text.c_str() + at + std::strlen(name), nullptr, 10);
}

int64_t meminfo(const char* name) { return field(read_file("/proc/meminfo"), name) * 1024; }

// The lowest limit of the cgroups, or what is left below it. -1: no limit.
int64_t cgroup_memory(bool left) {
  int64_t result = -1;
  auto visit = [&](const std::string& folder, const char* limit_file, const char* usage_file) {
    int64_t limit = read_number(folder + limit_file);
    if (limit < 0) return;
    if (left) {  // the page cache counts as usage, but is given up when memory is short
      std::string stat = read_file(folder + "/memory.stat");
      int64_t files = field(stat, "inactive_file ") + field(stat, "active_file ");
      int64_t usage = std::max<int64_t>(0, read_number(folder + usage_file) - files);
      limit = std::max<int64_t>(0, limit - usage);
    }
    if (result < 0 || limit < result) result = limit;
  };
  for_each_cgroup(nullptr, [&](const std::string& f) { visit(f, "/memory.max", "/memory.current"); });
  for_each_cgroup("memory",
                  [&](const std::string& f) { visit(f, "/memory.limit_in_bytes", "/memory.usage_in_bytes"); });
  return result;
}

size_t lower(int64_t bytes, int64_t limit) { return static_cast<size_t>(limit >= 0 && limit < bytes ? limit : bytes); }

}  // namespace

int usable_cpus() {
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cpus = CPU_COUNT(&set);
#endif
  double quota = cpu_quota();
  if (quota > 0) cpus = std::min(cpus, static_cast<int>(quota + 0.999));
  return std::max(cpus, 1);
}

size_t memory_limit() {
  int64_t bytes = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  bytes += meminfo("SwapTotal:");
  return lower(bytes, cgroup_memory(false));
}

size_t memory_available() {
  int64_t bytes = meminfo("MemAvailable:") + meminfo("SwapFree:");
  return bytes > 0 ? lower(bytes, cgroup_memory(true)) : memory_limit();  // not Linux: nothing to go by
}

}  // namespace fg::cpu
