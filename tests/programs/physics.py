"""A differentiable simulation: the launch of a ball with drag and a spring chain are fitted through the time steps."""
import torch


def flight(velocity, drag, steps=40, dt=0.05):
    position, gravity = torch.zeros(2), torch.tensor([0.0, -9.81])
    for _ in range(steps):
        acceleration = gravity - drag * velocity.norm() * velocity
        velocity = velocity + dt * acceleration
        position = position + dt * velocity
    return position


class Chain:
    """Masses on a line joined by springs, semi-implicit Euler, energies recorded in place."""

    def __init__(self, stiffness, count=6):
        self.stiffness = stiffness
        self.rest = torch.arange(count, dtype=torch.float32)

    def simulate(self, push, steps=25, dt=0.05):
        x, v = self.rest.clone(), torch.zeros_like(self.rest)
        v = v.index_put((torch.tensor([0]),), push)
        energies = torch.zeros(steps)
        for i in range(steps):
            stretch = x[1:] - x[:-1] - 1
            force = torch.zeros_like(x)
            force[:-1] += self.stiffness * stretch
            force[1:] -= self.stiffness * stretch
            v = v + dt * force
            x = x + dt * v
            energies[i] = 0.5 * (v ** 2).sum() + 0.5 * (self.stiffness * stretch ** 2).sum()
        return x, energies


torch.manual_seed(0)
target = torch.tensor([6.0, 1.0])
velocity = torch.tensor([3.0, 8.0], requires_grad=True)
drag = torch.tensor(0.05, requires_grad=True)
optimizer = torch.optim.SGD([velocity, drag], lr=0.05, momentum=0.3)
for step in range(10):
    landing = flight(velocity, drag.clamp(min=0))
    loss = (landing - target).square().sum()
    optimizer.zero_grad()
    loss.backward()
    drag.grad.mul_(1e-4)
    optimizer.step()
    print(f"flight {step} {loss.item():.6f} {landing[0].item():.5f} {landing[1].item():.5f}")

stiffness = torch.full((5,), 4.0, requires_grad=True)
push = torch.tensor([1.0], requires_grad=True)
optimizer = torch.optim.Adam([stiffness, push], lr=0.1)
for step in range(10):
    x, energies = Chain(stiffness).simulate(push)
    loss = (x[-1] - 5.3) ** 2 + 0.01 * energies.mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"chain {step} {loss.item():.6f} {energies[-1].item():.6f}")
