// Arguments whose derivative is not known: a node that says so when it is asked.
#include "ops/ops.h"

namespace fg {

namespace {

struct RefusingNode final : Node {
  const char* what;
  const char* name() const override { return "NotImplemented"; }
  void apply(Tensor*, Tensor*) override {
    fail(ErrorKind::NotImplemented, "the derivative for '", what, "' is not implemented.");
  }
};

}  // namespace

Tensor refuse_gradient(const Tensor& t, const char* what) {
  auto node = make_node<RefusingNode>(t);
  node->what = what;
  Tensor out = t.alias();
  set_history(out, node);
  return out;
}

}  // namespace fg
