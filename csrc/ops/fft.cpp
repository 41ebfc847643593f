// Discrete Fourier transforms without gradients, which fft.py adds: along one dimension on the CPU, along several on a
// device that has them.
#include <algorithm>
#include <cmath>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "ops/images.h"

namespace fg {

namespace {

// exp(-2 pi i k / size) for k < size, from angles of at most an eighth of a turn.
template <class T> std::vector<T> make_roots(int64_t size) {
  std::vector<T> roots(static_cast<size_t>(2 * size));
  for (int64_t k = 0; k < size; ++k) {
    int64_t turn = 8 * k;  // in units of 1 / (8 size)
    const bool below = turn > 4 * size;
    if (below) turn = 8 * size - turn;
    const bool left = turn > 2 * size;
    if (left) turn = 4 * size - turn;
    const bool steep = turn > size;
    if (steep) turn = 2 * size - turn;
    const double angle = M_PI / 4 * static_cast<double>(turn) / static_cast<double>(size);
    double x = std::cos(angle), y = std::sin(angle);
    if (steep) std::swap(x, y);
    roots[static_cast<size_t>(2 * k)] = static_cast<T>(left ? -x : x);
    roots[static_cast<size_t>(2 * k + 1)] = static_cast<T>(below ? y : -y);
  }
  return roots;
}

// Those of the sizes that were asked for last.
template <class T> std::shared_ptr<const std::vector<T>> roots_of(int64_t size) {
  constexpr size_t most_bytes = size_t{32} << 20;
  using Roots = std::shared_ptr<const std::vector<T>>;
  static std::mutex mutex;
  static std::list<Roots> known;
  {
    std::lock_guard lock(mutex);
    for (auto it = known.begin(); it != known.end(); ++it)
      if ((*it)->size() == static_cast<size_t>(2 * size)) {
        known.splice(known.begin(), known, it);
        return known.front();
      }
  }
  Roots roots = std::make_shared<const std::vector<T>>(make_roots<T>(size));
  std::lock_guard lock(mutex);
  known.push_front(roots);
  size_t bytes = 0;
  for (auto it = known.begin(); it != known.end();) {
    bytes += (*it)->size() * sizeof(T);
    it = bytes > most_bytes && it != known.begin() ? known.erase(it) : std::next(it);
  }
  return roots;
}

}  // namespace

bool can_transform(int64_t size, bool real) {
  if (real && size % 2 && size > 1000) return false;  // odd real lines are not cut
  for (int64_t p = 2; p <= kFftPrime; ++p)
    while (size % p == 0) size /= p;
  return size == 1;
}

Tensor fourier(const Tensor& t, int dim, Fft kind, int64_t size, double scale) {
  NoGradGuard guard;
  auto kernel = backend(t.device()).fft;
  if (!kernel) fail_no_kernel("fft", t.device());
  // Long lines are cut, and those without neighbours; both need them in one piece.
  int64_t inner = 1, lines = 1;
  for (int d = 0; d < t.dim(); ++d)
    if (d != dim) (d > dim ? inner : lines) *= t.size(d);
  lines *= inner;
  if (inner > 1 && (size > 4096 || (lines < 16 && size >= 128))) {
    Tensor moved = contiguous(transpose(t, dim, t.dim() - 1));
    return contiguous(transpose(fourier(moved, t.dim() - 1, kind, size, scale), dim, t.dim() - 1));
  }
  const bool real = is_floating(t.dtype()), wide = t.dtype() == DType::Float64 || t.dtype() == DType::Complex128;
  Tensor in = contiguous(t);
  DimArray sizes(in.sizes());
  sizes[dim] = kind == Fft::from_real ? size / 2 + 1 : size;
  const bool real_out = kind == Fft::to_real;
  DType dtype = real_out ? (wide ? DType::Float64 : DType::Float32) : (wide ? DType::Complex128 : DType::Complex64);
  FG_CHECK(real == (kind == Fft::from_real), Runtime, "fft: a ", real ? "complex" : "real", " tensor is expected, got ",
           dtype_name(t.dtype()));
  Tensor out = Tensor::empty(sizes, dtype, in.device());
  if (out.numel() == 0) return out;
  FftArgs args{};
  args.out = out.mutable_data(), args.in = in.data();
  args.dtype = wide ? DType::Float64 : DType::Float32;
  args.kind = kind;
  args.outer = lines / inner, args.size = size, args.inner = inner;
  args.scale = scale;
  args.stream = Storage::current_stream(in.device());
  GilRelease release(out.numel() * 8);
  const auto run = [&]<class T>(T) {
    auto roots = roots_of<T>(size);
    args.roots = roots->data();
    kernel(args);
  };
  if (wide) run(double{});
  else run(float{});
  return out;
}

namespace {

DType complex_of(const Tensor& t) {
  return t.dtype() == DType::Float64 || t.dtype() == DType::Complex128 ? DType::Complex128 : DType::Complex64;
}

// Up to three dimensions, none of them of size 1, by one kernel.
Tensor fourier_group(const Tensor& t, Dims dims, Fft kind, int64_t size, double scale) {
  const Backend& table = backend(t.device());
  if (!table.fft_several) fail_no_kernel("fft", t.device());
  DimArray order, back;  // the transformed dimensions come last
  for (int d = 0; d < t.dim(); ++d)
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) order.push(d);
  FftSeveralArgs args{};
  args.rank = static_cast<int32_t>(dims.size());
  for (size_t d = 0; d < dims.size(); ++d) order.push(dims[d]), args.sizes[d] = t.size(static_cast<int>(dims[d]));
  if (kind == Fft::to_real) args.sizes[dims.size() - 1] = size;
  Tensor in = permute(t, order);
  if (kind == Fft::to_real) {
    Tensor copied = Tensor::empty(in.sizes(), in.dtype(), in.device());
    raw_copy(copied, in);
    in = copied;
  } else {
    // cuFFT takes real numbers two at a time: a view may begin at an odd one.
    const bool odd = reinterpret_cast<uintptr_t>(in.data()) % static_cast<size_t>(item_size(complex_of(in.dtype())));
    in = odd && in.is_contiguous() ? clone(in) : contiguous(in);
  }
  DimArray sizes(in.sizes());
  if (kind == Fft::from_real) sizes[in.dim() - 1] = size / 2 + 1;
  if (kind == Fft::to_real) sizes[in.dim() - 1] = size;
  const bool wide = complex_of(t) == DType::Complex128;
  DType dtype = wide ? DType::Float64 : DType::Float32;
  Tensor out = Tensor::empty(sizes, kind == Fft::to_real ? dtype : complex_of(t), in.device());
  if (out.numel()) {
    args.batch = 1;
    for (int d = 0; d < in.dim() - args.rank; ++d) args.batch *= in.size(d);
    args.in = const_cast<void*>(in.data()), args.out = out.mutable_data();
    args.dtype = dtype, args.kind = kind, args.scale = scale;
    args.stream = Storage::current_stream(in.device());
    table.fft_several(args);
    check_device(in.device(), "fft");
  }
  for (int d = 0; d < t.dim(); ++d) back.push(std::find(order.v, order.v + order.n, d) - order.v);
  return contiguous(permute(out, back));
}

}  // namespace

