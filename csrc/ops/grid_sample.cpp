// Images sampled at the places of a grid, and the two gradients (cpu/kernels/grid_sample.cpp, cuda/images.cu). Not
// recorded: the node is in Python, where the second derivatives are.
#include "ops/images.h"

namespace fg {

namespace {

GridArgs grid_args(const Tensor& x, const Tensor& grid, GridMode mode, GridPadding padding, bool align_corners) {
  const int dims = x.dim() - 2;
  FG_CHECK((dims == 2 || dims == 3) && grid.dim() == x.dim() && grid.size(grid.dim() - 1) == dims &&
               grid.size(0) == x.size(0) && grid.dtype() == x.dtype(),
           Runtime, "grid_sampler(): input ", size_text(x.sizes()), " and grid ", size_text(grid.sizes()),
           " do not fit");
  GridArgs args{};
  args.mode = mode;
  args.padding = padding;
  args.dtype = x.dtype();
  args.dims = dims;
  args.align_corners = align_corners;
  args.batch = x.size(0), args.channels = x.size(1);
  args.points = count_of(grid.sizes().subspan(1, static_cast<size_t>(dims)));
  for (int d = 0; d < 3; ++d) args.size[d] = d < 3 - dims ? 1 : x.size(x.dim() - 3 + d);
  args.stream = Storage::current_stream(x.device());
  return args;
}

}  // namespace

Tensor grid_sample(const Tensor& x, const Tensor& grid, GridMode mode, GridPadding padding, bool align_corners) {
  NoGradGuard guard;
  const Tensor from = dense(x), places = dense(grid);
  GridArgs args = grid_args(from, places, mode, padding, align_corners);
  DimArray sizes{args.batch, args.channels};
  for (int d = 1; d <= args.dims; ++d) sizes.push(grid.size(d));
  Tensor out = Tensor::empty(sizes, x.dtype(), x.device());
  if (out.numel() == 0) return out;
  args.in = from.data(), args.grid = places.data(), args.out = out.mutable_data();
  auto kernel = backend(x.device()).grid_sample;
  if (!kernel) fail_no_kernel("grid_sample", x.device());
  GilRelease release(out.numel() * 8);
  kernel(args);
  return out;
}

std::pair<Tensor, Tensor> grid_sample_gradients(const Tensor& g, const Tensor& x, const Tensor& grid, GridMode mode,
                                                GridPadding padding, bool align_corners, bool wants_x,
                                                bool wants_grid) {
  NoGradGuard guard;
  const Tensor from = dense(x), places = dense(grid), grad = dense(g);
  GridArgs args = grid_args(from, places, mode, padding, align_corners);
  FG_CHECK(g.numel() == args.batch * args.channels * args.points && g.dtype() == x.dtype(), Runtime,
           "grid_sampler_backward(): the gradient ", size_text(g.sizes()), " does not fit");
  std::pair<Tensor, Tensor> out;
  if (wants_x) out.first = zeros(x.sizes(), x.dtype(), x.device());
  if (wants_grid) out.second = zeros(grid.sizes(), x.dtype(), x.device());
  if (g.numel() == 0) return out;
  args.in = from.data(), args.grid = places.data(), args.grad = grad.data();
  args.gin = wants_x ? out.first.mutable_data() : nullptr;
  args.ggrid = wants_grid ? out.second.mutable_data() : nullptr;
  auto kernel = backend(x.device()).grid_sample_grad;
  if (!kernel) fail_no_kernel("grid_sample", x.device());
  GilRelease release(g.numel() * 8);
  kernel(args);
  return out;
}

}  // namespace fg
