// Intrusive reference counting: counts are atomic, pointers are one word.
#pragma once
#include <atomic>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace fg {

// T has members retain() and release().
template <class T>
class Ptr {
 public:
  Ptr() = default;
  Ptr(std::nullptr_t) {}
  explicit Ptr(T* p) : p_(p) {
    if (p_) p_->retain();
  }
  static Ptr adopt(T* p) {  // takes over a reference that the caller holds
    Ptr out;
    out.p_ = p;
    return out;
  }
  Ptr(const Ptr& o) : p_(o.p_) {
    if (p_) p_->retain();
  }
  Ptr(Ptr&& o) noexcept : p_(o.p_) { o.p_ = nullptr; }
  template <class U>
    requires std::is_convertible_v<U*, T*>
  Ptr(const Ptr<U>& o) : Ptr(static_cast<T*>(o.get())) {}
  Ptr& operator=(const Ptr& o) {
    Ptr copy(o);
    std::swap(p_, copy.p_);
    return *this;
  }
  Ptr& operator=(Ptr&& o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~Ptr() {
    if (p_) p_->release();
  }
  T* get() const { return p_; }
  T* detach() {  // gives the reference to the caller
    T* p = p_;
    p_ = nullptr;
    return p;
  }
  void reset() {
    T* p = p_;
    p_ = nullptr;
    if (p) p->release();
  }
  T* operator->() const { return p_; }
  T& operator*() const { return *p_; }
  explicit operator bool() const { return p_ != nullptr; }
  bool operator==(const Ptr& o) const { return p_ == o.p_; }

 private:
  T* p_ = nullptr;
};

}  // namespace fg
