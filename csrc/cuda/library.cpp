// Where NVIDIA's libraries are looked for: whatever the process has open already, the wheels beside our own, the
// loader's places, the toolkit.
#include "cuda/library.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" const fg::Backend* fg_get_backend(uint32_t abi);

namespace fg::cuda {
namespace {

// The folder of this library: <site-packages>/fastgrad
bool own_folder(char* path, size_t room) {
  Dl_info self;
  if (!dladdr(reinterpret_cast<void*>(&fg_get_backend), &self) || !self.dli_fname) return false;
  const char* slash = std::strrchr(self.dli_fname, '/');
  std::snprintf(path, room, "%.*s", slash ? static_cast<int>(slash - self.dli_fname) : 1, slash ? self.dli_fname : ".");
  return true;
}

void* open_path(const char* path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL); }

#ifdef FG_CUDA_EMULATE
void* search(const LibraryName& name) {
  char folder[4096], path[4300];
  if (!own_folder(folder, sizeof folder)) return nullptr;
  std::snprintf(path, sizeof path, "%s/%s", folder, name.standin);
  return open_path(path);
}
#else
void* search(const LibraryName& name) {
  for (const char* soname : name.sonames) {  // somebody has it already
    if (void* found = dlopen(soname, RTLD_NOW | RTLD_NOLOAD)) return found;
  }
  char folder[4096], path[4300];
  if (own_folder(folder, sizeof folder)) {  // NVIDIA's wheels are our neighbours
    for (const char* need : name.needs) {
      if (!need) break;
      std::snprintf(path, sizeof path, "%s/../nvidia/cu13/lib/%s", folder, need);
      open_path(path);
    }
    for (const char* wheel : name.wheels) {
      std::snprintf(path, sizeof path, "%s/../nvidia/%s", folder, wheel);
      if (void* found = open_path(path)) return found;
    }
  }
  for (const char* soname : name.sonames) {
    if (void* found = open_path(soname)) return found;
  }
  const char* home = std::getenv("CUDA_HOME");
  for (const char* soname : name.sonames) {
    std::snprintf(path, sizeof path, "%s/lib64/%s", home ? home : "/usr/local/cuda", soname);
    if (void* found = open_path(path)) return found;
  }
  return nullptr;
}
#endif

}  // namespace

void open_library(const LibraryName& name, OpenLibrary& opened) {
  opened = {};
  const char* wish = std::getenv(name.variable);
  if (wish && !std::strcmp(wish, "0")) {
    std::snprintf(opened.why, sizeof opened.why, "%s is turned off by %s=0", name.title, name.variable);
    return;
  }
  const bool given = wish && std::strchr(wish, '/');
  opened.handle = given ? open_path(wish) : search(name);
  if (opened.handle) return;
  const char* error = given ? dlerror() : nullptr;
  if (error)
    std::snprintf(opened.why, sizeof opened.why, "%s of %s could not be opened: %.200s", name.title, name.variable,
                  error);
  else
    std::snprintf(opened.why, sizeof opened.why, "%s (%s) was not found; pip install \"fastgrad[cuda]\" brings it",
                  name.title, name.sonames[0]);
}

void* resolve(OpenLibrary& opened, const LibraryName& name, const char* function) {
  if (!opened.handle) return nullptr;
  void* found = dlsym(opened.handle, function);
  if (!found) {
    std::snprintf(opened.why, sizeof opened.why, "this version of %s has no %s", name.title, function);
    opened.handle = nullptr;
  }
  return found;
}

#ifdef FG_CUDA_EMULATE
static void* take_host(size_t bytes) { return emu::host_malloc(bytes); }
void give_back_host(void* memory) { emu::host_free(memory); }
#else
static void* take_host(size_t bytes) { return std::malloc(bytes); }
void give_back_host(void* memory) { std::free(memory); }
#endif
HostWorkspace::HostWorkspace(size_t bytes) : bytes_(bytes), data_(bytes ? take_host(bytes) : nullptr) {
  if (!bytes || data_) return;
  char text[100];
  std::snprintf(text, sizeof text, "out of memory: %zu bytes of host memory wanted for a library's workspace", bytes);
  set_error("linalg", text);
}
HostWorkspace::~HostWorkspace() {
  if (!data_) return;
  if (recording()) keep_with_graph(data_);
  else give_back_host(data_);
}

namespace {
const char* missing_library(const char* name) {
  if (!std::strcmp(name, "cublas")) return cublas_missing();
  if (!std::strcmp(name, "cusolver")) return cusolver_missing();
  if (!std::strcmp(name, "cufft")) return cufft_missing();
  return "there is no such library";
}
}  // namespace

void fill_library(Backend& table) { table.missing_library = missing_library; }

}  // namespace fg::cuda
