// Negative log likelihood of class targets, forward and gradient. Targets are checked before anything is written, and
// each once more where it addresses: another thread may write to them in between, and then it does not count. Sums
// are taken in double over blocks of fixed length and the blocks added in order, so they do not depend on threads.
#include <cstring>

#include "core/backend.h"
#include "cpu/backend_cpu.h"
#include "cpu/half.h"
#include "cpu/parallel.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kBlock = 4096;   // positions of one partial sum
constexpr int64_t kGrain = 32768;  // elements of gx written by one chunk

inline int64_t most(int64_t a, int64_t b) { return a < b ? b : a; }
inline int64_t pieces(int64_t n, int64_t piece) { return (n + piece - 1) / piece; }

inline bool in_range(int64_t target, int64_t classes) {
  return static_cast<uint64_t>(target) < static_cast<uint64_t>(classes);
}

// Read once, so that what is checked is what is used.
inline int64_t target_at(const NllArgs& args, int64_t i) {
  return *static_cast<const volatile int64_t*>(args.target + i);
}

int64_t first_bad(const NllArgs& args) {
  const int64_t n = args.batch * args.spatial;
  for (int64_t first = 0; first < n; first += kBlock) {
    const int64_t last = smaller(first + kBlock, n);
    uint64_t signs = 0;  // of a block, by vectors: set where a target is out of range
    for (int64_t i = first; i < last; ++i) {
      const uint64_t target = static_cast<uint64_t>(args.target[i]);
      const uint64_t counts = -static_cast<uint64_t>(args.target[i] != args.ignore_index);
      signs |= counts & (target | (static_cast<uint64_t>(args.classes) - 1 - target));
    }
    if (signs >> 63 == 0) continue;
    for (int64_t i = first; i < last; ++i)
      if (!in_range(args.target[i], args.classes) && args.target[i] != args.ignore_index) return i;
  }
  return -1;
}

template <class Kind>
inline typename Kind::Wide weight_of(const NllArgs& args, int64_t target) {
  return args.weight ? Kind::load(static_cast<const typename Kind::Stored*>(args.weight)[target]) : 1;
}

struct Sums {
  double loss, weight;
};

struct Task {
  const NllArgs* args;
  Sums* sums;
  int64_t group, cut;  // gradient: images per chunk, positions of an image per chunk
  double scale;
};

template <class Kind>
Sums loss_of_block(const NllArgs& args, int64_t block) {
  using Stored = typename Kind::Stored;
  const Stored* in = static_cast<const Stored*>(args.in);
  const int64_t first = block * kBlock, last = smaller(first + kBlock, args.batch * args.spatial);
  const int64_t classes = args.classes, ignored = args.ignore_index;
  int64_t image = first / args.spatial, at = first % args.spatial;
  constexpr int64_t kChains = 4;  // additions wait for one another
  Sums sums[kChains] = {};
  for (int64_t i = first; i < last; ++i) {
    const int64_t target = target_at(args, i);
    typename Kind::Wide loss = 0;
    if ((target != ignored) & in_range(target, classes)) {
      const auto weight = weight_of<Kind>(args, target);
      loss = -weight * Kind::load(in[(image * classes + target) * args.spatial + at]);
      sums[i % kChains].weight += weight;
      sums[i % kChains].loss += loss;
    }
    if (args.reduction == 0) static_cast<Stored*>(args.out)[i] = Kind::store(loss);
    if (++at == args.spatial) at = 0, ++image;
  }
  return {(sums[0].loss + sums[1].loss) + (sums[2].loss + sums[3].loss),
          (sums[0].weight + sums[1].weight) + (sums[2].weight + sums[3].weight)};
}

template <class Kind>
void loss_chunk(void* context, int64_t block) {
  const Task& task = *static_cast<Task*>(context);
  const Sums sums = loss_of_block<Kind>(*task.args, block);
  if (task.sums) task.sums[block] = sums;
}

// The total weight alone; the stored one has too few bits for halves.
template <class Kind>
double total_weight(const NllArgs& args) {
  double total = 0;
  const int64_t n = args.batch * args.spatial;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t target = target_at(args, i);
    if (target != args.ignore_index && in_range(target, args.classes)) total += weight_of<Kind>(args, target);
  }
  return total;
}

