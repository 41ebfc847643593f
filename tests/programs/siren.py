"""A network of sines represents a signal and is fitted by its gradient, which needs second derivatives."""
import math

import torch
from torch import nn


class SineLayer(nn.Module):
    def __init__(self, in_features, out_features, first=False, omega=10.0):
        super().__init__()
        self.omega = omega
        self.linear = nn.Linear(in_features, out_features)
        with torch.no_grad():
            bound = 1 / in_features if first else math.sqrt(6 / in_features) / omega
            self.linear.weight.uniform_(-bound, bound)

    def forward(self, x):
        return torch.sin(self.omega * self.linear(x))


class Siren(nn.Module):
    def __init__(self, hidden=20):
        super().__init__()
        self.net = nn.Sequential(SineLayer(1, hidden, first=True), SineLayer(hidden, hidden), nn.Linear(hidden, 1))

    def forward(self, coords):
        coords = coords.clone().detach().requires_grad_(True)
        return self.net(coords), coords


def gradient(y, x):
    return torch.autograd.grad(y, [x], grad_outputs=torch.ones_like(y), create_graph=True)[0]


torch.manual_seed(0)
points = torch.linspace(-1, 1, 40).unsqueeze(1)
slope = 2 * torch.cos(2 * points) + 0.5 * points
siren = Siren()
optimizer = torch.optim.Adam(lr=1e-3, params=siren.parameters())
for step in range(20):
    output, coords = siren(points)
    found = gradient(output, coords)
    loss = ((found - slope) ** 2).mean() + 0.1 * output[20].pow(2).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step}, loss {loss.item():.6f}")
output, coords = siren(points)
curvature = gradient(gradient(output, coords), coords)
print(f"curvature {curvature.abs().mean().item():.4f}")
