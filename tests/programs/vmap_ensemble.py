"""An ensemble of models trained at once: stacked parameters, functional_call, vmap and grad."""
import copy

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.func import functional_call, grad_and_value, stack_module_state, vmap


class SimpleMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(5, 12), nn.Linear(12, 3)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(x)))


torch.manual_seed(0)
models = [SimpleMLP() for _ in range(4)]
params, buffers = stack_module_state(models)
base = copy.deepcopy(models[0])


def compute_loss(params, x, y):
    return F.cross_entropy(functional_call(base, (params, buffers), (x,)), y)


x = torch.randn(40, 5)
y = (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()
step_of = vmap(grad_and_value(compute_loss), in_dims=(0, None, None))
params = {name: p.detach() for name, p in params.items()}
for step in range(20):
    grads, losses = step_of(params, x, y)
    params = {name: p - 0.3 * grads[name] for name, p in params.items()}
    print(step, " ".join(f"{v:.5f}" for v in losses.tolist()))
predictions = vmap(lambda p, inputs: functional_call(base, p, (inputs,)), in_dims=(0, None))(params, x)
together = predictions.softmax(-1).mean(0)
print(tuple(predictions.shape), f"{F.nll_loss(together.log(), y).item():.5f}")
single = functional_call(base, {name: p[2] for name, p in params.items()}, (x,))
print(torch.allclose(single, predictions[2], atol=1e-5))
