"""Random numbers and what is made of them. Both libraries give the same numbers for the same seed."""

from benchmarks.inputs import M, forward_backward, op, real, signed

ONE = real(1)


def fresh(name, call, sizes=("16M",), width=4):
    for size in sizes:
        n = {"8": 8, "64K": M // 16, "1M": M, "16M": 16 * M}[size]
        op("random", f"{name}_{size}", lambda m, x, n=n: call(m, n), ONE, moves=width * n)


fresh("rand", lambda m, n: m.rand(n), ("8", "64K", "16M"))
fresh("randn", lambda m, n: m.randn(n), ("8", "64K", "16M"))
fresh("rand_f64", lambda m, n: m.rand(n, dtype=m.float64), width=8)
fresh("randn_f64", lambda m, n: m.randn(n, dtype=m.float64), width=8)
fresh("randn_bf16", lambda m, n: m.randn(n, dtype=m.bfloat16), width=2)
fresh("randint", lambda m, n: m.randint(0, 1000, (n,)), ("64K", "16M"), width=8)
fresh("randperm", lambda m, n: m.randperm(n), ("64K", "1M"), width=8)

SIXTEEN, FOUR = real(16 * M), real(4 * M)
FILLS = {
    "uniform": lambda x: x.uniform_(-1, 1),
    "normal": lambda x: x.normal_(0, 0.02),
    "bernoulli": lambda x: x.bernoulli_(0.3),
}
for name, call in FILLS.items():
    op("random", f"{name}_in_place_16M", lambda m, x, call=call: call(x), SIXTEEN, moves=64 * M)
MORE = {
    "exponential": lambda x: x.exponential_(),
    "cauchy": lambda x: x.cauchy_(),
    "log_normal": lambda x: x.log_normal_(),
    "geometric": lambda x: x.geometric_(0.3),
    "random_int": lambda x: x.random_(0, 100),
}
for name, call in MORE.items():
    op("random", f"{name}_in_place_4M", lambda m, x, call=call: call(x), FOUR, moves=16 * M)
op("random", "bernoulli_of_probabilities_4M", lambda m, x: m.bernoulli(x), real(4 * M, low=0.0, high=1.0))
op("random", "poisson_1M", lambda m, x: m.poisson(x), real(M))
op("random", "normal_of_tensors_4M", lambda m, x, y: m.normal(x, y), FOUR, FOUR)
op("random", "multinomial", lambda m, x: m.multinomial(x, 10), real(1000, 500))
op("random", "multinomial_replaced", lambda m, x: m.multinomial(x, 64, True), real(64, 1000))
op("random", "multinomial_one", lambda m, x: m.multinomial(x, 1), real(256, 1000))

op("random", "dropout_4M", lambda m, x: m.nn.functional.dropout(x, 0.5), FOUR)
op("random", "dropout_64K", lambda m, x: m.nn.functional.dropout(x, 0.1), real(M // 16))
op("random", "dropout_forward_backward_4M", lambda m, x: m.nn.functional.dropout(x, 0.1), FOUR, mode=forward_backward)
op("random", "dropout2d", lambda m, x: m.nn.functional.dropout2d(x, 0.2), signed(32, 64, 56, 56))
op("random", "alpha_dropout_4M", lambda m, x: m.nn.functional.alpha_dropout(x, 0.2, True), FOUR)
op("random", "rrelu_4M", lambda m, x: m.nn.functional.rrelu(x, training=True), signed(4 * M))
op("random", "gumbel_softmax_1M", lambda m, x: m.nn.functional.gumbel_softmax(x), signed(1024, 1024))
op("random", "xavier_uniform_1M", lambda m, x: m.nn.init.xavier_uniform_(x), real(1024, 1024), moves=0)
op("random", "kaiming_normal_1M", lambda m, x: m.nn.init.kaiming_normal_(x), real(1024, 1024), moves=0)
op("random", "trunc_normal_1M", lambda m, x: m.nn.init.trunc_normal_(x, std=0.02), real(1024, 1024), moves=0)
op("random", "reparameterize_4M", lambda m, x, y: x + m.exp(0.5 * y) * m.randn_like(x), FOUR, FOUR)
