// tril and triu.
#include "ops/ops.h"

namespace fg {

namespace {

struct TriangleNode final : Node {
  int64_t diagonal;
  bool upper;
  const char* name() const override { return upper ? "TriuBackward0" : "TrilBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = triangle(g[0], diagonal, upper);
  }
};

}  // namespace

void triangle_(const Tensor& t, int64_t diagonal, bool upper) {
  const char* op = upper ? "triu_" : "tril_";
  check_inplace(t, op);
  check_writable_layout(t, op);
  Ptr<TriangleNode> node;
  if (should_record(t)) {
    node = make_node<TriangleNode>(t);
    node->diagonal = diagonal;
    node->upper = upper;
  }
  {
    NoGradGuard guard;
    raw_copy(t, triangle(t, diagonal, upper));
  }
  t.bump_version();
  if (node) rebase_history(t, node);
}

Tensor triangle(const Tensor& t, int64_t diagonal, bool upper) {
  FG_CHECK(t.dim() >= 2, Runtime, upper ? "triu" : "tril", ": input tensor must have at least 2 dimensions");
  Tensor x = t;
  if (!t.is_contiguous()) {
    NoGradGuard guard;
    x = contiguous(t);
  }
  Tensor out = Tensor::empty(x.sizes(), x.dtype(), x.device());
  if (out.numel()) {
    int64_t rows = x.size(x.dim() - 2), columns = x.size(x.dim() - 1);
    GilRelease release(x.numel());
    backend(x.device())
        .triangle(out.mutable_data(), x.data(), x.item_bytes(), x.numel() / (rows * columns), rows, columns, diagonal,
                  upper, Storage::current_stream(x.device()));
  }
  if (should_record(t)) {
    auto node = make_node<TriangleNode>(t);
    node->diagonal = diagonal;
    node->upper = upper;
    set_history(out, node);
  }
  return out;
}

}  // namespace fg
