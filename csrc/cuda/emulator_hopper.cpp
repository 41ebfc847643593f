// See emulator_hopper.h. Three parts: barriers, tensor maps and their copies, products. The layout that a descriptor
// means is in Operand.
#include "cuda/emulator_hopper.h"

#include <cstddef>
#include <limits>
#include <vector>

namespace emu {
namespace {

// ---- barriers: what the 64 bits hold is ours to choose
struct Barrier {
  uint64_t phase : 1, known : 2, pending : 20, count : 20;
  int64_t bytes : 21;
};
static_assert(sizeof(Barrier) == sizeof(uint64_t));
enum Known { kNothing = 0, kToThreads = 1, kToCopies = 2 };  // shared memory begins as ones, which is none of them

Barrier* barrier_at(uint64_t* word) {
  Barrier* barrier = reinterpret_cast<Barrier*>(word);
  if (reinterpret_cast<uintptr_t>(word) % 8) complain("mbarrier: not at a multiple of 8 bytes");
  if (barrier->known != kToThreads && barrier->known != kToCopies) complain("mbarrier: not initialised");
  return barrier;
}
void settle(Barrier* barrier) {
  if (barrier->pending || barrier->bytes) return;
  barrier->phase ^= 1;
  barrier->pending = barrier->count;
}
void arrive(uint64_t* word, uint32_t bytes) {
  Barrier* barrier = barrier_at(word);
  constexpr int64_t kMost = (1 << 20) - 1;
  if (!barrier->pending) return complain("mbarrier: more arrivals than its phase has");
  if (barrier->bytes + int64_t{bytes} > kMost) return complain("mbarrier: more bytes than it can count");
  barrier->bytes += bytes;
  barrier->pending -= 1;
  settle(barrier);
}

std::vector<uint64_t*>& unfenced() {
  static thread_local std::vector<uint64_t*> all;
  static thread_local uint32_t serial = 0;
  if (serial != block_serial()) all.clear(), serial = block_serial();
  return all;
}

}  // namespace

void barrier_init(uint64_t* word, uint32_t count) {
  Barrier barrier{};
  if (count < 1 || count >= 1 << 20) complain("mbarrier: a count out of range");
  barrier.known = kToThreads, barrier.pending = barrier.count = count;
  std::memcpy(word, &barrier, sizeof barrier);
  unfenced().push_back(word);
}
void barrier_fence() {
  for (uint64_t* word : unfenced()) reinterpret_cast<Barrier*>(word)->known = kToCopies;
  unfenced().clear();
}
void barrier_arrive(uint64_t* word) { arrive(word, 0); }
void barrier_arrive_expecting(uint64_t* word, uint32_t bytes) { arrive(word, bytes); }
void barrier_wait(uint64_t* word, uint32_t parity) {
  barrier_at(word);
  if (parity > 1) complain("mbarrier: a parity that is neither 0 nor 1");
  const auto over = [](uint32_t wanted) {
    return wanted ? +[](const void* at) { return static_cast<const Barrier*>(at)->phase != 1; }
                  : +[](const void* at) { return static_cast<const Barrier*>(at)->phase != 0; };
  }(parity);
  if (!over(word)) wait_until(over, word);
}

// ---- tensor maps
namespace {

// The pieces of 16 bytes within spans of 32, 64 or 128 change places: the address bits from 4 on by those from 7 on.
uint32_t permuted(uint32_t address, int span) {
  const uint32_t bits = span == 128 ? 7 : span == 64 ? 3 : span == 32 ? 1 : 0;
  return address ^ ((address >> 7 & bits) << 4);
}

constexpr uint64_t kMark = 0x7465'6e73'6f72'6d61;  // of a map that was made
struct Map {
  uint64_t mark;
  const unsigned char* address;
  uint64_t sizes[3], strides[2];  // strides in bytes
  uint32_t box[3];
  int span;
};
static_assert(sizeof(Map) <= sizeof(CUtensorMap));

}  // namespace

void copy_tile(uint32_t to, const CUtensorMap* tensor_map, uint64_t* word, const int32_t (&at)[3]) {
  Map map;
  std::memcpy(&map, tensor_map, sizeof map);
  if (map.mark != kMark) return complain("tensor copy: no tensor map");
  if (reinterpret_cast<uintptr_t>(tensor_map) % 64) return complain("tensor copy: a map not at a multiple of 64 bytes");
  const uint32_t items = map.box[0] * map.box[1] * map.box[2], bytes = items * 2;
  const uint32_t pattern = map.span ? map.span * 8u : 128u;
  if (to % pattern) return complain("tensor copy: its tile does not begin where its pattern does");
  unsigned char* tile = shared_memory(to, bytes);
  if (!tile || barrier_at(word)->known != kToCopies)
    return complain("tensor copy: its barrier was initialised without a fence");
  std::memset(tile, 0xff, bytes);
  const int32_t x0 = at[0], y0 = at[1], z0 = at[2];
  later([=] {
    uint32_t line = to;
    for (uint32_t z = 0; z < map.box[2]; ++z) {
      for (uint32_t y = 0; y < map.box[1]; ++y, line += map.box[0] * 2) {
        for (uint32_t x = 0; x < map.box[0]; ++x) {
          const int64_t i = int64_t{x0} + x, j = int64_t{y0} + y, k = int64_t{z0} + z;
          uint16_t bits = 0;
          if (i >= 0 && j >= 0 && k >= 0 && uint64_t(i) < map.sizes[0] && uint64_t(j) < map.sizes[1] &&
              uint64_t(k) < map.sizes[2])
            std::memcpy(&bits, map.address + i * 2 + j * map.strides[0] + k * map.strides[1], 2);
          if (unsigned char* place = shared_memory(permuted(line + x * 2, map.span), 2)) std::memcpy(place, &bits, 2);
        }
      }
    }
    Barrier* barrier = barrier_at(word);
    barrier->bytes -= bytes;
    settle(barrier);
  });
}

// ---- products
namespace {

// A matrix in shared memory as a descriptor has it: `along` counts rows of A or columns of B.
struct Operand {
  uint32_t start, leading, stride;
  int span;
  bool turned;  // lies with `along`, not k, innermost

