"""A multi-layer perceptron learns the two moons."""
import math

import torch
import torch.nn as nn


def moons(count):
    angle = torch.rand(count) * math.pi
    upper = torch.stack([angle.cos(), angle.sin()], dim=1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], dim=1)
    points = torch.cat([upper, lower]) + 0.1 * torch.randn(2 * count, 2)
    labels = torch.cat([torch.zeros(count), torch.ones(count)]).long()
    return points, labels


class Net(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, width), nn.ReLU(),
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(width, 2),
        )

    def forward(self, x):
        return self.layers(x)


def accuracy(net, x, y):
    net.eval()
    with torch.no_grad():
        right = (net(x).argmax(dim=1) == y).float().mean()
    net.train()
    return right.item()


torch.manual_seed(1)
x, y = moons(100)
net = Net()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
print("parameters", sum(p.numel() for p in net.parameters()))
for step in range(20):
    optimizer.zero_grad()
    loss = criterion(net(x), y)
    loss.backward()
    optimizer.step()
    print(f"step {step:2d} loss {loss.item():.6f}")
print(f"accuracy {accuracy(net, x, y):.4f}")
