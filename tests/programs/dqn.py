"""Deep Q-learning on a corridor: replay memory, target network, epsilon-greedy actions."""
import random
from collections import deque, namedtuple

import torch
import torch.nn as nn
import torch.nn.functional as F

Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))
LENGTH, GAMMA = 6, 0.9


class Corridor:
    """Walk right to the end for a reward; left costs a step."""

    def reset(self):
        self.place, self.steps = 0, 0
        return self.observe()

    def observe(self):
        return F.one_hot(torch.tensor(self.place), LENGTH).float().unsqueeze(0)

    def step(self, action):
        self.steps += 1
        self.place = max(0, min(LENGTH - 1, self.place + (1 if action == 1 else -1)))
        done = self.place == LENGTH - 1
        return self.observe(), 1.0 if done else -0.05, done or self.steps > 20


class DQN(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1, self.layer2 = nn.Linear(LENGTH, 16), nn.Linear(16, 2)

    def forward(self, x):
        return self.layer2(F.relu(self.layer1(x)))


def optimize(memory, policy, target, optimizer, batch_size=16):
    if len(memory) < batch_size:
        return None
    batch = Transition(*zip(*random.sample(memory, batch_size)))
    alive = torch.tensor([s is not None for s in batch.next_state], dtype=torch.bool)
    values = policy(torch.cat(batch.state)).gather(1, torch.cat(batch.action))
    next_values = torch.zeros(batch_size)
    if alive.any():
        with torch.no_grad():
            next_values[alive] = target(torch.cat([s for s in batch.next_state if s is not None])).max(1).values
    expected = next_values * GAMMA + torch.cat(batch.reward)
    loss = nn.SmoothL1Loss()(values, expected.unsqueeze(1))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(policy.parameters(), 100)
    optimizer.step()
    return loss.item()


random.seed(0)
torch.manual_seed(0)
policy, target = DQN(), DQN()
target.load_state_dict(policy.state_dict())
optimizer = torch.optim.AdamW(policy.parameters(), lr=3e-3, amsgrad=True)
memory, env = deque(maxlen=200), Corridor()
for episode in range(20):
    state, total, done, losses = env.reset(), 0.0, False, []
    while not done:
        if random.random() < max(0.1, 0.9 - 0.05 * episode):
            action = torch.tensor([[random.randrange(2)]], dtype=torch.long)
        else:
            with torch.no_grad():
                action = policy(state).max(1)[1].view(1, 1)
        following, reward, done = env.step(action.item())
        memory.append(Transition(state, action, None if done else following, torch.tensor([reward])))
        state, total = following, total + reward
        losses.append(optimize(memory, policy, target, optimizer))
        weights = target.state_dict()
        for key, value in policy.state_dict().items():
            weights[key] = value * 0.05 + weights[key] * 0.95
        target.load_state_dict(weights)
    print(f"episode {episode} return {total:.3f} loss {losses[-1] or 0:.6f}")