Tensor fourier_several(const Tensor& t, Dims dims, Fft kind, int64_t size, double scale) {
  NoGradGuard guard;
  FG_CHECK(!dims.empty() && is_floating(t.dtype()) == (kind == Fft::from_real), Runtime, "fft: not a transform of ",
           dtype_name(t.dtype()));
  const int last = static_cast<int>(dims.back());
  for (size_t d = 0; d < dims.size(); ++d)
    FG_CHECK(std::find(dims.begin(), dims.begin() + d, dims[d]) == dims.begin() + d, Runtime,
             "FFT dims must be unique");
  if (kind == Fft::from_real || kind == Fft::to_real) {
    FG_CHECK(size > 0 && t.size(last) == (kind == Fft::to_real ? size / 2 + 1 : size), Runtime, "fft: ", t.size(last),
             " points are not those of ", size, " real ones");
  }
  if (kind == Fft::to_real) {
    Tensor x = dims.size() > 1 ? fourier_several(t, dims.first(dims.size() - 1), Fft::backward, 0, 1) : t;
    if (size > 1) return fourier_group(x, dims.last(1), kind, size, scale);
    return mul(contiguous(real(x)), Scalar::of(scale));
  }
  DimArray rest;
  for (int64_t d : dims)
    if (t.size(static_cast<int>(d)) > 1 && !(kind == Fft::from_real && d == last)) rest.push(d);
  Tensor x = t;
  if (kind == Fft::from_real && size > 1) {
    const size_t with = std::min<size_t>(static_cast<size_t>(rest.n), 2);
    DimArray group(Dims(rest).last(with));
    group.push(last);
    x = fourier_group(x, group, kind, size, rest.n > 2 ? 1 : scale);
    if (rest.n <= 2) return x;
    rest = DimArray(Dims(rest).first(static_cast<size_t>(rest.n - 2)));
    kind = Fft::forward;
  } else if (kind == Fft::from_real) {
    x = to_dtype(x, complex_of(x)), kind = Fft::forward;
  }
  for (size_t left = static_cast<size_t>(rest.n); left;) {
    const size_t count = std::min<size_t>(left, 3);
    left -= count;
    x = fourier_group(x, Dims(rest).subspan(left, count), kind, 0, left ? 1 : scale);
    if (!left) return x;
  }
  return mul(x, Scalar::of(scale));
}

int64_t fourier_plans(Device device, FftPlans what, int64_t value) {
  const Backend& table = backend(device);
  if (!table.fft_plans) fail_no_kernel("cufft_plan_cache", device);
  const int64_t found = table.fft_plans(device.index, what, value);
  check_device(device, "cufft_plan_cache");
  return found;
}

}  // namespace fg
