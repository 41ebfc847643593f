// The walk backwards: iterative, a node runs when every consumer of its output has added its part.
#pragma once
#include <vector>

#include "autograd/node.h"

namespace fg {

struct BackwardOptions {
  bool keep_graph = false;
  bool create_graph = false;
  bool accumulate = true;  // into leaves; otherwise return the gradients of `inputs`
  bool allow_unused = false;
  uint64_t since = 0;  // nodes recorded before are no part of it
};

// roots: edges of the tensors to differentiate with their gradients (all defined). inputs: for autograd.grad, and for
// backward(inputs=...), the only places that receive something. Returns one gradient for each input when !accumulate.
std::vector<Tensor> run_backward(const std::vector<Edge>& roots, std::vector<Tensor> grads,
                                 const std::vector<Edge>& inputs, BackwardOptions options);

// How hooks, which are Python functions, are called; set by python/.
struct EngineHooks {
  Tensor (*tensor_hook)(_object* fn, const Tensor& g);  // undefined: keep g
  void (*pre_hook)(_object* fn, Tensor* g, int n);
  void (*post_hook)(_object* fn, Tensor* gx, int n, const Tensor* g, int m);
  void (*post_accumulate)(_object* fn, const Tensor& variable);
  // Anomaly mode. remember_call: where the op is called that `node` records; `cause`: the node whose gradient this op
  // is part of, or null. note_failure: warns, with where the forward op was. forward_call: the same as one line, or
  // nothing.
  void (*remember_call)(Node* node, Node* cause);
  void (*note_failure)(Node* node);
  std::string (*forward_call)(Node* node);
  bool (*interrupted)();  // a signal (Ctrl-C) waits
};
extern EngineHooks engine_hooks;
extern thread_local Node* running_node;  // whose apply() runs, in anomaly mode
extern thread_local bool anomaly_checks_nan;

}  // namespace fg
