// Tensors as variables: accumulators of leaves, views and their bases, in-place changes rewriting history.
//
// Start with rebase_history(): after an in-place op on a view, the base's history becomes a CopySlices node that runs
// the op's own node on the slice of the gradient; the view's grad_fn is made anew from the base when it is next asked
// for.
#include <pthread.h>

#include <mutex>
#include <new>

#include "autograd/accumulate.h"
#include "autograd/forward.h"
#include "core/layout.h"
#include "ops/ops.h"

namespace fg {

namespace {
std::mutex accumulator_lock;

// Two backward passes at a time may add into one leaf. The interpreter lock keeps them apart but for large gradients,
// whose kernels run without it. Whoever waits here lets go of it, else the holder could not come back. Recursive:
// dropping an old gradient may run Python code.
std::recursive_mutex accumulate_lock;

// A thread that holds one of them without the interpreter's lock is not there any more in a forked child.
[[maybe_unused]] const int kFresh = pthread_atfork(nullptr, nullptr, [] {
  new (&accumulator_lock) std::mutex;
  new (&accumulate_lock) std::recursive_mutex;
});

class AccumulateLock {
 public:
  explicit AccumulateLock(int64_t numel) : held_(numel >= kGilThreshold) {
    if (!held_ || accumulate_lock.try_lock()) return;
    GilRelease release(numel);
    accumulate_lock.lock();
  }
  ~AccumulateLock() {
    if (held_) accumulate_lock.unlock();
  }
  AccumulateLock(const AccumulateLock&) = delete;

 private:
  bool held_;
};
}  // namespace

// ---- AccumulateGrad
AccumulateGrad::AccumulateGrad(Tensor t) : variable_(std::move(t)) { sequence = UINT64_MAX; }
AccumulateGrad::~AccumulateGrad() {
  std::lock_guard lock(accumulator_lock);
  if (Meta* meta = variable_.meta_or_null())
    if (meta->accumulator == this) meta->accumulator = nullptr;
}

void AccumulateGrad::apply(Tensor* g, Tensor*) {
  Tensor& grad_in = g[0];
  if (!grad_in.defined()) return;
  const Tensor& v = variable_;
  FG_CHECK(same(grad_in.sizes(), v.sizes()), Runtime, "a gradient of shape ", shape_text(grad_in.sizes()),
           " arrived at a leaf of shape ", shape_text(v.sizes()));
  // A real leaf gets the real part: its imaginary part cannot move.
  if (is_complex(grad_in.dtype()) && !is_complex(v.dtype())) grad_in = to_dtype(grad_in, v.dtype());
  AccumulateLock lock(v.numel());
  const Tensor& old = v.grad();
  if (!old.defined()) {
    // Take the tensor over when nobody else has it and it lies like the variable; otherwise copy.
    const size_t bytes = static_cast<size_t>(grad_in.numel() * grad_in.item_bytes());
    bool alone = is_alone(grad_in) && grad_in.storage().bytes() == bytes && !grad_in.requires_grad();
    bool fits = grad_in.is_contiguous() ? v.is_contiguous() || !v.is_dense() : same(grad_in.strides(), v.strides());
    if (grad_enabled()) v.set_grad(fits && alone ? grad_in : clone_like(grad_in, v));
    else
      v.set_grad(!alone || !fits     ? detach(clone_like(grad_in, v))
                 : grad_in.is_view() ? detach(grad_in)
                                     : std::move(grad_in));
  } else if (grad_enabled()) {
    v.set_grad(add(old, grad_in));
  } else {
    Tensor into = old;
    add_(into, grad_in);
  }
}

Edge gradient_edge(const Tensor& t) {
  if (t.is_view()) {
    if (Ptr<Node> fn = grad_fn(t)) return {fn, t.impl()->output_nr};
  } else if (t.impl()->grad_fn) {
    return {Ptr<Node>(t.impl()->grad_fn), t.impl()->output_nr};
  }
  if (!t.impl()->requires_grad) return {};
  std::lock_guard lock(accumulator_lock);
  Meta& meta = t.meta();
  if (Node* existing = meta.accumulator) {
    // It may be on its way out on another thread: take it only if its count is not zero.
    uint32_t count = existing->refs.load();
    while (count != 0)
      if (existing->refs.compare_exchange_weak(count, count + 1)) return {Ptr<Node>::adopt(existing), 0};
  }
  auto made = Ptr<Node>::adopt(new AccumulateGrad(t));
  meta.accumulator = made.get();
  return {made, 0};
}

static void give_history(TensorImpl* impl, const Ptr<Node>& node, uint32_t nr) {
  if (!is_inexact(impl->dtype)) return;
  node->retain();
  impl->output_nr = nr;
  exchange_grad_fn(impl, node.get());
}

void set_history(const Tensor& out, const Ptr<Node>& node, uint32_t nr) {
  if (mode & kForward && is_inexact(out.dtype()) && !note_forward(out, node, nr, false)) [[unlikely]]
    return;
  give_history(out.impl(), node, nr);
}

void exchange_grad_fn(TensorImpl* t, Node* node) {
  Node* old = t->grad_fn;
  bool retained = old && t->meta && t->meta->retains_grad;
  if (retained) forget_retained(t);
  t->grad_fn = node;
  if (retained && node) node->more().retained.push_back({t->output_nr, t});
  if (retained && !node) t->meta->retains_grad = false;
  if (old) old->release();
}

// ---- views
namespace {

struct Geometry {
  DimList sizes, strides;
  int64_t offset;
  DType dtype;
  Device device;
  explicit Geometry(const Tensor& t)
      : sizes(t.sizes()), strides(t.strides()), offset(t.offset()), dtype(t.dtype()), device(t.device()) {}
};

// The base after an in-place change of a slice of it.
struct CopySlices : Node {
  Geometry base, view;
  Ptr<Node> fn;  // the op's own node

