#include "ops/linear_map.h"

#include <algorithm>

namespace fg {

LinearTable LinearTable::turned() const {
  LinearTable t(out, in);
  std::vector<int64_t> next(static_cast<size_t>(in) + 1, 0);
  for (int64_t p : places) ++next[static_cast<size_t>(p) + 1];
  for (size_t i = 1; i < next.size(); ++i) next[i] += next[i - 1];
  t.starts = next;
  t.places.resize(places.size());
  t.weights.resize(places.size());
  for (int64_t o = 0; o < out; ++o)
    for (int64_t j = starts[static_cast<size_t>(o)]; j < starts[static_cast<size_t>(o) + 1]; ++j) {
      size_t at = static_cast<size_t>(next[static_cast<size_t>(places[static_cast<size_t>(j)])]++);
      t.places[at] = o;
      t.weights[at] = weights[static_cast<size_t>(j)];
    }
  return t;
}

namespace {

Tensor map_dimension(const Tensor& x, int dim, const LinearTable& table) {
  DimArray sizes(x.sizes());
  sizes[dim] = table.out;
  Tensor out = Tensor::empty(sizes, x.dtype(), x.device());
  if (out.numel() == 0) return out;
  ResampleArgs args{};
  args.out = out.mutable_data();
  args.in = x.data();
  args.dtype = x.dtype();
  args.outer = count_of(x.sizes().first(static_cast<size_t>(dim)));
  args.inner = count_of(x.sizes().subspan(static_cast<size_t>(dim) + 1));
  args.in_size = table.in, args.out_size = table.out;
  args.starts = table.starts.data(), args.places = table.places.data(), args.weights = table.weights.data();
  args.stream = Storage::current_stream(x.device());
  auto kernel = backend(x.device()).resample;
  if (!kernel) fail_no_kernel("resampling", x.device());
  GilRelease release(out.numel());
  kernel(args);
  return out;
}

struct LinearMapNode final : Node {
  const char* name_;
  LinearTables tables;
  const char* name() const override { return name_; }
  void apply(Tensor* g, Tensor* gx) override {
    LinearTables back;
    for (const auto& t : tables) back.push_back(t ? std::make_shared<const LinearTable>(t->turned()) : nullptr);
    gx[0] = linear_map(g[0], back, name_);
  }
};

}  // namespace

Tensor linear_map(const Tensor& x, const LinearTables& tables, const char* node_name) {
  const int first = x.dim() - static_cast<int>(tables.size());
  Tensor out;
  {
    NoGradGuard guard;
    out = dense(to_dtype(x, kernel_dtype(x.dtype())));
    // Dimensions that shrink come first, outer ones before inner ones; those that grow come from the inside out.
    std::vector<int> order;
    for (size_t i = 0; i < tables.size(); ++i)
      if (tables[i]) order.push_back(static_cast<int>(i));
    auto growth = [&](int i) {
      const LinearTable& t = *tables[static_cast<size_t>(i)];
      return static_cast<double>(t.out) / static_cast<double>(std::max<int64_t>(t.in, 1));
    };
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      const double one = growth(a), two = growth(b);
      return one != two ? one < two : one > 1 && a > b;
    });
    for (int i : order) out = map_dimension(out, first + i, *tables[static_cast<size_t>(i)]);
    out = to_dtype(out, x.dtype());
    if (out.is_same(x)) out = clone(out);
  }
  if (should_record(x)) {
    auto node = make_node<LinearMapNode>(x);
    node->name_ = node_name;
    node->tables = tables;
    set_history(out, node);
  }
  return out;
}

}  // namespace fg
