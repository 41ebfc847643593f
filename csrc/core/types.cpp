#include "core/types.h"

#include <atomic>

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
