// Forward kernels of every elementwise row.
#include "cpu/kernels/elementwise.h"

namespace fg::cpu::FG_ISA {
namespace {

// A mask as bytes of 0 and 1.
template <class T> FG_INLINE void store_result(uint8_t* to, Mask<T> m) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_maskz_set1_epi8(_mm512_movepi32_mask((__m512i)m.v), 1));
  } else {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_maskz_set1_epi8(_mm512_movepi64_mask((__m512i)m.v), 1));
  }
#elif defined(__AVX2__)
  uint64_t lanes, bytes;
  if constexpr (sizeof(T) == 4) lanes = static_cast<uint32_t>(_mm256_movemask_ps((__m256)m.v));
  else lanes = static_cast<uint32_t>(_mm256_movemask_pd((__m256d)m.v));
  bytes = _pdep_u64(lanes, 0x0101010101010101);
  memcpy(to, &bytes, Vec<T>::N);
#else
  for (int i = 0; i < Vec<T>::N; ++i) to[i] = static_cast<uint8_t>(m.v[i] & 1);
#endif
}
template <class T> FG_INLINE void store_result(T* to, Vec<T> y) { y.store(to); }

// Input `vector` is a single vector for all.
template <class Row, class T, int vector = -1>
void forward_kernel(int64_t n, void* out, const void* const* in, const Param* params) {
  using V = Vec<T>;
  const V p = param<T>(params[0]), q = param<T>(params[1]);
  // Looked up in the loop they would be loaded again after each store, which may be to anything.
  const T *a = array<T>(in, 0), *b = nullptr, *c = nullptr;
  if constexpr (Row::arity > 1) b = array<T>(in, 1);
  if constexpr (Row::arity > 2) c = array<T>(in, 2);
  V first = 0, second = 0;
  if constexpr (vector == 0) first = V::load(a);
  if constexpr (vector == 1) second = V::load(b);
  for (int64_t i = 0; i < n; i += V::N) {
    auto y = [&] {
      if constexpr (vector == 0) return Row::forward(first, V::load(b + i), p, q);
      else if constexpr (vector == 1) return Row::forward(V::load(a + i), second, p, q);
      else if constexpr (Row::arity == 1) return Row::forward(V::load(a + i), p, q);
      else if constexpr (Row::arity == 2) return Row::forward(V::load(a + i), V::load(b + i), p, q);
      else return Row::forward(V::load(a + i), V::load(b + i), V::load(c + i), p, q);
    }();
    if constexpr (is_test_section(Row::section)) store_result(static_cast<uint8_t*>(out) + i, y);
    else store_result(static_cast<T*>(out) + i, y);
  }
}
// 1 + erf(x) to 12 bits, where the result is rounded to the 8 of bfloat16: erfc(a) = 2^-q, 0 from 9.2 on.
FG_INLINE VF one_plus_erf_rough(VF x) {
  VF a = abs(x), clamped = at_most(a, 9.2);
  VF q = poly(clamped, 0.000168296417, 1.62522734, 0.92494665, 0.144286261, -0.0299566082, 0.0042798944,
              -0.000390748414, 2.03343294e-05, -4.56402005e-07);
  VF t = Limits<float>::kMagic - q, r = (Limits<float>::kMagic - t) - q;
  VF far = where(a > 9.2, 0, scaled(poly(r, 0.999951301, 0.693253139, 0.242257781, 0.0550290777), t));
  return where(x < 0, far, 2 - far);
}
template <class Row, class Half> struct HalfRow : Row {};
template <> struct HalfRow<gelu_row, BFloat16Bits> {
  static constexpr int arity = 1;
  FG_INLINE static VF forward(VF x, VF, VF) { return 0.5 * x * one_plus_erf_rough(x * kSqrtHalf); }
};
// The same over halves, for rows that are about as quick as the conversions; longer ones spill registers here. Input
// `vector` is a single vector of floats.
template <class Row, class Half, int vector = -1>
void half_forward_kernel(int64_t n, void* out, const void* const* in, const Param* params) {
  const VF p = param<float>(params[0]), q = param<float>(params[1]);
  const uint16_t *a = array<uint16_t>(in, 0), *b = nullptr;
  if constexpr (Row::arity > 1) b = array<uint16_t>(in, 1);
  VF first = 0, second = 0;
  if constexpr (vector == 0) first = VF::load(array<float>(in, 0));
  if constexpr (vector == 1) second = VF::load(array<float>(in, 1));
  const auto row = [&](int64_t i) -> VF {
    if constexpr (vector == 0) return Row::forward(first, load_half(b + i, Half{}), p, q);
    else if constexpr (vector == 1) return Row::forward(load_half(a + i, Half{}), second, p, q);
    else if constexpr (Row::arity == 1) return HalfRow<Row, Half>::forward(load_half(a + i, Half{}), p, q);
    else return Row::forward(load_half(a + i, Half{}), load_half(b + i, Half{}), p, q);
  };
  uint16_t* to = static_cast<uint16_t*>(out);
  int64_t i = 0;
  for (; i + 2 * VF::N <= n; i += 2 * VF::N) {
    const VF y0 = row(i), y1 = row(i + VF::N);
    store_half(to + i, y0, y1, Half{});
  }
  if (i < n) store_half(to + i, row(i), Half{});
}
template <class Row> constexpr bool kDirect = Row::section == Section::unary_any || Row::section == Section::binary_any;
#define FG_DIRECT(row) template <> constexpr bool kDirect<row> = true;
FG_DIRECT(div_row)
FG_DIRECT(sqrt_row)
FG_DIRECT(rsqrt_row)
FG_DIRECT(reciprocal_row)
FG_DIRECT(nan_to_num_row)
#undef FG_DIRECT

