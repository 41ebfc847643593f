// Linear maps along single dimensions: what averages over windows and interpolation are, with their gradients.
#pragma once
#include <algorithm>
#include <memory>

#include "ops/images.h"

namespace fg {

// Output o is the sum of weights[j] * input[places[j]] for j in [starts[o], starts[o + 1]).
struct LinearTable {
  int64_t in = 0, out = 0;
  std::vector<int64_t> starts, places;
  std::vector<double> weights;
  // terms: about how many. What no memory holds is refused here, before the table grows: a batch may be empty.
  LinearTable(int64_t in_, int64_t out_, int64_t terms = 0) : in(in_), out(out_) {
    constexpr int64_t kMost = int64_t{1} << 36;
    FG_CHECK(in_ < kMost && out_ < kMost && terms < kMost, OutOfMemory, "out of memory: no table maps ", in_, " to ",
             out_, " places of a dimension");
    starts.reserve(static_cast<size_t>(out_) + 1);
    places.reserve(static_cast<size_t>(std::max(terms, out_)));
    weights.reserve(static_cast<size_t>(std::max(terms, out_)));
    starts.push_back(0);
  }
  void term(int64_t place, double weight) { places.push_back(place), weights.push_back(weight); }
  void close() { starts.push_back(static_cast<int64_t>(places.size())); }  // the next output
  LinearTable turned() const;                                              // the transposed map
};

using LinearTables = std::vector<std::shared_ptr<const LinearTable>>;  // of the last dimensions; null: left as it is
// Recorded under the given name; the gradient is the transposed map.
Tensor linear_map(const Tensor& x, const LinearTables& tables, const char* node_name);

}  // namespace fg
