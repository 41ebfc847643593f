#include "core/tensor.h"

#include <new>

#include "autograd/node.h"
#include "core/layout.h"
#include "core/pool.h"

namespace fg {

PyHooks py_hooks{};

std::string shape_text(Dims dims) {
  std::string out = "(";
  for (size_t i = 0; i < dims.size(); ++i) out += (i ? ", " : "") + std::to_string(dims[i]);
  return out + (dims.size() == 1 ? ",)" : ")");
}
std::string size_text(Dims dims) {
  std::string out = "[";
  for (size_t i = 0; i < dims.size(); ++i) out += (i ? ", " : "") + std::to_string(dims[i]);
  return out + "]";
}

void fail_dims(size_t n) { fail(ErrorKind::Runtime, "a tensor has at most ", kMaxDims, " dimensions, ", n, " wanted"); }

// Also where a size of 0 makes the count 0: the product of any of the sizes fits then, and every contiguous stride.
[[noreturn, gnu::noinline, gnu::cold]] static void fail_count(Dims dims) {
  for (int64_t d : dims) FG_CHECK(d != 0, Runtime, "Storage size calculation overflowed with sizes=", size_text(dims));
  fail(ErrorKind::Runtime, "a tensor of shape ", shape_text(dims), " has more elements than 64 bits can count");
}

void fail_size() { fail(ErrorKind::Runtime, "numel: integer multiplication overflow"); }

int64_t count_of(Dims dims) {
  int64_t n = 1;
  bool zero = false;
  for (int64_t d : dims) {
    if (d < 0) [[unlikely]]
      fail(ErrorKind::Runtime, "a tensor cannot have the negative dimension ", d, ": ", size_text(dims));
    zero |= d == 0;
    if (d && __builtin_mul_overflow(n, d, &n)) [[unlikely]]
      fail_count(dims);
  }
  return zero ? 0 : n;
}

int wrap_dim(int64_t dim, int ndim, const char* op) {
  int64_t n = ndim == 0 ? 1 : ndim;
  FG_CHECK(dim >= -n && dim < n, Index, op, ": Dimension out of range (expected to be in range of [", -n, ", ", n - 1,
           "], but got ", dim, ")");
  return static_cast<int>(dim < 0 ? dim + n : dim);
}

bool same(Dims a, Dims b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i]) return false;
  return true;
}

DimArray contiguous_strides(Dims sizes) {
  DimArray out;
  out.n = static_cast<int>(sizes.size());
  int64_t step = 1;
  for (int i = out.n - 1; i >= 0; --i) {
    out.v[i] = step;
    if (sizes[i] > 1 && __builtin_mul_overflow(step, sizes[i], &step)) [[unlikely]]
      fail_count(sizes);
  }
  return out;
}

TensorImpl* TensorImpl::make() { return new (allocate_object(sizeof(TensorImpl))) TensorImpl; }

void TensorImpl::set_dims(Dims sz, Dims st) {
  int n = static_cast<int>(sz.size());
  if (n > kMaxDims) [[unlikely]]
    fail_dims(sz.size());
  int64_t count = count_of(sz);
  int64_t* heap = nullptr;
  if (n > 5) heap = static_cast<int64_t*>(allocate_object(sizeof(int64_t) * 2 * n));
  int64_t* target = n > 5 ? heap : inline_dims;
  int gap = n > 5 ? n : 5;
  int64_t keep_sizes[5], keep_strides[5];  // the spans may lie in this very object
  for (int i = 0; i < n && n <= 5; ++i) keep_sizes[i] = sz[i], keep_strides[i] = st[i];
  if (n > 5)
    for (int i = 0; i < n; ++i) heap[i] = sz[i], heap[gap + i] = st[i];
  if (ndim > 5) release_object(heap_dims, sizeof(int64_t) * 2 * ndim);
  if (n > 5) heap_dims = heap;
  else
    for (int i = 0; i < n; ++i) target[i] = keep_sizes[i], target[gap + i] = keep_strides[i];
  relaid |= storage != nullptr;
  ndim = static_cast<uint8_t>(n);
  numel = count;
  contiguous = true;
  int64_t step = 1;
  const int64_t *s = this->sizes(), *t = this->strides();
  if (count != 0)
    for (int i = n - 1; i >= 0; --i) {
      if (s[i] != 1 && t[i] != step) {
        contiguous = false;
        break;
      }
      step *= s[i];
    }
}

void TensorImpl::set_storage(Ptr<Storage> fresh) {
  Storage* old = storage;
  storage = fresh.detach();
  if (old) Storage::retire(old);
}

void TensorImpl::destroy() {
  if (owns_pyobj) {
    // C++ no longer needs the tensor, so the wrapper owns it again and goes like any other, or lives on where a weak
    // reference brought it back. Its end leads here once more.
    refs.store(1, std::memory_order_relaxed);
    owns_pyobj = false;
    py_hooks.drop(pyobj);
    return;
  }
  if (meta) {  // a long chain of .grad of .grad must not overflow the stack
    Tensor chain = std::move(meta->grad);
    while (chain.defined() && chain.use_count() == 1 && chain.meta_or_null() && chain.grad().defined()) {
      Tensor next = std::move(chain.meta().grad);
      chain = std::move(next);
    }
  }
  if (Node* fn = grad_fn) {
    if (meta && meta->retains_grad) forget_retained(this);
    grad_fn = nullptr;
    fn->release();
  }
  if (meta) {
    for (auto& h : meta->hooks) py_hooks.drop(h.fn);
    for (auto& h : meta->post_accumulate) py_hooks.drop(h.fn);
    if (meta->name) py_hooks.drop(meta->name);
    delete meta;
  }
  if (storage) storage->release();
  if (ndim > 5) release_object(heap_dims, sizeof(int64_t) * 2 * ndim);
  this->~TensorImpl();
  release_object(this, sizeof(TensorImpl));
}

