"""Denoising diffusion on points of the plane: noise schedule, time embedding, training and ancestral sampling."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

T = 30


def time_embedding(t, width=16):
    half = width // 2
    frequency = torch.exp(-math.log(10000) * torch.arange(half) / (half - 1))
    angle = t[:, None].float() * frequency[None]
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class Denoiser(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.inputs = nn.Linear(2, hidden)
        self.time = nn.Sequential(nn.Linear(16, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.body = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 2))

    def forward(self, x, t):
        return self.body(self.inputs(x) + self.time(time_embedding(t)))


class Schedule:
    def __init__(self):
        self.betas = torch.linspace(1e-3, 0.15, T)
        self.alphas = 1.0 - self.betas
        self.products = torch.cumprod(self.alphas, dim=0)
        previous = F.pad(self.products[:-1], (1, 0), value=1.0)
        self.variance = self.betas * (1.0 - previous) / (1.0 - self.products)

    def noisy(self, x, t, noise):
        product = self.products.gather(0, t)[:, None]
        return product.sqrt() * x + (1 - product).sqrt() * noise

    @torch.no_grad()
    def sample(self, model, count):
        x = torch.randn(count, 2)
        for i in reversed(range(T)):
            t = torch.full((count,), i, dtype=torch.long)
            mean = (x - self.betas[i] / (1 - self.products[i]).sqrt() * model(x, t)) / self.alphas[i].sqrt()
            x = mean + (self.variance[i].sqrt() * torch.randn_like(x) if i else 0)
        return x


torch.manual_seed(99)
schedule, model = Schedule(), Denoiser()
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
for step in range(20):
    angle = 2 * math.pi * torch.rand(64)
    x = torch.stack((angle.cos(), angle.sin()), dim=1)
    t = torch.randint(0, T, (64,))
    noise = torch.randn_like(x)
    loss = F.mse_loss(model(schedule.noisy(x, t, noise), t), noise)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{step}: {loss.item():.6f}")
print(f"radius {schedule.sample(model, 20).norm(dim=1).mean().item():.4f}")
