"""Connectionist temporal classification: a small recurrent net reads noisy symbols of unknown alignment."""
import torch
import torch.nn as nn


class Reader(nn.Module):
    def __init__(self, features=6, hidden=16, classes=5):
        super().__init__()
        self.rnn = nn.LSTM(features, hidden, bidirectional=True)
        self.out = nn.Linear(2 * hidden, classes)

    def forward(self, x):                                        # (T, B, F)
        return self.out(self.rnn(x)[0]).log_softmax(2)


def batch_of(count, frames=12):
    targets, lengths = [], torch.randint(2, 5, (count,))
    x = 0.3 * torch.randn(frames, count, 6)
    for i, length in enumerate(lengths.tolist()):
        symbols = torch.randint(1, 5, (length,))
        for k, symbol in enumerate(symbols.tolist()):
            x[3 * k:3 * k + 2, i, symbol] += 1.0
        targets.append(symbols)
    return x, torch.cat(targets), lengths


def greedy(log_probs):
    """The best path of the first sequence, repetitions and blanks removed."""
    path = log_probs[:, 0].argmax(-1)
    path = torch.unique_consecutive(path)
    return path[path != 0].tolist()


torch.manual_seed(31)
model = Reader()
criterion = nn.CTCLoss(blank=0, zero_infinity=True)
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
x, targets, target_lengths = batch_of(8)
input_lengths = torch.full((8,), x.size(0), dtype=torch.long)
for step in range(20):
    log_probs = model(x)
    loss = criterion(log_probs, targets, input_lengths, target_lengths)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    print(f"step {step} ctc {loss.item():.5f} longest {len(greedy(log_probs))}")
