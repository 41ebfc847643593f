"""An encoder-decoder transformer copies and shifts short sequences; masks and positional encoding as usual."""
import math

import torch
import torch.nn as nn


class PositionalEncoding(nn.Module):
    def __init__(self, width, longest=50):
        super().__init__()
        position = torch.arange(longest).unsqueeze(1)
        scale = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        table = torch.zeros(longest, 1, width)
        table[:, 0, 0::2] = torch.sin(position * scale)
        table[:, 0, 1::2] = torch.cos(position * scale)
        self.register_buffer("table", table)

    def forward(self, x):
        return x + self.table[: x.size(0)]


class Translator(nn.Module):
    def __init__(self, vocabulary=11, width=16):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = PositionalEncoding(width)
        self.transformer = nn.Transformer(width, nhead=2, num_encoder_layers=1, num_decoder_layers=1,
                                          dim_feedforward=32, dropout=0.0)
        self.generator = nn.Linear(width, vocabulary)
        self.width = width

    def embed(self, tokens):
        return self.position(self.embedding(tokens) * math.sqrt(self.width))

    def forward(self, source, target, source_padding):
        mask = nn.Transformer.generate_square_subsequent_mask(target.size(0))
        out = self.transformer(self.embed(source), self.embed(target), tgt_mask=mask,
                               src_key_padding_mask=source_padding, memory_key_padding_mask=source_padding)
        return self.generator(out)


torch.manual_seed(4)
model = Translator()
for p in model.parameters():
    if p.dim() > 1:
        nn.init.xavier_uniform_(p)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, betas=(0.9, 0.98), eps=1e-9)
criterion = nn.CrossEntropyLoss(ignore_index=0)
for step in range(20):
    source = torch.randint(2, 11, (6, 8))
    source[4:, ::2] = 0                                          # shorter ones are padded
    target = torch.cat([torch.ones(1, 8, dtype=torch.long), source])
    logits = model(source, target[:-1], (source == 0).t())
    loss = criterion(logits.reshape(-1, 11), target[1:].reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step:2d} loss {loss.item():.5f}")
