"""Matrix products: square ones of float32, transposed, batched, thin, other dtypes, with gradients."""

from benchmarks.cases import case
from benchmarks.elementwise import values


def product(name, one, two, dtype="float32", target=None, change=lambda t: t):
    def operands(wrap):
        def count(shape):
            n = 1
            for s in shape:
                n *= s
            return n

        return [wrap(values(count(s), -1, 1).reshape(s)) for s in (one, two)]

    def make(m, device):
        a, b = operands(lambda v: m.tensor(v).to(device).to(getattr(m, dtype)))
        b = change(b)
        return lambda: a @ b

    def arrays(np):
        a, b = operands(lambda v: np.asarray(v).astype(dtype))
        return lambda: a @ b

    plain = dtype != "bfloat16" and change(None) is None
    case("matmul", name, arrays if plain else None, target)(make)


TARGETS = {64: 1.5, 1024: 0.9}
for n in (16, 32, 64, 128, 256, 512, 1024, 2048):
    product(f"sgemm_{n}", (n, n), (n, n), target=TARGETS.get(n))
product("sgemm_transposed_1024", (1024, 1024), (1024, 1024), change=lambda t: None if t is None else t.t())
product("dgemm_512", (512, 512), (512, 512), "float64")
product("bf16_gemm_1024", (1024, 1024), (1024, 1024), "bfloat16")
product("batched_96x128x64x128", (96, 128, 64), (96, 64, 128))
product("batched_small_4096x8x8x8", (4096, 8, 8), (4096, 8, 8))
product("matvec_4096", (4096, 4096), (4096,))
product("skinny_outer_4096x16x4096", (4096, 16), (16, 4096))
product("skinny_inner_16x4096x16", (16, 4096), (4096, 16))


@case("matmul", "linear_forward_backward_256x1024x1024")
def linear(m, device):
    x = m.tensor(values(256 * 1024, -1, 1).reshape(256, 1024)).to(device).requires_grad_()
    w = m.tensor(values(1024 * 1024, -1, 1).reshape(1024, 1024)).to(device).requires_grad_()
    b = m.zeros(1024, device=device, requires_grad=True)
    g = m.ones(256, 1024, device=device)

    def run():
        x.grad = w.grad = b.grad = None
        m.nn.functional.linear(x, w, b).backward(g)

    return run


@case("matmul", "attention_forward_backward")
def attention(m, device):
    q, k, v = (
        m.tensor(values(32 * 128 * 64, -1, 1).reshape(32, 128, 64)).to(device).requires_grad_() for _ in range(3)
    )
    g = m.ones(32, 128, 64, device=device)

    def run():
        q.grad = k.grad = v.grad = None
        ((q @ k.transpose(-2, -1) / 8).softmax(-1) @ v).backward(g)

    return run
