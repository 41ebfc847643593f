"""A sequence-to-sequence model with attention learns to reverse digits, with teacher forcing."""
import random

import torch
import torch.nn as nn
import torch.nn.functional as F

START, VOCABULARY, LENGTH, HIDDEN = 0, 8, 5, 16


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, HIDDEN)
        self.gru = nn.GRU(HIDDEN, HIDDEN)

    def forward(self, source):                                  # (T, B)
        return self.gru(self.embedding(source))


class AttentionDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, HIDDEN)
        self.query = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.combine = nn.Linear(2 * HIDDEN, HIDDEN)
        self.gru = nn.GRUCell(HIDDEN, HIDDEN)
        self.out = nn.Linear(HIDDEN, VOCABULARY)

    def forward(self, token, hidden, memory):                   # (B,), (B, H), (T, B, H)
        scores = torch.bmm(memory.transpose(0, 1), self.query(hidden).unsqueeze(2)).squeeze(2)
        weights = F.softmax(scores, dim=1)
        context = torch.bmm(weights.unsqueeze(1), memory.transpose(0, 1)).squeeze(1)
        step = F.relu(self.combine(torch.cat((self.embedding(token), context), 1)))
        hidden = self.gru(step, hidden)
        return F.log_softmax(self.out(hidden), dim=1), hidden, weights


torch.manual_seed(2)
random.seed(2)
encoder, decoder = Encoder(), AttentionDecoder()
optimizers = [torch.optim.Adam(m.parameters(), lr=0.01) for m in (encoder, decoder)]
criterion = nn.NLLLoss()
for step in range(20):
    source = torch.randint(1, VOCABULARY, (LENGTH, 8))
    target = source.flip(0)
    for optimizer in optimizers:
        optimizer.zero_grad()
    memory, hidden = encoder(source)
    hidden, token = hidden[0], torch.full((8,), START)
    loss, forced = 0, random.random() < 0.5
    for t in range(LENGTH):
        output, hidden, weights = decoder(token, hidden, memory)
        loss = loss + criterion(output, target[t])
        token = target[t] if forced else output.topk(1)[1].squeeze(1).detach()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    print(f"{step} {loss.item() / LENGTH:.5f} {weights[0].max().item():.4f}")
