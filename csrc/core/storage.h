// Bytes on a device with a reference count and a version. Small CPU storages carry their bytes behind the header
// (16-byte aligned, one allocation); others come from the device's allocator (64-byte aligned) or belong to somebody
// else.
#pragma once
#include "core/refcount.h"
#include "core/types.h"

namespace fg {

// Counts in-place changes. Shared by a tensor, its views and detach(); `.data` gets one of its own.
struct VersionCounter {
  std::atomic<uint32_t> refs{1};
  std::atomic<uint32_t> version{0};
  void retain() { refs.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (refs.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
};

class Storage {
 public:
  static constexpr size_t kInlineBytes = 208;  // header and bytes fit a 256-byte block

  static Ptr<Storage> make(size_t bytes, Device device);  // uninitialised; throws OutOfMemory
  // Borrows bytes; `free(context)` is called when the last user is gone.
  static Ptr<Storage> external(void* data, size_t bytes, Device device, void (*free)(void*), void* context);

  void retain() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (refs_.load(std::memory_order_acquire) == 1 || refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }
  uint32_t use_count() const { return refs_.load(std::memory_order_relaxed); }

  // The only way to the bytes: the one place where deferred work, copy-on-write or a memory ledger can hook in.
  const void* data() const { return data_; }
  void* mutable_data() { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  bool is_external() const { return kind_ == Kind::External; }
  bool writable() const { return writable_; }
  void set_writable(bool v) { writable_ = v; }
  // Whether a bool in it may be another byte than 0 or 1: somebody else writes it, or a tensor of another dtype does.
  bool any_bools() const { return any_bools_ || is_external(); }
  void set_any_bools() { any_bools_ = true; }

  // release(), put off while kernels run without the interpreter lock: one of them may be reading these bytes.
  static void retire(Storage* storage);

  std::atomic<uint32_t>& version() { return version_; }
  static Stream current_stream(Device device);
  void record_stream(void* stream);  // of this device: wait for its work before the bytes are used again

 private:
  enum class Kind : uint8_t { Inline, Owned, External };
  Storage() = default;
  void destroy();

  std::atomic<uint32_t> refs_{1};
  std::atomic<uint32_t> version_{0};
  void* data_ = nullptr;
  size_t bytes_ = 0;
  Device device_;
  Kind kind_ = Kind::Inline;
  bool writable_ = true;
  bool any_bools_ = false;
  bool recorded_ = false;  // other streams work on it, see record_stream()
  void (*free_)(void*) = nullptr;
  void* context_ = nullptr;  // external: for free_; owned on a device with streams: the stream
};

}  // namespace fg
