"""Bayesian linear regression by variational inference: distributions, reparametrised samples, KL divergences."""
import torch
import torch.nn as nn
from torch.distributions import Independent, LogNormal, MultivariateNormal, Normal, kl_divergence


class Posterior(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(features))
        self.log_scale = nn.Parameter(torch.full((features,), -1.0))
        self.noise_mean = nn.Parameter(torch.tensor(0.0))
        self.noise_scale = nn.Parameter(torch.tensor(-1.0))

    def weights(self):
        return Independent(Normal(self.mean, self.log_scale.exp()), 1)

    def noise(self):
        return LogNormal(self.noise_mean, self.noise_scale.exp())

    def elbo(self, x, y, samples=4):
        prior = Independent(Normal(torch.zeros_like(self.mean), torch.ones_like(self.mean)), 1)
        w, sigma = self.weights().rsample((samples,)), self.noise().rsample((samples,))
        likelihood = Normal(w @ x.t(), sigma[:, None]).log_prob(y).sum(-1).mean()
        noise_kl = (self.noise().log_prob(sigma) - LogNormal(-1.0, 1.0).log_prob(sigma)).mean()
        return likelihood - kl_divergence(self.weights(), prior) - noise_kl


torch.manual_seed(0)
truth = torch.tensor([1.5, -2.0, 0.5])
x = torch.randn(40, 3)
y = x @ truth + 0.3 * torch.randn(40)
posterior = Posterior(3)
optimizer = torch.optim.Adam(posterior.parameters(), lr=0.05)
for step in range(20):
    loss = -posterior.elbo(x, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{step:2d} {loss.item() / len(x):.6f} {posterior.noise().mean.item():.5f}")
precision = torch.eye(3) + x.t() @ x / 0.3 ** 2
exact = MultivariateNormal(torch.linalg.solve(precision, x.t() @ y / 0.3 ** 2), precision_matrix=precision)
print(" ".join(f"{v:.4f}" for v in exact.mean.tolist()), f"{exact.entropy().item():.4f}")
