// The tensor: a layout (shape, strides, offset) over a storage, and its place in the graph.
//
// `Tensor` is a one-word pointer to a `TensorImpl`. Up to five dimensions lie inside the object. What only some tensors
// need (a gradient, a base, hooks) is in `Meta`, made when first needed. At most one Python wrapper exists (`pyobj`).
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "core/storage.h"

struct _object;  // PyObject, unknown here

namespace fg {

struct Node;
class Tensor;
using Dims = std::span<const int64_t>;

[[noreturn, gnu::cold]] void fail_dims(size_t n);  // more than kMaxDims

// Sizes or strides under construction; never on the heap.
struct DimArray {
  int n = 0;
  int64_t v[kMaxDims];
  DimArray() {}
  DimArray(Dims d) : n(static_cast<int>(d.size())) {
    if (d.size() > kMaxDims) [[unlikely]]
      fail_dims(d.size());
    for (int i = 0; i < n; ++i) v[i] = d[i];
  }
  DimArray(std::initializer_list<int64_t> d) : DimArray(Dims(d.begin(), d.size())) {}
  void push(int64_t x) {
    if (n == kMaxDims) [[unlikely]]
      fail_dims(kMaxDims + 1);
    v[n++] = x;
  }
  operator Dims() const { return {v, static_cast<size_t>(n)}; }
  int64_t& operator[](int i) { return v[i]; }
  int64_t operator[](int i) const { return v[i]; }
  int size() const { return n; }
};

// Sizes that are kept (in a node): five inside, more on the heap.
class DimList {
 public:
  DimList() = default;
  DimList(Dims d) { *this = d; }
  DimList(const DimArray& d) { *this = Dims(d); }
  DimList(const DimList& d) { *this = Dims(d); }
  DimList& operator=(const DimList& d) { return *this = Dims(d); }
  DimList& operator=(Dims d) {
    heap_ = d.size() > 5 ? std::make_unique<int64_t[]>(d.size()) : nullptr;
    n_ = static_cast<int>(d.size());
    for (int i = 0; i < n_; ++i) (heap_ ? heap_.get() : few_)[i] = d[i];
    return *this;
  }
  operator Dims() const { return {heap_ ? heap_.get() : few_, static_cast<size_t>(n_)}; }
  int size() const { return n_; }
  int64_t operator[](int i) const { return Dims(*this)[i]; }

 private:
  int n_ = 0;
  int64_t few_[5];
  std::unique_ptr<int64_t[]> heap_;
};

std::string shape_text(Dims dims);                    // "(2, 3)"
std::string size_text(Dims dims);                     // "[2, 3]", torch's spelling in errors
int64_t count_of(Dims dims);                          // product; throws on overflow
int wrap_dim(int64_t dim, int ndim, const char* op);  // negative dims; IndexError with torch's text
bool same(Dims a, Dims b);

// How a view came to be, for torch's rules about writing through it.
enum class ViewKind : uint8_t { Normal, MultiOutput, NoGrad, Inference, CustomFunction };

struct Meta;

struct TensorImpl {
  std::atomic<uint32_t> refs{1};
  DType dtype = DType::Float32;
  uint8_t ndim = 0;
  Device device;
  uint32_t output_nr = 0;
  bool requires_grad = false;  // of a leaf; a tensor with grad_fn requires grad anyway
  bool contiguous = true;
  bool wrapped_number = false;  // made from a Python number: takes part in promotion by its category only
  bool inference = false;
  bool owns_pyobj = false;  // the wrapper is kept alive by this object (nobody in Python holds it)
  bool relaid = false;      // was given another shape or dtype in place: what was saved of it must be checked
  Storage* storage = nullptr;
  int64_t offset = 0;
  int64_t numel = 0;
  union {
    int64_t inline_dims[10];  // sizes, then strides
    int64_t* heap_dims;       // sizes, then strides, when ndim > 5
  };
  Node* grad_fn = nullptr;
  Meta* meta = nullptr;
  _object* pyobj = nullptr;

  const int64_t* sizes() const { return ndim > 5 ? heap_dims : inline_dims; }
  const int64_t* strides() const { return sizes() + (ndim > 5 ? ndim : 5); }
  void retain() { refs.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (refs.load(std::memory_order_acquire) == 1 || refs.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }
  void set_storage(Ptr<Storage> fresh);     // also when a kernel on another thread still works on the old one
  void set_dims(Dims sizes, Dims strides);  // also numel and contiguous
  static TensorImpl* make();

 private:
  void destroy();
};

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Ptr<TensorImpl> impl) : impl_(std::move(impl)) {}

