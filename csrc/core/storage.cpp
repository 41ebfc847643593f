#include "core/storage.h"

#include <new>
#include <vector>

#include "core/cuda_table.h"
#include "core/mode.h"
#include "core/pool.h"
#include "core/streams.h"

namespace fg {

thread_local uint8_t mode __attribute__((tls_model("initial-exec"))) = 0;
GilHooks gil_hooks{};
std::atomic<int> kernels_without_gil = 0;

namespace {
std::vector<Storage*>* retired = nullptr;  // never destroyed

constexpr size_t kHeader = 48;  // keeps inline bytes 16-byte aligned

std::string human(size_t bytes) {
  std::ostringstream out;
  out.precision(4);
  const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 6) value /= 1024, ++unit;
  out << value << ' ' << units[unit];
  return out.str();
}

// What the memory of a device is used for, for whoever got no more of it.
std::string memory_report(Device device) {
  MemoryStats stats{};
  backend(device).memory_stats(device.index, &stats);
  const auto text = [](int64_t bytes) { return human(static_cast<size_t>(bytes)); };
  std::string report = concat(". In use: ", text(stats.allocated));
  constexpr int kMost = 5;
  int64_t largest[kMost];
  const int n = device.is_cpu() ? 0 : cuda_table().largest_blocks(device.index, largest, kMost);
  for (int i = 0; i < n; ++i) report += concat(i == 0 ? ", the largest blocks: " : ", ", text(largest[i]));
  if (stats.reserved > stats.allocated) report += concat("; cached: ", text(stats.reserved - stats.allocated));
  return report;
}
}  // namespace

Stream Storage::current_stream(Device device) {
  if (device.is_cpu()) return {nullptr, 0};
  return {current_stream_handle(device.index), device.index};
}

void Storage::record_stream(void* stream) {
  if (device_.is_cpu() || kind_ != Kind::Owned || stream == context_) return;
  recorded_ = true;
  fg::record_stream(this, stream);
}

Ptr<Storage> Storage::make(size_t bytes, Device device) {
  static_assert(sizeof(Storage) == kHeader);
  if (device.is_cpu() && bytes <= kInlineBytes) {
    auto* storage = new (allocate_object(sizeof(Storage) + bytes)) Storage;
    storage->data_ = reinterpret_cast<char*>(storage) + sizeof(Storage);
    storage->bytes_ = bytes;
    return Ptr<Storage>::adopt(storage);
  }
  Stream stream = current_stream(device);
  void* object = allocate_object(sizeof(Storage));  // first: a block without an owner would be lost if this throws
  void* data = backend(device).allocate(bytes, stream);
  if (!data) [[unlikely]] {
    release_object(object, sizeof(Storage));
    check_device(device, "");  // it need not be for want of memory
    fail(ErrorKind::OutOfMemory, "out of memory: ", human(bytes), " wanted on ", device_name(device),
         memory_report(device));
  }
  auto* storage = new (object) Storage;
  storage->data_ = data;
  storage->bytes_ = bytes;
  storage->device_ = device;
  storage->kind_ = Kind::Owned;
  storage->context_ = stream.handle;
  return Ptr<Storage>::adopt(storage);
}

Ptr<Storage> Storage::external(void* data, size_t bytes, Device device, void (*free)(void*), void* context) {
  auto* storage = new (allocate_object(sizeof(Storage))) Storage;
  storage->data_ = data;
  storage->bytes_ = bytes;
  storage->device_ = device;
  storage->kind_ = Kind::External;
  storage->free_ = free;
  storage->context_ = context;
  return Ptr<Storage>::adopt(storage);
}

void Storage::retire(Storage* storage) {
  if (kernels_without_gil == 0) return storage->release();
  if (!retired) retired = new std::vector<Storage*>;
  retired->push_back(storage);
}

void release_retired_storages() {
  if (!retired || retired->empty()) return;
  std::vector<Storage*> list;
  list.swap(*retired);
  for (Storage* storage : list) storage->release();
}

void Storage::destroy() {
  size_t object = sizeof(Storage);
  if (kind_ == Kind::Inline) {
    object += bytes_;
  } else if (kind_ == Kind::Owned) {
    if (recorded_) wait_for_recorded(this, device_, context_);
    release_memory(device_, data_, bytes_, context_);
  } else if (free_) {
    free_(context_);
  }
  this->~Storage();
  release_object(this, object);
}

}  // namespace fg
