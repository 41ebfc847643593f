// Layers of recurrent networks, forward and backward, for a Function in Python to record.
#pragma once
#include "ops/ops.h"

namespace fg {

// Whether the functions below can take tensors like x: there is a kernel, and no mode asks for recorded ops.
bool rnn_usable(const Tensor& x);

// gates: (T, B, gates * H), overwritten; h0, c0: (B, H); weight: (gates * H, H); bias: of the GRU's product.
// Returns the states h (T + 1, B, H), c of the LSTM, and what the GRU keeps beside.
std::vector<Tensor> rnn_forward(Rnn kind, const Tensor& gates, const Tensor& h0, const Tensor& c0, const Tensor& weight,
                                const Tensor& bias, bool reverse);

// Gradients of output, last h and last c, any of them undefined, to those of the product with the hidden state, of the
// GRU's new gate in the product with the input (its other gates, and all of the other networks, have one gradient for
// both products), of h0, c0 and weight. overwrite: gates and kept are not read again, and may hold results.
std::vector<Tensor> rnn_backward(Rnn kind, const Tensor& gates, const Tensor& h, const Tensor& c, const Tensor& kept,
                                 const Tensor& weight, const Tensor& g_out, const Tensor& g_h, const Tensor& g_c,
                                 bool reverse, bool overwrite);

}  // namespace fg
