"""Forward, backward and gradient hooks: activations recorded, gradients clipped and counted."""
from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F


class Recorder:
    def __init__(self, model):
        self.outputs, self.gradients, self.handles = OrderedDict(), OrderedDict(), []
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear):
                self.handles.append(module.register_forward_hook(self.forward(name)))
                self.handles.append(module.register_full_backward_hook(self.backward(name)))

    def forward(self, name):
        def hook(module, inputs, output):
            self.outputs[name] = output.detach().abs().mean().item()
        return hook

    def backward(self, name):
        def hook(module, grad_input, grad_output):
            self.gradients[name] = grad_output[0].norm().item()
        return hook

    def remove(self):
        for handle in self.handles:
            handle.remove()


torch.manual_seed(5)
model = nn.Sequential(OrderedDict(first=nn.Linear(6, 12), act=nn.Tanh(), second=nn.Linear(12, 6), act2=nn.ReLU(),
                                  third=nn.Linear(6, 1)))
doubled = model.first.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
clipped = [p.register_hook(lambda g: g.clamp(-0.05, 0.05)) for p in model.parameters()]
calls = []
model.third.bias.register_post_accumulate_grad_hook(lambda p: calls.append(p.grad.item()))
recorder = Recorder(model)
x = torch.randn(16, 6)
y = x.prod(1, keepdim=True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
for step in range(20):
    optimizer.zero_grad()
    loss = F.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    parts = [f"{v:.4f}" for v in (*recorder.outputs.values(), *recorder.gradients.values())]
    print(f"{step} {loss.item():.6f}", *parts)
    if step == 9:
        doubled.remove()
    if step == 14:
        clipped[0].remove()
recorder.remove()
model(x)
print(list(recorder.gradients), len(calls), max(map(abs, calls)) <= 0.0500001)
hidden = model.act(model.first(x))
hidden.retain_grad()
model.third(F.relu(model.second(hidden))).sum().backward()
print(f"{hidden.grad.norm().item():.5f}", hidden.grad_fn.name())
