// Batches of small real matrices, columns contiguous: all of a batch at once, for the kinds of which cuSOLVER takes one
// matrix after another. Arguments as LinalgArgs has them.
#pragma once
#include "core/backend.h"

namespace fg::cuda {
bool is_small_batch(const LinalgArgs& args);  // qr, reflected and svd that these take
void small_batch(const LinalgArgs& args);
}  // namespace fg::cuda
