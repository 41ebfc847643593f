"""Reductions, scans and row-wise functions over 16M floats as 4096 x 4096."""

from benchmarks.cases import case
from benchmarks.elementwise import values


def matrix(name, call, array=None, target=None):
    def make(m, device):
        x = m.tensor(values()).to(device).view(4096, 4096)
        return lambda: call(m, x)

    def arrays(np):
        x = np.asarray(values()).reshape(4096, 4096)
        return lambda: array(np, x)

    case("reduction", name, arrays if array else None, target)(make)


matrix("sum_all_16M", lambda m, x: x.sum(), lambda np, x: x.sum(), 0.95)
matrix("sum_rows_16M", lambda m, x: x.sum(1), lambda np, x: x.sum(1))
matrix("sum_cols_16M", lambda m, x: x.sum(0), lambda np, x: x.sum(0))
matrix("mean_rows_16M", lambda m, x: x.mean(1), lambda np, x: x.mean(1))
matrix("max_rows_16M", lambda m, x: x.max(1))
matrix("max_all_16M", lambda m, x: x.max(), lambda np, x: x.max())
matrix("argmax_rows_16M", lambda m, x: x.argmax(1), lambda np, x: x.argmax(1))
matrix("argmax_cols_16M", lambda m, x: x.argmax(0), lambda np, x: x.argmax(0))
matrix("var_rows_16M", lambda m, x: x.var(1), lambda np, x: x.var(1))
matrix("norm_all_16M", lambda m, x: x.norm(), lambda np, x: np.linalg.norm(x))
matrix("logsumexp_16M", lambda m, x: x.logsumexp(1))
matrix("softmax_16M", lambda m, x: x.softmax(1))
matrix("softmax_cols_16M", lambda m, x: x.softmax(0))
matrix("log_softmax_16M", lambda m, x: x.log_softmax(1))
matrix("cumsum_rows_16M", lambda m, x: x.cumsum(1), lambda np, x: x.cumsum(1))
matrix("cumsum_cols_16M", lambda m, x: x.cumsum(0), lambda np, x: x.cumsum(0))
matrix("prod_rows_16M", lambda m, x: x.prod(1), lambda np, x: x.prod(1))
matrix("any_16M", lambda m, x: x.any(1))


@case("reduction", "layer_norm_forward_backward_4M")
def layer_norm(m, device):
    x = m.tensor(values(1 << 22)).to(device).view(4096, 1024).requires_grad_()
    w, b = m.ones(1024, device=device, requires_grad=True), m.zeros(1024, device=device, requires_grad=True)
    g = m.ones(4096, 1024, device=device)

    def run():
        x.grad = w.grad = b.grad = None
        m.nn.functional.layer_norm(x, (1024,), w, b).backward(g)

    return run


@case("reduction", "cross_entropy_forward_backward_16M")
def cross_entropy(m, device):
    x = m.tensor(values()).to(device).view(4096, 4096).requires_grad_()
    target = (m.arange(4096, device=device) * 7) % 4096

    def run():
        x.grad = None
        m.nn.functional.cross_entropy(x, target).backward()

    return run


@case("reduction", "softmax_forward_backward_4M")
def softmax_backward(m, device):
    x = m.tensor(values(1 << 22)).to(device).view(4096, 1024).requires_grad_()
    g = m.tensor(values(1 << 22)[::-1].copy()).to(device).view(4096, 1024)

    def run():
        x.grad = None
        x.softmax(1).backward(g)

    return run
