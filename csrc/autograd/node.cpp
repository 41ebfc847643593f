#include "autograd/node.h"

#include "autograd/engine.h"
#include "autograd/forward.h"
#include "core/pool.h"

namespace fg {

namespace {
thread_local uint64_t next_sequence = 0;
// Nodes whose count reached zero while another one is being deleted on this thread.
thread_local std::vector<Node*>* doomed = nullptr;
}  // namespace

thread_local Node* running_node = nullptr;
thread_local bool anomaly_checks_nan = true;
constinit thread_local SkippedEdges skipped_edges;
constinit thread_local bool keeps_graph = true;

Node::Node() : sequence(next_sequence++) {
  if (mode & kAnomaly) [[unlikely]]
    engine_hooks.remember_call(this, running_node);
}
uint64_t next_sequence_number() { return next_sequence; }
Node::~Node() = default;
void* Node::operator new(size_t bytes) { return allocate_object(bytes); }
void Node::operator delete(void* p, size_t bytes) { release_object(p, bytes); }

void Node::set_edges(int n) {
  if (n > 2) heap_edges = std::make_unique<Edge[]>(n);
  n_edges = n;
}

// Deleting a node releases the nodes it points to, and the tensors it saved release theirs: instead of recursing,
// whatever reaches zero meanwhile waits in a list.
void Node::destroy() {
  if (doomed) {
    doomed->push_back(this);
    return;
  }
  std::vector<Node*> list;
  doomed = &list;
  delete this;
  while (!list.empty()) {
    Node* next = list.back();
    list.pop_back();
    delete next;
  }
  doomed = nullptr;
}

NodeExtra::~NodeExtra() {
  if (home) home->extra = nullptr;
  for (auto& h : tensor_hooks) py_hooks.drop(h.hook.fn);
  for (auto& h : pre_hooks) py_hooks.drop(h.fn);
  for (auto& h : post_hooks) py_hooks.drop(h.fn);
  if (metadata) py_hooks.drop(metadata);
  if (traceback) py_hooks.drop(traceback);
}

void connect(Node& node, int i, const Tensor& t) {
  if (!t.defined()) return;
  if (mode & kForward) [[unlikely]]
    return connect_forward(node, i, t);
  node.edges()[i] = gradient_edge(t);
}

void fail_released() {
  fail(
      ErrorKind::Runtime,
      "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
      "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
      "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
      "after calling backward.",
      mode & kAnomaly
          ? ""
          : " Hint: in anomaly mode (torch.autograd.set_detect_anomaly(True), from the forward on) this error names "
            "the line of the forward operation.");
}

SavedHooks saved_hooks{};

namespace {

// Kernels of gradients trust that what was saved still fits; `x.data = ...` can change that without a new version.
uint32_t layout_of(const Tensor& t) {
  uint32_t h = static_cast<uint32_t>(t.dtype()) << 16 | static_cast<uint32_t>(t.device().type) << 8 |
               static_cast<uint32_t>(t.dim());
  for (int64_t n : t.sizes()) h = (h ^ static_cast<uint32_t>(n) ^ static_cast<uint32_t>(n >> 32)) * 2654435761u;
  return h;
}

Tensor with_edge(const Tensor& t, Node* node, uint32_t nr) {
  Tensor out = t.alias();
  if (mode & kForward) share_tangents(out, *node, nr);
  if (!grad_enabled()) return out;
  node->retain();
  out.impl()->grad_fn = node;
  out.impl()->output_nr = nr;
  return out;
}

}  // namespace

// torch tells the name of the forward op here: "Add", not "AddBackward0".
static std::string op_name(Node* node) {
  std::string name = node->name();
  return name.substr(0, name.find("Backward"));
}

void Saved::save(const Tensor& t, bool is_output) {
  if (!t.defined()) return;
  FG_CHECK(
      !t.impl()->inference || (mode & kInference), Runtime,
      "Inference tensors cannot be saved for backward. To work around you can make a clone to get a normal tensor and "
      "use it in autograd.");
  version_ = t.version();
  layout_ = layout_of(t);
  output_nr_ = t.impl()->output_nr;
  is_output_ = is_output;
  if (mode & kSavedHooks) [[unlikely]] {
    _object* hook = nullptr;
    // A result that is not from a leaf goes in without its history, so that no cycle arises; unpack() gives it back.
    if (_object* object = saved_hooks.pack(is_output || !t.is_leaf() ? t.alias() : t, &hook)) {
      packed_ = new Packed{object, hook, is_output || !t.requires_grad() ? Edge() : gradient_edge(t)};
      return;
    }
  }
  tensor_ = is_output ? t.alias() : t;
}

Tensor Saved::unpack(Node* owner) const {
  if (packed_) {
    Tensor t = saved_hooks.unpack(packed_->object, packed_->unpack_hook);
    FG_CHECK(layout_of(t) == layout_, Runtime, "the tensor that unpack_hook returned, ", type_text(t), " of shape ",
             size_text(t.sizes()), ", is not like the one that was saved");
    if (!grad_enabled() || t.requires_grad()) return t;
    if (is_output_) return owner ? with_edge(t, owner, output_nr_) : t;
    return packed_->edge.fn ? with_edge(t, packed_->edge.fn.get(), packed_->edge.input_nr) : t;
  }
  if (!tensor_.defined()) {
    if (owner && owner->released) fail_released();
    return {};
  }
  uint32_t now = tensor_.version();
  if (now != version_) [[unlikely]] {
    std::string from =
        owner ? concat(", which is output ", uint32_t{output_nr_}, " of ", op_name(owner), ",") : std::string();
    if (!is_output_)
      from = tensor_.impl()->grad_fn
                 ? concat(", which is output ", uint32_t{output_nr_}, " of ", op_name(tensor_.impl()->grad_fn), ",")
                 : "";
    fail(ErrorKind::Runtime,
         "one of the variables needed for gradient computation has been modified by an inplace operation: [",
         type_text(tensor_), " ", size_text(tensor_.sizes()), "]", from, " is at version ", now, "; expected version ",
         version_, " instead. ",
         mode & kAnomaly
             ? "Hint: the backtrace further above shows the operation that failed to compute its "
               "gradient. The variable in question was changed in there or anywhere later. Good luck!"
             : "Hint: enable anomaly detection to find the operation that failed to compute its gradient, with "
               "torch.autograd.set_detect_anomaly(True, check_nan=False).");
  }
  if (tensor_.impl()->relaid) [[unlikely]]
    FG_CHECK(layout_of(tensor_) == layout_, Runtime,
             "one of the variables needed for gradient computation was given another "
             "shape, dtype or device since: it is now ",
             type_text(tensor_), " ", size_text(tensor_.sizes()),
             owner ? concat(" (saved by ", owner->name(), ")") : std::string());
  return is_output_ && owner && records_gradient() ? with_edge(tensor_, owner, output_nr_) : tensor_;
}

void Saved::clear() {
  tensor_.reset();
  if (Packed* packed = packed_) {
    packed_ = nullptr;
    py_hooks.drop(packed->object);
    py_hooks.drop(packed->unpack_hook);
    delete packed;
  }
}

std::string type_text(const Tensor& t) {
  static const char* const names[] = {"Bool", "Byte",     "Char",  "Short",  "Int",          "Long",
                                      "Half", "BFloat16", "Float", "Double", "ComplexFloat", "ComplexDouble"};
  return concat("torch.", t.device().is_cpu() ? "" : "cuda.", names[static_cast<int>(t.dtype())], "Tensor");
}

}  // namespace fg
