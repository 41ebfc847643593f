"""Graph attention with edge lists: scatter softmax over the neighbours of each node."""
import torch
import torch.nn as nn
import torch.nn.functional as F


def scatter_softmax(scores, index, count):
    """Softmax of the scores (E, H) over the edges that end in the same node."""
    highest = torch.full((count, scores.size(1)), float("-inf"))
    highest = highest.scatter_reduce(0, index[:, None].expand_as(scores), scores.detach(), reduce="amax")
    weights = (scores - highest[index]).exp()
    total = torch.zeros(count, scores.size(1)).index_add_(0, index, weights)
    return weights / (total[index] + 1e-16)


class GraphAttention(nn.Module):
    def __init__(self, inputs, outputs, heads):
        super().__init__()
        self.heads, self.outputs = heads, outputs
        self.project = nn.Linear(inputs, heads * outputs, bias=False)
        self.source = nn.Parameter(torch.empty(1, heads, outputs))
        self.target = nn.Parameter(torch.empty(1, heads, outputs))
        for p in (self.source, self.target):
            nn.init.xavier_normal_(p)

    def forward(self, x, edges):
        source, target = edges
        h = self.project(x).view(-1, self.heads, self.outputs)
        scores = (h * self.source).sum(-1)[source] + (h * self.target).sum(-1)[target]
        weights = scatter_softmax(F.leaky_relu(scores, 0.2), target, len(x))
        out = torch.zeros(len(x), self.heads, self.outputs)
        out = out.index_add(0, target, h[source] * weights.unsqueeze(-1))
        return out.mean(dim=1)


class GAT(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = GraphAttention(6, 8, heads=3)
        self.second = GraphAttention(8, 3, heads=2)

    def forward(self, x, edges):
        return self.second(F.elu(self.first(x, edges)), edges)


torch.manual_seed(21)
nodes, count = 30, 90
edges = torch.randint(0, nodes, (2, count))
edges = torch.cat([edges, edges.flip(0), torch.arange(nodes).repeat(2, 1)], dim=1)
labels = torch.randint(0, 3, (nodes,))
features = F.one_hot(labels, 6).float() + 0.5 * torch.randn(nodes, 6)
model = GAT()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for step in range(20):
    loss = F.cross_entropy(model(features, edges), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step:2d} loss {loss.item():.5f}")
