// The run-time table of rows, made from unary.def, binary.def and ternary.def.
#include "ops/row_info.h"

#include <cctype>
#include <cstring>
#include <deque>

#include "ops/uses.h"
#include "ops/words.h"

namespace fg {

namespace {

template <class Row, int I>
Tensor tensor_grad(const Tensor& g, [[maybe_unused]] const Tensor* in, const Tensor& y, double p, double q) {
  if constexpr (Row::arity == 1) {
    return Row::grad0(g, in[0], y, p, q);
  } else if constexpr (Row::arity == 2) {
    if constexpr (I == 0) return Row::grad0(g, in[0], in[1], y, p, q);
    else return Row::grad1(g, in[0], in[1], y, p, q);
  } else {
    if constexpr (I == 0) return Row::grad0(g, in[0], in[1], in[2], y, p, q);
    else if constexpr (I == 1) return Row::grad1(g, in[0], in[1], in[2], y, p, q);
    else return Row::grad2(g, in[0], in[1], in[2], y, p, q);
  }
}

// torch's names where they are not Camel(name) + "Backward0".
struct NodeName {
  Op op;
  const char* name;
};
constexpr NodeName kNodeNames[] = {
    {Op::add_scaled, "AddBackward0"},
    {Op::square, "PowBackward0"},
    {Op::cube, "PowBackward0"},
    {Op::log1p, "Log1PBackward0"},
    {Op::clamp_min, "ClampBackward1"},
    {Op::clamp_max, "ClampBackward1"},
    {Op::pow_scalar, "PowBackward0"},
    {Op::pow, "PowBackward1"},
    {Op::gelu_tanh, "GeluBackward0"},
    {Op::selu, "EluBackward0"},
    {Op::clamp, "ClampBackward1"},
    {Op::clamp_tensor, "ClampBackward0"},
    {Op::prelu, "PreluKernelBackward0"},
    {Op::remainder, "RemainderBackward0"},
    {Op::floor_divide, "DivBackward2"},
    {Op::trunc_divide, "DivBackward2"},
    {Op::lerp, "LerpBackward1"},
    {Op::sgn_complex, "SgnBackward0"},
    {Op::conj_complex, "ConjBackward0"},
    {Op::special_i0e, "SpecialI0EBackward0"},
    {Op::special_i1e, "SpecialI1EBackward0"},
    {Op::special_xlog1py, "SpecialXlog1PyBackward0"},
};

const char* node_name_of(Op op, const char* name) {
  for (const NodeName& n : kNodeNames)
    if (n.op == op) return n.name;
  static std::deque<std::string> made;
  std::string camel;
  bool up = true;
  for (const char* c = name; *c; ++c) {
    if (*c == '_') {
      up = true;
      continue;
    }
    camel += up ? static_cast<char>(std::toupper(*c)) : *c;
    up = false;
  }
  made.push_back(camel + "Backward0");
  return made.back().c_str();
}

template <class Row, int I>
void fill_grad(RowInfo& info) {
  using U = GradUses<Row, I>;
  info.uses[I] = U::bits;
  info.identity[I] = U::identity;
  info.zero[I] = U::is_zero;
  info.grad[I] = &tensor_grad<Row, I>;
  info.differentiable = true;
}

struct Table {
  RowInfo rows[kOps] = {};
  Table() {
#define ROW(row, text)                             \
  RowInfo& info = rows[static_cast<int>(Op::row)]; \
  info.name = #row;                                \
  info.node_name = node_name_of(Op::row, #row);    \
  info.formula = text;                             \
  info.section = row##_row::section;               \
  info.arity = row##_row::arity;
#define GRAD(row, i, text)  \
  info.gradients[i] = text; \
  fill_grad<row##_row, i>(info);
#define UNARY_FLOAT(name, fwd, bwd) {ROW(name, #fwd) GRAD(name, 0, #bwd)}
#define UNARY_ANY(name, fwd, bwd) {ROW(name, #fwd) GRAD(name, 0, #bwd)}
#define UNARY_TEST(name, fwd) {ROW(name, #fwd)}
#define BINARY_FLOAT(name, fwd, a_, b_) {ROW(name, #fwd) GRAD(name, 0, #a_) GRAD(name, 1, #b_)}
#define BINARY_ANY(name, fwd, a_, b_) {ROW(name, #fwd) GRAD(name, 0, #a_) GRAD(name, 1, #b_)}
#define BINARY_TEST(name, fwd) {ROW(name, #fwd)}
#define BITWISE(name, fwd) {ROW(name, #fwd)}
#define TERNARY_FLOAT(name, fwd, a_, b_, c_) {ROW(name, #fwd) GRAD(name, 0, #a_) GRAD(name, 1, #b_) GRAD(name, 2, #c_)}
#define TERNARY_ANY(name, fwd, a_, b_, c_) {ROW(name, #fwd) GRAD(name, 0, #a_) GRAD(name, 1, #b_) GRAD(name, 2, #c_)}
#define UNARY_COMPLEX(name, fwd, bwd) {ROW(name, #fwd) GRAD(name, 0, #bwd)}
#include "ops/elementwise.def"
#undef ROW
#undef GRAD
#define HAS_COMPLEX(name, ...) rows[static_cast<int>(Op::name)].complex = true;
#define UNARY_FLOAT_C HAS_COMPLEX
#define UNARY_ANY_C HAS_COMPLEX
#define UNARY_TEST_C HAS_COMPLEX
#define BINARY_FLOAT_C HAS_COMPLEX
#define BINARY_ANY_C HAS_COMPLEX
#define BINARY_TEST_C HAS_COMPLEX
#define TERNARY_FLOAT_C HAS_COMPLEX
#define TERNARY_ANY_C HAS_COMPLEX
#define UNARY_COMPLEX HAS_COMPLEX
#include "ops/elementwise.def"
#undef HAS_COMPLEX
  }
};

}  // namespace

const RowInfo& row_info(Op op) {
  static const Table table;
  return table.rows[static_cast<int>(op)];
}

}  // namespace fg
