// What host code knows about dtypes, devices and scalars: names, sizes, torch's promotion lattice.
#pragma once
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "core/backend.h"
#include "core/error.h"

namespace fg {

inline constexpr uint8_t kItemSize[kDTypes] = {
#define X(name, bytes, compute) bytes,
    FG_DTYPES(X)
#undef X
};
inline constexpr Compute kComputeOf[kDTypes] = {
#define X(name, bytes, compute) Compute::compute,
    FG_DTYPES(X)
#undef X
};
inline int64_t item_size(DType t) { return kItemSize[static_cast<int>(t)]; }
inline Compute compute_of(DType t) { return kComputeOf[static_cast<int>(t)]; }
inline bool is_floating(DType t) { return t >= DType::Float16 && t <= DType::Float64; }
inline bool is_integral(DType t) { return t < DType::Float16; }  // bool included
inline bool is_half(DType t) { return t == DType::Float16 || t == DType::BFloat16; }
inline bool is_complex(DType t) { return t == DType::Complex64 || t == DType::Complex128; }
inline bool is_inexact(DType t) { return is_floating(t) || is_complex(t); }  // what can have a gradient
inline DType real_of(DType t) {
  return t == DType::Complex64 ? DType::Float32 : t == DType::Complex128 ? DType::Float64 : t;
}
inline DType complex_of(DType t) {  // integers: as their floating counterpart, the default one, has it
  return t == DType::Float64 || t == DType::Complex128 ? DType::Complex128 : DType::Complex64;
}
const char* dtype_name(DType t);            // "float32"
DType promote(DType a, DType b);            // torch.promote_types
bool can_cast(DType from, DType to);        // torch.can_cast
double rounded_to_half(double x, DType t);  // to the nearest number of float16 or bfloat16, by way of float32 as torch
DType default_dtype();
void set_default_dtype(DType t);

enum class DeviceType : uint8_t { CPU, CUDA };
struct Device {
  DeviceType type = DeviceType::CPU;
  int8_t index = 0;  // CPU: always 0
  bool operator==(const Device&) const = default;
  bool is_cpu() const { return type == DeviceType::CPU; }
};
std::string device_name(Device device);  // "cpu", "cuda:0"

// The kernel table of a device. CUDA: opens the library at the first call, or fails with the reason. Its entries throw
// what went wrong in them, but for those of core/guarded.cpp that leave it to check_device.
const Backend& backend(Device device);
// Throws what this thread's last calls of the table left (nothing on the CPU), beginning with what and rest.
void check_device(Device device, const char* what, const char* rest = "");
// Does nothing where the device is out of reach: in a process that was forked.
void release_memory(Device device, void* block, size_t bytes, void* stream);
const char* cuda_unavailable_reason();           // nullptr when it can be used; never throws
void set_cuda_library(const std::string& path);  // where libfastgrad_cuda.so lies, if it was built

// Where tensors are made when no device is given; for each thread.
extern thread_local Device default_device_ __attribute__((tls_model("initial-exec")));
inline Device default_device() { return default_device_; }
inline void set_default_device(Device device) { default_device_ = device; }

// A Python number.
struct Scalar {
  enum Kind : uint8_t { Bool, Int, Float, Complex } kind = Float;
  double f = 0;  // the number, or its real part
  int64_t i = 0;
  double imaginary = 0;
  static Scalar of(double v) { return {Float, v, 0, 0}; }
  static Scalar of_int(int64_t v) { return {Int, static_cast<double>(v), v, 0}; }
  static Scalar of_bool(bool v) { return {Bool, static_cast<double>(v), v, 0}; }
  static Scalar of_complex(double real, double imaginary) { return {Complex, real, 0, imaginary}; }
  bool is_complex() const { return kind == Complex; }
  bool is_integral() const { return kind < Float; }  // bool included
  bool is_zero() const { return f == 0 && imaginary == 0; }
  Param param() const { return {f, kind >= Float ? to_int(f) : i}; }
  DType dtype() const {
    if (kind == Complex) return complex_of(default_dtype());
    return kind == Float ? default_dtype() : kind == Int ? DType::Int64 : DType::Bool;
  }
  static int64_t to_int(double v) {
    if (!(v > -9223372036854775808.0)) return std::numeric_limits<int64_t>::min();
    if (v >= 9223372036854775808.0) return std::numeric_limits<int64_t>::max();
    return static_cast<int64_t>(v);
  }
};
inline Scalar conj(Scalar s) {
  s.imaginary = -s.imaginary;
  return s;
}

}  // namespace fg
