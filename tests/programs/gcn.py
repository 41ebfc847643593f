"""A graph convolutional network on two communities, semi-supervised, with a dense normalised adjacency."""
import torch
import torch.nn as nn
import torch.nn.functional as F


def two_communities(size=20):
    n = 2 * size
    labels = torch.arange(n) // size
    same = labels[:, None] == labels[None, :]
    probability = torch.where(same, torch.tensor(0.3), torch.tensor(0.03))
    upper = torch.bernoulli(probability).triu(diagonal=1)
    return upper + upper.t(), labels


def normalise(adjacency):
    a = adjacency + torch.eye(adjacency.size(0))
    d = a.sum(1).pow(-0.5)
    d[torch.isinf(d)] = 0.0
    return d[:, None] * a * d[None, :]


class GraphConvolution(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.weight = nn.Parameter(torch.FloatTensor(in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.reset_parameters()

    def reset_parameters(self):
        stdv = 1.0 / self.weight.size(1) ** 0.5
        self.weight.data.uniform_(-stdv, stdv)

    def forward(self, x, adj):
        return torch.mm(adj, torch.mm(x, self.weight)) + self.bias


class GCN(nn.Module):
    def __init__(self, features, hidden, classes, dropout=0.3):
        super().__init__()
        self.gc1 = GraphConvolution(features, hidden)
        self.gc2 = GraphConvolution(hidden, classes)
        self.dropout = dropout

    def forward(self, x, adj):
        x = F.relu(self.gc1(x, adj))
        x = F.dropout(x, self.dropout, training=self.training)
        return F.log_softmax(self.gc2(x, adj), dim=1)


torch.manual_seed(42)
adjacency, labels = two_communities()
adj = normalise(adjacency)
features = torch.eye(adj.size(0))
known = torch.tensor([0, 1, 20, 21])
model = GCN(features.size(1), 8, 2)
optimizer = torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=5e-4)
for epoch in range(20):
    model.train()
    optimizer.zero_grad()
    output = model(features, adj)
    loss = F.nll_loss(output[known], labels[known])
    loss.backward()
    optimizer.step()
    model.eval()
    with torch.no_grad():
        right = model(features, adj).max(1)[1].eq(labels).double().mean()
    print(f"epoch {epoch:2d} loss {loss.item():.6f} accuracy {right.item():.3f}")
