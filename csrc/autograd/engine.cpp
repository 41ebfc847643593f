// How it works: run_backward() counts, with an explicit stack, how many edges lead to each reachable node; then it
// takes ready nodes in falling order of recording. The counts lie in the nodes themselves (one word compare instead of
// a hash table) and belong to the run whose number the node carries. A second run at the same time (another thread, or
// a backward inside a backward) must not touch nodes of the first one that are in flight, so it keeps its counts in a
// table.
#include "autograd/engine.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "autograd/forward.h"
#include "core/profile.h"
#include "ops/ops.h"

namespace fg {

EngineHooks engine_hooks{};

namespace {

std::mutex task_lock;
uint64_t last_task = 0;
bool nodes_in_use = false;  // some run has its counts in the nodes

struct State {
  int32_t pending = 0;
  bool needed = false;
  std::vector<Tensor> grads;
};

class Task {
 public:
  Task(const std::vector<Edge>& inputs, BackwardOptions options) : inputs_(inputs), options_(options) {
    std::lock_guard lock(task_lock);
    number_ = ++last_task;
    in_nodes_ = !nodes_in_use;
    if (in_nodes_) nodes_in_use = true;
    keeps_graph = options.keep_graph || records_gradient();
  }
  ~Task() {
    keeps_graph = outer_keeps_graph_;
    if (!in_nodes_) return;
    for (Node* node : touched_) {  // after an error: drop what is still waiting
      node->grad0.reset();
      node->grads.reset();
      node->release();
    }
    std::lock_guard lock(task_lock);
    nodes_in_use = false;
  }

  std::vector<Tensor> run(const std::vector<Edge>& roots, std::vector<Tensor>& grads) {
    captured_.resize(inputs_.size());
    for (const Edge& root : roots) discover(root.fn.get());
    if (!inputs_.empty()) mark_needed();
    for (size_t i = 0; i < roots.size(); ++i) add_gradient(roots[i], std::move(grads[i]));
    for (const Edge& root : roots)
      if (pending(root.fn.get()) == 0) push(root.fn.get());
    // A root may stand twice.
    std::sort(ready_.begin(), ready_.end(), earlier);
    ready_.erase(std::unique(ready_.begin(), ready_.end()), ready_.end());
    std::make_heap(ready_.begin(), ready_.end(), earlier);
    int steps = 0;
    while (!ready_.empty()) {
      std::pop_heap(ready_.begin(), ready_.end(), earlier);
      Node* node = ready_.back();
      ready_.pop_back();
      execute(node);
      if ((++steps & 1023) == 0 && engine_hooks.interrupted && engine_hooks.interrupted())
        throw Error(ErrorKind::Pending, "interrupted");
    }
    return std::move(captured_);
  }

 private:
  static bool earlier(const Node* a, const Node* b) {
    return a->sequence != b->sequence ? a->sequence < b->sequence : a < b;
  }

  bool outside(const Node* node) const { return node->sequence < options_.since; }

  // ---- state, in the node or beside it
  bool seen(Node* node) const { return in_nodes_ ? node->task == number_ : table_.count(node) != 0; }
  int32_t& pending(Node* node) { return in_nodes_ ? node->pending : table_[node].pending; }
  bool& needed(Node* node) { return in_nodes_ ? node->needed : table_[node].needed; }
  Tensor& slot(Node* node, uint32_t nr) {
    if (in_nodes_) {
      if (nr == 0) return node->grad0;
      if (!node->grads) node->grads = std::make_unique<Tensor[]>(node->n_inputs);
      return node->grads[nr];
    }
    auto& grads = table_[node].grads;
    if (grads.empty()) grads.resize(node->n_inputs);
    return grads[nr];
  }
  void enter(Node* node) {
    if (in_nodes_) {
      node->task = number_;
      node->pending = 0;
      node->needed = inputs_.empty();
    } else {
      table_[node].needed = inputs_.empty();
    }
    node->retain();
    touched_.push_back(node);
    if (!in_nodes_) owned_.push_back(Ptr<Node>::adopt(node));
  }

