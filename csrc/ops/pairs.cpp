// Sums over rows of a table and distances between rows, without gradients: nn/_embedding_bag.py and _linear.py compose
// them from other ops where gradients are wanted.
#include "ops/images.h"

namespace fg {

bool have_pairs(const Tensor& t) {
  return (t.dtype() == DType::Float32 || t.dtype() == DType::Float64) && backend(t.device()).bag_sums;
}

Tensor bag_sums(const Tensor& table_in, const Tensor& indices_in, const Tensor& starts, bool mean) {
  NoGradGuard guard;
  auto kernel = backend(table_in.device()).bag_sums;
  if (!kernel) fail_no_kernel("embedding_bag", table_in.device());
  Tensor table = contiguous(table_in), indices = contiguous(to_dtype(indices_in, DType::Int64));
  Tensor places = contiguous(to_dtype(starts, DType::Int64));
  BagArgs args{};
  args.dtype = table.dtype();
  args.mean = mean;
  args.bags = places.numel() - 1, args.rows = table.size(0), args.width = table.size(1);
  Tensor out = Tensor::empty(DimArray{args.bags, args.width}, table.dtype(), table.device());
  args.out = out.mutable_data(), args.table = table.data();
  args.indices = static_cast<const int64_t*>(indices.data());
  args.starts = static_cast<const int64_t*>(places.data());
  args.stream = Storage::current_stream(table.device());
  int64_t bad;
  {
    GilRelease release(indices.numel() * args.width);
    bad = kernel(args);
  }
  FG_CHECK(bad < 0, Index, "index out of range in self");
  return out;
}

Tensor distances(const Tensor& a_in, const Tensor& b_in, double order, bool triangle) {
  NoGradGuard guard;
  auto kernel = backend(a_in.device()).distances;
  if (!kernel) fail_no_kernel("distances", a_in.device());
  Tensor a = contiguous(a_in), b = contiguous(b_in);
  DistanceArgs args{};
  args.dtype = a.dtype();
  args.triangle = triangle;
  args.order = order;
  args.rows = a.size(a.dim() - 2), args.others = b.size(b.dim() - 2), args.width = a.size(a.dim() - 1);
  args.batch = 1;
  DimArray sizes;
  if (triangle) {
    sizes = DimArray{args.rows * (args.rows - 1) / 2};
  } else {
    for (int d = 0; d < a.dim() - 2; ++d) sizes.push(a.size(d)), args.batch *= a.size(d);
    sizes.push(args.rows), sizes.push(args.others);
  }
  Tensor out = Tensor::empty(sizes, a.dtype(), a.device());
  args.out = out.mutable_data(), args.a = a.data(), args.b = b.data();
  args.stream = Storage::current_stream(a.device());
  GilRelease release(args.batch * args.rows * args.others * args.width);
  kernel(args);
  return out;
}

}  // namespace fg
