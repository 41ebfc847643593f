#include "core/types.h"

#include <algorithm>
#include <atomic>
#include <cmath>

namespace fg {

const char* dtype_name(DType t) {
  static const char* const names[] = {"bool",    "uint8",    "int8",    "int16",   "int32",     "int64",
                                      "float16", "bfloat16", "float32", "float64", "complex64", "complex128"};
  return static_cast<int>(t) < kDTypes ? names[static_cast<int>(t)] : "undefined";
}

DType promote(DType a, DType b) {
  if (a == b) return a;
  if (a > b) std::swap(a, b);  // b is the later one
  if (is_complex(b)) return a == DType::Float64 ? DType::Complex128 : b;
  if (b == DType::BFloat16 && a == DType::Float16) return DType::Float32;
  if (is_floating(b)) return b;
  if (a == DType::Bool) return b;
  if (a == DType::UInt8) return b == DType::Int8 ? DType::Int16 : b;
  return b;
}

bool can_cast(DType from, DType to) {
  if (is_complex(from) && !is_complex(to)) return false;
  if (is_inexact(from) && !is_inexact(to)) return false;
  if (from != DType::Bool && to == DType::Bool) return false;
  return true;
}

double rounded_to_half(double x, DType t) {
  const float number = static_cast<float>(x);
  if (!std::isfinite(number) || number == 0) return number;
  const bool is_float16 = t == DType::Float16;
  int exponent;
  std::frexp(number, &exponent);
  exponent = std::max(exponent, is_float16 ? -13 : -125);  // below it the spacing stays that of the denormals
  const int last = exponent - (is_float16 ? 11 : 8);
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(number, -last)), last);
  const double largest = is_float16 ? 65504 : 0x1.fep127;
  return std::abs(rounded) > largest ? std::copysign(HUGE_VAL, rounded) : rounded;
}

namespace {
std::atomic<DType> default_dtype_{DType::Float32};
}
DType default_dtype() { return default_dtype_.load(std::memory_order_relaxed); }
void set_default_dtype(DType t) { default_dtype_.store(t, std::memory_order_relaxed); }

std::string device_name(Device device) {
  if (device.is_cpu()) return "cpu";
  return "cuda:" + std::to_string(device.index);
}

}  // namespace fg