  void discover(Node* root) {
    if (seen(root)) return;
    enter(root);
    std::vector<Node*> stack{root};
    while (!stack.empty()) {
      Node* node = stack.back();
      stack.pop_back();
      Edge* edges = node->edges();
      for (int i = 0; i < node->n_edges; ++i) {
        Node* next = edges[i].fn.get();
        if (!next || outside(next)) continue;
        if (!seen(next)) {
          enter(next);
          stack.push_back(next);
        }
        ++pending(next);
      }
    }
  }

  // A node is needed when a wanted input lies behind it. In the order of recording what lies behind comes first, but
  // for custom graphs and views: hence until nothing changes, which mostly is after one pass.
  void mark_needed() {
    for (const Edge& input : inputs_)
      if (input.fn && seen(input.fn.get())) needed(input.fn.get()) = true;
    std::sort(touched_.begin(), touched_.end(), earlier);
    for (bool changed = true; changed;) {
      changed = false;
      for (Node* node : touched_)
        if (!needed(node) && more_behind(node)) {
          needed(node) = true;
          changed = true;
        }
    }
  }

  void push(Node* node) {
    ready_.push_back(node);
    std::push_heap(ready_.begin(), ready_.end(), earlier);
  }

  void add_gradient(const Edge& edge, Tensor g) {
    Tensor& into = slot(edge.fn.get(), edge.input_nr);
    if (!into.defined()) into = std::move(g);
    else if (g.defined()) into = accumulate(std::move(into), std::move(g));
  }

  Tensor accumulate(Tensor sum, Tensor g) {
    // In place when nobody else can see one of them.
    if (!grad_enabled() && sum.dtype() == g.dtype()) {
      if (sum.is_dense() && is_alone(sum)) return add_(sum, g), sum;
      if (g.is_dense() && is_alone(g) && same(g.sizes(), sum.sizes())) return add_(g, sum), g;
    }
    return add(sum, g);
  }

  void execute(Node* node) {
    if (!needed(node)) return drop(node);
    Tensor* g;
    std::vector<Tensor> several;
    Tensor one;
    if (in_nodes_ && node->n_inputs == 1) {
      one = std::move(node->grad0);
      g = &one;
    } else {
      several.resize(node->n_inputs);
      for (int i = 0; i < node->n_inputs; ++i) several[i] = std::move(slot(node, i));
      g = several.data();
    }
    if (node->extra || node->sequence == UINT64_MAX) before(node, g);
    bool stop = false;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (inputs_[i].fn.get() != node) continue;
      captured_[i] = g[inputs_[i].input_nr];
      // Only a node with another wanted input behind it goes on.
      stop = true;
    }
    if (!inputs_.empty() && node->sequence == UINT64_MAX) {
      if (stop && options_.accumulate) accumulate_into_leaf(node, g);
      return drop(node);
    }
    if (stop && !more_behind(node)) return drop(node);
    if (node->sequence == UINT64_MAX) return accumulate_into_leaf(node, g);
    constexpr int kFew = 4;
    Tensor few[kFew];
    std::vector<Tensor> many;
    Tensor* gx = few;
    if (node->n_edges > kFew) many.resize(node->n_edges), gx = many.data();
    bool any = false;
    for (int i = 0; i < node->n_inputs; ++i) any |= g[i].defined();
    std::vector<Tensor> kept;  // gradients for post hooks
    if (node->extra && !node->extra->post_hooks.empty()) kept.assign(g, g + node->n_inputs);
    if (any || node->python()) {
      ProfileScope scope(ProfileEvent::Backward, mode & kProfile ? node->name() : nullptr);
      Skip skip(node, inputs_.empty() ? 0 : not_needed(node));
      if (mode & kAnomaly) [[unlikely]]
        apply_watched(node, g, gx);
      else node->apply(g, gx);
    }
    if (!options_.keep_graph) {
      node->released = true;
      node->release_saved();
    }
    if (!kept.empty())
      for (const Hook& h : HeldHooks(node->extra->post_hooks))
        engine_hooks.post_hook(h.fn, gx, node->n_edges, kept.data(), node->n_inputs);
    if (mode & kAnomaly && anomaly_checks_nan) check_nan(node, gx);
    Edge* edges = node->edges();
    for (int i = 0; i < node->n_edges; ++i) {
      Node* next = edges[i].fn.get();
      if (!next || outside(next)) continue;
      if (gx[i].defined() && needed(next)) add_gradient(edges[i], std::move(gx[i]));
      if (--pending(next) == 0) push(next);
    }
  }

