#include "core/storage.h"

#include <new>
#include <vector>

#include "core/cuda_table.h"
#include "core/memory_text.h"
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

std::string memory_report(Device device) {
  MemoryStats stats{};
  backend(device).memory_stats(device.index, &stats);
  int64_t largest[MemoryReport::kMost];
  const int n = device.is_cpu() ? 0 : cuda_table().largest_blocks(device.index, largest, MemoryReport::kMost);
  return MemoryReport(stats, largest, n).text;
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
    fail(ErrorKind::OutOfMemory, "out of memory: ", ByteCount(bytes).text, " wanted on ", device_name(device),
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
