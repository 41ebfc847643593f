// A recorded op: edges to where its gradients go, what it saved, its place in the order of recording.
//
// Nodes are reference counted and released iteratively: a chain of a million ops must not overflow the stack.
#pragma once
#include <memory>
#include <vector>

#include "autograd/tangents.h"
#include "core/mode.h"
#include "core/tensor.h"

namespace fg {

struct Edge {
  Ptr<Node> fn;
  uint32_t input_nr = 0;
};

// retain_grad() of a tensor that is no leaf. The pointer is weak: TensorImpl's end takes it out (forget_retained).
struct RetainedGrad {
  uint32_t input_nr;
  TensorImpl* tensor;
};

// An input that carries a tangent, until the tangents of the outputs are computed.
struct ForwardInput {
  int edge;
  Tensor tensor;
};

// What few nodes have: hooks and Python's view of the node.
struct NodeExtra {
  struct TensorHook {
    uint32_t input_nr;
    Hook hook;
  };
  std::vector<TensorHook> tensor_hooks;  // on the gradient of one output of the forward op
  std::vector<Hook> pre_hooks;           // on all of them
  std::vector<Hook> post_hooks;
  std::vector<RetainedGrad> retained;
  _object* metadata = nullptr;   // dict
  _object* traceback = nullptr;  // where the forward op was called (anomaly mode); python/anomaly.cpp
  Ptr<HookHome> home;
  std::vector<ForwardInput> forward_inputs;
  std::vector<std::pair<uint32_t, TangentList>> output_tangents;  // for the copies of outputs that were saved
  ~NodeExtra();
};

// The gradients that the node whose apply() runs on this thread need not compute. Not in the node: another thread may
// run it at the same time, for other inputs.
struct SkippedEdges {
  const Node* node = nullptr;
  uint64_t bits = 0;  // of the first 64 edges
  bool has(const Node* n, int i) const { return n == node && i < 64 && bits >> i & 1; }
};
extern constinit thread_local SkippedEdges skipped_edges;

// Whether the running backward of this thread leaves the graph as it is, or records another: also true outside of one.
extern constinit thread_local bool keeps_graph;
// For whoever calls apply() of a node that is not the engine's to run.
class KeepGraph {
 public:
  KeepGraph() { keeps_graph = true; }
  ~KeepGraph() { keeps_graph = before_; }
  KeepGraph(const KeepGraph&) = delete;

 private:
  bool before_ = keeps_graph;
};

struct Node {
  std::atomic<uint32_t> refs{1};
  int32_t n_edges = 0;
  int32_t n_inputs = 1;  // gradients it receives: outputs of the forward op
  int32_t pending = 0;   // the engine's, see below
  uint64_t sequence;     // order of recording; UINT64_MAX for AccumulateGrad
  Edge inline_edges[2];
  std::unique_ptr<Edge[]> heap_edges;
  // The engine's state of a running backward; valid while `task` is its number.
  uint64_t task = 0;
  bool needed = false;
  bool released = false;
  std::atomic<bool> narrowed = false;  // some run, on whatever thread, did not need all of its gradients: see wants()
  Tensor grad0;                        // incoming gradients: the first, and the others
  std::unique_ptr<Tensor[]> grads;
  std::unique_ptr<NodeExtra> extra;
  _object* pyobj = nullptr;  // wrapper, weak

  Node();
  virtual ~Node();
  // g: n_inputs gradients, undefined ones mean zero. gx: n_edges results to fill where wants(i).
  virtual void apply(Tensor* g, Tensor* gx) = 0;
  virtual const char* name() const = 0;  // torch's: "AddBackward0"
  // Forward mode: y[k] = the tangent of output k (whose value is results[k]) from those of the inputs, undefined where
  // zero. False: no rule, the tangents follow from apply().
  virtual bool jvp(const Tensor* t, const Tensor* results, Tensor* y) {
    (void)t, (void)results, (void)y;
    return false;
  }
  virtual void release_saved() {}
  virtual Tensor* variable() { return nullptr; }  // of AccumulateGrad
  virtual _object* python() { return nullptr; }   // ctx of a custom function