  // Anomaly mode: nodes recorded meanwhile know whose gradient they belong to, and an error tells of the forward op.
  void apply_watched(Node* node, Tensor* g, Tensor* gx) {
    struct Running {
      Node* before = running_node;
      explicit Running(Node* node) { running_node = node; }
      ~Running() { running_node = before; }
    } running(node);
    try {
      node->apply(g, gx);
    } catch (Error& error) {
      engine_hooks.note_failure(node);
      if (error.kind() != ErrorKind::Pending) error.append(engine_hooks.forward_call(node));
      throw;
    }
  }

  // Gradients that this run has no use for: autograd.grad(loss, [w]) of a layer does not compute that of its input.
  uint64_t not_needed(Node* node) {
    uint64_t bits = 0;
    for (int i = 0; i < node->n_edges && i < 64; ++i)
      if (Node* next = node->edge(i).fn.get(); next && (outside(next) || !needed(next))) bits |= uint64_t{1} << i;
    return bits;
  }
  class Skip {
   public:
    Skip(Node* node, uint64_t bits) {
      if (!bits && !node->narrowed) [[likely]]
        return;
      set_ = true;
      node->narrowed.store(true, std::memory_order_relaxed);
      before_ = std::exchange(skipped_edges, {node, bits});
    }
    ~Skip() {
      if (set_) skipped_edges = before_;
    }
    Skip(const Skip&) = delete;

   private:
    bool set_ = false;
    SkippedEdges before_;
  };

  // A node that is not needed still counts for those behind it.
  void drop(Node* node) {
    for (int i = 0; i < node->n_edges; ++i) {
      Node* next = node->edge(i).fn.get();
      if (next && !outside(next) && --pending(next) == 0) push(next);
    }
  }

  bool more_behind(Node* node) {
    for (int i = 0; i < node->n_edges; ++i)
      if (Node* next = node->edge(i).fn.get(); next && !outside(next))
        if (needed(next)) return true;
    return false;
  }

  // Hooks as they are now, kept alive: a hook may remove itself or others, or add some.
  class HeldHooks {
   public:
    explicit HeldHooks(const std::vector<Hook>& hooks) : hooks_(hooks) {
      for (const Hook& h : hooks_) py_hooks.hold(h.fn);
    }
    ~HeldHooks() {
      for (const Hook& h : hooks_) py_hooks.drop(h.fn);
    }
    HeldHooks(const HeldHooks&) = delete;
    std::vector<Hook>::const_iterator begin() const { return hooks_.begin(); }
    std::vector<Hook>::const_iterator end() const { return hooks_.end(); }

   private:
    std::vector<Hook> hooks_;
  };

  void call_tensor_hook(_object* fn, Tensor& g) {
    if (!g.defined()) return;
    if (Tensor changed = engine_hooks.tensor_hook(fn, g); changed.defined()) g = std::move(changed);
  }

