// Draws by rejection (gamma, Dirichlet, Poisson, binomial) and how they move with their parameters.
#pragma once
#include "ops/random.h"

namespace fg {

Tensor poisson(const Tensor& rate, Generator* generator);
Tensor binomial(const Tensor& count, const Tensor& prob, Generator* generator);  // shapes and dtypes alike
Tensor standard_gamma(const Tensor& alpha, Generator* generator);
Tensor sample_dirichlet(const Tensor& alpha, Generator* generator);  // over the last dimension
Tensor standard_gamma_grad(const Tensor& alpha, const Tensor& x);
Tensor dirichlet_grad(const Tensor& x, const Tensor& alpha, const Tensor& total);

}  // namespace fg
