// The end of every path: adds the gradient into a leaf's .grad.
#pragma once
#include "autograd/node.h"

namespace fg {

struct AccumulateGrad final : Node {
  explicit AccumulateGrad(Tensor t);
  ~AccumulateGrad() override;
  void apply(Tensor* g, Tensor* gx) override;
  const char* name() const override { return "AccumulateGrad"; }
  Tensor* variable() override { return &variable_; }

 private:
  Tensor variable_;
};

}  // namespace fg
