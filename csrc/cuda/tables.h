// Every family of kernels puts its entries into the table; backend.cu calls them once.
#pragma once
#include "core/backend.h"

namespace fg {
struct CudaTable;
}

namespace fg::cuda {
#define FG_CUDA_FAMILIES(X)  \
  X(memory)                  \
  X(elementwise_unary)       \
  X(elementwise_binary)      \
  X(elementwise_grad_unary)  \
  X(elementwise_grad_binary) \
  X(copy)                    \
  X(reduce)                  \
  X(rows)                    \
  X(norm)                    \
  X(matmul)                  \
  X(index)                   \
  X(random)                  \
  X(optim)                   \
  X(conv)                    \
  X(pool)                    \
  X(pad)                     \
  X(batch_norm)              \
  X(order)                   \
  X(draw)                    \
  X(complex)                 \
  X(library)                 \
  X(fft)                     \
  X(linalg)                  \
  X(attention)               \
  X(images)                  \
  X(pairs)                   \
  X(rnn)
#define X(family) void fill_##family(Backend& table);
FG_CUDA_FAMILIES(X)
#undef X
void fill_optim_counted(CudaTable& table);
void fill_pinned(CudaTable& table);
void fill_events(CudaTable& table);
void fill_memory(CudaTable& table);
void fill_matmul_switch(CudaTable& table);
}  // namespace fg::cuda
