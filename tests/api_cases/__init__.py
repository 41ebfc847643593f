"""One call or more for each name of tests/data/torch_usage.csv, as text that runs with either library.

A case is Python code; what its last expression gives is compared. There are `torch`, `nn`, `F`, `optim`, `init`, and

    x (3, 4) both signs   y (3, 4) positive   z (3, 4) in (0, 1)   v (4,)   m (4, 4) invertible   i (3, 4) integers < 3
    b (3, 4) bool   t (3,) class numbers   im (2, 4, 8, 8) images   sq (5, 2, 4) sequences   w leaf (3, 4) requiring grad
"""

DATA = """
x = torch.linspace(-1.7, 2.1, 12).sin().mul(2).reshape(3, 4)
y = torch.linspace(0.3, 2.9, 12).reshape(3, 4)
z = torch.linspace(0.05, 0.95, 12).reshape(3, 4)
v = torch.tensor([0.5, -1.0, 2.0, 0.25])
m = torch.linspace(-1, 1, 16).sin().reshape(4, 4) + 3 * torch.eye(4)
i = torch.tensor([[2, 0, 1, 1], [0, 0, 2, 1], [1, 2, 2, 0]])
b = x > 0
t = torch.tensor([1, 0, 3])
im = torch.linspace(-3, 3, 512).cos().reshape(2, 4, 8, 8)
sq = torch.linspace(-2, 2, 40).sin().reshape(5, 2, 4)
w = (x * 0.5).requires_grad_()
"""