template <class Kind>
int64_t loss(const NllArgs& args) {
  using Stored = typename Kind::Stored;
  const int64_t bad = first_bad(args);
  if (bad >= 0) return bad;
  const int64_t n = args.batch * args.spatial, blocks = pieces(n, kBlock);
  Task task{&args, nullptr, 0, 0, 0};
  if (args.reduction == 0) {
    if (blocks <= 1) {
      if (n) loss_of_block<Kind>(args, 0);
    } else {
      parallel_for(blocks, n * 4, loss_chunk<Kind>, &task);
    }
    return -1;
  }
  Sums total{0, 0};
  const size_t bytes = sizeof(Sums) * static_cast<size_t>(blocks);
  Sums* sums = blocks > 1 ? static_cast<Sums*>(scratch(bytes)) : nullptr;
  if (sums) {
    task.sums = sums;
    parallel_for(blocks, n * 4, loss_chunk<Kind>, &task);
    for (int64_t i = 0; i < blocks; ++i) total.loss += sums[i].loss, total.weight += sums[i].weight;
    release_scratch(sums, bytes);
  } else {
    for (int64_t i = 0; i < blocks; ++i) {
      const Sums one = loss_of_block<Kind>(args, i);
      total.loss += one.loss, total.weight += one.weight;
    }
  }
  // Without any valid target the mean is 0 / 0, as in torch.
  const double result = args.reduction == 1 ? total.loss / total.weight : total.loss;
  *static_cast<Stored*>(args.out) = Kind::store(static_cast<typename Kind::Wide>(result));
  if (args.total_weight) {
    *static_cast<Stored*>(args.total_weight) = Kind::store(static_cast<typename Kind::Wide>(total.weight));
  }
  return -1;
}

template <class Kind>
void grad_chunk(void* context, int64_t chunk) {
  using Stored = typename Kind::Stored;
  using Wide = typename Kind::Wide;
  const Task& task = *static_cast<Task*>(context);
  const NllArgs& args = *task.args;
  const Stored* grad = static_cast<const Stored*>(args.grad);
  Stored* gx = static_cast<Stored*>(args.gx);
  const int64_t cuts = pieces(args.spatial, task.cut);
  const int64_t from = chunk % cuts * task.cut, to = smaller(from + task.cut, args.spatial);
  const int64_t first = chunk / cuts * task.group, last = smaller(first + task.group, args.batch);
  const int64_t image = args.classes * args.spatial;
  if (cuts == 1) {
    memset(gx + first * image, 0, sizeof(Stored) * static_cast<size_t>((last - first) * image));
  } else {
    for (int64_t row = first * args.classes; row < last * args.classes; ++row) {
      memset(gx + row * args.spatial + from, 0, sizeof(Stored) * static_cast<size_t>(to - from));
    }
  }
  for (int64_t b = first; b < last; ++b) {
    for (int64_t at = from; at < to; ++at) {
      const int64_t i = b * args.spatial + at, target = target_at(args, i);
      if (target == args.ignore_index || !in_range(target, args.classes)) continue;
      const Wide g = args.reduction == 0 ? Kind::load(grad[i]) : static_cast<Wide>(task.scale);
      gx[b * image + target * args.spatial + at] = Kind::store(-weight_of<Kind>(args, target) * g);
    }
  }
}

template <class Kind>
void loss_grad(const NllArgs& args) {
  using Stored = typename Kind::Stored;
  const int64_t image = args.classes * args.spatial;
  if (image == 0 || args.batch == 0) return;
  Task task{&args, nullptr, most(kGrain / image, 1), args.spatial, 0};
  if (image > 2 * kGrain) task.cut = smaller(most(kGrain / args.classes / 64 * 64, 64), args.spatial);
  if (args.reduction != 0) {
    task.scale = Kind::load(*static_cast<const Stored*>(args.grad));
    if (args.reduction == 1) {
      constexpr bool stored_exactly = sizeof(Stored) > 2;
      task.scale /= stored_exactly && args.total_weight ? Kind::load(*static_cast<const Stored*>(args.total_weight))
                                                        : total_weight<Kind>(args);
    }
  }
  const int64_t chunks = pieces(args.batch, task.group) * pieces(args.spatial, task.cut);
  if (chunks == 1) return grad_chunk<Kind>(&task, 0);
  parallel_for(chunks, args.batch * image * static_cast<int64_t>(sizeof(Stored)) / 16, grad_chunk<Kind>, &task);
}

int64_t nll_loss(const NllArgs& args) {
  switch (args.dtype) {
    case DType::Float16: return loss<Halves<Float16>>(args);
    case DType::BFloat16: return loss<Halves<BFloat16>>(args);
    case DType::Float64: return loss<Plain<double>>(args);
    default: return loss<Plain<float>>(args);
  }
}

void nll_loss_grad(const NllArgs& args) {
  switch (args.dtype) {
    case DType::Float16: return loss_grad<Halves<Float16>>(args);
    case DType::BFloat16: return loss_grad<Halves<BFloat16>>(args);
    case DType::Float64: return loss_grad<Plain<double>>(args);
    default: return loss_grad<Plain<float>>(args);
  }
}

}  // namespace

void fill_loss(Backend& table) {
  table.nll_loss = nll_loss;
  table.nll_loss_grad = nll_loss_grad;
}

}  // namespace fg::cpu::FG_ISA