  Tensor slice_of(const Tensor& whole) const {
    if (base.dtype == view.dtype) return as_strided(whole, view.sizes, view.strides, view.offset - base.offset);
    if (is_complex(base.dtype))  // parts of complex numbers
      return as_strided(view_as_real(whole), view.sizes, view.strides, view.offset - 2 * base.offset);
    DimArray sizes(view.sizes), strides(view.strides);
    for (int i = 0; i < strides.n; ++i) strides.v[i] = stride_times(strides[i], 2);
    sizes.push(2), strides.push(1);
    return view_as_complex(as_strided(whole, sizes, strides, 2 * view.offset - base.offset));
  }

  CopySlices(const Tensor& base_, const Tensor& view_, Ptr<Node> fn_) : base(base_), view(view_), fn(std::move(fn_)) {
    set_edges(fn->n_edges);
    edges()[0] = gradient_edge(base_);
    for (int i = 1; i < fn->n_edges; ++i)
      if (!only_forward(fn->edge(i))) edges()[i] = fn->edge(i);
  }
  const char* name() const override { return "CopySlices"; }
  void release_saved() override {
    // A result that fn saved leads back to fn itself: then it is a node of this run too, later than this one.
    if (fn && fn->task != task) fn->released = true, fn->release_saved();
  }
  void apply(Tensor* g, Tensor* gx) override {
    if (released) fail_released();
    if (!g[0].defined()) return;
    Tensor result = Tensor::empty_strided(base.sizes, base.strides, base.dtype, base.device);
    copy_(result, g[0]);
    Tensor slice = slice_of(result);
    std::vector<Tensor> inner(fn->n_edges);
    std::vector<Tensor> outer(fn->n_inputs);
    outer[0] = clone(slice);
    KeepGraph keep;  // fn may be a node of this run too, see release_saved()
    fn->apply(outer.data(), inner.data());
    if (fn->n_edges > 0) {
      if (inner[0].defined()) copy_(slice, inner[0]);
      else fill_(slice, Scalar::of(0));
      gx[0] = result;
    }
    for (int i = 1; i < fn->n_edges; ++i) gx[i] = std::move(inner[i]);
  }
};

std::string view_error(const Tensor& t, const char* what) {
  Node* fn = t.impl()->grad_fn;
  return concat("Output ", t.impl()->output_nr, " of ", fn ? fn->name() : "a function", " is a view and ", what);
}

}  // namespace

// torch's rule for a view that cannot be made anew, because its node is shared or its gradient is the user's own.
static std::string stale_view_error(const Tensor& t) {
  std::string text = view_error(t, "its base or another view of its base has been modified inplace. ");
  switch (t.meta().view_kind) {
    case ViewKind::MultiOutput:
      return text +
             "This view is the output of a function that returns multiple views. Such functions do not allow the output "
             "views to be modified inplace. You should replace the inplace operation by an out-of-place one.";
    case ViewKind::CustomFunction:
      return text +
             "This view was created inside a custom Function (or because an input was returned as-is) and the autograd "
             "logic to handle view+inplace would override the custom backward associated with the custom Function, "
             "leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of the "
             "custom Function.";
    default:
      return concat(
          "A view was created in ", t.meta().view_kind == ViewKind::Inference ? "inference" : "no_grad",
          " mode and its base or another view of its base has been modified inplace with grad mode enabled. Given "
          "that this use case is ambiguous and error-prone, it is forbidden. Move the view and the inplace operation "
          "both into that mode or both out of it.");
  }
}

void mark_view(const Tensor& view, const Tensor& of, ViewKind kind) {
  if (!is_inexact(view.dtype())) return;
  Meta& meta = view.meta();
  if (of.is_view()) {
    const Meta& parent = of.meta();
    meta.base = parent.base;
    meta.view_kind = parent.view_kind != ViewKind::Normal ? parent.view_kind : kind;
  } else {
    meta.base = of;
    meta.view_kind = kind;
  }
  if (kind == ViewKind::Normal && meta.view_kind == ViewKind::Normal) {
    if (mode & kInference) meta.view_kind = ViewKind::Inference;
    else if (mode & kNoGrad) meta.view_kind = ViewKind::NoGrad;
  }
  meta.view_version = view.version();
}

Ptr<Node> grad_fn(const Tensor& t) {
  TensorImpl* impl = t.impl();
  if (t.is_view()) {
    Meta& meta = t.meta();
    if (meta.view_version != t.version() && meta.base.requires_grad()) {
      // The base was changed in place after this view was made: the view now reads the new base.
      if (meta.view_kind != ViewKind::Normal) [[unlikely]]
        fail(ErrorKind::Runtime, stale_view_error(t));
      auto node = Ptr<Node>::adopt(make_as_strided_node(meta.base, t));
      impl->output_nr = 0;
      meta.view_version = t.version();
      exchange_grad_fn(impl, node.detach());
    }
  }
  return Ptr<Node>(impl->grad_fn);
}

void check_inplace(const Tensor& t, const char* op) {
  FG_CHECK(
      !t.impl()->inference || (mode & kInference), Runtime,
      "Inplace update to inference tensor outside InferenceMode is not allowed. You can make a clone to get a normal "
      "tensor before doing inplace update.");
  FG_CHECK(t.storage().writable(), Runtime, op, ": the memory of this tensor is read-only");
  if (mode & kSavedHooks) [[unlikely]]
    saved_hooks.before_change(t);
  if (!grad_enabled() || !t.requires_grad()) {
    if (!(grad_enabled() && t.is_view() && t.meta().base.requires_grad())) return;
  }
  if (t.is_view()) {
    const Meta& meta = t.meta();
    if (meta.view_kind != ViewKind::Normal) {
      std::string why;
      switch (meta.view_kind) {
        case ViewKind::MultiOutput:
          why = view_error(t,
                           "is being modified inplace. This view is the output of a function that returns multiple "
                           "views. Such functions do not allow the output views to be modified inplace. You should "
                           "replace the inplace operation by an out-of-place one.");
          break;
        case ViewKind::CustomFunction:
          why = view_error(t,
                           "is being modified inplace. This view was created inside a custom Function (or because an "
                           "input was returned as-is) and the autograd logic to handle view+inplace would override the "
                           "custom backward associated with the custom Function, leading to incorrect gradients. This "
                           "behavior is forbidden. You can fix this by cloning the output of the custom Function.");
          break;
        case ViewKind::Inference:
          why = "A view was created in inference mode and is being modified inplace in normal mode.";
          break;
        default:
          why =
              "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this "
              "use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view "
              "and the inplace either both inside the no_grad block (if you don't want the inplace to be tracked) or both "
              "outside (if you want the inplace to be tracked).";
      }
      fail(ErrorKind::Runtime, why);
    }
    // A view with history whose base has none: it, or what it is a view of, was made a leaf by requires_grad_().
    const bool of_leaf = meta.base.requires_grad() ? meta.base.is_leaf() : t.requires_grad();
    FG_CHECK(!of_leaf, Runtime, "a view of a leaf Variable that requires grad is being used in an in-place operation.");
  }
  FG_CHECK(!(t.is_leaf() && t.requires_grad()), Runtime,
           "a leaf Variable that requires grad is being used in an in-place operation.");
}

void rebase_history(const Tensor& t, const Ptr<Node>& node) {
  if (mode & kForward && is_inexact(t.dtype()) && !note_forward(t, node, 0, true)) [[unlikely]]
    return;
  if (t.is_view()) {
    const Meta& meta = t.meta();
    auto slices = Ptr<Node>::adopt(new CopySlices(meta.base, t, node));
    Tensor base = meta.base;
    give_history(base.impl(), slices, 0);
    // The view's own node is regenerated from the base when asked for: make it stale.
    t.meta().view_version = t.version() - 1;
    (void)grad_fn(t);
  } else {
    give_history(t.impl(), node, 0);
  }
}

void retain_grad(const Tensor& t) {
  FG_CHECK(t.requires_grad(), Runtime, "can't retain_grad on Tensor that has requires_grad=False");
  if (t.is_leaf() || (t.meta_or_null() && t.meta().retains_grad)) return;
  Ptr<Node> fn = grad_fn(t);
  fn->more().retained.push_back({t.impl()->output_nr, t.impl()});
  t.meta().retains_grad = true;
}

void forget_retained(TensorImpl* t) {
  if (!t->grad_fn || !t->grad_fn->extra) return;
  auto& list = t->grad_fn->extra->retained;
  for (size_t i = 0; i < list.size(); ++i)
    if (list[i].tensor == t) {
      list.erase(list.begin() + i);
      break;
    }
}

bool is_alone(const Tensor& t) {
  if (t.use_count() != 1 || t.storage().is_external()) return false;
  const uint32_t users = t.storage().use_count();
  // The base of a view is one that was made on the way.
  return users == 1 || (users == 2 && t.is_view() && t.meta().base.use_count() == 1);
}

Tensor detach(const Tensor& t) { return t.alias(); }

Tensor data_of(const Tensor& t) {
  Tensor out = t.alias();
  out.meta().own_version = Ptr<VersionCounter>::adopt(new VersionCounter);
  return out;
}

void take_layout(const Tensor& t, const Tensor& view) {
  TensorImpl* impl = t.impl();
  DimArray sizes(view.sizes()), strides(view.strides());
  impl->set_dims(sizes, strides);
  t.bump_version();
  if (t.is_view()) (void)grad_fn(t);  // made anew from the base, with the new layout
  else if (Node* fn = view.impl()->grad_fn) set_history(t, Ptr<Node>(fn), view.impl()->output_nr);
}

void set_data(const Tensor& t, const Tensor& source) {
  TensorImpl* impl = t.impl();
  FG_CHECK(!(t.requires_grad() && !is_inexact(source.dtype())), Runtime,
           "data set to a tensor that requires gradients must be floating point or complex dtype");
  if (t.is_same(source)) return;
  FG_CHECK(
      t.is_leaf() || (same(t.sizes(), source.sizes()) && t.dtype() == source.dtype()), Runtime,
      "data of another shape or dtype cannot be given to a tensor with a grad_fn: its gradient would not fit; use detach()");
  uint32_t version = t.version();
  impl->set_storage(Ptr<Storage>(&source.storage()));
  impl->offset = source.offset();
  impl->dtype = source.dtype();
  impl->device = source.device();
  impl->set_dims(source.sizes(), source.strides());
  // The tensor keeps its own version (saved tensors do not see the exchange as a change, as in torch).
  auto counter = Ptr<VersionCounter>::adopt(new VersionCounter);
  counter->version = version;
  t.meta().own_version = counter;
}

}  // namespace fg
