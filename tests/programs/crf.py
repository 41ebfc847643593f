"""A linear-chain conditional random field on top of a recurrent tagger: forward algorithm and Viterbi decoding."""
import torch
import torch.nn as nn

TAGS, START, STOP = 5, 3, 4


class Tagger(nn.Module):
    def __init__(self, vocabulary=10, embedding=6, hidden=8):
        super().__init__()
        self.embeds = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, hidden // 2, num_layers=1, bidirectional=True)
        self.hidden2tag = nn.Linear(hidden, TAGS)
        self.transitions = nn.Parameter(torch.randn(TAGS, TAGS))  # from column to row
        self.transitions.data[START, :] = -10000
        self.transitions.data[:, STOP] = -10000

    def features(self, sentence):
        out, _ = self.lstm(self.embeds(sentence).view(len(sentence), 1, -1))
        return self.hidden2tag(out.view(len(sentence), -1))

    def partition(self, feats):
        alpha = torch.full((TAGS,), -10000.0)
        alpha[START] = 0.0
        for feat in feats:
            alpha = torch.logsumexp(alpha[None, :] + self.transitions, dim=1) + feat
        return torch.logsumexp(alpha + self.transitions[STOP], dim=0)

    def score(self, feats, tags):
        tags = torch.cat([torch.tensor([START], dtype=torch.long), tags])
        total = torch.zeros(1)
        for i, feat in enumerate(feats):
            total = total + self.transitions[tags[i + 1], tags[i]] + feat[tags[i + 1]]
        return total + self.transitions[STOP, tags[-1]]

    def loss(self, sentence, tags):
        feats = self.features(sentence)
        return (self.partition(feats) - self.score(feats, tags)).squeeze()

    @torch.no_grad()
    def viterbi(self, sentence):
        feats, back = self.features(sentence), []
        best = torch.full((TAGS,), -10000.0)
        best[START] = 0.0
        for feat in feats:
            values, pointers = (best[None, :] + self.transitions).max(dim=1)
            best = values + feat
            back.append(pointers)
        score, tag = (best + self.transitions[STOP]).max(dim=0)
        path = [int(tag)]
        for pointers in reversed(back):
            path.append(int(pointers[path[-1]]))
        return float(score), path[::-1][1:]


torch.manual_seed(1)
model = Tagger()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, weight_decay=1e-4)
sentences = [torch.randint(0, 10, (n,)) for n in (5, 4, 6)]
data = [(s, (s > 3).long() + (s > 7).long()) for s in sentences]
for epoch in range(20):
    total = 0.0
    for sentence, tags in data:
        model.zero_grad()
        loss = model.loss(sentence, tags)
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(f"epoch {epoch} loss {total:.5f}")
score, path = model.viterbi(sentences[0])
print(f"{score:.4f}", len(path))
