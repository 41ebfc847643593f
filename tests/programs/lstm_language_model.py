"""A character-level LSTM language model, trained by truncated backpropagation through time."""
import torch
import torch.nn as nn

TEXT = "the quick brown fox jumps over the lazy dog; the dog sleeps and the fox runs away. " * 3


class LanguageModel(nn.Module):
    def __init__(self, vocabulary, embedding=12, hidden=24, layers=2):
        super().__init__()
        self.encoder = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, hidden, layers, dropout=0.1)
        self.decoder = nn.Linear(hidden, vocabulary)
        self.layers, self.hidden = layers, hidden
        self.init_weights()

    def init_weights(self, scale=0.1):
        nn.init.uniform_(self.encoder.weight, -scale, scale)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -scale, scale)

    def init_hidden(self, batch):
        weight = next(self.parameters())
        return (weight.new_zeros(self.layers, batch, self.hidden), weight.new_zeros(self.layers, batch, self.hidden))

    def forward(self, tokens, state):
        output, state = self.lstm(self.encoder(tokens), state)
        return self.decoder(output), state


def batchify(data, batch):
    length = data.size(0) // batch
    return data.narrow(0, 0, length * batch).view(batch, -1).t().contiguous()


torch.manual_seed(11)
letters = sorted(set(TEXT))
index = {letter: i for i, letter in enumerate(letters)}
data = batchify(torch.tensor([index[letter] for letter in TEXT]), 6)
model = LanguageModel(len(letters))
criterion = nn.CrossEntropyLoss()
lr, length = 1.0, 10
for epoch in range(6):
    state = model.init_hidden(6)
    for start in range(0, data.size(0) - 1, length):
        end = min(start + length, data.size(0) - 1)
        state = tuple(s.detach() for s in state)
        model.zero_grad()
        output, state = model(data[start:end], state)
        loss = criterion(output.view(-1, len(letters)), data[start + 1:end + 1].reshape(-1))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-lr)
        print(f"{epoch} {start:3d} loss {loss.item():.5f} norm {norm.item():.4f}")
model.eval()
with torch.no_grad():
    token, state, words = torch.tensor([[index["t"]]]), model.init_hidden(1), []
    for _ in range(12):
        output, state = model(token, state)
        token = output.argmax(dim=-1)
        words.append(letters[token.item()])
print(len(words))