  // ---- making: uninitialised memory
  static Tensor empty(Dims sizes, DType dtype, Device device);
  static Tensor empty_strided(Dims sizes, Dims strides, DType dtype, Device device);
  static Tensor over(Ptr<Storage> storage, Dims sizes, Dims strides, int64_t offset, DType dtype);
  // Shares storage and version; no history, no grad.
  Tensor alias(Dims sizes, Dims strides, int64_t offset) const;
  Tensor alias() const;

  bool defined() const { return static_cast<bool>(impl_); }
  TensorImpl* impl() const { return impl_.get(); }
  const Ptr<TensorImpl>& ptr() const { return impl_; }
  TensorImpl* detach_ptr() { return impl_.detach(); }
  bool is_same(const Tensor& o) const { return impl_.get() == o.impl_.get(); }
  uint32_t use_count() const { return impl_->refs.load(std::memory_order_relaxed); }
  void reset() { impl_.reset(); }

  DType dtype() const { return impl_->dtype; }
  Device device() const { return impl_->device; }
  int dim() const { return impl_->ndim; }
  int64_t numel() const { return impl_->numel; }
  int64_t offset() const { return impl_->offset; }
  Dims sizes() const { return {impl_->sizes(), impl_->ndim}; }
  Dims strides() const { return {impl_->strides(), impl_->ndim}; }
  int64_t size(int d) const { return impl_->sizes()[d]; }
  int64_t stride(int d) const { return impl_->strides()[d]; }
  int64_t item_bytes() const { return item_size(dtype()); }
  bool is_contiguous() const { return impl_->contiguous; }
  bool is_dense() const;              // non-overlapping and dense: some permutation is contiguous
  bool has_internal_overlap() const;  // an expanded dimension: writing would hit one place twice
  Storage& storage() const { return *impl_->storage; }
  bool shares_storage(const Tensor& o) const { return impl_->storage == o.impl_->storage; }

  const void* data() const { return static_cast<const char*>(impl_->storage->data()) + impl_->offset * item_bytes(); }
  void* mutable_data() const {
    return static_cast<char*>(impl_->storage->mutable_data()) + impl_->offset * item_bytes();
  }
  template <class T> const T* data() const { return static_cast<const T*>(data()); }
  template <class T> T* mutable_data() const { return static_cast<T*>(mutable_data()); }

  // ---- autograd (autograd/variable.cpp)
  bool requires_grad() const {
    return impl_->requires_grad || impl_->grad_fn != nullptr || (impl_->meta != nullptr && follows_base());
  }
  bool is_leaf() const { return impl_->grad_fn == nullptr; }
  uint32_t version() const;
  void bump_version() const;
  Meta& meta() const;  // made when absent
  Meta* meta_or_null() const { return impl_->meta; }
  const Tensor& grad() const;  // undefined when there is none
  void set_grad(Tensor g) const;
  bool is_view() const;  // a differentiable view with a base

 private:
  bool follows_base() const;  // a view whose base has got history in place since the view was made
  Ptr<TensorImpl> impl_;
};

struct Hook {
  int64_t id;
  _object* fn;  // owned
};

// How a handle finds the lists its hook is in without keeping a tensor or a graph alive: cleared by their end.
struct NodeExtra;
class TangentList;
struct HookHome {
  std::atomic<uint32_t> refs{1};
  Meta* meta = nullptr;
  NodeExtra* extra = nullptr;
  void retain() { refs.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (refs.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
};

struct Meta {
  Tensor grad;
  Node* accumulator = nullptr;  // weak: the AccumulateGrad node clears it
  Ptr<VersionCounter> own_version;
  Tensor base;  // of a view
  ViewKind view_kind = ViewKind::Normal;
  uint32_t view_version = 0;  // version at which grad_fn was made; older than the base's: regenerate
  bool retains_grad = false;
  bool tangent_apart = false;         // a view in the graph, but not of its base's tangent (make_dual, unpack_dual)
  std::vector<Hook> hooks;            // register_hook
  std::vector<Hook> post_accumulate;  // register_post_accumulate_grad_hook
  _object* name = nullptr;
  Ptr<HookHome> home;
  std::unique_ptr<TangentList> tangents;  // forward mode
  Meta();
  ~Meta();
  static void* operator new(size_t bytes);
  static void operator delete(void* p, size_t bytes);
};

// Set by python/; the interpreter lock is taken when needed.
struct PyHooks {
  void (*hold)(_object*);  // Py_INCREF
  void (*drop)(_object*);  // Py_DECREF
};
extern PyHooks py_hooks;

DimArray contiguous_strides(Dims sizes);

}  // namespace fg
