// Largest elements of windows, with their places, and the gradient that puts numbers back there.
//
// Regular windows go row by row of the result: each kernel element is one loop over the row, which compares a strided
// run of the image with the largest so far; places are kept as distances from the window's begin. Windows of any bounds
// (adaptive, fractional) go one by one. The first of equal elements wins, and the last NaN, as in torch.
#include "cpu/lines.h"

namespace fg::cpu::FG_ISA {
namespace {

template <class T> FG_INLINE bool wins(T value, T best) { return value > best || value != value; }
template <class T> constexpr T floor_of() {
  if constexpr (kIsFloat<T>) return -static_cast<T>(__builtin_inf());
  else if constexpr (static_cast<T>(-1) > 0) return 0;
  else return static_cast<T>(static_cast<T>(1) << (8 * sizeof(T) - 1));
}

constexpr int64_t kRun = 512;  // results at once, so that state stays in L1

// best[i] and, if asked, far[i] of results [first, first + n) take in row[i * stride].
template <class T, int Stride, bool places>
FG_NOINLINE void take_row(const T* row, int64_t stride_any, T* best, int32_t* far, int32_t distance, int64_t n) {
  const int64_t stride = Stride ? Stride : stride_any;
  for (int64_t i = 0; i < n; ++i) {
    const T value = row[i * stride];
    const bool better = wins(value, best[i]);
    best[i] = better ? value : best[i];
    if constexpr (places) far[i] = better ? distance : far[i];
  }
}

// The first element inside of the window at `at`: the place where nothing is above the lowest number.
FG_NOINLINE int64_t first_inside(const MaxPoolArgs& a, const int64_t (&at)[3]) {
  int64_t place = 0;
  for (int d = 0; d < 3; ++d) {
    const int64_t begin = at[d] * a.stride[d] - a.padding[d];
    place = place * a.in_size[d] + (begin < 0 ? begin + ceil_divide(-begin, a.dilation[d]) * a.dilation[d] : begin);
  }
  return place;
}

template <class T, bool places>
void regular_row(const MaxPoolArgs& a, const T* plane, int64_t z, int64_t y, T* out, int64_t* indices) {
  alignas(64) int32_t far[kRun];
  const int64_t wide = a.out_size[2], s = a.stride[2];
  const int64_t z0 = z * a.stride[0] - a.padding[0], y0 = y * a.stride[1] - a.padding[1];
  for (int64_t first = 0; first < wide; first += kRun) {
    const int64_t n = smaller(kRun, wide - first);
    T* best = out + first;
    for (int64_t i = 0; i < n; ++i) best[i] = floor_of<T>();
    if constexpr (places) memset(far, -1, sizeof(far));
    for (int64_t kz = 0; kz < a.kernel[0]; ++kz) {
      const int64_t iz = z0 + kz * a.dilation[0];
      if (iz < 0 || iz >= a.in_size[0]) continue;
      for (int64_t ky = 0; ky < a.kernel[1]; ++ky) {
        const int64_t iy = y0 + ky * a.dilation[1];
        if (iy < 0 || iy >= a.in_size[1]) continue;
        const T* row = plane + (iz * a.in_size[1] + iy) * a.in_size[2];
        const int64_t rows_away = kz * a.dilation[0] * a.in_size[1] + ky * a.dilation[1];
        for (int64_t kx = 0; kx < a.kernel[2]; ++kx) {
          const int64_t shift = kx * a.dilation[2] - a.padding[2] + first * s;
          const int64_t low = shift < 0 ? ceil_divide(-shift, s) : 0;
          const int64_t high = a.in_size[2] > shift ? smaller(n, ceil_divide(a.in_size[2] - shift, s)) : 0;
          if (low >= high) continue;
          const int32_t distance = static_cast<int32_t>(rows_away * a.in_size[2] + kx * a.dilation[2]);
          const auto take = s == 1 ? take_row<T, 1, places> : s == 2 ? take_row<T, 2, places> : take_row<T, 0, places>;
          take(row + low * s + shift, s, best + low, far + low, distance, high - low);
        }
      }
    }
    if constexpr (places) {
      const int64_t begin = (z0 * a.in_size[1] + y0) * a.in_size[2] + first * s - a.padding[2];
      int32_t signs = 0;
      for (int64_t i = 0; i < n; ++i) {
        indices[first + i] = begin + i * s + far[i];
        signs |= far[i];
      }
      if (signs < 0)
        for (int64_t i = 0; i < n; ++i)
          if (far[i] < 0) indices[first + i] = first_inside(a, {z, y, first + i});
    }
  }
}

template <class T>
void window(const MaxPoolArgs& a, const T* plane, const int64_t (&low)[3], const int64_t (&high)[3], T* out,
            int64_t* index) {
  T best = floor_of<T>();
  int64_t place = (low[0] * a.in_size[1] + low[1]) * a.in_size[2] + low[2];
  for (int64_t z = low[0]; z < high[0]; ++z)
    for (int64_t y = low[1]; y < high[1]; ++y)
      for (int64_t x = low[2]; x < high[2]; ++x) {
        const int64_t i = (z * a.in_size[1] + y) * a.in_size[2] + x;
        if (wins(plane[i], best)) best = plane[i], place = i;
      }
  *out = best;
  if (index) *index = place;
}

template <class T> void pool_plane(const MaxPoolArgs& a, int64_t p) {
  const int64_t in_plane = a.in_size[0] * a.in_size[1] * a.in_size[2], wide = a.out_size[2];
  const int64_t out_plane = a.out_size[0] * a.out_size[1] * wide;
  const T* plane = static_cast<const T*>(a.in) + p * in_plane;
  T* out = static_cast<T*>(a.out) + p * out_plane;
  int64_t* indices = a.indices ? a.indices + p * out_plane : nullptr;
  for (int64_t z = 0; z < a.out_size[0]; ++z)
    for (int64_t y = 0; y < a.out_size[1]; ++y, out += wide, indices += indices ? wide : 0) {
      if (!a.begin[0]) {
        (indices ? regular_row<T, true> : regular_row<T, false>)(a, plane, z, y, out, indices);
        continue;
      }
      for (int64_t x = 0; x < wide; ++x) {
        const int64_t at[3] = {z, y, x};
        int64_t low[3], high[3];
        for (int d = 0; d < 3; ++d) {
          const int64_t o = at[d] + (a.per_plane ? p * a.out_size[d] : 0);
          low[d] = a.begin[d][o], high[d] = a.end[d][o];
        }
        window(a, plane, low, high, out + x, indices ? indices + x : nullptr);
      }
    }
}

template <class T> void pool(const MaxPoolArgs& a) {
  const double work = static_cast<double>(a.planes * a.out_size[0] * a.out_size[1] * a.out_size[2]) *
                      (2 + 0.3 * static_cast<double>(a.kernel[0] * a.kernel[1] * a.kernel[2]));
  for_chunks(a.planes, work, [&](int64_t p) { pool_plane<T>(a, p); });
}

template <class T> void pool_grad(const MaxPoolArgs& a) {
  const int64_t in_plane = a.in_size[0] * a.in_size[1] * a.in_size[2];
  const int64_t out_plane = a.out_size[0] * a.out_size[1] * a.out_size[2];
  for_chunks(a.planes,
             static_cast<double>(a.planes) * (0.1 * static_cast<double>(in_plane) + static_cast<double>(out_plane)),
             [&](int64_t p) {
               T* gx = static_cast<T*>(a.out) + p * in_plane;
               const T* g = static_cast<const T*>(a.grad) + p * out_plane;
               const int64_t* at = a.indices + p * out_plane;
               memset(gx, 0, static_cast<size_t>(in_plane) * sizeof(T));
               for (int64_t i = 0; i < out_plane; ++i) gx[at[i]] += g[i];
             });
}

void max_pool(const MaxPoolArgs& a) {
  switch (a.dtype) {
    case DType::Float32: return pool<float>(a);
    case DType::Float64: return pool<double>(a);
    case DType::UInt8: return pool<uint8_t>(a);
    case DType::Int8: return pool<int8_t>(a);
    case DType::Int16: return pool<int16_t>(a);
    case DType::Int32: return pool<int32_t>(a);
    case DType::Int64: return pool<int64_t>(a);
    default: return;
  }
}
void max_pool_grad(const MaxPoolArgs& a) {
  if (a.dtype == DType::Float64) pool_grad<double>(a);
  else pool_grad<float>(a);
}

}  // namespace

void fill_max_pool(Backend& table) {
  table.max_pool = max_pool;
  table.max_pool_grad = max_pool_grad;
}

}  // namespace fg::cpu::FG_ISA
