// Kernels of CUDA throw nothing and return nothing: what goes wrong in one (no memory for its scratch, a launch that is
// refused) is kept for the thread. Here it is looked at when the entry returns, so that an op whose kernel did not run
// raises at once and hands out no result. The CPU's table has no part in it.
//
// Arrays of kernels stay as they are: the few places of ops/ that take one ask check_device() themselves.
#include "core/guarded.h"

#include <cstring>

#include "core/types.h"

namespace fg {

// Those with nothing to keep, those that run in destructors, and those whose callers say more than the entry's name.
#define FG_PLAIN_ENTRIES(X) \
  X(allocate)               \
  X(release)                \
  X(empty_cache)            \
  X(memory_stats)           \
  X(reset_peak)             \
  X(copy_bytes)             \
  X(take_error)             \
  X(linalg)                 \
  X(fft_several)            \
  X(fft_plans)              \
  X(device_count)           \
  X(stream_create)          \
  X(stream_wait)            \
  X(device_name)            \
  X(missing_library)        \
  X(generator_create)       \
  X(generator_destroy)      \
  X(generator_seed)
#define FG_GUARDED_ENTRIES(X) \
  X(synchronize)              \
  X(copy)                     \
  X(copy_complex)             \
  X(fill)                     \
  X(arange)                   \
  X(cumprod_complex)          \
  X(layer_norm)               \
  X(layer_norm_grad)          \
  X(rnn)                      \
  X(rnn_grad)                 \
  X(nll_loss)                 \
  X(nll_loss_grad)            \
  X(gemm)                     \
  X(attention)                \
  X(attention_grad)           \
  X(conv)                     \
  X(max_pool)                 \
  X(max_pool_grad)            \
  X(resample)                 \
  X(grid_sample)              \
  X(grid_sample_grad)         \
  X(fft)                      \
  X(bag_sums)                 \
  X(distances)                \
  X(pad)                      \
  X(pad_grad)                 \
  X(batch_norm)               \
  X(batch_norm_grad)          \
  X(gather)                   \
  X(scatter)                  \
  X(offsets)                  \
  X(nonzero)                  \
  X(triangle)                 \
  X(sort)                     \
  X(topk)                     \
  X(pick)                     \
  X(searchsorted)             \
  X(random)                   \
  X(randperm)                 \
  X(optim_step)               \
  X(draw)

namespace {

#define X(name) +1
constexpr size_t kEntries = 0 FG_PLAIN_ENTRIES(X) FG_GUARDED_ENTRIES(X);
#undef X
constexpr size_t kArrays =
    sizeof(Backend::elementwise) + sizeof(Backend::elementwise_grad) + sizeof(Backend::reduce) + sizeof(Backend::row);
static_assert(sizeof(Backend) == 16 + kEntries * sizeof(void*) + kArrays, "an entry is in neither list");

const Backend* unguarded = nullptr;

template <auto Entry, class Function> struct Guard;
template <auto Entry, class R, class... Args> struct Guard<Entry, R (*)(Args...)> {
  static const char* name;
  static R call(Args... args) {
    if constexpr (std::is_void_v<R>) {
      (unguarded->*Entry)(args...);
      throw_kept(*unguarded, name);
    } else {
      const R result = (unguarded->*Entry)(args...);
      throw_kept(*unguarded, name);
      return result;
    }
  }
};
template <auto Entry, class R, class... Args> const char* Guard<Entry, R (*)(Args...)>::name = "";

}  // namespace

Backend guarded(const Backend& raw) {
  unguarded = &raw;
  Backend table = raw;
#define X(entry)                                                 \
  if (raw.entry) {                                               \
    using Guarded = Guard<&Backend::entry, decltype(raw.entry)>; \
    Guarded::name = #entry;                                      \
    table.entry = Guarded::call;                                 \
  }
  FG_GUARDED_ENTRIES(X)
#undef X
  return table;
}

void throw_kept(const Backend& table, const char* what, const char* rest) {
  DeviceError kind{};
  const char* error = table.take_error(&kind);
  if (!error) [[likely]]
    return;
  const bool named = !*what || !std::strncmp(error, what, std::strlen(what));
  fail(kind == DeviceError::out_of_memory ? ErrorKind::OutOfMemory : ErrorKind::Runtime, named ? "" : what,
       named ? "" : rest, named ? "" : ": ", error);
}

}  // namespace fg
