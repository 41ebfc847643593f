// Random numbers: who holds the generator, in which order a tensor is filled, and ops made of random fills.
#include "ops/random.h"

#include <pthread.h>

#include <memory>
#include <random>
#include <unordered_map>
#include <unordered_set>

#include "ops/words.h"

namespace fg {

namespace {

// A process may fork while another thread fills a tensor, which it does without the interpreter's lock. The fork waits
// for it, so that the child finds every generator free and in a state of its own.
struct Living {
  std::mutex mutex, defaults_mutex;
  std::unordered_set<Generator*> all;
  std::unordered_map<int, std::unique_ptr<Generator>> defaults;  // by device, -1: CPU

  void lock() {
    defaults_mutex.lock();
    mutex.lock();
    for (Generator* g : all) g->lock.lock();
  }
  void unlock() {
    for (Generator* g : all) g->lock.unlock();
    mutex.unlock();
    defaults_mutex.unlock();
  }
};

Living& living() {
  static Living& instance = *[] {
    // Kernels take memory while they hold a generator: handlers run in falling order, so the allocator's come first.
    backend(Device{}).empty_cache(0);
    auto* made = new Living;
    pthread_atfork([] { living().lock(); }, [] { living().unlock(); }, [] { living().unlock(); });
    return made;
  }();
  return instance;
}

}  // namespace

Generator::Generator(Device d) : device(d) {
  if (device.is_cpu()) {
    cpu::seed(host, cpu::kDefaultSeed);
  } else {
    on_device = backend(device).generator_create(static_cast<int64_t>(cpu::kDefaultSeed));
  }
  std::lock_guard guard(living().mutex);
  living().all.insert(this);
}
Generator::~Generator() {
  {
    std::lock_guard guard(living().mutex);
    living().all.erase(this);
  }
  if (on_device && !cuda_unavailable_reason()) backend(device).generator_destroy(on_device);
}
void Generator::seed(uint64_t value) {
  std::lock_guard guard(lock);
  if (device.is_cpu()) {
    cpu::seed(host, value);
  } else {
    backend(device).generator_seed(on_device, static_cast<int64_t>(value));
  }
}

Generator& default_generator(Device device) {
  std::lock_guard guard(living().defaults_mutex);
  auto& slot = living().defaults[device.is_cpu() ? -1 : device.index];
  if (!slot) {
    slot = std::make_unique<Generator>(device);
    std::random_device source;
    slot->seed(static_cast<uint64_t>(source()) << 32 | source());
  }
  return *slot;
}

namespace {

void fill_dense(const Tensor& out, const RandomFill& fill, Generator& generator, bool serial, const Tensor& probs) {
  if (out.numel() == 0) return;
  RandomArgs args{};
  args.out = out.mutable_data();
  args.n = out.numel();
  args.dtype = out.dtype();
  args.kind = fill.kind;
  args.a = fill.a, args.b = fill.b;
  args.lo = fill.lo, args.hi = fill.hi;
  if (probs.defined()) {
    args.probs = probs.data();
    args.probs_dtype = probs.dtype();
  }
  args.serial = serial;
  args.generator = generator.device.is_cpu() ? static_cast<void*>(&generator.host) : generator.on_device;
  args.stream = Storage::current_stream(out.device());
  GilRelease release(out.numel());
  std::lock_guard guard(generator.lock);
  backend(out.device()).random(args);
}

struct RandomNode final : Node {
  const char* name_;
  const char* name() const override { return name_; }
  void apply(Tensor* g, Tensor* gx) override {
    if (wants(0)) gx[0] = zeros_like(g[0]);
  }
};

}  // namespace

void random_fill(const Tensor& out, const RandomFill& fill, Generator* given) {
  Generator& generator = given ? *given : default_generator(out.device());
  FG_CHECK(generator.device == out.device(), Runtime, "Expected a '", out.device().is_cpu() ? "cpu" : "cuda",
           "' device type for generator but found '", generator.device.is_cpu() ? "cpu" : "cuda", "'");
  NoGradGuard guard;
  Tensor probs;
  if (fill.probs) {
    FG_CHECK(fill.probs->device() == out.device(), Runtime,
             "bernoulli: Expected all tensors to be on the same device, but found ", device_name(out.device()), " and ",
             device_name(fill.probs->device()));
    probs = contiguous(same(fill.probs->sizes(), out.sizes()) ? *fill.probs : expand(*fill.probs, out.sizes()));
  }
  bool dense = out.is_dense();
  if (dense && (out.is_contiguous() || !fill.probs))
    return fill_dense(out, fill, generator, !out.is_contiguous(), probs);
  // Memory order of a tensor with holes: pack it with the same order of dimensions, fill, put back.
  const Tensor* one[] = {&out};
  Tensor packed = Tensor::empty_strided(out.sizes(),
                                        fill.probs ? contiguous_strides(out.sizes()) : result_strides(out.sizes(), one),
                                        out.dtype(), out.device());
  fill_dense(packed, fill, generator, true, probs);
  raw_copy(out, packed);
}

void random_fill_(const Tensor& out, const RandomFill& fill, Generator* generator, const char* op) {
  check_inplace(out, op);
  check_writable_layout(out, op);
  Ptr<RandomNode> node;
  if (should_record(out)) {
    node = make_node<RandomNode>(out);
    node->name_ = fill.kind == Random::normal    ? "NormalBackward0"
                  : fill.kind == Random::uniform ? "UniformBackward0"
                                                 : "RandomBackward0";
  }
  random_fill(out, fill, generator);
  out.bump_version();
  if (node) rebase_history(out, node);
}

Tensor randperm(int64_t n, Generator* given, Device device) {
  FG_CHECK(n >= 0, Runtime, "n must be non-negative, got ", n);
  Generator& generator = given ? *given : default_generator(device);
  Tensor out = Tensor::empty(DimArray{n}, DType::Int64, device);
  if (n == 0) return out;
  GilRelease release(n);
  std::lock_guard guard(generator.lock);
  backend(device).randperm(out.mutable_data<int64_t>(), n,
                           device.is_cpu() ? static_cast<void*>(&generator.host) : generator.on_device,
                           Storage::current_stream(device));
  return out;
}

Tensor bernoulli(const Tensor& probs, Generator* generator) {
  FG_CHECK(is_floating(probs.dtype()), Runtime, "bernoulli: expected floating point probabilities, got ",
           dtype_name(probs.dtype()));
  if (probs.numel()) {
    NoGradGuard guard;
    double low = item(extremum(probs, true)).f, high = item(extremum(probs, false)).f;
    FG_CHECK(low >= 0 && high <= 1, Runtime, "Expected p_in >= 0 && p_in <= 1 to be true, but got values in [", low,
             ", ", high, "]");
  }
  Tensor out = Tensor::empty(probs.sizes(), probs.dtype(), probs.device());
  random_fill(out, {.kind = Random::bernoulli_tensor, .probs = &probs}, generator);
  return out;
}

// Without replacement: the categories with the largest p / q, q exponential, which is torch's way (one exponential for
// each category). With replacement: inverse of the running sum, one double uniform for each sample.
Tensor multinomial(const Tensor& probs, int64_t samples, bool replacement, Generator* given) {
  NoGradGuard guard;
  FG_CHECK(probs.dim() == 1 || probs.dim() == 2, Runtime, "prob_dist must be 1 or 2 dim");
  FG_CHECK(is_floating(probs.dtype()), Runtime,
           "multinomial only supports floating-point dtypes for input, got: ", dtype_name(probs.dtype()));
  FG_CHECK(samples > 0, Runtime, "cannot sample n_sample <= 0 samples");
  int64_t categories = probs.size(probs.dim() - 1);
  FG_CHECK(replacement || samples <= categories, Runtime,
           "cannot sample n_sample > prob_dist.size(-1) samples without replacement");
  double low = item(extremum(probs, true)).f, high = item(extremum(probs, false)).f;
  FG_CHECK(low >= 0 && high < std::numeric_limits<double>::infinity(), Runtime,
           "probability tensor contains either `inf`, `nan` or element < 0");
  Generator& generator = given ? *given : default_generator(probs.device());
  Tensor rows = probs.dim() == 1 ? unsqueeze(probs, 0) : probs;
  Tensor totals = sum(rows, DimArray{1});
  FG_CHECK(item(extremum(totals, true)).f > 0, Runtime, "invalid multinomial distribution (sum of probabilities <= 0)");
  if (!replacement || samples == 1) {  // one draw takes this path either way
    Tensor q = empty_like(contiguous(rows));
    random_fill(q, {.kind = Random::exponential, .a = 1}, &generator);
    Tensor score = rows / q;
    std::vector<Tensor> picks;
    for (int64_t i = 0; i < samples; ++i) {
      Tensor best = arg_extremum(score, 1, true, false);
      picks.push_back(best);
      if (i + 1 < samples)
        scatter_(score, 1, best, full(best.sizes(), Scalar::of(-1), score.dtype(), score.device()), Scatter::set);
    }
    Tensor out = cat(picks, 1);
    return probs.dim() == 1 ? squeeze(out, DimArray{0}) : out;
  }
  DType work = probs.dtype() == DType::Float64 ? DType::Float64 : DType::Float32;
  Tensor wide = contiguous(to_dtype(rows, work));
  Tensor cdf = cumulative(wide, 1, Row::cumsum, {});
  Tensor out = Tensor::empty(DimArray{rows.size(0), samples}, DType::Int64, {});
  Tensor uniform = Tensor::empty(DimArray{rows.size(0), samples}, DType::Float64, probs.device());
  random_fill(uniform, {.kind = Random::uniform, .a = 0, .b = 1}, &generator);
  Tensor last = narrow(cdf, 1, categories - 1, 1);
  // The search runs on the host, wherever the numbers come from.
  Tensor scaled = to_device(to_dtype(contiguous(cdf / last), DType::Float64), {});
  uniform = to_device(uniform, {});
  const double* c = scaled.data<double>();
  const double* u = uniform.data<double>();
  int64_t* o = out.mutable_data<int64_t>();
  for (int64_t r = 0; r < rows.size(0); ++r)
    for (int64_t s = 0; s < samples; ++s) {
      double at = u[r * samples + s];
      int64_t low_i = 0, high_i = categories - 1;  // the last one counts as 1
      while (low_i < high_i) {
        int64_t mid = (low_i + high_i) / 2;
        if (c[r * categories + mid] < at) low_i = mid + 1;
        else high_i = mid;
      }
      o[r * samples + s] = low_i;
    }
  out = to_device(out, probs.device());
  return probs.dim() == 1 ? squeeze(out, DimArray{0}) : out;
}

namespace {

void check_p(double p) {
  FG_CHECK(p >= 0 && p <= 1, Runtime, "dropout probability has to be between 0 and 1, but got ", p);
}

Tensor dropout_noise(const Tensor& x, double p) {
  NoGradGuard guard;
  Tensor noise = empty_like(x);
  random_fill(noise, {.kind = Random::bernoulli, .a = 1 - p}, nullptr);
  Arg rest[] = {Arg(1 - p)};
  elementwise_(Op::div, noise, rest);
  return noise;
}

}  // namespace

Tensor dropout(const Tensor& x, double p, bool train) {
  check_p(p);
  if (p == 0 || !train || x.numel() == 0) return x;
  if (p == 1) return mul(x, zeros({}, x.dtype(), x.device()));
  return mul(x, dropout_noise(x, p));
}

void dropout_(const Tensor& x, double p, bool train) {
  check_p(p);
  if (p == 0 || !train || x.numel() == 0) return;
  Tensor noise = p == 1 ? zeros({}, x.dtype(), x.device()) : dropout_noise(x, p);
  Arg rest[] = {noise};
  elementwise_(Op::mul, x, rest);
}

}  // namespace fg
