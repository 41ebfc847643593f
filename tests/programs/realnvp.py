"""A normalizing flow of affine coupling layers (RealNVP) by maximum likelihood."""
import math

import torch
import torch.nn as nn


class Coupling(nn.Module):
    def __init__(self, mask, hidden=16):
        super().__init__()
        self.register_buffer("mask", mask)
        self.scale = nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 2), nn.Tanh())
        self.shift = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, 2))

    def forward(self, x):
        kept = x * self.mask
        s, t = self.scale(kept) * (1 - self.mask), self.shift(kept) * (1 - self.mask)
        return kept + (1 - self.mask) * (x * s.exp() + t), s.sum(dim=1)

    def inverse(self, y):
        kept = y * self.mask
        s, t = self.scale(kept) * (1 - self.mask), self.shift(kept) * (1 - self.mask)
        return kept + (1 - self.mask) * (y - t) * (-s).exp()


class RealNVP(nn.Module):
    def __init__(self, layers=4):
        super().__init__()
        masks = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])]
        self.layers = nn.ModuleList([Coupling(masks[i % 2]) for i in range(layers)])

    def log_prob(self, x):
        total = torch.zeros(len(x))
        for layer in self.layers:
            x, log_det = layer(x)
            total = total + log_det
        return total - 0.5 * (x ** 2).sum(1) - math.log(2 * math.pi)

    @torch.no_grad()
    def sample(self, count):
        z = torch.randn(count, 2)
        for layer in reversed(self.layers):
            z = layer.inverse(z)
        return z


torch.manual_seed(12)
flow = RealNVP()
optimizer = torch.optim.Adam(flow.parameters(), lr=5e-3)
noise = torch.randn(128, 2)
data = torch.stack([noise[:, 0], 0.5 * noise[:, 0] ** 2 + 0.3 * noise[:, 1]], dim=1)
for step in range(20):
    loss = -flow.log_prob(data).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{step:2d} nll {loss.item():.6f}")
x = flow.sample(50)
y, restored = x, x
for layer in flow.layers:
    y = layer(y)[0]
for layer in list(flow.layers)[::-1]:
    y = layer.inverse(y)
print("inverse", bool(torch.allclose(y, restored, atol=1e-4)), f"{x.mean().item():.4f}")
