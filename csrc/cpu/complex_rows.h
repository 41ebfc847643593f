// The rows of ops/*.def as structs for Cx<T>. Those of a section that ends in _C, and UNARY_COMPLEX, have kernels.
#pragma once
#include "cpu/complex_loops.h"

namespace fg::cpu {
namespace {

#define FG_FORMULA_NESTED
#include "ops/formula.h"
#include "ops/rows.h"
#include "ops/uses.h"
#undef FG_FORMULA_NESTED

constexpr int kC64 = static_cast<int>(Compute::C64), kC128 = static_cast<int>(Compute::C128);
constexpr int64_t kRowNs = 20;  // a typical cost of one number, for the choice of threads

}  // namespace
}  // namespace fg::cpu
