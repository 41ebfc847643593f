"""A modern Hopfield network stores patterns in an energy; memories and inverse temperature are learned."""
import torch
import torch.nn as nn


class Hopfield(nn.Module):
    def __init__(self, count, size):
        super().__init__()
        self.patterns = nn.Parameter(0.3 * torch.randn(count, size))
        self.log_beta = nn.Parameter(torch.tensor(0.5))

    def energy(self, state):
        beta = self.log_beta.exp()
        return -torch.logsumexp(beta * state @ self.patterns.T, dim=-1) / beta + 0.5 * (state ** 2).sum(-1)

    def descend(self, state, steps=3, rate=0.5):
        """Follows the gradient of the energy; the result can be differentiated with respect to the patterns."""
        for _ in range(steps):
            state = state.detach().requires_grad_() if not state.requires_grad else state
            slope, = torch.autograd.grad(self.energy(state).sum(), state, create_graph=True)
            state = state - rate * slope
        return state


torch.manual_seed(4)
stored = torch.sign(torch.randn(5, 16))
model = Hopfield(8, 16)
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
for step in range(20):
    rows = torch.arange(20) % 5
    corrupted = stored[rows] * torch.where(torch.rand(20, 16) < 0.15, -1.0, 1.0)
    restored = model.descend(corrupted)
    loss = (restored - stored[rows]).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{step:2d} loss {loss.item():.6f} beta {model.log_beta.exp().item():.5f}")
with torch.no_grad():
    print("energy", f"{model.energy(stored).mean().item():.5f}")
