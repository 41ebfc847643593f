// Takes the place of cuFFT in the emulator, for tests: the same functions, computed from the definition, one dimension
// after another. Plans keep everything they were asked for and are honoured in full (strides, embeddings, batches);
// whatever cuFFT would refuse, or reads without being given it, is refused with its status. Inputs that cuFFT may
// overwrite are overwritten.
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

#include "cuda/cufft_api.h"
#include "cuda/standin_fault.h"

namespace {

using namespace fg::cuda::cufft;
enum : int { kInvalidPlan = 1, kInvalidType = 3, kInvalidValue = 4, kInvalidSize = 8 };

struct Plan {
  int type = 0, rank = 0;
  bool made = false, own_memory = true, streamed = false;
  long long n[3] = {1, 1, 1}, in_embed[3] = {1, 1, 1}, out_embed[3] = {1, 1, 1};
  long long in_stride = 0, in_distance = 0, out_stride = 0, out_distance = 0, batch = 0;
  size_t work = 0;
  void* memory = nullptr;
};
std::mutex lock;
std::map<int, Plan> plans;
int next_plan = 1;

Plan* find(int plan) {
  auto found = plans.find(plan);
  return found == plans.end() ? nullptr : &found->second;
}

using Number = std::complex<long double>;

// Along every dimension of n, the last one first; sign -1: forward.
void transform(std::vector<Number>& x, const long long* n, int rank, int sign) {
  long long inner = 1;
  const long double turn = 2 * std::acos(-1.0L);
  for (int d = rank - 1; d >= 0; --d) {
    const long long size = n[d], lines = static_cast<long long>(x.size()) / size;
    std::vector<Number> roots(static_cast<size_t>(size)), line(static_cast<size_t>(size));
    for (long long k = 0; k < size; ++k)
      roots[static_cast<size_t>(k)] =
          std::polar(1.0L, turn * static_cast<long double>(sign * k) / static_cast<long double>(size));
    for (long long i = 0; i < lines; ++i) {
      Number* at = x.data() + i / inner * inner * size + i % inner;
      for (long long k = 0; k < size; ++k) {
        Number sum = 0;
        for (long long j = 0; j < size; ++j) sum += at[j * inner] * roots[static_cast<size_t>(j * k % size)];
        line[static_cast<size_t>(k)] = sum;
      }
      for (long long k = 0; k < size; ++k) at[k * inner] = line[static_cast<size_t>(k)];
    }
    inner *= size;
  }
}

// place(position in n, where it is in memory of this embedding)
template <class F> void each(const long long* n, const long long* embed, int rank, long long stride, const F& place) {
  long long total = 1;
  for (int d = 0; d < rank; ++d) total *= n[d];
  for (long long i = 0; i < total; ++i) {
    long long rest = i, at[3] = {0, 0, 0}, where = 0;
    for (int d = rank - 1; d >= 0; --d) at[d] = rest % n[d], rest /= n[d];
    for (int d = 0; d < rank; ++d) where = where * embed[d] + at[d];
    place(i, where * stride);
  }
}

template <class T> int execute(int plan, int type, void* in, void* out, int sign) {
  std::lock_guard guard(lock);
  const Plan* p = find(plan);
  if (!p || !p->made || !p->streamed) return kInvalidPlan;
  if (p->type != type) return kInvalidType;
  if (!in || !out || (sign != kForward && sign != kInverse)) return kInvalidValue;
  // Complex numbers are aligned as such, and so are real ones.
  if ((reinterpret_cast<uintptr_t>(in) | reinterpret_cast<uintptr_t>(out)) % (2 * sizeof(T))) return kInvalidValue;
  if (!p->own_memory) {
    if (p->work && !p->memory) return kInvalidValue;
    std::fill_n(static_cast<unsigned char*>(p->memory), p->work, static_cast<unsigned char>(0xa5));  // it may be used
  }
  const bool from_real = type == kR2C || type == kD2Z, to_real = type == kC2R || type == kZ2D;
  long long half[3], total = 1;
  for (int d = 0; d < p->rank; ++d) total *= half[d] = p->n[d];
  half[p->rank - 1] = p->n[p->rank - 1] / 2 + 1;
  for (long long b = 0; b < p->batch; ++b) {
    T* from = static_cast<T*>(in) + b * p->in_distance * (from_real ? 1 : 2);
    T* to = static_cast<T*>(out) + b * p->out_distance * (to_real ? 1 : 2);
    std::vector<Number> x(static_cast<size_t>(total));
    const auto read = [&](long long i, long long at) {
      x[static_cast<size_t>(i)] = from_real ? Number(from[at]) : Number(from[2 * at], from[2 * at + 1]);
    };
    if (to_real) {
      std::vector<Number> all(static_cast<size_t>(total));
      each(half, p->in_embed, p->rank, p->in_stride, [&](long long i, long long at) {
        const long long last = half[p->rank - 1], whole = p->n[p->rank - 1], place = i / last * whole + i % last;
        all[static_cast<size_t>(place)] = Number(from[2 * at], from[2 * at + 1]);
        from[2 * at] = from[2 * at + 1] = std::numeric_limits<T>::quiet_NaN();
      });
      each(p->n, p->n, p->rank, 1, [&](long long i, long long) {
        long long rest = i, mirrored = 0, step = 1;
        const bool known = i % p->n[p->rank - 1] < half[p->rank - 1];
        for (int d = p->rank - 1; d >= 0; --d) {
          mirrored += (p->n[d] - rest % p->n[d]) % p->n[d] * step;
          rest /= p->n[d], step *= p->n[d];
        }
        x[static_cast<size_t>(i)] = known ? all[static_cast<size_t>(i)] : std::conj(all[static_cast<size_t>(mirrored)]);
      });
    } else {
      each(p->n, p->in_embed, p->rank, p->in_stride, read);
    }
    transform(x, p->n, p->rank, from_real ? kForward : to_real ? kInverse : sign);
    each(from_real ? half : p->n, p->out_embed, p->rank, p->out_stride, [&](long long i, long long at) {
      if (from_real) {
        const long long last = half[p->rank - 1];
        i = i / last * p->n[p->rank - 1] + i % last;
      }
      const Number value = x[static_cast<size_t>(i)];
      if (to_real) to[at] = static_cast<T>(value.real() - value.imag());  // imaginary parts: not Hermitian, it shows
      else to[2 * at] = static_cast<T>(value.real()), to[2 * at + 1] = static_cast<T>(value.imag());
    });
  }
  return 0;
}

}  // namespace