Meta::Meta() = default;
Meta::~Meta() {
  if (home) home->meta = nullptr;
}
void* Meta::operator new(size_t bytes) { return allocate_object(bytes); }
void Meta::operator delete(void* p, size_t bytes) { release_object(p, bytes); }

Tensor Tensor::over(Ptr<Storage> storage, Dims sizes, Dims strides, int64_t offset, DType dtype) {
  auto impl = Ptr<TensorImpl>::adopt(TensorImpl::make());
  impl->dtype = dtype;
  impl->device = storage->device();
  impl->offset = offset;
  impl->set_dims(sizes, strides);
  impl->storage = storage.detach();
  impl->inference = (mode & kInference) != 0;
  return Tensor(std::move(impl));
}

Tensor Tensor::empty_strided(Dims sizes, Dims strides, DType dtype, Device device) {
  for (int64_t d : sizes)
    FG_CHECK(d >= 0, Runtime, "Trying to create tensor with negative dimension ", d, ": ", size_text(sizes));
  auto impl = Ptr<TensorImpl>::adopt(TensorImpl::make());
  impl->dtype = dtype;
  impl->device = device;
  impl->set_dims(sizes, strides);
  int64_t elements = impl->numel;
  if (elements && !impl->contiguous) {
    const std::optional<int64_t> span = span_of(sizes, strides);
    FG_CHECK(span, Runtime, "a tensor of shape ", shape_text(sizes), " and strides ", shape_text(strides),
             " is too large");
    elements = *span;
  }
  int64_t bytes;
  FG_CHECK(!__builtin_mul_overflow(elements, item_size(dtype), &bytes) && bytes < (int64_t{1} << 56), OutOfMemory,
           "out of memory: a ", dtype_name(dtype), " tensor of shape ", shape_text(sizes), " does not fit any memory");
  impl->storage = Storage::make(static_cast<size_t>(bytes), device).detach();
  impl->inference = (mode & kInference) != 0;
  return Tensor(std::move(impl));
}

Tensor Tensor::empty(Dims sizes, DType dtype, Device device) {
  return empty_strided(sizes, contiguous_strides(sizes), dtype, device);
}

Tensor Tensor::alias(Dims sizes, Dims strides, int64_t offset) const {
#ifdef FG_SANITIZE
  // A view that reaches beyond its storage is a bug of the op that makes it: found here, not by what it overwrites.
  if (count_of(sizes) != 0) {
    int64_t low = offset, high = offset;
    for (size_t i = 0; i < sizes.size(); ++i) (strides[i] < 0 ? low : high) += (sizes[i] - 1) * strides[i];
    if (low < 0 || (high + 1) * item_bytes() > static_cast<int64_t>(impl_->storage->bytes())) __builtin_trap();
  }
#endif
  auto impl = Ptr<TensorImpl>::adopt(TensorImpl::make());
  impl->dtype = dtype();
  impl->device = device();
  impl->offset = offset;
  impl->set_dims(sizes, strides);
  impl_->storage->retain();
  impl->storage = impl_->storage;
  impl->inference = impl_->inference;
  Tensor out(std::move(impl));
  if (impl_->meta && impl_->meta->own_version) out.meta().own_version = impl_->meta->own_version;
  return out;
}
Tensor Tensor::alias() const { return alias(sizes(), strides(), offset()); }

bool Tensor::is_dense() const {
  if (is_contiguous()) return true;
  DimArray order;  // dimensions by rising stride
  for (int i = 0; i < dim(); ++i)
    if (size(i) != 1) order.push(i);
  for (int i = 1; i < order.n; ++i)
    for (int j = i; j > 0 && stride(order[j - 1]) > stride(order[j]); --j) std::swap(order.v[j - 1], order.v[j]);
  int64_t step = 1;
  for (int i = 0; i < order.n; ++i) {
    if (stride(order[i]) != step) return false;
    step *= size(order[i]);
  }
  return true;
}

bool Tensor::has_internal_overlap() const {
  if (is_contiguous()) return false;
  for (int i = 0; i < dim(); ++i)
    if (size(i) > 1 && stride(i) == 0) return true;
  return false;
}

uint32_t Tensor::version() const {
  if (impl_->meta && impl_->meta->own_version) return impl_->meta->own_version->version.load(std::memory_order_relaxed);
  return impl_->storage->version().load(std::memory_order_relaxed);
}
void Tensor::bump_version() const {
  if (impl_->meta && impl_->meta->own_version)
    impl_->meta->own_version->version.fetch_add(1, std::memory_order_relaxed);
  else impl_->storage->version().fetch_add(1, std::memory_order_relaxed);
}
Meta& Tensor::meta() const {
  if (!impl_->meta) impl_->meta = new Meta;
  return *impl_->meta;
}
const Tensor& Tensor::grad() const {
  static const Tensor none;
  return impl_->meta ? impl_->meta->grad : none;
}
void Tensor::set_grad(Tensor g) const {
  if (g.defined() || impl_->meta) meta().grad = std::move(g);
}
bool Tensor::follows_base() const {
  const Meta& meta = *impl_->meta;
  return meta.base.defined() && meta.view_version != version() && meta.base.requires_grad();
}
bool Tensor::is_view() const { return impl_->meta && impl_->meta->base.defined(); }

}  // namespace fg
