"""A physics-informed network solves the heat equation: first and second derivatives by autograd."""
import math

import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, width), nn.Linear(width, width), nn.Linear(width, 1)])
        for layer in self.layers:
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x, t):
        h = torch.cat([x, t], dim=1)
        for layer in self.layers[:-1]:
            h = torch.tanh(layer(h))
        return self.layers[-1](h)


def derivative(y, x):
    return torch.autograd.grad(y, x, torch.ones_like(y), retain_graph=True, create_graph=True)[0]


def residual(net, x, t, alpha=0.1):
    x, t = x.requires_grad_(True), t.requires_grad_(True)
    u = net(x, t)
    u_t = derivative(u, t)
    u_xx = derivative(derivative(u, x), x)
    return u_t - alpha * u_xx


torch.manual_seed(1234)
net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
x0 = torch.linspace(0, 1, 21).view(-1, 1)
initial = torch.sin(math.pi * x0)
for step in range(20):
    optimizer.zero_grad()
    inside = residual(net, torch.rand(40, 1), torch.rand(40, 1)).pow(2).mean()
    start = (net(x0, torch.zeros_like(x0)) - initial).pow(2).mean()
    t = torch.rand(20, 1)
    walls = net(torch.zeros_like(t), t).pow(2).mean() + net(torch.ones_like(t), t).pow(2).mean()
    loss = inside + start + walls
    loss.backward()
    optimizer.step()
    print(f"{step:2d} pde {inside.item():.6f} start {start.item():.6f} walls {walls.item():.6f}")
