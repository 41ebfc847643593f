"""Knowledge distillation: a student learns from the softened outputs of a frozen teacher."""
import torch
import torch.nn as nn
import torch.nn.functional as F


def network(*widths):
    layers = []
    for a, b in zip(widths[:-1], widths[1:]):
        layers += [nn.Linear(a, b), nn.Hardswish()]
    return nn.Sequential(*layers[:-1])


def distillation_loss(student, teacher, labels, temperature=3.0, alpha=0.7):
    soft = F.kl_div(F.log_softmax(student / temperature, dim=1), F.softmax(teacher / temperature, dim=1),
                    reduction="batchmean") * temperature ** 2
    return alpha * soft + (1 - alpha) * F.cross_entropy(student, labels)


torch.manual_seed(0)
x = torch.randn(90, 8)
labels = (x[:, :3].argmax(1) + (x[:, 3] > 1).long()) % 3
teacher, student = network(8, 32, 32, 3), network(8, 6, 3)
optimizer = torch.optim.Adam(teacher.parameters(), lr=0.02)
for step in range(15):
    loss = F.cross_entropy(teacher(x), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"teacher {step:2d} {loss.item():.6f}")
teacher.eval()
for p in teacher.parameters():
    p.requires_grad = False
optimizer = torch.optim.NAdam(student.parameters(), lr=0.02)
for step in range(20):
    loss = distillation_loss(student(x), teacher(x), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"student {step:2d} {loss.item():.6f}")
agreement = (student(x).argmax(1) == teacher(x).argmax(1)).float().mean()
print(f"agreement {agreement.item():.2f}", all(p.grad is not None for p in student.parameters()))
