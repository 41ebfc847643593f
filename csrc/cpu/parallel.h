// The thread pool: persistent workers, the caller works too. Plain functions, so that kernel files can include it.
#pragma once
#include <cstdint>

namespace fg::cpu {

// Calls fn(context, i) once for every i in [0, chunks), from any thread, in any order. How work is cut into chunks must
// depend on its size only, never on num_threads(): that is what makes results equal for any number of threads.
// cost_ns: estimated time of the whole on one thread; below the pool's threshold the caller does everything itself.
void parallel_for(int64_t chunks, int64_t cost_ns, void (*fn)(void* context, int64_t chunk), void* context);

// body(chunk) for every chunk. One chunk runs here without a word to the pool. Its code belongs to the file whose body
// it is given, so it is safe in files with flags of their own.
template <class F>
__attribute__((always_inline)) inline void for_chunks(int64_t chunks, double cost_ns, const F& body) {
  if (chunks == 1) {
    body(0);
    return;
  }
  parallel_for(
      chunks, static_cast<int64_t>(cost_ns),
      [](void* context, int64_t chunk) { (*static_cast<const F*>(context))(chunk); }, const_cast<F*>(&body));
}

__attribute__((always_inline)) inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

int num_threads();
void set_num_threads(int n);  // n >= 1

}  // namespace fg::cpu
