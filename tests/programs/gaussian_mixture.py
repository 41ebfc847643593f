"""A mixture of Gaussians by gradient ascent on the log-likelihood, in double precision."""
import math

import torch
from torch import nn


class GaussianMixture(nn.Module):
    def __init__(self, components, dim):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components, dtype=torch.double))
        self.means = nn.Parameter(torch.randn(components, dim, dtype=torch.double))
        self.lower = nn.Parameter(torch.eye(dim, dtype=torch.double).repeat(components, 1, 1))

    def log_prob(self, x):                                       # x: (N, D)
        scale = self.lower.tril(-1) + torch.diag_embed(self.lower.diagonal(dim1=-2, dim2=-1).exp())
        difference = x[:, None, :] - self.means                  # (N, K, D)
        white = torch.einsum("kij,nkj->nki", scale, difference)
        log_det = self.lower.diagonal(dim1=-2, dim2=-1).sum(-1)
        gauss = log_det - 0.5 * (white ** 2).sum(-1) - 0.5 * x.size(1) * math.log(2 * math.pi)
        return torch.logsumexp(self.logits.log_softmax(0) + gauss, dim=1)

    @torch.no_grad()
    def responsibilities(self, x):
        distance = torch.cdist(x, self.means)
        return distance.argmin(dim=1).bincount(minlength=len(self.means))


torch.manual_seed(0)
centres = torch.tensor([[0.0, 3.0], [3.0, -1.0], [-3.0, -1.0]], dtype=torch.double)
data = torch.cat([c + 0.6 * torch.randn(40, 2, dtype=torch.double) for c in centres])
model = GaussianMixture(3, 2)
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
for step in range(20):
    loss = -model.log_prob(data).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    weights = model.logits.softmax(0)
    print(f"{step:2d} {loss.item():.8f} {weights.max().item():.6f}")
print(model.responsibilities(data).tolist())
