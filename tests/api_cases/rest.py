"""Cases for optimizers, schedulers, initial values, utilities and all else; `train` makes steps with an optimizer."""

TRAIN = """
def train(make, steps=4, closure=False):
    p = [nn.Parameter(x.clone()), nn.Parameter(v.clone())]
    o = make(p)
    def loss():
        o.zero_grad()
        l = ((p[0] * p[1]).sin() ** 2).sum()
        l.backward()
        return l
    for _ in range(steps):
        if closure:
            o.step(loss)
        else:
            loss()
            o.step()
    return p
"""

OPTIMIZERS = {
    "Adam": ["train(lambda p: optim.Adam(params=p, lr=0.1, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.1))"],
    "SGD": ["train(lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True))"],
    "AdamW": ["train(lambda p: optim.AdamW(p, lr=0.1, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.1))"],
    "RMSprop": ["train(lambda p: optim.RMSprop(p, lr=0.1, alpha=0.9, eps=1e-6, weight_decay=0.1, momentum=0.5, "
                "foreach=False))"],
    "Optimizer": ["class S(optim.Optimizer):\n def __init__(self, p): super().__init__(p, {'lr': 0.1})\n"
                  " def step(self):\n  for g in self.param_groups:\n"
                  "   for q in g['params']: q.data.sub_(q.grad, alpha=g['lr'])\ntrain(S)"],
    "Adadelta": ["train(lambda p: optim.Adadelta(p, lr=0.5))"],
    "LBFGS": ["train(lambda p: optim.LBFGS(params=p, lr=0.5, max_iter=3, max_eval=5, history_size=4, "
              "line_search_fn='strong_wolfe'), 1, True)"],
    "optimizer.Optimizer": ["from torch.optim.optimizer import Optimizer; Optimizer is optim.Optimizer"],
    "optimizer.required": ["from torch.optim.optimizer import required; repr(required)"],
    "RAdam": ["train(lambda p: optim.RAdam(p, lr=0.1), 8)"],
    "Adagrad": ["train(lambda p: optim.Adagrad(p))"],
    "Adamax": ["train(lambda p: optim.Adamax(p))"],
}

_RATES = """
def rates(make, steps=6):
    o = optim.SGD([nn.Parameter(x.clone())], lr=0.5)
    s = make(o)
    out = []
    for k in range(steps):
        o.step()
        s.step(1.0) if isinstance(s, optim.lr_scheduler.ReduceLROnPlateau) else s.step()
        out.append(o.param_groups[0]['lr'])
    return out
"""
TRAIN += _RATES

SCHEDULERS = {
    "StepLR": ["rates(lambda o: optim.lr_scheduler.StepLR(o, step_size=2, gamma=0.5))"],
    "LambdaLR": ["rates(lambda o: optim.lr_scheduler.LambdaLR(optimizer=o, lr_lambda=lambda e: 0.9 ** e))"],
    "ReduceLROnPlateau": ["rates(lambda o: optim.lr_scheduler.ReduceLROnPlateau(o, mode='min', factor=0.5, patience=1))"],
    "CosineAnnealingLR": ["rates(lambda o: optim.lr_scheduler.CosineAnnealingLR(o, T_max=5))"],
    "_LRScheduler": ["issubclass(optim.lr_scheduler.StepLR, optim.lr_scheduler._LRScheduler)"],
}

INIT = {
    "normal_": ["init.normal_(torch.empty(4, 5), mean=1, std=0.5)"],
    "constant_": ["init.constant_(torch.empty(2, 2), val=3)"],
    "zeros_": ["init.zeros_(torch.empty(2))"],
    "ones_": ["init.ones_(torch.empty(2))"],
    "orthogonal_": ["init.orthogonal_(torch.empty(4, 4), gain=0.5), init.orthogonal_(torch.empty(3, 5))"],
    "xavier_uniform_": ["init.xavier_uniform_(torch.empty(4, 5), gain=2.0)"],
    "xavier_normal_": ["init.xavier_normal_(torch.empty(4, 5), gain=2.0)"],
    "kaiming_normal_": ["init.kaiming_normal_(torch.empty(4, 5), a=0.1, mode='fan_out', nonlinearity='leaky_relu')"],
    "kaiming_uniform_": ["init.kaiming_uniform_(torch.empty(4, 5), a=2.0)"],
    "uniform_": ["init.uniform_(torch.empty(4, 5), -1, 2)"],
    "trunc_normal_": ["init.trunc_normal_(torch.empty(4, 5), std=0.02)"],
    "calculate_gain": ["init.calculate_gain('relu'), init.calculate_gain('leaky_relu', 0.2)"],
    "_calculate_fan_in_and_fan_out": ["init._calculate_fan_in_and_fan_out(im)"],
    "constant": ["init.constant(torch.empty(2), 2.0)"],
    "dirac_": ["init.dirac_(torch.empty(3, 3, 3))"],
    "kaiming_normal": ["init.kaiming_normal(torch.empty(4, 5), mode='fan_in')"],
    "normal": ["init.normal(torch.empty(4, 5), std=0.1)"],
}

