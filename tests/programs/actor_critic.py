"""REINFORCE with a learned baseline on a contextual bandit, actions from Categorical."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import Categorical


class Policy(nn.Module):
    def __init__(self, contexts=4, actions=3):
        super().__init__()
        self.affine = nn.Linear(contexts, 16)
        self.action_head = nn.Linear(16, actions)
        self.value_head = nn.Linear(16, 1)

    def forward(self, x):
        x = F.relu(self.affine(x))
        return F.softmax(self.action_head(x), dim=-1), self.value_head(x).squeeze(-1)


def reward_of(context, action):
    return (action == context.argmax(-1) % 3).float() + 0.1 * torch.randn(len(action))


torch.manual_seed(543)
model = Policy()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for episode in range(20):
    context = F.one_hot(torch.randint(0, 4, (32,)), 4).float()
    probabilities, values = model(context)
    m = Categorical(probabilities)
    action = m.sample()
    reward = reward_of(context, action)
    advantage = reward - values.detach()
    policy_loss = -(m.log_prob(action) * advantage).mean()
    value_loss = F.smooth_l1_loss(values, reward)
    entropy = m.entropy().mean()
    loss = policy_loss + value_loss - 0.01 * entropy
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"episode {episode} reward {reward.mean().item():.5f} loss {loss.item():.5f} entropy {entropy.item():.5f}")
with torch.no_grad():
    best = model(torch.eye(4))[0].argmax(-1)
print("actions", best.shape[0])
