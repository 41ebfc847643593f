"""Ratings by matrix factorisation with biases, minibatches from a DataLoader, and sparse-like lookups by embedding."""
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class MatrixFactorization(nn.Module):
    def __init__(self, users, items, factors=4):
        super().__init__()
        self.user_factors = nn.Embedding(users, factors)
        self.item_factors = nn.Embedding(items, factors)
        self.user_biases = nn.Embedding(users, 1)
        self.item_biases = nn.Embedding(items, 1)
        self.mean = nn.Parameter(torch.tensor(3.0))
        for embedding in (self.user_biases, self.item_biases):
            nn.init.zeros_(embedding.weight)

    def forward(self, user, item):
        dot = (self.user_factors(user) * self.item_factors(item)).sum(1)
        return self.mean + dot + (self.user_biases(user) + self.item_biases(item)).squeeze()


torch.manual_seed(0)
users, items, count = 15, 20, 160
truth = torch.randn(users, 2) @ torch.randn(2, items) * 0.5 + 3
user, item = torch.randint(0, users, (count,)), torch.randint(0, items, (count,))
rating = truth[user, item] + 0.1 * torch.randn(count)
dataset = TensorDataset(user, item, rating)
train, test = random_split(dataset, [128, 32], generator=torch.Generator().manual_seed(5))
loader = DataLoader(train, batch_size=32, shuffle=True, generator=torch.Generator().manual_seed(6))
model = MatrixFactorization(users, items)
loss_func = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.3, weight_decay=1e-4)
for epoch in range(6):
    for u, i, r in loader:
        optimizer.zero_grad()
        loss = loss_func(model(u, i), r)
        loss.backward()
        optimizer.step()
        print(f"{epoch} {loss.item():.6f}")
with torch.no_grad():
    u, i, r = next(iter(DataLoader(test, batch_size=len(test))))
    print(f"test {loss_func(model(u, i), r).item():.6f}")
