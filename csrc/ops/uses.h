// The constexpr reading of a row: which operands does a gradient read? `Uses` runs through the formula and collects
// them. What is read is what is saved, so no list of saved tensors is ever typed. It also finds gradients that are
// plain `g` (no kernel is then launched). Kernels ask it which operands to load.
//
// Included inside the per-ISA namespaces of the kernel files too, hence no inclusion guard there (FG_FORMULA_NESTED).
#ifndef FG_FORMULA_NESTED
#pragma once
namespace fg {
#endif

struct Uses {
  static constexpr unsigned kG = 1, kA = 2, kB = 4, kC = 8, kY = 16;
  unsigned bits = 0;
  bool is_g = false;  // the value is g itself
  constexpr Uses() = default;
  static constexpr Uses of(unsigned bits, bool is_g = false) {
    Uses uses;
    uses.bits = bits;
    uses.is_g = is_g;
    return uses;
  }
  template <class N, class = decltype(static_cast<double>(N()))>
  constexpr Uses(N) {}
};

#define FG_USES1(word) \
  constexpr Uses word(Uses a) { return Uses::of(a.bits); }
FG_USES1(exp)
FG_USES1(exp2)
FG_USES1(expm1)
FG_USES1(log)
FG_USES1(log2)
FG_USES1(log10)
FG_USES1(log1p)
FG_USES1(sqrt)
FG_USES1(sin)
FG_USES1(cos)
FG_USES1(tan)
FG_USES1(asin)
FG_USES1(acos)
FG_USES1(atan)
FG_USES1(sinh)
FG_USES1(cosh)
FG_USES1(tanh)
FG_USES1(asinh)
FG_USES1(acosh)
FG_USES1(atanh)
FG_USES1(sigmoid)
FG_USES1(erf)
FG_USES1(erfc)
FG_USES1(abs)
FG_USES1(sign)
FG_USES1(floor)
FG_USES1(ceil)
FG_USES1(round)
FG_USES1(trunc)
FG_USES1(operator-)
FG_USES1(one_plus_erf)
FG_USES1(gelu)
FG_USES1(gelu_slope)
FG_USES1(gelu_tanh)
FG_USES1(acosh_root)
FG_USES1(gelu_tanh_slope)
FG_USES1(silu_slope)
FG_USES1(log1p_exp)
FG_USES1(softplus)
FG_USES1(mish)
FG_USES1(mish_slope)
FG_USES1(tiny)
FG_USES1(log_ndtr_slope)
FG_USES1(conj)
FG_USES1(real)
FG_USES1(lgamma)
FG_USES1(digamma)
FG_USES1(erfinv)
FG_USES1(erfcx)
FG_USES1(i0)
FG_USES1(i0e)
FG_USES1(i1)
FG_USES1(i1e)
FG_USES1(ndtri)
FG_USES1(log_ndtr)
constexpr Uses zero(Uses) { return Uses(); }
#undef FG_USES1
#define FG_USES2(word) \
  constexpr Uses word(Uses a, Uses b) { return Uses::of(a.bits | b.bits); }
FG_USES2(operator+)
FG_USES2(operator-)
FG_USES2(operator*)
FG_USES2(operator/)
FG_USES2(operator<)
FG_USES2(operator<=)
FG_USES2(operator>)
FG_USES2(operator>=)
FG_USES2(operator==)
FG_USES2(operator!=)
FG_USES2(operator&)
FG_USES2(operator|)
FG_USES2(operator^)
FG_USES2(max)
FG_USES2(min)
FG_USES2(pow)
FG_USES2(atan2)
FG_USES2(hypot)
FG_USES2(copysign)
FG_USES2(logaddexp)
FG_USES2(floor_divide)
FG_USES2(trunc_divide)
FG_USES2(remainder)
FG_USES2(fmod)
FG_USES2(bit_and)
FG_USES2(bit_or)
FG_USES2(bit_xor)
FG_USES2(shift_left)
FG_USES2(shift_right)
FG_USES2(polygamma)
FG_USES2(zeta)
FG_USES2(igamma)
FG_USES2(igammac)
#undef FG_USES2
constexpr Uses where(Uses m, Uses a, Uses b) { return Uses::of(m.bits | a.bits | b.bits); }

// What grad<I> of a row reads. The templates in rows.h are not constexpr; rows are evaluated here through a second
// expansion of the tables, so that they need not be.
template <class Row, int I> struct GradUses;
#define FG_GRAD_USES(row, i, ...)                                                                                   \
  struct row##_uses##i {                                                                                            \
    static constexpr Uses eval() {                                                                                  \
      [[maybe_unused]] constexpr Uses g = Uses::of(Uses::kG, true), a = Uses::of(Uses::kA), x = a,                  \
                                      b = Uses::of(Uses::kB), c = Uses::of(Uses::kC), y = Uses::of(Uses::kY), p, q; \
      return __VA_ARGS__;                                                                                           \
    }                                                                                                               \
  };                                                                                                                \
  template <> struct GradUses<row##_row, i> {                                                                       \
    static constexpr unsigned bits = row##_uses##i::eval().bits;                                                    \
    static constexpr bool identity = row##_uses##i::eval().is_g;                                                    \
    static constexpr bool is_zero = row##_uses##i::eval().bits == 0;                                                \
  };
#define UNARY_FLOAT(name, fwd, bwd) FG_GRAD_USES(name, 0, bwd)
#define UNARY_ANY(name, fwd, bwd) FG_GRAD_USES(name, 0, bwd)
#define BINARY_FLOAT(name, fwd, a_, b_) FG_GRAD_USES(name, 0, a_) FG_GRAD_USES(name, 1, b_)
#define BINARY_ANY(name, fwd, a_, b_) FG_GRAD_USES(name, 0, a_) FG_GRAD_USES(name, 1, b_)
#define TERNARY_FLOAT(name, fwd, a_, b_, c_) \
  FG_GRAD_USES(name, 0, a_) FG_GRAD_USES(name, 1, b_) FG_GRAD_USES(name, 2, c_)
#define TERNARY_ANY(name, fwd, a_, b_, c_) FG_GRAD_USES(name, 0, a_) FG_GRAD_USES(name, 1, b_) FG_GRAD_USES(name, 2, c_)
#define UNARY_COMPLEX(name, fwd, bwd) FG_GRAD_USES(name, 0, bwd)
#include "ops/elementwise.def"
#undef FG_GRAD_USES

#ifndef FG_FORMULA_NESTED
}  // namespace fg
#endif