  void before(Node* node, Tensor* g) {
    if (Tensor* variable = node->variable())
      if (Meta* meta = variable->meta_or_null(); meta && !meta->hooks.empty())
        for (const Hook& h : HeldHooks(meta->hooks)) call_tensor_hook(h.fn, g[0]);
    if (!node->extra) return;
    NodeExtra& extra = *node->extra;
    if (!extra.tensor_hooks.empty()) {
      std::vector<Hook> plain;
      std::vector<uint32_t> places;
      for (auto& h : extra.tensor_hooks) plain.push_back(h.hook), places.push_back(h.input_nr);
      size_t i = 0;
      for (const Hook& h : HeldHooks(plain)) call_tensor_hook(h.fn, g[places[i++]]);
    }
    if (!extra.pre_hooks.empty())
      for (const Hook& h : HeldHooks(extra.pre_hooks)) engine_hooks.pre_hook(h.fn, g, node->n_inputs);
    for (size_t i = 0; i < extra.retained.size(); ++i) {  // dropping an old gradient may change the list
      RetainedGrad r = extra.retained[i];
      if (g[r.input_nr].defined()) {
        Tensor t{Ptr<TensorImpl>(r.tensor)};
        const Tensor& incoming = g[r.input_nr];
        if (!t.grad().defined()) t.set_grad(options_.create_graph ? clone(incoming) : detach(clone(incoming)));
        else t.set_grad(add(t.grad(), incoming));
      }
    }
  }

  void accumulate_into_leaf(Node* node, Tensor* g) {
    bool hooked = node->extra && !node->extra->post_hooks.empty();
    // In forward mode the gradients were computed by recorded ops, for their tangents.
    ModeGuard guard(options_.create_graph ? mode : static_cast<uint8_t>((mode | kNoGrad) & ~kForward));
    if (!options_.create_graph && wants_grad(g[0])) g[0] = detach(g[0]);
    Tensor kept = hooked ? g[0] : Tensor();
    node->apply(g, nullptr);
    if (hooked)
      for (const Hook& h : HeldHooks(node->extra->post_hooks)) engine_hooks.post_hook(h.fn, nullptr, 0, &kept, 1);
    Tensor* variable = node->variable();
    if (Meta* meta = variable->meta_or_null(); meta && !meta->post_accumulate.empty())
      for (const Hook& h : HeldHooks(meta->post_accumulate)) engine_hooks.post_accumulate(h.fn, *variable);
  }

  void check_nan(Node* node, Tensor* gx) {
    for (int i = 0; i < node->n_edges; ++i) {
      if (!gx[i].defined() || !is_inexact(gx[i].dtype())) continue;
      NoGradGuard guard;
      if (!any_nan(gx[i])) continue;
      engine_hooks.note_failure(node);
      fail(ErrorKind::Runtime, "Function '", node->name(), "' returned nan values in its ", i, "th output.",
           engine_hooks.forward_call(node));
    }
  }

  const std::vector<Edge>& inputs_;  // where gradients are captured
  BackwardOptions options_;
  uint64_t number_ = 0;
  bool in_nodes_ = true;
  bool outer_keeps_graph_ = keeps_graph;
  std::vector<Node*> ready_;
  std::vector<Node*> touched_;
  std::vector<Ptr<Node>> owned_;
  std::unordered_map<Node*, State> table_;
  std::vector<Tensor> captured_;
};

}  // namespace

std::vector<Tensor> run_backward(const std::vector<Edge>& roots, std::vector<Tensor> grads,
                                 const std::vector<Edge>& inputs, BackwardOptions options) {
  // Tangents flow through the gradients of a dual level, so what nodes do is recorded there.
  bool recorded = options.create_graph || mode & kForward;
  ModeGuard guard(static_cast<uint8_t>(recorded ? mode & ~kNoGrad : mode | kNoGrad));
  Task task(inputs, options);
  std::vector<Tensor> result = task.run(roots, grads);
  if (recorded && !options.create_graph)
    for (Tensor& t : result) t = without_history(t);
  if (!options.accumulate && !options.allow_unused)
    for (const Tensor& t : result)
      FG_CHECK(
          t.defined(), Runtime,
          "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if this "
          "is the desired behavior.");
  return result;
}

}  // namespace fg
