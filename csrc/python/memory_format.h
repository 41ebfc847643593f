// Orders of dimensions in memory that functions take as memory_format=.
#pragma once
#include "python/args.h"

namespace fg::py {

enum class Format { preserve, contiguous, channels_last, channels_last_3d };

Format format_of(const Call& c, int i, Format otherwise);  // TypeError for anything else
// The strides of dense tensors in that format; RuntimeError where channels_last does not fit the dimensions.
DimArray format_strides(const Tensor& t, Format format);
bool is_in_format(const Tensor& t, Format format);  // dimensions of size 1 do not count
Tensor in_format(const Tensor& t, Format format);   // t itself where its strides are these, else a copy, recorded

}  // namespace fg::py
