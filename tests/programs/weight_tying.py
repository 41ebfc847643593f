"""Tied weights: an autoencoder that decodes with the transposed encoder, and tied embeddings in a bigram model."""
import torch
import torch.nn as nn
import torch.nn.functional as F


class TiedAutoencoder(nn.Module):
    def __init__(self, inputs=12, code=4):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(code, inputs))
        nn.init.xavier_uniform_(self.weight, gain=nn.init.calculate_gain("tanh"))
        self.encoder_bias = nn.Parameter(torch.zeros(code))
        self.decoder_bias = nn.Parameter(torch.zeros(inputs))

    def forward(self, x):
        code = torch.tanh(F.linear(x, self.weight, self.encoder_bias))
        return F.linear(code, self.weight.t(), self.decoder_bias)


class Bigram(nn.Module):
    def __init__(self, vocabulary=9, width=6):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, vocabulary, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, tokens):
        return self.out(torch.relu(self.hidden(self.embedding(tokens))))


torch.manual_seed(13)
auto, bigram = TiedAutoencoder(), Bigram()
print(sum(p.numel() for p in bigram.parameters()), len(bigram.state_dict()), len(list(bigram.named_parameters())))
basis = torch.randn(3, 12)
data = torch.randn(50, 3) @ basis * 0.3
tokens = torch.cumsum(torch.randint(1, 3, (60,)), 0) % 9
optimizer = torch.optim.Adagrad([*auto.parameters(), *bigram.parameters()], lr=0.1)
for step in range(20):
    optimizer.zero_grad()
    reconstruction = F.mse_loss(auto(data), data)
    language = F.cross_entropy(bigram(tokens[:-1]), tokens[1:])
    (reconstruction + language).backward()
    optimizer.step()
    print(f"{step} {reconstruction.item():.6f} {language.item():.6f}")
print(bigram.out.weight is bigram.embedding.weight)