_DATA = "from torch.utils.data import *; d = TensorDataset(torch.arange(10.0), torch.arange(10)); "
_RNN = "from torch.nn.utils.rnn import *; s = [v, v[:2], v[:3]]; "
_TREE = "from torch.utils import _pytree as p; d = {'a': [x, 1], 'b': (2,)}; "

UTILS = {
    "utils.data.DataLoader": [
        _DATA + "list(DataLoader(d, batch_size=3, shuffle=True, drop_last=True)), list(DataLoader(dataset=d, num_workers=0, "
        "pin_memory=False, sampler=[3, 1], worker_init_fn=None, collate_fn=lambda s: len(s)))"],
    "utils.data.Dataset": ["from torch.utils.data import *\nclass A(Dataset):\n def __len__(self): return 2\n"
                           " def __getitem__(self, k): return k\nlist(DataLoader(A()))"],
    "utils.data.IterableDataset": ["from torch.utils.data import *\nclass A(IterableDataset):\n"
                                   " def __iter__(self): return iter(range(5))\nlist(DataLoader(A(), batch_size=2))"],
    "utils.data.TensorDataset": [_DATA + "d[3], len(d)"],
    "utils.data.RandomSampler": [_DATA + "list(RandomSampler(d, replacement=True, num_samples=4)), list(RandomSampler(d))"],
    "utils.data.DistributedSampler": [_DATA + "list(DistributedSampler(d, 3, 1, shuffle=True, drop_last=True))"],
    "utils.data.SubsetRandomSampler": [_DATA + "list(SubsetRandomSampler([1, 5, 7]))"],
    "utils.data.BatchSampler": [_DATA + "list(BatchSampler(SequentialSampler(d), 4, drop_last=True))"],
    "utils.data.Subset": [_DATA + "Subset(d, [2, 3])[1]"],
    "utils.data.default_collate": [_DATA + "default_collate([d[0], d[1]])"],
    "utils.data.get_worker_info": [_DATA + "get_worker_info()"],
    "utils.data.random_split": [_DATA + "[e.indices for e in random_split(d, [7, 3], "
                                "generator=torch.Generator().manual_seed(1))]"],
    "nn.utils.clip_grad_norm_": ["(w * 3).sum().backward(); nn.utils.clip_grad_norm_([w], max_norm=1.0), w.grad"],
    "nn.utils.clip_grad_norm": ["(w * 3).sum().backward(); nn.utils.clip_grad_norm([w], 1.0), w.grad"],
    "nn.utils.rnn.pad_sequence": [_RNN + "pad_sequence(s, batch_first=True, padding_value=-1), pad_sequence(s)"],
    "nn.utils.rnn.pack_padded_sequence": [
        _RNN + "pack_padded_sequence(sq, [5, 2]), pack_padded_sequence(x, [2, 4, 1], batch_first=True, enforce_sorted=False)"],
    "nn.utils.rnn.pad_packed_sequence": [_RNN + "pad_packed_sequence(pack_padded_sequence(sq, [5, 2]))"],
    "nn.utils.weight_norm": ["nn.utils.weight_norm(nn.Linear(4, 3))(x)"],
    "nn.utils.parameters_to_vector": ["nn.utils.parameters_to_vector([w, v])"],
    "nn.utils.vector_to_parameters": ["p = nn.Parameter(x.clone()); nn.utils.vector_to_parameters(torch.arange(12.0), [p]); p"],
    "nn.utils.parametrize.register_parametrization": [
        "import torch.nn.utils.parametrize as P\nclass S(nn.Module):\n def forward(self, a): return a.triu()\n"
        "l = nn.Linear(4, 4); P.register_parametrization(l, 'weight', S()); l.weight"],
    "utils._pytree.tree_flatten": [_TREE + "p.tree_flatten(d)[0]"],
    "utils._pytree.tree_map": [_TREE + "p.tree_map(lambda e: e * 2, d)"],
    "utils._pytree.tree_unflatten": [_TREE + "p.tree_unflatten(*p.tree_flatten(d))"],
}

