// Rows of ops/*.def as kernels: the row is evaluated with Vec<T> over contiguous arrays, loops.h does everything else.
// Forward kernels are instantiated in elementwise.cpp, gradients in elementwise_grad.cpp.
#pragma once
#include "cpu/backend_cpu.h"
#include "cpu/loops.h"
#include "cpu/math.h"

namespace fg::cpu::FG_ISA {
namespace {

#define FG_FORMULA_NESTED
#include "ops/formula.h"
#include "ops/rows.h"
#include "ops/uses.h"
#undef FG_FORMULA_NESTED

template <class T> constexpr Compute kComputeFor = Compute::F32;
template <> constexpr Compute kComputeFor<double> = Compute::F64;
template <> constexpr Compute kComputeFor<int32_t> = Compute::I32;
template <> constexpr Compute kComputeFor<int64_t> = Compute::I64;

template <class T> FG_INLINE Vec<T> param(const Param& value) {
  if constexpr (kIsFloat<T>) return static_cast<T>(value.f);
  else return static_cast<T>(value.i);
}
template <class T> FG_INLINE const T* array(const void* const* in, int i) { return static_cast<const T*>(in[i]); }

constexpr bool is_float_section(Section section) {
  return section == Section::unary_float || section == Section::binary_float || section == Section::ternary_float;
}
constexpr bool is_test_section(Section section) {
  return section == Section::unary_test || section == Section::binary_test;
}

}  // namespace
}  // namespace fg::cpu::FG_ISA
