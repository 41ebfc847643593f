"""Skip-gram word vectors with negative sampling."""
from collections import Counter

import torch
import torch.nn as nn
import torch.nn.functional as F

TEXT = ("we are about to study the idea of a process that computes a process evolves and works on data people make "
        "programs that direct the process and data and programs make the process").split()


class SkipGram(nn.Module):
    def __init__(self, vocabulary, width):
        super().__init__()
        self.centre = nn.Embedding(vocabulary, width)
        self.context = nn.Embedding(vocabulary, width)
        self.centre.weight.data.uniform_(-0.5 / width, 0.5 / width)
        self.context.weight.data.zero_()

    def forward(self, words, contexts, negatives):
        v = self.centre(words)                                     # (B, D)
        positive = F.logsigmoid((v * self.context(contexts)).sum(1))
        negative = F.logsigmoid(-torch.bmm(self.context(negatives), v.unsqueeze(2)).squeeze(2)).sum(1)
        return -(positive + negative).mean()


torch.manual_seed(1)
counts = Counter(TEXT)
index = {word: i for i, word in enumerate(sorted(counts))}
pairs = torch.tensor([(index[TEXT[i]], index[TEXT[j]]) for i in range(len(TEXT))
                      for j in range(max(0, i - 2), min(len(TEXT), i + 3)) if i != j])
frequency = torch.tensor([counts[w] for w in sorted(counts)], dtype=torch.float).pow(0.75)
model = SkipGram(len(index), 8)
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for epoch in range(20):
    order = torch.randperm(len(pairs))
    total = 0.0
    for batch in pairs[order].split(64):
        negatives = torch.multinomial(frequency, len(batch) * 4, replacement=True).view(-1, 4)
        loss = model(batch[:, 0], batch[:, 1], negatives)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    print(f"epoch {epoch} loss {total / len(pairs):.5f}")
vectors = F.normalize(model.centre.weight.detach(), dim=1)
similarity = vectors @ vectors[index["process"]]
print(f"{similarity.topk(3).values.sum().item():.4f}")
