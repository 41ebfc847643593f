"""A neural ordinary differential equation fits a spiral by Runge-Kutta, with gradients through the solver."""
import torch
import torch.nn as nn


class Derivative(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 2))
        for m in self.net.modules():
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, mean=0, std=0.1)
                nn.init.constant_(m.bias, val=0)

    def forward(self, t, y):
        return self.net(y ** 3)


def rk4(f, y0, times):
    ys, y = [y0], y0
    for t0, t1 in zip(times[:-1], times[1:]):
        h = t1 - t0
        k1 = f(t0, y)
        k2 = f(t0 + h / 2, y + h / 2 * k1)
        k3 = f(t0 + h / 2, y + h / 2 * k2)
        k4 = f(t1, y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        ys.append(y)
    return torch.stack(ys)


class Spiral(nn.Module):
    matrix = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])

    def forward(self, t, y):
        return torch.mm(y ** 3, self.matrix)


torch.manual_seed(0)
times = torch.linspace(0.0, 1.5, 16)
start = torch.tensor([[2.0, 0.0]])
with torch.no_grad():
    truth = rk4(Spiral(), start, torch.linspace(0.0, 1.5, 151))[::10]
func = Derivative()
optimizer = torch.optim.RMSprop(func.parameters(), lr=1e-3)
for step in range(20):
    optimizer.zero_grad()
    first = torch.randint(0, 11, (4,))
    y0 = truth[first, 0]
    target = torch.stack([truth[first + i, 0] for i in range(5)])
    prediction = rk4(func, y0, times[:5])
    loss = torch.mean(torch.abs(prediction - target))
    loss.backward()
    optimizer.step()
    print(f"iter {step:04d} | loss {loss.item():.6f}")
