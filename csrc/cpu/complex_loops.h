// The driver of the complex kernels: operands of any dtype and strides in, blocks of contiguous Cx<T> to the kernel,
// the result out to any dtype. One block at a time, so that conversion never leaves the first cache.
#pragma once
#include "core/backend.h"
#include "cpu/parallel.h"
#include "ops/complex_number.h"

#define FG_ISA plain  // half.h is written for the kernel files; here it is compiled without instruction set flags
#include "cpu/half.h"
#undef FG_ISA

namespace fg::cpu {
namespace {

constexpr int64_t kCxBlock = 256;   // numbers handed to a kernel at once
constexpr int64_t kCxChunk = 8192;  // numbers of one piece of parallel work

// ---- numbers of any dtype from and to Cx<T>

template <class T, class S> Cx<T> cx_of(S x) {
  if constexpr (std::is_arithmetic_v<S>) return Cx<T>(x);
  else return {static_cast<T>(x.re), static_cast<T>(x.im)};
}

// Kind of a stored number: how it is read, and how a complex number becomes one.
template <class S> struct Stored {
  using Type = S;
  template <class T> static Cx<T> read(S x) { return cx_of<T>(x); }
  template <class T> static S write(Cx<T> z) {
    if constexpr (std::is_floating_point_v<S>) return static_cast<S>(z.re);
    else if constexpr (std::is_same_v<S, int64_t>) return to_integer(z.re);
    else return static_cast<S>(to_integer(z.re));
  }
  template <class T> static int64_t to_integer(T x) {
    return x >= T(-9223372036854775808.0) && x < T(9223372036854775808.0) ? static_cast<int64_t>(x) : INT64_MIN;
  }
};
template <class R> struct Stored<Cx<R>> {
  using Type = Cx<R>;
  template <class T> static Cx<T> read(Cx<R> x) { return cx_of<T>(x); }
  template <class T> static Cx<R> write(Cx<T> z) { return cx_of<R>(z); }
};
struct BoolByte {};
template <> struct Stored<BoolByte> {
  using Type = uint8_t;
  template <class T> static Cx<T> read(uint8_t x) { return Cx<T>(x != 0); }
  template <class T> static uint8_t write(Cx<T> z) { return z.re != 0 || z.im != 0; }
};
template <class Half> struct StoredHalf {
  using Type = uint16_t;
  template <class T> static Cx<T> read(uint16_t x) { return Cx<T>(plain::half_to_float<Half>(x)); }
  template <class T> static uint16_t write(Cx<T> z) { return plain::float_to_half<Half>(static_cast<float>(z.re)); }
};
template <> struct Stored<plain::Float16> : StoredHalf<plain::Float16> {};
template <> struct Stored<plain::BFloat16> : StoredHalf<plain::BFloat16> {};

template <class F> void visit_stored(DType dtype, F f) {
  switch (dtype) {
    case DType::Bool: return f(Stored<BoolByte>());
    case DType::UInt8: return f(Stored<uint8_t>());
    case DType::Int8: return f(Stored<int8_t>());
    case DType::Int16: return f(Stored<int16_t>());
    case DType::Int32: return f(Stored<int32_t>());
    case DType::Int64: return f(Stored<int64_t>());
    case DType::Float16: return f(Stored<plain::Float16>());
    case DType::BFloat16: return f(Stored<plain::BFloat16>());
    case DType::Float32: return f(Stored<float>());
    case DType::Float64: return f(Stored<double>());
    case DType::Complex64: return f(Stored<Cx<float>>());
    default: return f(Stored<Cx<double>>());
  }
}

// ---- a place in an Iter

struct Place {
  int64_t at[kMaxDims];  // index in each dimension
  Place(const Iter& iter, int64_t position) {
    for (int d = 0; d < iter.ndim; ++d) at[d] = position % iter.sizes[d], position /= iter.sizes[d];
  }
  void forward(const Iter& iter, int64_t n) {  // n numbers on, not past the end of dimension 0 by more than its size
    if (iter.ndim == 0) return;
    at[0] += n;
    for (int d = 0; d + 1 < iter.ndim && at[d] == iter.sizes[d]; ++d) at[d] = 0, ++at[d + 1];
  }
  int64_t offset(const Iter& iter, const Operand& item) const {
    int64_t sum = 0;
    for (int d = 0; d < iter.ndim; ++d) sum += at[d] * item.strides[d];
    return sum;
  }
};

// Calls piece(offset of the operand, stride, first, count) for the runs along dimension 0 of n numbers from `place` on.
template <class F> void each_run(const Iter& iter, const Operand& item, Place place, int64_t n, F piece) {
  for (int64_t done = 0; done < n;) {
    int64_t left = iter.ndim ? iter.sizes[0] - place.at[0] : 1;
    int64_t run = n - done < left ? n - done : left;
    piece(place.offset(iter, item), iter.ndim ? item.strides[0] : 1, done, run);
    done += run;
    place.forward(iter, run);
  }
}

template <class T> void load_block(const Iter& iter, const Operand& item, const Place& place, int64_t n, Cx<T>* to) {
  visit_stored(item.dtype, [&]<class S>(S) {
    auto* from = static_cast<const typename S::Type*>(item.data);
    each_run(iter, item, place, n, [&](int64_t offset, int64_t stride, int64_t first, int64_t run) {
      for (int64_t i = 0; i < run; ++i) to[first + i] = S::template read<T>(from[offset + i * stride]);
    });
  });
}
template <class T> void store_block(const Iter& iter, const Place& place, int64_t n, const Cx<T>* from) {
  visit_stored(iter.out.dtype, [&]<class S>(S) {
    auto* to = static_cast<typename S::Type*>(iter.out.data);
    each_run(iter, iter.out, place, n, [&](int64_t offset, int64_t stride, int64_t first, int64_t run) {
      for (int64_t i = 0; i < run; ++i) to[offset + i * stride] = S::template write<T>(from[first + i]);
    });
  });
}

template <class T> constexpr DType kCxDType = sizeof(T) == 4 ? DType::Complex64 : DType::Complex128;

// ---- the driver: out[0..n) <- kernel(in[k][0..n)), out and in contiguous blocks

template <class T> using CxKernel = void (*)(int64_t n, Cx<T>* out, const Cx<T>* const* in, const Param* params);

template <class T> struct CxWork {
  const Iter& iter;
  CxKernel<T> kernel;  // null: out <- in[0]
};

template <class T> void cx_chunk(void* context, int64_t chunk) {
  const auto& [iter, kernel] = *static_cast<const CxWork<T>*>(context);
  int64_t begin = chunk * kCxChunk, end = begin + kCxChunk < iter.numel ? begin + kCxChunk : iter.numel;
  Cx<T> buffers[kMaxInputs][kCxBlock], result[kCxBlock];
  const Cx<T>* in[kMaxInputs] = {};
  bool flat = iter.ndim <= 1;
  auto direct = [&](const Operand& item) {
    return flat && item.dtype == kCxDType<T> && (iter.ndim == 0 || item.strides[0] == 1);
  };
  Place place(iter, begin);
  for (int64_t at = begin; at < end; at += kCxBlock) {
    int64_t n = end - at < kCxBlock ? end - at : kCxBlock;
    for (int k = 0; k < iter.inputs; ++k) {
      const Operand& item = iter.in[k];
      if (!item.data) continue;
      if (direct(item)) {
        in[k] = static_cast<const Cx<T>*>(item.data) + at;
      } else {
        load_block(iter, item, place, n, buffers[k]);
        in[k] = buffers[k];
      }
    }
    if (!kernel) {
      store_block(iter, place, n, in[0]);
    } else if (direct(iter.out)) {
      kernel(n, static_cast<Cx<T>*>(iter.out.data) + at, in, iter.params);
    } else {
      kernel(n, result, in, iter.params);
      store_block(iter, place, n, result);
    }
    int64_t left = n;  // on by n: dimension 0 ends in between
    while (left) {
      int64_t step = iter.ndim && iter.sizes[0] - place.at[0] < left ? iter.sizes[0] - place.at[0] : left;
      place.forward(iter, step);
      left -= step;
    }
  }
}

template <class T> void run_complex(const Iter& iter, CxKernel<T> kernel, int64_t ns_per_number) {
  CxWork<T> work = {iter, kernel};
  int64_t chunks = (iter.numel + kCxChunk - 1) / kCxChunk;
  if (chunks == 1) cx_chunk<T>(&work, 0);
  else parallel_for(chunks, iter.numel * ns_per_number, cx_chunk<T>, &work);
}

}  // namespace
}  // namespace fg::cpu
