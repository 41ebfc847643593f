// The tables as types: every row becomes a struct <name>_row with templates forward, grad0, grad1, grad2. What they
// mean is decided by the type they are called with (see formula.h). Include after formula.h, with FG_FORMULA_NESTED
// inside a namespace of the includer's own, else it opens namespace fg.
#ifndef FG_FORMULA_NESTED
#pragma once
namespace fg {
#endif

enum class Section {
  unary_float,
  unary_any,
  unary_test,
  binary_float,
  binary_any,
  binary_test,
  bitwise,
  ternary_float,
  ternary_any,
  unary_complex
};

#define FG_ARG [[maybe_unused]]
#define FG_UNARY(name, section_, fwd, bwd)                                             \
  struct name##_row {                                                                  \
    static constexpr Section section = Section::section_;                              \
    static constexpr int arity = 1;                                                    \
    template <class V, class P>                                                        \
    FG_HD static auto forward(FG_ARG V x, FG_ARG P p, FG_ARG P q) {                    \
      return fwd;                                                                      \
    }                                                                                  \
    template <class V, class P>                                                        \
    FG_HD static V grad0(FG_ARG V g, FG_ARG V x, FG_ARG V y, FG_ARG P p, FG_ARG P q) { \
      return bwd;                                                                      \
    }                                                                                  \
  };
#define FG_BINARY(name, section_, fwd, for_a, for_b)                                               \
  struct name##_row {                                                                              \
    static constexpr Section section = Section::section_;                                          \
    static constexpr int arity = 2;                                                                \
    template <class V, class P>                                                                    \
    FG_HD static auto forward(FG_ARG V a, FG_ARG V b, FG_ARG P p, FG_ARG P q) {                    \
      return fwd;                                                                                  \
    }                                                                                              \
    template <class V, class P>                                                                    \
    FG_HD static V grad0(FG_ARG V g, FG_ARG V a, FG_ARG V b, FG_ARG V y, FG_ARG P p, FG_ARG P q) { \
      return for_a;                                                                                \
    }                                                                                              \
    template <class V, class P>                                                                    \
    FG_HD static V grad1(FG_ARG V g, FG_ARG V a, FG_ARG V b, FG_ARG V y, FG_ARG P p, FG_ARG P q) { \
      return for_b;                                                                                \
    }                                                                                              \
  };
#define FG_TERNARY(name, section_, fwd, for_a, for_b, for_c)                                                   \
  struct name##_row {                                                                                          \
    static constexpr Section section = Section::section_;                                                      \
    static constexpr int arity = 3;                                                                            \
    template <class V, class P>                                                                                \
    FG_HD static auto forward(FG_ARG V a, FG_ARG V b, FG_ARG V c, FG_ARG P p, FG_ARG P q) {                    \
      return fwd;                                                                                              \
    }                                                                                                          \
    template <class V, class P>                                                                                \
    FG_HD static V grad0(FG_ARG V g, FG_ARG V a, FG_ARG V b, FG_ARG V c, FG_ARG V y, FG_ARG P p, FG_ARG P q) { \
      return for_a;                                                                                            \
    }                                                                                                          \
    template <class V, class P>                                                                                \
    FG_HD static V grad1(FG_ARG V g, FG_ARG V a, FG_ARG V b, FG_ARG V c, FG_ARG V y, FG_ARG P p, FG_ARG P q) { \
      return for_b;                                                                                            \
    }                                                                                                          \
    template <class V, class P>                                                                                \
    FG_HD static V grad2(FG_ARG V g, FG_ARG V a, FG_ARG V b, FG_ARG V c, FG_ARG V y, FG_ARG P p, FG_ARG P q) { \
      return for_c;                                                                                            \
    }                                                                                                          \
  };

#define UNARY_FLOAT(name, fwd, bwd) FG_UNARY(name, unary_float, fwd, bwd)
#define UNARY_ANY(name, fwd, bwd) FG_UNARY(name, unary_any, fwd, bwd)
#define UNARY_TEST(name, fwd) FG_UNARY(name, unary_test, fwd, g)
#define BINARY_FLOAT(name, fwd, a_, b_) FG_BINARY(name, binary_float, fwd, a_, b_)
#define BINARY_ANY(name, fwd, a_, b_) FG_BINARY(name, binary_any, fwd, a_, b_)
#define BINARY_TEST(name, fwd) FG_BINARY(name, binary_test, fwd, g, g)
#define BITWISE(name, fwd) FG_BINARY(name, bitwise, fwd, g, g)
#define TERNARY_FLOAT(name, fwd, a_, b_, c_) FG_TERNARY(name, ternary_float, fwd, a_, b_, c_)
#define TERNARY_ANY(name, fwd, a_, b_, c_) FG_TERNARY(name, ternary_any, fwd, a_, b_, c_)
#define UNARY_COMPLEX(name, fwd, bwd) FG_UNARY(name, unary_complex, fwd, bwd)
#include "ops/elementwise.def"
#undef FG_UNARY
#undef FG_BINARY
#undef FG_TERNARY
#undef FG_ARG

#ifndef FG_FORMULA_NESTED
}  // namespace fg
#endif