template <class Row, class T> constexpr bool kHasHalf = kDirect<Row> && __is_same(T, float);
template <class Row, class T, int vector = -1> constexpr Variants variants() {
  Variants of;
  of.fn = forward_kernel<Row, T, vector>;
  if constexpr (kHasHalf<Row, T>) {
    of.of_f16 = half_forward_kernel<Row, Float16Bits, vector>;
    of.of_bf16 = half_forward_kernel<Row, BFloat16Bits, vector>;
  } else if constexpr (__is_same(Row, gelu_row) && __is_same(T, float)) {
    of.of_bf16 = half_forward_kernel<Row, BFloat16Bits>;
  }
  return of;
}
template <class Row, class T> constexpr Kernel kernel_of() {
  constexpr bool costly = is_float_section(Row::section) && !kHasHalf<Row, T>;
  const Variants of = variants<Row, T>();
  Kernel kernel = {of.fn, kComputeFor<T>, is_test_section(Row::section), false, costly, of.of_f16, of.of_bf16};
  if constexpr (Row::arity == 2 &&
                (kDirect<Row> || Row::section == Section::binary_test || Row::section == Section::bitwise)) {
    kernel.beside[0] = variants<Row, T, 0>();
    kernel.beside[1] = variants<Row, T, 1>();
  }
  return kernel;
}
template <class Row, class T> void forward(const Iter& iter) {
  static constexpr Kernel kernel = kernel_of<Row, T>();
  run(iter, kernel);
}
template <class Row> void add(ElementwiseFn* entries) {
  constexpr Section section = Row::section;
  if constexpr (section != Section::bitwise) {
    entries[static_cast<int>(Compute::F32)] = forward<Row, float>;
    entries[static_cast<int>(Compute::F64)] = forward<Row, double>;
  }
  if constexpr (!is_float_section(section)) {
    entries[static_cast<int>(Compute::I32)] = forward<Row, int32_t>;
    entries[static_cast<int>(Compute::I64)] = forward<Row, int64_t>;
  }
}

}  // namespace

void fill_elementwise_grad(Backend& table);

void fill_elementwise(Backend& table) {
#define FG_ADD(name) add<name##_row>(table.elementwise[static_cast<int>(Op::name)]);
#define UNARY_FLOAT(name, ...) FG_ADD(name)
#define UNARY_ANY(name, ...) FG_ADD(name)
#define UNARY_TEST(name, ...) FG_ADD(name)
#define BINARY_FLOAT(name, ...) FG_ADD(name)
#define BINARY_ANY(name, ...) FG_ADD(name)
#define BINARY_TEST(name, ...) FG_ADD(name)
#define BITWISE(name, ...) FG_ADD(name)
#define TERNARY_FLOAT(name, ...) FG_ADD(name)
#define TERNARY_ANY(name, ...) FG_ADD(name)
#include "ops/elementwise.def"
#undef FG_ADD
  fill_elementwise_grad(table);
}

}  // namespace fg::cpu::FG_ISA