#define FG_EXPORT extern "C" __attribute__((visibility("default"))) int

FG_EXPORT cufftCreate(int* plan) {
  std::lock_guard guard(lock);
  plans[*plan = next_plan++];
  return 0;
}
FG_EXPORT cufftDestroy(int plan) {
  std::lock_guard guard(lock);
  return plans.erase(plan) ? 0 : kInvalidPlan;
}
FG_EXPORT cufftSetStream(int plan, void*) {
  std::lock_guard guard(lock);
  Plan* p = find(plan);
  return p ? p->streamed = true, 0 : kInvalidPlan;
}
FG_EXPORT cufftSetAutoAllocation(int plan, int allocate) {
  std::lock_guard guard(lock);
  Plan* p = find(plan);
  return p && !p->made ? p->own_memory = allocate != 0, 0 : kInvalidPlan;
}
FG_EXPORT cufftSetWorkArea(int plan, void* memory) {
  std::lock_guard guard(lock);
  Plan* p = find(plan);
  return p && p->made ? p->memory = memory, 0 : kInvalidPlan;
}
FG_EXPORT cufftMakePlanMany64(int plan, int rank, long long* n, long long* in_embed, long long in_stride,
                              long long in_distance, long long* out_embed, long long out_stride, long long out_distance,
                              int type, long long batch, size_t* work) {
  if (const int status = wanted_fault("cufftMakePlanMany64")) return status;
  std::lock_guard guard(lock);
  Plan* p = find(plan);
  if (!p || p->made) return kInvalidPlan;
  if (type != kR2C && type != kC2R && type != kC2C && type != kD2Z && type != kZ2D && type != kZ2Z) return kInvalidType;
  if (rank < 1 || rank > 3 || batch < 1 || !n || !in_embed || !out_embed || !work) return kInvalidSize;
  if (in_stride < 1 || out_stride < 1 || in_distance < 1 || out_distance < 1) return kInvalidValue;
  const bool from_real = type == kR2C || type == kD2Z, to_real = type == kC2R || type == kZ2D;
  long long total = 1;
  for (int d = 0; d < rank; ++d) {
    const bool last = d == rank - 1;
    const long long in = last && to_real ? n[d] / 2 + 1 : n[d], out = last && from_real ? n[d] / 2 + 1 : n[d];
    if (n[d] < 1 || in_embed[d] < in || out_embed[d] < out) return kInvalidSize;
    p->n[d] = n[d], p->in_embed[d] = in_embed[d], p->out_embed[d] = out_embed[d], total *= n[d];
  }
  p->type = type, p->rank = rank, p->batch = batch, p->made = true;
  p->in_stride = in_stride, p->in_distance = in_distance, p->out_stride = out_stride, p->out_distance = out_distance;
  *work = p->work = static_cast<size_t>(16 * total);
  return 0;
}
FG_EXPORT cufftExecC2C(int plan, void* in, void* out, int direction) {
  return execute<float>(plan, kC2C, in, out, direction);
}
FG_EXPORT cufftExecZ2Z(int plan, void* in, void* out, int direction) {
  return execute<double>(plan, kZ2Z, in, out, direction);
}
FG_EXPORT cufftExecR2C(int plan, void* in, void* out) { return execute<float>(plan, kR2C, in, out, kForward); }
FG_EXPORT cufftExecD2Z(int plan, void* in, void* out) { return execute<double>(plan, kD2Z, in, out, kForward); }
FG_EXPORT cufftExecC2R(int plan, void* in, void* out) { return execute<float>(plan, kC2R, in, out, kInverse); }
FG_EXPORT cufftExecZ2D(int plan, void* in, void* out) { return execute<double>(plan, kZ2D, in, out, kInverse); }

// As the callers see them.
#define X(name, arguments) static_assert(std::is_same_v<decltype(name), fg::cuda::cufft::name##_type>);
FG_CUFFT_FUNCTIONS(X)
#undef X
