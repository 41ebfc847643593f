// One matrix product as its kernels see it, and what becomes of an element's sum. matmul.cu says which kernel has which
// product; gemm_tensor.cu has those of tensor cores.
#pragma once
#include "cuda/convert.cuh"

namespace fg::cuda {

// Products on tensor cores: half types, and float32 as tf32. False: not one for them.
bool tensor_gemm(const GemmArgs& args);
// Large ones of half types on sm_90a (gemm_hopper.cu). FASTGRAD_REQUIRE_WGMMA=1: an error if it should, but cannot.
bool warpgroup_gemm(const GemmArgs& args);

template <class S> struct Accumulator {
  using type = int32_t;
};
template <> struct Accumulator<int64_t> {
  using type = int64_t;
};
template <> struct Accumulator<float> {
  using type = float;
};
template <> struct Accumulator<Half> {
  using type = float;
};
template <> struct Accumulator<BHalf> {
  using type = float;
};
template <> struct Accumulator<double> {
  using type = double;
};

// a * b + c; integers wrap.
template <class A> FG_DEVICE A multiply_add(A a, A b, A c) {
  if constexpr (std::is_integral_v<A>) {
    using U = std::make_unsigned_t<A>;
    return static_cast<A>(static_cast<U>(a) * static_cast<U>(b) + static_cast<U>(c));
  } else {
    return a * b + c;
  }
}

template <class S> struct Gemm {
  using A = typename Accumulator<S>::type;
  const S *a, *b;
  S* c;
  const S* bias;
  int64_t m, n, k, batch;
  int64_t a_rs, a_cs, a_bs, b_rs, b_cs, b_bs, c_rs, c_cs, c_bs, bias_rs, bias_cs;
  A alpha, beta;

  static Gemm of(const GemmArgs& args) {
    return {static_cast<const S*>(args.a),
            static_cast<const S*>(args.b),
            static_cast<S*>(args.c),
            static_cast<const S*>(args.bias),
            args.m,
            args.n,
            args.k,
            args.batch,
            args.a_rs,
            args.a_cs,
            args.a_bs,
            args.b_rs,
            args.b_cs,
            args.b_bs,
            args.c_rs,
            1,
            args.c_bs,
            args.bias_rs,
            args.bias_cs,
            static_cast<A>(args.alpha),
            static_cast<A>(args.beta)};
  }

  // The transposed product: its rows are the columns of C.
  Gemm turned() const {
    Gemm g = *this;
    g.a = b, g.a_rs = b_cs, g.a_cs = b_rs, g.a_bs = b_bs;
    g.b = a, g.b_rs = a_cs, g.b_cs = a_rs, g.b_bs = a_bs;
    g.m = n, g.n = m, g.c_rs = c_cs, g.c_cs = c_rs, g.bias_rs = bias_cs, g.bias_cs = bias_rs;
    return g;
  }

  FG_DEVICE S* place(int64_t batch_index, int64_t i, int64_t j) const {
    return c + batch_index * c_bs + i * c_rs + j * c_cs;
  }
  // What is written for a sum, over what lies there.
  FG_DEVICE S finish(const S* at, int64_t i, int64_t j, A sum) const {
    A y = multiply_add(alpha, sum, A(0));
    if (beta != A(0)) y = multiply_add(beta, convert<A>(*at), y);
    if (bias) y = multiply_add(A(1), convert<A>(bias[i * bias_rs + j * bias_cs]), y);
    return convert<S>(y);
  }
  FG_DEVICE void write(int64_t batch_index, int64_t i, int64_t j, A sum) const {
    S* at = place(batch_index, i, j);
    *at = finish(at, i, j, sum);
  }

  // Whether `count` elements of a row of C can be written at once, wherever they begin at a multiple of it.
  bool neighbours(int count) const {
    return c_cs == 1 && c_rs % count == 0 && c_bs % count == 0 &&
           reinterpret_cast<uintptr_t>(c) % (count * sizeof(S)) == 0;
  }
};

// Where tile `index` of C lies, in tiles. Bands of eight rows of tiles, column by column: what runs at the same time
// shares operands in the L2.
struct Place {
  int i, j;
};
FG_DEVICE Place place_of_tile(int index, int tiles_m, int tiles_n) {
  constexpr int kBand = 8;
  const int band = index / (kBand * tiles_n), in_band = index % (kBand * tiles_n);
  const int height = tiles_m - band * kBand < kBand ? tiles_m - band * kBand : kBand;
  return {band * kBand + in_band % height, in_band / height};
}

template <class S> struct alignas(2 * sizeof(S)) Two {
  S first, second;
};

}  // namespace fg::cuda
