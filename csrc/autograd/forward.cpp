#include "autograd/forward.h"

#include <mutex>

#include "autograd/engine.h"
#include "autograd/tangents.h"
#include "ops/ops.h"

namespace fg {

// ---- tangents and their levels

namespace {

std::mutex ring_lock;  // tensors may end on another thread than the one whose level they belong to

struct Pending {
  Ptr<Node> node;
  std::vector<std::pair<uint32_t, Tensor>> outputs;
  bool in_place;
  uint8_t mode;
  int limit;
};

struct State {
  bool enabled = true;
  int limit = 0;                                 // ops look at tangents of levels below
  std::vector<std::unique_ptr<Tangent>> levels;  // heads of rings
  std::vector<Pending> pending;
};
thread_local State state;

void set_bit() {
  bool on = state.enabled && state.limit > 0;
  mode = static_cast<uint8_t>(on ? mode | kForward : mode & ~kForward);
}

// Ops inside look at the tangents of levels below `limit` only.
class LevelGuard {
 public:
  LevelGuard(int limit, uint8_t with) : mode_(with), limit_(state.limit) {
    state.limit = limit;
    set_bit();
  }
  ~LevelGuard() { state.limit = limit_; }
  LevelGuard(const LevelGuard&) = delete;

 private:
  ModeGuard mode_;
  int limit_;
};

// What the gradient of an input goes to that has a tangent but wants no gradient: it makes nodes save what they need.
struct ForwardOnly final : Node {
  void apply(Tensor*, Tensor*) override {}
  const char* name() const override { return "ForwardOnly"; }
};
const Ptr<Node>& forward_only_node() {
  static const Ptr<Node> node = Ptr<Node>::adopt(new ForwardOnly);
  return node;
}

// A node that outlives the computation of its tangents goes on without the inputs that want no gradient.
void strip(Node& node) {
  for (int i = 0; i < node.n_edges; ++i)
    if (only_forward(node.edge(i))) node.edges()[i] = {};
}

}  // namespace

Tangent::~Tangent() {
  std::lock_guard lock(ring_lock);
  unlink();
}

Tensor* TangentList::find(int level) {
  for (Tangent* t = first_.get(); t; t = t->next.get())
    if (t->level == level && t->value.defined()) return &t->value;
  return nullptr;
}

bool TangentList::any_below(int limit) const {
  for (const Tangent* t = first_.get(); t; t = t->next.get())
    if (t->level < limit && t->value.defined()) return true;
  return false;
}

void TangentList::set(int level, Tensor value) {
  if (Tensor* old = find(level)) {
    *old = std::move(value);
    return;
  }
  for (Tangent* t = first_.get(); t; t = t->next.get())
    if (!t->value.defined()) {  // of a level that is over
      std::lock_guard lock(ring_lock);
      t->unlink();
      t->link(*state.levels[level]);
      t->level = level;
      t->value = std::move(value);
      return;
    }
  auto made = std::make_unique<Tangent>();
  made->level = level;
  made->value = std::move(value);
  {
    std::lock_guard lock(ring_lock);
    made->link(*state.levels[level]);
  }
  made->next = std::move(first_);
  first_ = std::move(made);
}

void TangentList::drop_from(int level) {
  std::vector<Tensor> gone;
  for (Tangent* t = first_.get(); t; t = t->next.get())
    if (t->level >= level) gone.push_back(std::move(t->value));
}

void TangentList::copy_to(TangentList& to) const {
  for (const Tangent* t = first_.get(); t; t = t->next.get())
    if (t->value.defined()) to.set(t->level, t->value);
}

int open_level() {
  settle_tangents();
  state.levels.push_back(std::make_unique<Tangent>());
  state.limit = open_levels();
  set_bit();
  return open_levels() - 1;
}

void close_level() {
  for (const Pending& p : state.pending) strip(*p.node);
  state.pending.clear();
  std::unique_ptr<Tangent> head = std::move(state.levels.back());
  state.levels.pop_back();
  state.limit = open_levels();
  set_bit();
  std::vector<Tensor> gone;
  std::lock_guard lock(ring_lock);
  while (head->after != head.get()) {
    Tangent* t = head->after;
    t->unlink();
    gone.push_back(std::move(t->value));
    t->level = -1;
  }
}

int open_levels() { return static_cast<int>(state.levels.size()); }
bool forward_enabled() { return state.enabled; }
void enable_forward(bool on) {
  settle_tangents();
  state.enabled = on;
  set_bit();
}

int limit_forward(int limit) {
  settle_tangents();
  int before = state.limit;
  state.limit = std::min(limit, open_levels());
  set_bit();
  return before;
}

// ---- tangents of tensors

namespace {

// Tangents lie as their tensors do, so that a view of one is a view of the other.
bool lies_alike(const Tensor& a, const Tensor& b) {
  if (a.numel() == 0) return true;
  for (int i = 0; i < a.dim(); ++i)
    if (a.size(i) > 1 && a.stride(i) != b.stride(i)) return false;
  return true;
}

Tensor zeros_laid_out(const Tensor& like, DType dtype) {
  NoGradGuard guard;
  Tensor out = Tensor::empty_strided(like.sizes(), like.strides(), dtype, like.device());
  zero_(out);
  return out;
}

// The part of `base` that lies as `view` does in `of`.
Tensor same_view(const Tensor& base, const Tensor& view, const Tensor& of) {
  return as_strided(base, view.sizes(), view.strides(), view.offset() - of.offset() + base.offset());
}

Tensor* own_tangent(const Tensor& t, int level) {
  Meta* meta = t.meta_or_null();
  return meta && meta->tangents ? meta->tangents->find(level) : nullptr;
}

const Tensor* forward_base(const Tensor& t) {
  Meta* meta = t.meta_or_null();
  return meta && meta->base.defined() && !meta->tangent_apart ? &meta->base : nullptr;
}

TangentList& tangents(const Tensor& t) {
  Meta& meta = t.meta();
  if (!meta.tangents) meta.tangents = std::make_unique<TangentList>();
  return *meta.tangents;
}

// A view made before its base got a tangent finds it there.
Tensor find_tangent(const Tensor& t, int level) {
  if (Tensor* own = own_tangent(t, level)) return *own;
  if (const Tensor* base = forward_base(t))
    if (Tensor* whole = own_tangent(*base, level)) {
      LevelGuard guard(level, mode);
      Tensor part = same_view(*whole, t, *base);
      settle_tangents();
      tangents(t).set(level, part);
      return part;
    }
  return {};
}

}  // namespace

Tensor tangent_of(const Tensor& t, int level) {
  settle_tangents();
  return state.enabled && level < state.limit ? find_tangent(t, level) : Tensor();
}

bool carries_tangent(const Tensor& t) {
  Meta* meta = t.meta_or_null();
  if (!meta) return false;
  if (meta->tangents && meta->tangents->any_below(state.limit)) return true;
  const Tensor* base = forward_base(t);
  return base && base->meta_or_null() && base->meta().tangents && base->meta().tangents->any_below(state.limit);
}

void set_tangent(const Tensor& t, int level, Tensor value, bool in_place) {
  FG_CHECK(same(t.sizes(), value.sizes()), Runtime,
           "Trying to set a forward gradient that has a different size than that of the "
           "original Tensor, this is not supported. Tensor is of size ",
           size_text(t.sizes()),
           " while the given forward gradient "
           "is of size ",
           size_text(value.sizes()), ".");
  if (in_place) {
    if (Tensor old = find_tangent(t, level); old.defined()) return copy_(old, value);
    if (const Tensor* base = forward_base(t)) {
      Tensor whole = zeros_laid_out(*base, value.dtype());
      Tensor part = same_view(whole, t, *base);
      copy_(part, value);
      tangents(*base).set(level, whole);
      tangents(t).set(level, part);
      return;
    }
  }
  if (!lies_alike(t, value)) {
    FG_CHECK(!t.has_internal_overlap(), Runtime,
             "unsupported operation: more than one element of the written-to tensor refers to "
             "a single memory location. Please clone() the tensor before performing the operation.");
    Tensor placed = zeros_laid_out(t, value.dtype());
    copy_(placed, value);
    value = placed;
  }
  tangents(t).set(level, std::move(value));
}

Tensor make_dual(const Tensor& primal, const Tensor& tangent, int level) {
  FG_CHECK(level >= 0 && level < open_levels(), Runtime, "Invalid level given to _make_dual");
  FG_CHECK(!tangent_of(primal, level).defined(), Runtime,
           "Making a dual Tensor based on a Tensor that already has a forward "
           "gradient at the same level ",
           level, " is not supported.");
  Tensor dual = alias(primal);
  settle_tangents();
  dual.meta().tangent_apart = true;
  LevelGuard guard(level, mode);
  set_tangent(dual, level, tangent);
  settle_tangents();
  return dual;
}

std::pair<Tensor, Tensor> unpack_dual(const Tensor& t, int level) {
  Tensor tangent = tangent_of(t, level);
  LevelGuard guard(level, mode);
  Tensor primal = alias(t);
  settle_tangents();
  if (is_inexact(t.dtype())) primal.meta().tangent_apart = true;
  return {primal, tangent};
}

void drop_tangents(const Tensor& t) {
  settle_tangents();
  if (Meta* meta = t.meta_or_null()) {
    if (meta->tangents) meta->tangents->drop_from(0);
    meta->tangent_apart = true;
  }
}

void relay_tangents(const Tensor& t) {
  for (int level = 0; level < state.limit; ++level)
    if (Tensor* own = own_tangent(t, level)) {
      LevelGuard guard(level, mode);
      *own = as_strided(*own, t.sizes(), t.strides(), own->offset());
      settle_tangents();
    }
}

Tensor without_history(const Tensor& t) { return t.defined() && t.requires_grad() ? without_graph(t) : t; }

Tensor without_graph(const Tensor& t) {
  settle_tangents();
  Tensor out = detach(t);
  for (int level = 0; level < state.limit; ++level)
    if (Tensor tangent = find_tangent(t, level); tangent.defined()) tangents(out).set(level, tangent);
  return out;
}

void share_tangents(const Tensor& to, const Node& node, uint32_t nr) {
  if (!node.extra) return;
  for (auto& [of, list] : node.extra->output_tangents)
    if (of == nr) list.copy_to(tangents(to));
}

void refuse_forward_out(const char* op, const Tensor& t) {
  settle_tangents();
  FG_CHECK(!carries_tangent(t), NotImplemented, "Trying to use forward AD with ", op,
           "_out that does not support it because it is "
           "an out= function");
}

// ---- recording

bool only_forward(const Edge& edge) { return edge.fn == forward_only_node(); }

bool recorded_forward(const Tensor& t) {
  if (!t.defined() || (mode & kInference)) return false;
  settle_tangents();
  return (!(mode & kNoGrad) && t.requires_grad()) || carries_tangent(t);
}

void connect_forward(Node& node, int i, const Tensor& t) {
  Edge& edge = node.edges()[i];
  if (grad_enabled()) edge = gradient_edge(t);
  if (mode & kInference || !carries_tangent(t)) return;
  node.more().forward_inputs.push_back({i, t});
  if (!edge.fn) edge = {forward_only_node(), 0};
}

bool note_forward(const Tensor& out, const Ptr<Node>& node, uint32_t nr, bool in_place) {
  if (!node->extra || node->extra->forward_inputs.empty()) return true;
  if (state.pending.empty() || state.pending.back().node != node)
    state.pending.push_back({node, {}, in_place, mode, state.limit});
  state.pending.back().outputs.push_back({nr, out});
  for (int i = 0; i < node->n_edges; ++i)
    if (const Edge& edge = node->edge(i); edge.fn && !only_forward(edge)) return true;
  return false;
}

// ---- the tangents of outputs

namespace {

// J t is the derivative of J^T v, linear in v, with respect to v.
void transposed_twice(Node& node, const std::vector<Tensor>& t, const std::vector<Tensor>& y, std::vector<Tensor>& out,
                      bool recorded) {
  ModeGuard guard(static_cast<uint8_t>(mode & ~kNoGrad));
  std::vector<Tensor> g(y.size()), gx(t.size());
  std::vector<Edge> vs;
  std::vector<size_t> places;
  for (size_t k = 0; k < y.size(); ++k) {
    if (!y[k].defined()) continue;
    g[k] = zeros_laid_out(y[k], y[k].dtype());
    g[k].impl()->requires_grad = true;
    vs.push_back(gradient_edge(g[k]));
    places.push_back(k);
  }
  BackwardOptions options;
  options.create_graph = options.keep_graph = recorded;
  options.accumulate = false;
  options.allow_unused = true;
  options.since = next_sequence_number();
  {
    // Only for the inputs that have a tangent.
    struct Narrowed {
      Node& node;
      std::vector<Edge> kept;
      explicit Narrowed(Node& n, const std::vector<Tensor>& t) : node(n) {
        for (int i = 0; i < n.n_edges; ++i) {
          kept.push_back(n.edge(i));
          if (!t[i].defined()) n.edges()[i] = {};
        }
      }
      ~Narrowed() {
        for (int i = 0; i < node.n_edges; ++i) node.edges()[i] = std::move(kept[i]);
      }
    } narrowed(node, t);
    KeepGraph keep;
    node.apply(g.data(), gx.data());
  }
  std::vector<Edge> roots;
  std::vector<Tensor> seeds;
  for (size_t i = 0; i < t.size(); ++i) {
    if (!t[i].defined() || !gx[i].defined() || !gx[i].requires_grad()) continue;
    Edge edge = gradient_edge(gx[i]);
    roots.push_back(edge);
    seeds.push_back(t[i].dtype() == gx[i].dtype() ? t[i] : to_dtype(t[i], gx[i].dtype()));
  }
  if (roots.empty()) return;
  std::vector<Tensor> found = run_backward(roots, std::move(seeds), vs, options);
  for (size_t k = 0; k < vs.size(); ++k) out[places[k]] = std::move(found[k]);
}

bool is_view_of(const Tensor& out, const Tensor& in) {
  return out.is_view() && !out.is_same(in) && out.shares_storage(in) && out.dtype() == in.dtype();
}

void settle_level(const Pending& p, const std::vector<ForwardInput>& inputs, int level) {
  Node& node = *p.node;
  std::vector<Tensor> t(node.n_edges), y(node.n_inputs), out(node.n_inputs);
  bool any = false, wants = false;
  for (const ForwardInput& in : inputs) {
    t[in.edge] = find_tangent(in.tensor, level);
    any |= t[in.edge].defined();
    wants |= wants_grad(t[in.edge]);
  }
  if (!any) return;
  for (int i = 0; i < node.n_edges; ++i) wants |= node.edge(i).fn && !only_forward(node.edge(i));
  bool recorded = wants && !(p.mode & kNoGrad);
  LevelGuard guard(level, static_cast<uint8_t>((recorded ? p.mode : p.mode | kNoGrad) & ~kAutocast));
  for (auto& [nr, tensor] : p.outputs) y[nr] = tensor;
  if (recorded && p.in_place)  // the old tangent is saved, and then written to
    for (const ForwardInput& in : inputs)
      if (Tensor& old = t[in.edge]; old.defined() && in.tensor.shares_storage(p.outputs[0].second)) old = clone(old);
  bool view = inputs.size() == 1 && !p.in_place && is_view_of(p.outputs[0].second, inputs[0].tensor);
  if (view) {
    for (auto& [nr, tensor] : p.outputs) out[nr] = same_view(t[inputs[0].edge], tensor, inputs[0].tensor);
  } else if (!node.jvp(t.data(), y.data(), out.data())) {
    transposed_twice(node, t, y, out, recorded);
  }
  for (auto& [nr, tensor] : p.outputs) {
    Tensor& value = out[nr];
    if (!value.defined()) value = zeros_laid_out(tensor, tensor.dtype());
    if (value.dtype() != tensor.dtype()) value = to_dtype(value, tensor.dtype());
    if (!same(value.sizes(), tensor.sizes())) value = expand(value, tensor.sizes());
    if (value.has_internal_overlap() && !tensor.has_internal_overlap()) value = contiguous(value);
    if (!view)
      for (const Tensor& from : t)  // a tangent of its own: it will be written to when its tensor is
        if (from.defined() && value.shares_storage(from)) value = clone(value);
    set_tangent(tensor, level, value, p.in_place);
    bool found = false;
    for (auto& [of, list] : node.extra->output_tangents)
      if (of == nr) list.set(level, find_tangent(tensor, level)), found = true;
    if (!found) {
      node.extra->output_tangents.emplace_back();
      node.extra->output_tangents.back().first = nr;
      node.extra->output_tangents.back().second.set(level, find_tangent(tensor, level));
    }
  }
  settle_tangents();
}

void settle(const Pending& p) {
  struct Stripped {
    Node& node;
    ~Stripped() { strip(node); }
  } stripped{*p.node};
  std::vector<ForwardInput> inputs = std::move(p.node->extra->forward_inputs);
  p.node->extra->forward_inputs.clear();
  for (int level = 0; level < p.limit; ++level) settle_level(p, inputs, level);
}

}  // namespace

void settle_tangents() {
  while (!state.pending.empty()) {
    std::vector<Pending> list = std::move(state.pending);
    state.pending.clear();
    for (const Pending& p : list) settle(p);
  }
}

}  // namespace fg