  void retain() { refs.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (refs.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }
  Edge* edges() { return heap_edges ? heap_edges.get() : inline_edges; }
  const Edge& edge(int i) { return edges()[i]; }
  // Whether the gradient of edge i is to be computed; within a run, not where nothing that the run asks for lies
  // behind.
  bool wants(int i) { return i < n_edges && edges()[i].fn && !(narrowed && skipped_edges.has(this, i)); }
  void set_edges(int n);  // room for n edges
  NodeExtra& more() {
    if (!extra) extra = std::make_unique<NodeExtra>();
    return *extra;
  }
  static void* operator new(size_t bytes);
  static void operator delete(void* p, size_t bytes);

 private:
  void destroy();
};

// A tensor kept for backward: the tensor itself, so that `w.data = ...` is seen as in torch; an output without its
// history, so that no cycle arises. unpack() checks that it was not overwritten since.
class Saved {
 public:
  Saved() = default;
  Saved(Saved&&) = delete;
  ~Saved() {
    if (packed_) clear();
  }
  void save(const Tensor& t, bool is_output = false);
  // `owner` gives an output its history back when the gradient itself is recorded; it also names the op in errors.
  Tensor unpack(Node* owner) const;
  void clear();
  // Within apply() of `owner`, once nothing of it is needed any more: what comes next has its memory.
  void done(Node* owner) {
    if (!keeps_graph) owner->released = true, clear();
  }
  bool holds() const { return tensor_.defined() || packed_; }
  const Tensor& peek() const { return tensor_; }

 private:
  struct Packed {
    _object *object, *unpack_hook;
    Edge edge;  // of an input that requires grad
  };
  Tensor tensor_;
  uint32_t version_ = 0;
  uint32_t layout_ = 0;  // of dtype, device and sizes
  uint32_t output_nr_ : 31 = 0;
  uint32_t is_output_ : 1 = 0;
  Packed* packed_ = nullptr;  // what a saved-tensor hook made of it
};

// saved_tensors_hooks, set by python/: pack returns nullptr when no pair of hooks is active.
struct SavedHooks {
  _object* (*pack)(const Tensor& t, _object** unpack_hook);
  Tensor (*unpack)(_object* packed, _object* unpack_hook);
  void (*before_change)(const Tensor& t);  // in place
};
extern SavedHooks saved_hooks;

// Whether nobody else sees this tensor or its memory: whoever has it may write into it, or keep it.
bool is_alone(const Tensor& t);

std::string type_text(const Tensor& t);  // "torch.FloatTensor"

// ---- recording
inline bool wants_grad(const Tensor& t) { return t.defined() && t.requires_grad(); }
bool recorded_forward(const Tensor& t);
// Whether an op on t makes a node: t wants a gradient, or carries a tangent.
inline bool is_recorded(const Tensor& t) {
  uint8_t special = mode & (kNoGrad | kInference | kForward);
  if (!special) [[likely]]
    return wants_grad(t);
  return special & kForward && recorded_forward(t);
}
template <class... T>
bool should_record(const T&... t) {
  return (is_recorded(t) || ...);
}
// Whether what a node does in apply() is recorded itself.
inline bool records_gradient() { return grad_enabled() || (mode & kForward); }
Edge gradient_edge(const Tensor& t);  // grad_fn, or the accumulator of a leaf that requires grad, or nothing
void connect(Node& node, int i, const Tensor& t);  // edge i of node goes to t
template <class N, class... T>
Ptr<N> make_node(const T&... t) {  // node with one edge for each tensor
  Ptr<N> node = Ptr<N>::adopt(new N);
  node->set_edges(sizeof...(T));
  int i = 0;
  (connect(*node, i++, t), ...);
  return node;
}
uint64_t next_sequence_number();
void set_history(const Tensor& out, const Ptr<Node>& node, uint32_t nr = 0);

// ---- views and in-place changes (variable.cpp)
// Marks `view` as a view of `of` (of its base when it is a view itself) and gives it the node if one is wanted.
void mark_view(const Tensor& view, const Tensor& of, ViewKind kind = ViewKind::Normal);
Ptr<Node> grad_fn(const Tensor& t);                           // regenerated when the base was changed in place
void check_inplace(const Tensor& t, const char* op);          // torch's errors for leaves and views
void rebase_history(const Tensor& t, const Ptr<Node>& node);  // after an in-place op recorded by `node`
void retain_grad(const Tensor& t);
void forget_retained(TensorImpl* t);
void exchange_grad_fn(TensorImpl* t, Node* node);  // takes a reference over; .grad keeps being retained
Tensor detach(const Tensor& t);                    // shares storage and version
Tensor data_of(const Tensor& t);                   // `.data`: shares storage, a version of its own
void set_data(const Tensor& t, const Tensor& source);
void take_layout(const Tensor& t, const Tensor& view);  // t becomes, in place, a view of itself

[[noreturn]] void fail_released();  // backward through a graph that was freed

}  // namespace fg
