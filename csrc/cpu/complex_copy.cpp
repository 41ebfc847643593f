// Complex copies and casts, and the products that have no real counterpart: prod and cumprod.
#include "cpu/backend_cpu.h"
#include "cpu/complex_loops.h"

namespace fg::cpu {
namespace {

void copy_complex(const Iter& iter) {
  if (needs_double(iter.in[0].dtype)) run_complex<double>(iter, nullptr, 1);
  else run_complex<float>(iter, nullptr, 1);
}

template <class Args> struct Lines {
  const Args& args;
  int64_t per_chunk;
};
// Calls line(args, k) for every k < args.outer * args.inner.
template <class Args, void (*line)(const Args&, int64_t)> void each_line(const Args& args) {
  int64_t lines = args.outer * args.inner;
  Lines<Args> work = {args, args.size < kCxChunk ? kCxChunk / (args.size + 1) + 1 : 1};
  auto chunk = [](void* context, int64_t i) {
    const auto& [args, per_chunk] = *static_cast<const Lines<Args>*>(context);
    int64_t end = (i + 1) * per_chunk < args.outer * args.inner ? (i + 1) * per_chunk : args.outer * args.inner;
    for (int64_t k = i * per_chunk; k < end; ++k) line(args, k);
  };
  parallel_for((lines + work.per_chunk - 1) / work.per_chunk, lines * args.size * 4, chunk, &work);
}

template <class T> void prod_line(const ReduceArgs& args, int64_t k) {
  int64_t base = k / args.inner * args.size * args.inner + k % args.inner;
  Cx<T> product = 1;
  visit_stored(args.in_dtype, [&]<class S>(S) {
    auto* from = static_cast<const typename S::Type*>(args.in) + base;
    const auto at = [&](int64_t i) { return S::template read<T>(from[i * args.inner]); };
    int64_t i = 0;
    if (args.size >= 16) {  // four products at a time, as each waits for the one before it
      Cx<T> parts[4] = {at(0), at(1), at(2), at(3)};
      for (i = 4; i + 4 <= args.size; i += 4)
        for (int64_t j = 0; j < 4; ++j) parts[j] = parts[j] * at(i + j);
      product = (parts[0] * parts[1]) * (parts[2] * parts[3]);
    }
    for (; i < args.size; ++i) product = product * at(i);
  });
  visit_stored(args.out_dtype,
               [&]<class S>(S) { static_cast<typename S::Type*>(args.out)[k] = S::template write<T>(product); });
}

template <class T> void cumprod_line(const RowArgs& args, int64_t k) {
  int64_t base = k / args.inner * args.size * args.inner + k % args.inner;
  auto* from = static_cast<const Cx<T>*>(args.in) + base;
  auto* to = static_cast<Cx<T>*>(args.out) + base;
  Cx<T> product = 1;
  for (int64_t i = 0; i < args.size; ++i) {
    int64_t at = (args.reverse ? args.size - 1 - i : i) * args.inner;
    to[at] = product = product * from[at];
  }
}
void cumprod(const RowArgs& args) {
  if (args.dtype == DType::Complex64) each_line<RowArgs, cumprod_line<float>>(args);
  else each_line<RowArgs, cumprod_line<double>>(args);
}

}  // namespace

void fill_complex_copy(Backend& table) {
  table.copy_complex = copy_complex;
  auto& prod = table.reduce[static_cast<int>(Reduce::prod)];
  prod[static_cast<int>(Compute::C64)] = each_line<ReduceArgs, prod_line<float>>;
  prod[static_cast<int>(Compute::C128)] = each_line<ReduceArgs, prod_line<double>>;
  table.cumprod_complex = cumprod;
}

}  // namespace fg::cpu
