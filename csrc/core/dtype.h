// Data types and the types that kernels compute in.
//
// Storage types are many, compute types few: half and bfloat16 are stored half and computed in float, small integers
// and bool are computed in int32. Kernels are written for the compute types only; loads and stores convert. The complex
// types come last and have kernels of their own (cpu/complex_*.cpp); all others handle the real ones only. Plain enums
// and macros only: kernel files include this header and are compiled once per instruction set.
#pragma once
#include <cstdint>

namespace fg {

// name, bytes, compute type
#define FG_REAL_DTYPES(X) \
  X(Bool, 1, I32)         \
  X(UInt8, 1, I32)        \
  X(Int8, 1, I32)         \
  X(Int16, 2, I32)        \
  X(Int32, 4, I32)        \
  X(Int64, 8, I64)        \
  X(Float16, 2, F32)      \
  X(BFloat16, 2, F32)     \
  X(Float32, 4, F32)      \
  X(Float64, 8, F64)
#define FG_DTYPES(X)   \
  FG_REAL_DTYPES(X)    \
  X(Complex64, 8, C64) \
  X(Complex128, 16, C128)

enum class DType : uint8_t {
#define X(name, bytes, compute) name,
  FG_DTYPES(X)
#undef X
      kCount,
  kUndefined = 255
};

enum class Compute : uint8_t { F32, F64, I32, I64, C64, C128, kCount };

constexpr int kDTypes = static_cast<int>(DType::kCount);
constexpr int kComputes = static_cast<int>(Compute::kCount);
constexpr int kRealDTypes = static_cast<int>(DType::Complex64);
constexpr int kRealComputes = static_cast<int>(Compute::C64);

}  // namespace fg
