"""backward, optimizer.step and zero_grad on one layer, then the same in a loop.

Completed: a seed, the definition of `network`, `data` and `target` of the loop, the import of F, prints of what each
call changed. The gradients that the text prints come from a seed that it does not tell.
"""
import fastgrad as torch
import fastgrad.nn.functional as F
from fastgrad import optim

torch.manual_seed(0)
in_dim, out_dim = 5, 2

inputs = torch.randn(in_dim)
target = torch.tensor([1,2],dtype=torch.float32)

model = torch.nn.Linear(in_dim, out_dim, bias=True)
out = model(inputs)
print(inputs)
print(out)

loss = torch.nn.CrossEntropyLoss()
computed_loss = loss(out, target)
print(computed_loss)

for p in model.parameters():
    print(p.grad)

computed_loss.backward()

for p in model.parameters():
    print(p.grad)

lr = 1e-3
optimizer = optim.SGD(model.parameters(), lr=lr)
optimizer.step()
for p in model.parameters():
    print(p)
optimizer.zero_grad()
for p in model.parameters():
    print(p.grad)

network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3), torch.nn.LogSoftmax(dim=1))
optimizer = optim.SGD(network.parameters(), lr=0.5)
data = torch.randn(30, 4)
target = data[:, :3].argmax(dim=1)
for step in range(60):
    optimizer.zero_grad()
    output = network(data)
    loss = F.nll_loss(output, target)
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        print(step, f"{loss.item():.4f}")
print((network(data).argmax(dim=1) == target).sum())
