"""A bidirectional GRU classifies sequences of different lengths, packed."""
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence


def sequences(count):
    """Class 1 when the sequence has more ones than twos."""
    items, labels = [], []
    for _ in range(count):
        length = int(torch.randint(3, 9, (1,)))
        tokens = torch.randint(1, 4, (length,))
        items.append(tokens)
        labels.append(int((tokens == 1).sum() > (tokens == 2).sum()))
    return items, torch.tensor(labels)


class Classifier(nn.Module):
    def __init__(self, hidden=10):
        super().__init__()
        self.embedding = nn.Embedding(4, 6, padding_idx=0)
        self.gru = nn.GRU(6, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(4 * hidden, 2)

    def forward(self, tokens, lengths):
        packed = pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
        output, last = self.gru(packed)
        padded, sizes = pad_packed_sequence(output, batch_first=True)
        mask = torch.arange(padded.size(1))[None, :] < sizes[:, None]
        mean = (padded * mask.unsqueeze(-1)).sum(1) / sizes[:, None]
        return self.out(torch.cat([last[0], last[1], mean], dim=1))


torch.manual_seed(5)
items, labels = sequences(24)
lengths = torch.tensor([len(i) for i in items])
tokens = pad_sequence(items, batch_first=True)
model = Classifier()
optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01)
for step in range(20):
    loss = nn.functional.cross_entropy(model(tokens, lengths), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step} loss {loss.item():.5f}")
print("padding gradient", model.embedding.weight.grad[0].abs().sum().item())