_MODEL = "l = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)); "
_STEP = "o = optim.SGD([w], lr=0.1); (w * w).sum().backward(); "
_RATE = "o = optim.SGD([w], lr=0.1); s = optim.lr_scheduler.StepLR(o, 1); "
_D = "from torch.distributions import *; "

_REFUSED = "try:\n    {}\nexcept RuntimeError:\n    r = 'refused'\nr"
_WORLD = ("import tempfile\nimport torch.distributed as d\n"
          "d.init_process_group(backend='gloo', init_method='file://' + tempfile.mktemp(), rank=0, world_size=1, "
          "timeout=None)\ntry:\n    r = {}\nfinally:\n    d.destroy_process_group()\nr")
OTHER = {
    **{f"torch.distributed.{n}": [_WORLD.format(code)] for n, code in {
        "init_process_group": "d.is_initialized(), d.get_world_size(), d.get_backend()", "get_rank": "d.get_rank()",
        "destroy_process_group": "1", "ReduceOp": "d.ReduceOp.SUM == d.ReduceOp.SUM, d.ReduceOp.SUM == d.ReduceOp.MAX",
        "all_reduce": "d.all_reduce(x, op=d.ReduceOp.SUM, async_op=False), x",
        "broadcast": "d.broadcast(x, src=0), x", "scatter": "d.scatter(x, [y], src=0), x",
        "all_gather": "(lambda l: (d.all_gather(l, y), l))([x])",
        "reduce_scatter": "d.reduce_scatter(x, [y]), x"}.items()},
    "nn.parallel.DistributedDataParallel": [_WORLD.format(
        "list(nn.parallel.DistributedDataParallel(nn.Linear(3, 2), device_ids=None).state_dict())")],
    **{f".{n}": [_REFUSED.format(f"r = x.{n}({a})")] for n, a in (("values", ""), ("indices", ""), ("reinforce", "1"))},
    "torch.symeig": [_REFUSED.format("r = torch.symeig(x, eigenvectors=True)")],
    "torch.spmm": ["torch.spmm(x, x.t())"],
    ".to_dense": ["x.to_dense()"],
    "torch.range": ["torch.range(1, 4, 0.5), torch.range(0, 3)"],
    "torch.fx.wrap": ["torch.fx.wrap('len')"],
    "torch.jit.Final": ["torch.jit.Final[int]"],
    "torch.jit.is_scripting": ["torch.jit.is_scripting()"],
    "torch.jit.ignore": ["f = lambda a: a; torch.jit.ignore(f) is f, torch.jit.ignore(drop=False)(f) is f"],
    "torch.distributed.is_initialized": ["torch.distributed.is_initialized()"],
    "torch.distributed.is_mpi_available": ["torch.distributed.is_mpi_available()"],
    "torch.distributed.is_nccl_available": ["torch.distributed.is_nccl_available()"],
    "nn.Module.parameters": [_MODEL + "list(l.parameters())"],
    "nn.Module.eval": [_MODEL + "l.eval().training, l[0].training"],
    "nn.Module.train": [_MODEL + "l.eval().train().training, l.train(False).training"],
    "nn.Module.state_dict": [_MODEL + "l.state_dict()"],
    "nn.Module.load_state_dict": [_MODEL + "str(l.load_state_dict({'0.bias': v[:3]}, strict=False)), l[0].bias"],
    "nn.Module.to": [_MODEL + "l.to(device='cpu')[0].weight, l.to(torch.float64)[0].weight"],
    "nn.Module.apply": [_MODEL + "l.apply(lambda a: init.ones_(a.weight) if hasattr(a, 'weight') else None)[0].weight"],
    "nn.Module.register_buffer": [_MODEL + "l.register_buffer('a', x); l.register_buffer('c', x, persistent=False); "
                                  "list(l.state_dict()), l.a"],
    "nn.Module.forward": [_MODEL + "l.forward(x)"],
    "nn.Module.named_parameters": [_MODEL + "list(l.named_parameters())"],
    "nn.Module.zero_grad": [_MODEL + "l(x).sum().backward(); l.zero_grad(set_to_none=False); l[0].weight.grad"],
    "nn.Module.modules": [_MODEL + "[type(a).__name__ for a in l.modules()]"],
    "nn.Module.add_module": [_MODEL + "l.add_module('e', nn.ReLU()); repr(l)"],
    "nn.Module.children": [_MODEL + "[type(a).__name__ for a in l.children()]"],
    "nn.Module.named_modules": [_MODEL + "[n for n, a in l.named_modules()]"],
    "nn.Module.named_children": [_MODEL + "[n for n, a in l.named_children()]"],
    "nn.Module.register_parameter": [_MODEL + "l.register_parameter('p', nn.Parameter(v)); list(l.state_dict())"],
    "nn.Module.share_memory": [],
    "nn.Module.register_forward_hook": [_MODEL + "l.register_forward_hook(lambda a, i, o: o * 2); l(x)"],
    "nn.Module.register_forward_pre_hook": [_MODEL + "l.register_forward_pre_hook(lambda a, i: (i[0] * 2,)); l(x)"],
    "nn.Module.register_full_backward_hook": [
        _MODEL + "n = []; l.register_full_backward_hook(lambda a, i, o: n.append(o[0])); l(w).sum().backward(); n"],
    "nn.Module.register_backward_hook": [
        _MODEL + "n = []; l[0].register_backward_hook(lambda a, i, o: n.append(o[0])); l(w).sum().backward(); n"],
    "nn.Module.cpu": [_MODEL + "l.cpu()[0].weight.device"],
    "nn.Module.double": [_MODEL + "l.double()[0].weight.dtype"],
    "nn.Module.requires_grad_": [_MODEL + "[p.requires_grad for p in l.requires_grad_(False).parameters()]"],
    "Optimizer.step": [_STEP + "o.step(); w"],
    "Optimizer.zero_grad": [_STEP + "o.zero_grad(set_to_none=False); a = w.grad.clone(); o.zero_grad(set_to_none=True); a, w.grad"],
    "Optimizer.param_groups": [_STEP + "[sorted(k for k in g) for g in o.param_groups]"],
    "Optimizer.state_dict": [_STEP + "o.state_dict()['param_groups'][0]['lr']"],
    "Optimizer.load_state_dict": [_STEP + "s = o.state_dict(); s['param_groups'][0]['lr'] = 0.5; o.load_state_dict(s); "
                                  "o.param_groups[0]['lr']"],
    "LRScheduler.step": [_RATE + "o.step(); s.step(); s.get_last_lr()"],
    "LRScheduler.get_lr": [_RATE + "o.step(); s._get_lr_called_within_step = True; s.get_lr()"],
    "LRScheduler.state_dict": [_RATE + "s.state_dict()['last_epoch']"],
    "LRScheduler.load_state_dict": [_RATE + "d = s.state_dict(); d['last_epoch'] = 4; s.load_state_dict(d); s.last_epoch"],
    "torch.no_grad": ["with torch.no_grad():\n a = w * 2\na.requires_grad, torch.no_grad()(lambda: w * 2)().requires_grad"],
    "torch.enable_grad": ["with torch.no_grad(), torch.enable_grad():\n a = w * 2\na.requires_grad"],
    "torch.inference_mode": ["with torch.inference_mode():\n a = w * 2\na.requires_grad, a.is_inference()"],
    "torch.set_grad_enabled": ["torch.set_grad_enabled(False); a = w * 2; torch.set_grad_enabled(True); a.requires_grad"],
    "torch.Tensor": ["torch.Tensor([1, 2]), torch.Tensor(2, 3).shape, isinstance(x, torch.Tensor)"],
    "torch.FloatTensor": ["torch.FloatTensor([1, 2]), torch.FloatTensor(2).shape"],
    "torch.LongTensor": ["torch.LongTensor([1, 2])"],
    "torch.ByteTensor": ["torch.ByteTensor([1, 2])"],
    "torch.DoubleTensor": ["torch.DoubleTensor([1, 2])"],
    "torch.device": ["torch.device('cpu'), torch.device('cuda', 1), torch.device('cuda:0').index"],
    "torch.Size": ["torch.Size([1, 2]), torch.Size([2, 3]).numel()"],
    "torch.Generator": ["g = torch.Generator(); g.manual_seed(4); torch.rand(3, generator=g), g.initial_seed()"],
    "torch.finfo": ["torch.finfo(torch.float16).max, torch.finfo(torch.float32).eps"],
    "torch.pi": ["torch.pi"],
    "torch.Tensor.normal_": ["torch.empty(3).normal_()"],
    "torch.autograd.Variable": ["torch.autograd.Variable(x, requires_grad=True).requires_grad, "
                                "torch.autograd.Variable(x, volatile=False)"],
    "torch.autograd.grad": ["a = (w ** 3).sum(); g, = torch.autograd.grad(outputs=a, inputs=[w], retain_graph=True, "
                            "create_graph=True, only_inputs=True); torch.autograd.grad(g, [w, y.requires_grad_()], "
                            "grad_outputs=torch.ones_like(g), allow_unused=True)"],
    "torch.autograd.backward": ["torch.autograd.backward([(w * 2).sum()]); w.grad"],
    "torch.autograd.Function": ["class D(torch.autograd.Function):\n @staticmethod\n def forward(c, a): return a * 2\n"
                                " @staticmethod\n def backward(c, g): return g * 3\nD.apply(w).sum().backward()\nw.grad"],
    "torch.autograd.gradcheck": ["torch.autograd.gradcheck(torch.sin, (w.detach().double().requires_grad_(),))"],
    "torch.autograd.functional.vjp": ["torch.autograd.functional.vjp(torch.sin, x, y)"],
    "torch.amp.autocast": ["with torch.amp.autocast(device_type='cpu', dtype=torch.bfloat16, enabled=True):\n a = x @ m\na.dtype"],
    "torch.autocast": ["with torch.autocast(device_type='cpu', enabled=False):\n a = x @ m\na"],
    "torch.distributions.Categorical": [_D + "c = Categorical(logits=x); c.sample(), c.log_prob(t), c.entropy()"],
    "torch.distributions.Normal": [_D + "n = Normal(x, y); n.sample(), n.log_prob(x), n.entropy()"],
    "torch.distributions.Bernoulli": [_D + "n = Bernoulli(logits=x); n.sample(), n.log_prob(b.float())"],
    "torch.distributions.Uniform": [_D + "n = Uniform(x, x + 1); n.sample(), n.log_prob(x + 0.5)"],
    "torch.distributions.kl_divergence": [_D + "kl_divergence(Normal(x, y), Normal(0.0, 1.0))"],
    "torch.distributions.MultivariateNormal": [
        _D + "n = MultivariateNormal(loc=v, covariance_matrix=m @ m.t()); n.sample(), n.log_prob(x)"],
    "torch.distributions.Multinomial": [_D + "n = Multinomial(total_count=5, probs=y[0]); n.sample(), n.mean, n.variance"],
    "torch.distributions.Distribution": [_D + "isinstance(Normal(0.0, 1.0), Distribution)"],
    "torch.distributions.SigmoidTransform": [_D + "SigmoidTransform()(x)"],
    "torch.distributions.TransformedDistribution": [
        _D + "n = TransformedDistribution(Normal(x, y), SigmoidTransform()); n.sample(), n.log_prob(z)"],
    "torch.testing.assert_close": ["torch.testing.assert_close(x, x.clone())"],
    "torch.special.expm1": ["torch.special.expm1(x)"],
    "torch.linalg.norm": ["torch.linalg.norm(x), torch.linalg.norm(x, ord=1, dim=1)"],
    "torch.linalg.pinv": ["torch.linalg.pinv(m)"],
    "torch.linalg.solve": ["torch.linalg.solve(m, v)"],
    "torch.linalg.vecdot": ["torch.linalg.vecdot(x, y)"],
    "torch.fft.fft": ["torch.view_as_real(torch.fft.fft(x, dim=0))"],
    "torch.fft.fft2": ["torch.view_as_real(torch.fft.fft2(x))"],
    "torch.profiler.schedule": ["s = torch.profiler.schedule(wait=1, warmup=1, active=2, repeat=1); [s(k).name for k in range(6)]"],
    "torch.serialization.safe_globals": ["with torch.serialization.safe_globals([dict]):\n a = 1\na"],
    "torch.cuda.amp.GradScaler": ["torch.cuda.amp.GradScaler(enabled=False).is_enabled()"],
    "torch.cuda.amp.autocast": ["with torch.cuda.amp.autocast(enabled=False):\n a = x @ m\na"],
}
