"""Proximal policy optimisation for a continuous action: Gaussian policy, GAE, clipped updates in minibatches."""
import torch
import torch.nn as nn
from torch.distributions import Normal


class ActorCritic(nn.Module):
    def __init__(self, observations=3, hidden=16):
        super().__init__()
        self.critic = nn.Sequential(self.layer(observations, hidden), nn.Tanh(), self.layer(hidden, 1, std=1.0))
        self.actor = nn.Sequential(self.layer(observations, hidden), nn.Tanh(), self.layer(hidden, 1, std=0.01))
        self.log_std = nn.Parameter(torch.zeros(1, 1))

    @staticmethod
    def layer(inputs, outputs, std=2 ** 0.5):
        linear = nn.Linear(inputs, outputs)
        torch.nn.init.orthogonal_(linear.weight, std)
        torch.nn.init.constant_(linear.bias, 0.0)
        return linear

    def act(self, x, action=None):
        mean = self.actor(x)
        policy = Normal(mean, self.log_std.expand_as(mean).exp())
        if action is None:
            action = policy.sample()
        return action, policy.log_prob(action).sum(1), policy.entropy().sum(1), self.critic(x).squeeze(1)


def rollout(agent, steps):
    state = torch.randn(1, 3)
    rows = []
    for _ in range(steps):
        with torch.no_grad():
            action, logprob, _, value = agent.act(state)
        reward = -(state[0, 0] + action[0, 0]).abs()
        rows.append((state, action, logprob, value, reward.view(1)))
        state = 0.9 * state + 0.1 * torch.randn(1, 3)
    return [torch.cat(column) for column in zip(*rows)]


def advantages_of(rewards, values, gamma=0.95, lam=0.9):
    out, last = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        following = values[t + 1] if t + 1 < len(values) else 0.0
        delta = rewards[t] + gamma * following - values[t]
        out[t] = last = delta + gamma * lam * last
    return out


torch.manual_seed(1)
agent = ActorCritic()
optimizer = torch.optim.Adam(agent.parameters(), lr=3e-3, eps=1e-5)
for update in range(5):
    states, actions, logprobs, values, rewards = rollout(agent, 32)
    advantages = advantages_of(rewards, values)
    returns = advantages + values
    for epoch in range(2):
        for rows in torch.randperm(32).chunk(2):
            _, newlogprob, entropy, newvalue = agent.act(states[rows], actions[rows])
            ratio = (newlogprob - logprobs[rows]).exp()
            adv = advantages[rows]
            adv = (adv - adv.mean()) / (adv.std() + 1e-8)
            policy_loss = torch.max(-adv * ratio, -adv * torch.clamp(ratio, 0.8, 1.2)).mean()
            value_loss = 0.5 * ((newvalue - returns[rows]) ** 2).mean()
            loss = policy_loss - 0.01 * entropy.mean() + 0.5 * value_loss
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()
            print(f"{update}.{epoch} policy {policy_loss.item():.5f} value {value_loss.item():.5f}")
