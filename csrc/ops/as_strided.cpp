// as_strided and the adjoint of any strided view: the gradient goes into zeros of the run that the view lies in.
#include "core/layout.h"
#include "ops/view.h"

namespace fg {

namespace {

// Whether elements fall on one place: dimensions of stride 0, or windows that overlap.
bool overlaps_itself(Dims sizes, Dims strides) {
  if (count_of(sizes) == 0) return false;
  DimArray order;
  for (int i = 0; i < static_cast<int>(sizes.size()); ++i)
    if (sizes[i] != 1) order.push(i);
  for (int i = 1; i < order.n; ++i)
    for (int j = i; j > 0 && strides[order[j - 1]] > strides[order[j]]; --j) std::swap(order.v[j - 1], order.v[j]);
  int64_t reach = 0;
  for (int i = 0; i < order.n; ++i) {
    if (strides[order[i]] <= reach) return true;
    reach += (sizes[order[i]] - 1) * strides[order[i]];
  }
  return false;
}

// Where in a run of `extent` elements those of a view lie, as a vector.
Tensor places(int64_t extent, Dims sizes, Dims strides, int64_t offset, Device device) {
  Tensor positions = arange(Scalar::of_int(0), Scalar::of_int(extent), Scalar::of_int(1), DType::Int64, device);
  return reshape(contiguous(positions.alias(sizes, strides, offset)), DimArray{-1});
}

}  // namespace

// Adds `g`, laid out as a view (sizes, strides, offset) of a dense run of `extent` elements, into zeros of that run.
Tensor scatter_view(const Tensor& g, int64_t extent, Dims sizes, Dims strides, int64_t offset) {
  Tensor flat = zeros(DimArray{extent}, g.dtype(), g.device());
  if (!overlaps_itself(sizes, strides)) {
    raw_copy(flat.alias(sizes, strides, offset), g);
    return flat;
  }
  scatter_(flat, 0, places(extent, sizes, strides, offset, g.device()), reshape(g, DimArray{-1}), Scatter::add);
  return flat;
}

namespace {

struct StridedAdjoint;

struct AsStridedBackward0 final : Node {
  DimList base_sizes, base_strides, sizes, strides;
  int64_t offset;                                   // from the base's first element
  bool complex_base = false, complex_view = false;  // the other one is real: both are laid out as reals
  const char* name() const override { return "AsStridedBackward0"; }
  void apply(Tensor* g, Tensor* gx) override;
};

Tensor strided_adjoint(const Tensor& g, const AsStridedBackward0& at);

// Elements of a run that holds the base (from `shift` on) and the view, which may start before its base.
template <class N>
int64_t run_of(const N& at, int64_t& shift) {
  shift = std::max<int64_t>(0, -at.offset);
  return shift + std::max(*span_of(at.base_sizes, at.base_strides), at.offset + *span_of(at.sizes, at.strides));
}

struct StridedAdjoint final : Node {
  DimList base_sizes, base_strides, sizes, strides;
  int64_t offset;
  const char* name() const override { return "AsStridedAdjointBackward0"; }
  void apply(Tensor* g, Tensor* gx) override {
    if (!wants(0)) return;
    int64_t shift, extent = run_of(*this, shift);
    Tensor flat = zeros(DimArray{extent}, g[0].dtype(), g[0].device());
    copy_(as_strided(flat, base_sizes, base_strides, shift), g[0]);
    gx[0] = as_strided(flat, sizes, strides, offset + shift);
  }
};

// Elements of the base that share a place share the gradient: each gets its part, and who expanded the base adds them
// up. Of recorded ops, so it has every derivative.
Tensor shared_adjoint(const Tensor& g, const AsStridedBackward0& at, int64_t extent, int64_t shift) {
  Tensor into = places(extent, at.sizes, at.strides, at.offset + shift, g.device());
  Tensor from = places(extent, at.base_sizes, at.base_strides, shift, g.device());
  Tensor flat =
      index_add(zeros(DimArray{extent}, g.dtype(), g.device()), 0, into, reshape(g, DimArray{-1}), Scalar::of_int(1));
  Tensor ones = full(from.sizes(), Scalar::of(1), g.dtype(), g.device());
  Tensor sharers = index_add(zeros(DimArray{extent}, g.dtype(), g.device()), 0, from, ones, Scalar::of_int(1));
  return reshape(index_select(div(flat, clamp(sharers, Arg(1.0), {})), 0, from), at.base_sizes);
}

Tensor strided_adjoint(const Tensor& g, const AsStridedBackward0& at) {
  int64_t shift, extent = run_of(at, shift);
  if (overlaps_itself(at.base_sizes, at.base_strides)) return shared_adjoint(g, at, extent, shift);
  Tensor flat = scatter_view(g, extent, at.sizes, at.strides, at.offset + shift);
  Tensor out = flat.alias(at.base_sizes, at.base_strides, shift);
  if (should_record(g)) {
    auto node = make_node<StridedAdjoint>(g);
    node->base_sizes = at.base_sizes, node->base_strides = at.base_strides;
    node->sizes = at.sizes, node->strides = at.strides, node->offset = at.offset;
    set_history(out, node);
  }
  return out;
}

void AsStridedBackward0::apply(Tensor* g, Tensor* gx) {
  if (!wants(0)) return;
  gx[0] = strided_adjoint(complex_view ? view_as_real(contiguous(g[0])) : g[0], *this);
  if (complex_base) gx[0] = view_as_complex(gx[0]);
}

}  // namespace

Tensor as_strided(const Tensor& t, Dims sizes, Dims strides, int64_t offset) {
  FG_CHECK(sizes.size() == strides.size(), Runtime, "as_strided: mismatch in length of strides and shape");
  for (size_t i = 0; i < sizes.size(); ++i) {
    FG_CHECK(sizes[i] >= 0, Runtime, "as_strided: negative size ", sizes[i]);
    FG_CHECK(strides[i] >= 0, Runtime,
             "as_strided: Negative strides are not supported at the moment, got strides: ", size_text(strides));
  }
  FG_CHECK(offset >= 0, Runtime, "Tensor: invalid storage offset ", offset);
  const std::optional<int64_t> span = span_of(sizes, strides);
  FG_CHECK(span && offset <= kFarthest, Runtime,
           "as_strided: Storage size calculation overflowed with sizes=", size_text(sizes),
           ", strides=", size_text(strides), " and storage offset ", offset);
  int64_t available = static_cast<int64_t>(t.storage().bytes()) / t.item_bytes();
  FG_CHECK(*span == 0 || *span <= available - offset, Runtime, "as_strided: setStorage: sizes ", size_text(sizes),
           ", strides ", size_text(strides), ", storage offset ", offset, " requiring a storage of ",
           stride_sum(offset, *span), " elements are out of bounds for storage of size ", t.storage().bytes(),
           " bytes (", available, " elements)");
  auto node = view_node<AsStridedBackward0>(t);
  if (node) {
    node->base_sizes = t.sizes(), node->base_strides = t.strides();
    node->sizes = sizes, node->strides = strides;
    node->offset = offset - t.offset();
  }
  return record_view(t.alias(sizes, strides, offset), t, node);
}

Node* make_as_strided_node(const Tensor& base_in, const Tensor& view_in) {
  auto node = make_node<AsStridedBackward0>(base_in);
  Tensor base = base_in, view = view_in;
  if (base.dtype() != view.dtype()) {  // one shows the parts of the other
    node->complex_base = is_complex(base.dtype()), node->complex_view = is_complex(view.dtype());
    if (node->complex_base) base = pairs_of(base);
    else view = pairs_of(view);
  }
  node->base_sizes = base.sizes(), node->base_strides = base.strides();
  node->sizes = view.sizes(), node->strides = view.strides();
  node->offset = view.offset() - base.offset();
  return node.detach();
}

}  // namespace fg