  static Operand of(uint64_t bits, bool turned) {
    constexpr uint64_t kUsed = 0xc00e3fff3fff3fffull;
    constexpr int kSpans[] = {0, 128, 64, 32};
    if (bits & ~kUsed) complain("wgmma: bits of a descriptor that must be zero");
    if (bits >> 49 & 7) complain("wgmma: a base offset, which is not emulated");
    const auto field = [&](int from) { return static_cast<uint32_t>(bits >> from & 0x3fff) << 4; };
    return {field(0), field(16), field(32), kSpans[bits >> 62], turned};
  }
  // The canonical layouts of the PTX ISA, in bytes; numbers have two.
  uint32_t address(uint32_t along, uint32_t k) const {
    const uint32_t width = span ? span : 16;  // of a line
    uint32_t at = start;
    if (turned) {
      const uint32_t numbers = width / 2;
      at += along % numbers * 2 + k % 8 * width;
      at += along / numbers * (span ? leading : stride) + k / 8 * (span ? stride : leading);
    } else {
      at += along % 8 * width + along / 8 * stride;
      at += span ? k * 2 : k % 8 * 2 + k / 8 * leading;
    }
    return permuted(at, span);
  }
  float number(uint32_t along, uint32_t k, Number read) const {
    const unsigned char* at = shared_memory(address(along, k), 2);
    uint16_t bits = 0;
    if (at) std::memcpy(&bits, at, 2);
    return read(bits);
  }
};

struct Product {
  uint64_t a, b;
  bool a_turned, b_turned, add;
  Number number;
  int group;
};
struct Own {  // of a thread
  uint32_t serial = 0;
  std::vector<Product> started;
  std::vector<float> sums;  // as they will be
  float* visible = nullptr;
  size_t given = 0;  // products since the block began
  int group = 0;
  bool fenced = false;
};
Own& own() {
  static thread_local std::vector<Own> all(1024);
  Own& one = all[threadIdx.x];
  if (one.serial != block_serial()) one = Own{}, one.serial = block_serial();
  return one;
}
// All threads of a warpgroup must give the same products.
struct Given {
  uint64_t a, b;
  bool add;
};
std::vector<Given>& given_by_group() {
  static thread_local std::vector<Given> all[8];
  static thread_local uint32_t serials[8];
  const unsigned group = threadIdx.x / 128;
  if (serials[group] != block_serial()) all[group].clear(), serials[group] = block_serial();
  return all[group];
}

// This thread's part. Lane l of warp w has rows 16 w + l / 4 and that + 8; in every eight columns two.
void multiply(std::vector<float>& sums, const Product& product) {
  const Operand a = Operand::of(product.a, product.a_turned), b = Operand::of(product.b, product.b_turned);
  const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4, columns = static_cast<uint32_t>(sums.size()) * 2;
  float x[2][16], y[16];
  for (uint32_t i = 0; i < 2; ++i)
    for (uint32_t k = 0; k < 16; ++k) x[i][k] = a.number(warp * 16 + lane / 4 + i * 8, k, product.number);
  for (uint32_t part = 0; part < columns / 4; ++part) {
    const uint32_t column = part / 2 * 8 + lane % 4 * 2 + part % 2;
    for (uint32_t k = 0; k < 16; ++k) y[k] = b.number(column, k, product.number);
    for (uint32_t i = 0; i < 2; ++i) {
      float& sum = sums[part / 2 * 4 + i * 2 + part % 2];
      float added = product.add ? sum : 0.0f;
      for (uint32_t k = 0; k < 16; ++k) added += x[i][k] * y[k];
      sum = added;
    }
  }
}

}  // namespace

void product_fence() { own().fenced = true; }
void product(float* sums, int columns, uint64_t a, uint64_t b, bool a_turned, bool b_turned, bool add, Number number) {
  Own& mine = own();
  if (columns % 8 || columns < 8 || columns > 256) return complain("wgmma: a width that it has not");
  if (blockDim.x % 128) return complain("wgmma: not all warps of a warpgroup");
  if (!mine.fenced) return complain("wgmma: registers were not fenced");
  auto& all = given_by_group();
  if (mine.given == all.size()) {
    all.push_back({a, b, add});
  } else if (const Given& first = all[mine.given]; first.a != a || first.b != b || first.add != add) {
    return complain("wgmma: threads of a warpgroup disagree");
  }
  ++mine.given;
  const size_t count = static_cast<size_t>(columns) / 2;
  if (mine.started.empty()) {
    mine.visible = sums;
    mine.sums.assign(sums, sums + count);
    for (size_t i = 0; i < count; ++i) sums[i] = std::numeric_limits<float>::quiet_NaN();
  } else if (mine.visible != sums || mine.sums.size() != count) {
    return complain("wgmma: two accumulators at a time are not emulated");
  }
  mine.started.push_back({a, b, a_turned, b_turned, add, number, mine.group});
}
void product_commit() { ++own().group; }
void product_wait(int pending) {
  pause();
  Own& mine = own();
  size_t done = 0;
  for (; done < mine.started.size() && mine.started[done].group < mine.group - pending; ++done)
    multiply(mine.sums, mine.started[done]);
  mine.started.erase(mine.started.begin(), mine.started.begin() + static_cast<std::ptrdiff_t>(done));
  mine.fenced = false;
  if (done && mine.started.empty()) std::memcpy(mine.visible, mine.sums.data(), mine.sums.size() * sizeof(float));
  sync_warp();  // it is the warp that waits: no lane goes on before the products of all have read their operands
}

}  // namespace emu

CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address,
                                const cuuint64_t* sizes, const cuuint64_t* strides, const cuuint32_t* box,
                                const cuuint32_t* steps, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion, CUtensorMapFloatOOBfill fill) {
  if (emu::fault("cuTensorMapEncodeTiled")) return CUDA_ERROR_INVALID_VALUE;
  constexpr int kSpans[] = {0, 32, 64, 128};
  if (rank != 3 || (type != CU_TENSOR_MAP_DATA_TYPE_FLOAT16 && type != CU_TENSOR_MAP_DATA_TYPE_BFLOAT16) ||
      interleave != CU_TENSOR_MAP_INTERLEAVE_NONE || fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE)
    return CUDA_ERROR_INVALID_VALUE;  // some of it would be allowed, and is not emulated
  if (reinterpret_cast<uintptr_t>(map) % 64 || reinterpret_cast<uintptr_t>(address) % 16)
    return CUDA_ERROR_INVALID_VALUE;
  emu::Map made{emu::kMark, static_cast<const unsigned char*>(address), {}, {}, {}, kSpans[swizzle]};
  for (int i = 0; i < 3; ++i) {
    if (sizes[i] < 1 || sizes[i] > uint64_t{1} << 32 || box[i] < 1 || box[i] > 256 || steps[i] != 1)
      return CUDA_ERROR_INVALID_VALUE;
    made.sizes[i] = sizes[i], made.box[i] = box[i];
  }
  uint64_t least = sizes[0] * 2;  // each dimension lies around the ones before
  for (int i = 0; i < 2; ++i) {
    if (strides[i] % 16 || strides[i] >= uint64_t{1} << 40 || strides[i] < least || (i && strides[1] % strides[0]))
      return CUDA_ERROR_INVALID_VALUE;
    made.strides[i] = strides[i], least = strides[i] * sizes[i + 1];
  }
  if (box[0] * 2 % 16 || (made.span && box[0] * 2 > uint32_t(made.span))) return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(map, &made, sizeof made);
  return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  const bool found = !std::strcmp(symbol, "cuTensorMapEncodeTiled");
  *function = found ? reinterpret_cast<void*>(&cuTensorMapEncodeTiled) : nullptr;
  *result = found ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
