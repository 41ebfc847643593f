// Where the elements of an indexing op lie, and the two kernels that do the work (gather, scatter of backend.h).
// Shared by gather.cpp, index_rows.cpp, mask.cpp and index.cpp.
#pragma once
#include "ops/ops.h"

namespace fg {

// Where each element of the result of an indexing op comes from: result dims in logical order.
struct IndexPlan {
  DimArray sizes;
  Tensor index;            // int64
  DimArray index_strides;  // over sizes
  DimArray place_strides;  // of the indexed tensor over sizes (0 along index dims)
  int64_t size, stride;    // of the indexed dimension
  int dim;                 // for error texts
  bool no_wrap = false;    // only advanced indexing counts negative indices from the end
  ErrorKind kind =
      ErrorKind::Index;  // torch's class for an index out of range: RuntimeError for gather and those that write
};

[[noreturn]] void bad_index(const char* op, int64_t bad, int dim, int64_t size, ErrorKind kind = ErrorKind::Index);
Tensor as_index(const Tensor& t, const char* op);  // int64, checked
void check_index_device(const Tensor& t, const Tensor& other, const char* op);
void check_same_dtype(const Tensor& t, const Tensor& source, const char* op);

Tensor take(const Tensor& t, const IndexPlan& plan, const char* op);                                   // gather
void put(const Tensor& t, const IndexPlan& plan, const Tensor& source, Scatter mode, const char* op);  // scatter

// mask.cpp
Tensor flat_nonzero(const Tensor& mask);                          // positions of true elements in logical order
std::vector<Tensor> coordinates(const Tensor& flat, Dims sizes);  // of flat positions, one tensor a dimension

}  // namespace fg
