"""One step of each optimizer: over 1 M elements in eight matrices, and over a hundred small parameters."""

from benchmarks.cases import case
from benchmarks.inputs import M, signed

PASSES = 4 * M  # bytes of one reading or writing of all of 1 M parameters
MATRICES = [(512, 256)] * 8
SMALL = [(32, 32), (32,)] * 50
TENSORS = {"1M": MATRICES, "100_small": SMALL}


def parameters(m, device, shapes):
    """Leaves with a gradient, no two of one place the same."""
    found = []
    for k, shape in enumerate(shapes):
        p = signed(*shape, low=-1 - k / 100).tensor(m, device).requires_grad_()
        p.grad = signed(*shape, low=-0.01 - k / 10000, high=0.01, reverse=True).tensor(m, device)
        found.append(p)
    return found


def step(name, make_optimizer, passes=0, sizes=tuple(TENSORS)):
    """passes: how many arrays of the parameters' size must be read and written."""
    for size in sizes:

        def make(m, device, shapes=TENSORS[size]):
            return make_optimizer(m.optim, parameters(m, device, shapes)).step

        case("optimizer", f"{name}_{size}", moves=passes * PASSES if size == "1M" else 0)(make)


step("sgd", lambda o, p: o.SGD(p, lr=1e-4), 3)
step("sgd_momentum", lambda o, p: o.SGD(p, lr=1e-4, momentum=0.9), 5)
step("sgd_nesterov_decay", lambda o, p: o.SGD(p, lr=1e-4, momentum=0.9, nesterov=True, weight_decay=1e-4), 5)
step("adam", lambda o, p: o.Adam(p, lr=1e-4), 7)
step("adam_amsgrad", lambda o, p: o.Adam(p, lr=1e-4, amsgrad=True), 9)
step("adamw", lambda o, p: o.AdamW(p, lr=1e-4), 7)
step("rmsprop", lambda o, p: o.RMSprop(p, lr=1e-4), 5)
step("adagrad", lambda o, p: o.Adagrad(p, lr=1e-4), 5)
step("adadelta", lambda o, p: o.Adadelta(p, lr=1e-4), 7)
step("adamax", lambda o, p: o.Adamax(p, lr=1e-4), 7)
step("nadam", lambda o, p: o.NAdam(p, lr=1e-4), 7)
step("radam", lambda o, p: o.RAdam(p, lr=1e-4), 7)
step("asgd", lambda o, p: o.ASGD(p, lr=1e-4), 5)
step("rprop", lambda o, p: o.Rprop(p, lr=1e-4), 7)
for name, passes in (("SGD", 3), ("Adam", 7), ("AdamW", 7), ("Adagrad", 5)):
    step(f"fused_{name.lower()}", lambda o, p, name=name: getattr(o, name)(p, lr=1e-4, fused=True), passes)
for name, passes in (("SGD", 3), ("AdamW", 7)):
    step(f"foreach_{name.lower()}", lambda o, p, name=name: getattr(o, name)(p, lr=1e-4, foreach=True), passes)


def on_gradients(name, call, passes=0):
    for size, shapes in TENSORS.items():

        def make(m, device, shapes=shapes):
            given = parameters(m, device, shapes)
            return lambda: call(m, given)

        case("optimizer", f"{name}_{size}", moves=passes * PASSES if size == "1M" else 0)(make)


# A limit that the gradients exceed once; later calls scale by about 1, which is the same work.
on_gradients("clip_grad_norm", lambda m, p: m.nn.utils.clip_grad_norm_(p, 1.0), 3)
on_gradients("clip_grad_value", lambda m, p: m.nn.utils.clip_grad_value_(p, 0.005), 2)
on_gradients("parameters_to_vector", lambda m, p: m.nn.utils.parameters_to_vector(p), 2)
