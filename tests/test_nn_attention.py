"""Attention and transformers against torch: values, gradients, masks, errors."""
import random
import warnings

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import nn
from fastgrad.nn import _attention
from fastgrad.nn import functional as F
from pairs import ours, pair, same, same_error, same_run

INF = float("inf")


def masks(torch, queries, keys):
    """Masks by name; every one leaves each row something to see, but `blind`."""
    allowed = torch.ones(queries, keys, dtype=torch.bool).tril(1)
    blind = allowed.clone()
    blind[1] = False
    return {"none": None, "bool": allowed, "float": torch.randn(queries, keys),
            "per head": torch.randn(2, 4, queries, keys), "blind": blind,
            "blind float": torch.zeros(queries, keys).masked_fill(~blind, -INF)}


@pytest.mark.parametrize("name", ["none", "bool", "float", "per head", "blind", "blind float"])
@pytest.mark.parametrize("options", [{}, {"scale": 0.3}, {"is_causal": True}, {"dropout_p": 0.4}])
def test_scaled_dot_product(torch, name, options):
    mask = masks(torch, 3, 5)[name]
    if mask is not None and "is_causal" in options:
        pytest.skip("one of both")
    torch.manual_seed(0)
    q = torch.randn(2, 4, 3, 8, requires_grad=True)
    k, v = torch.randn(2, 4, 5, 8, requires_grad=True), torch.randn(2, 4, 5, 6, requires_grad=True)
    if mask is not None and mask.is_floating_point():
        mask.requires_grad_(name == "float")
    same_run(torch, F.scaled_dot_product_attention, torch.nn.functional.scaled_dot_product_attention, (q, k, v, mask),
             **options)


@pytest.mark.parametrize("shapes", [((3, 8), (5, 8)), ((2, 3, 8), (5, 8)), ((4, 3, 8), (2, 4, 5, 8)),
                                    ((0, 3, 8), (0, 5, 8)), ((2, 0, 8), (2, 5, 8))])
def test_scaled_dot_product_shapes(torch, shapes):
    q, k = torch.randn(shapes[0], requires_grad=True), torch.randn(shapes[1], requires_grad=True)
    same_run(torch, F.scaled_dot_product_attention, torch.nn.functional.scaled_dot_product_attention,
             (q, k, k.detach()))


def test_grouped_queries(torch):
    q = torch.randn(2, 6, 3, 8, requires_grad=True)
    k = torch.randn(2, 2, 5, 8, requires_grad=True)
    v = torch.randn(2, 3, 5, 8, requires_grad=True)
    same_run(torch, F.scaled_dot_product_attention, torch.nn.functional.scaled_dot_product_attention,
             (q, k, torch.randn(2, 2, 5, 8, requires_grad=True)), enable_gqa=True)
    mine = F.scaled_dot_product_attention(*ours((q, k, v)), enable_gqa=True)
    spread = (q, k.repeat_interleave(3, 1), v.repeat_interleave(2, 1))
    same(mine, torch.nn.functional.scaled_dot_product_attention(*spread))


def test_scaled_dot_product_gradients():
    q, k, v = (fg.randn(2, n, 3, dtype=fg.float64, requires_grad=True) for n in (2, 4, 4))
    blind = fg.tensor([[True, False, True, True], [False] * 4])
    for options in ({}, {"is_causal": True}, {"attn_mask": blind}):
        def run(q, k, v, options=options):
            return F.scaled_dot_product_attention(q, k, v, **options)
        assert fg.autograd.gradcheck(run, (q, k, v))
        assert fg.autograd.gradgradcheck(run, (q, k, v))


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_scaled_dot_product_dtypes(torch, dtype):
    q = torch.randn(2, 3, 8).to(getattr(torch, dtype))
    same_run(torch, F.scaled_dot_product_attention, torch.nn.functional.scaled_dot_product_attention, (q, q, q),
             tolerance=1e-10 if dtype == "float64" else 2e-2)


def x_of(m):
    return m.ones(2, 4, 3, 8)


SDPA_ERRORS = {
    "mask dtype": lambda m, f: f(x_of(m), x_of(m), x_of(m), m.zeros(3, 3, dtype=m.int64)),
    "mask type": lambda m, f: f(x_of(m), x_of(m), x_of(m), 0.5),
    "dtypes": lambda m, f: f(x_of(m), x_of(m).double(), x_of(m)),
    "dims": lambda m, f: f(m.ones(8), x_of(m), x_of(m)),
    "sizes": lambda m, f: f(x_of(m), m.ones(2, 4, 3, 4), x_of(m)),
    "heads": lambda m, f: f(x_of(m), m.ones(2, 3, 3, 8), m.ones(2, 3, 3, 8), enable_gqa=True),
    "heads of matrices": lambda m, f: f(m.ones(3, 8), m.ones(3, 8), m.ones(3, 8), enable_gqa=True),
    "mask shape": lambda m, f: f(x_of(m), x_of(m), x_of(m), m.zeros(5, 5)),
    "integers": lambda m, f: f(x_of(m).long(), x_of(m).long(), x_of(m).long()),
    "dropout": lambda m, f: f(x_of(m), x_of(m), x_of(m), dropout_p=1.5),
    "scale by position": lambda m, f: f(x_of(m), x_of(m), x_of(m), None, 0.0, False, 2.0),
    "query type": lambda m, f: f(1, x_of(m), x_of(m)),
}


@pytest.mark.parametrize("name", SDPA_ERRORS)
def test_scaled_dot_product_errors(torch, name):
    same_error(torch, lambda m: SDPA_ERRORS[name](m, m.nn.functional.scaled_dot_product_attention))


def test_choice_of_kernels(torch):
    for m in (fg, torch):
        attention = m.nn.attention
        backend = attention.SDPBackend
        assert int(backend.MATH) == 0 and backend.FLASH_ATTENTION.name == "FLASH_ATTENTION"
        assert repr(backend.MATH) == "<SDPBackend.MATH: 0>" and str(backend.CUDNN_ATTENTION).endswith("CUDNN_ATTENTION")
        x = m.ones(2, 3, 4)
        with attention.sdpa_kernel([backend.MATH, backend.EFFICIENT_ATTENTION], set_priority=True):
            m.nn.functional.scaled_dot_product_attention(x, x, x)
        with attention.sdpa_kernel(backend.EFFICIENT_ATTENTION), pytest.raises(RuntimeError, match="No viable backend"):
            m.nn.functional.scaled_dot_product_attention(x, x, x)
        m.nn.functional.scaled_dot_product_attention(x, x, x)
        with pytest.raises(AssertionError, match="Backend must be an instance"), attention.sdpa_kernel("MATH"):
            pass
    with pytest.raises(AttributeError, match="flex_attention is not part"):
        nn.attention.flex_attention  # noqa: B018


# ---- MultiheadAttention

@pytest.mark.parametrize("trial", range(32))
@pytest.mark.filterwarnings("ignore:Support for mismatched")
def test_multihead(torch, trial):
    pick = random.Random(trial)
    options = {"bias": pick.choice((True, False)), "add_bias_kv": pick.choice((True, False)),
               "add_zero_attn": pick.choice((True, False)), "batch_first": pick.choice((True, False)),
               "dropout": pick.choice((0.0, 0.3)), "kdim": pick.choice((None, 5)), "vdim": pick.choice((None, 6))}
    mine, theirs = pair(torch, lambda m: m.nn.MultiheadAttention(8, 2, **options), seed=trial)
    if pick.random() < 0.5:
        mine.eval(), theirs.eval()
    torch.manual_seed(trial)
    batch, queries = pick.choice((3, 0)), 4

    def tensor(length, width):
        shape = ((batch, length) if options["batch_first"] else (length, batch)) if batch else (length,)
        return torch.randn(*shape, width, requires_grad=True)

    # One tensor may be key and value, or all three.
    use = pick.choice(("self", "key is value", "all")) if options["kdim"] == options["vdim"] is None else "all"
    keys = queries if use == "self" else 5
    inputs = (tensor(queries, 8), tensor(keys, options["kdim"] or 8), tensor(keys, options["vdim"] or 8))
    inputs = inputs[:{"self": 1, "key is value": 2, "all": 3}[use]]
    call = {"need_weights": pick.choice((True, False)), "average_attn_weights": pick.choice((True, False))}
    mask = pick.choice((None, "bool", "float", "heads"))
    if mask == "heads":
        call["attn_mask"] = torch.randn(max(batch, 1) * 2, queries, keys)
    elif mask:
        call["attn_mask"] = masks(torch, queries, keys)["bool" if mask == "bool" else "float"]
        if mask == "bool":
            call["attn_mask"] = ~call["attn_mask"]
    if pick.random() < 0.5:
        padding = torch.zeros(*((batch,) if batch else ()), keys, dtype=torch.bool)
        padding[..., -1] = True
        call["key_padding_mask"] = padding

    def run(module):
        def forward(*inputs, **call):
            return module(*inputs, *[inputs[-1]] * (3 - len(inputs)), **call)
        forward.parameters = module.parameters
        return forward

    same_run(torch, run(mine), run(theirs), inputs, **call)


def test_causal_hint(torch):
    mine, theirs = pair(torch, lambda m: m.nn.MultiheadAttention(8, 2))
    x = torch.randn(4, 3, 8, requires_grad=True)
    mask = torch.ones(4, 4, dtype=torch.bool).triu(1)
    for need in (True, False):
        mine.zero_grad(), theirs.zero_grad()
        same_run(torch, lambda x, **k: mine(x, x, x, **k), lambda x, **k: theirs(x, x, x, **k), (x.detach(),),
                 attn_mask=mask, is_causal=True, need_weights=need)


MHA_ERRORS = {
    "heads": lambda m: m.nn.MultiheadAttention(8, 3),
    "no heads": lambda m: m.nn.MultiheadAttention(8, 0),
    "hint without mask": lambda m: m.nn.MultiheadAttention(8, 2)(*[m.ones(2, 8)] * 3, is_causal=True),
    "dims": lambda m: m.nn.MultiheadAttention(8, 2)(*[m.ones(1, 1, 2, 8)] * 3),
    "key dims": lambda m: m.nn.MultiheadAttention(8, 2)(m.ones(2, 8), m.ones(1, 2, 8), m.ones(2, 8)),
    "width": lambda m: m.nn.MultiheadAttention(8, 2)(*[m.ones(2, 6)] * 3),
    "key and value": lambda m: m.nn.MultiheadAttention(8, 2)(m.ones(2, 8), m.ones(3, 8), m.ones(2, 8)),
    "mask shape": lambda m: m.nn.MultiheadAttention(8, 2)(*[m.ones(2, 1, 8)] * 3, attn_mask=m.zeros(3, 3)),
    "mask of heads": lambda m: m.nn.MultiheadAttention(8, 2)(*[m.ones(2, 1, 8)] * 3, attn_mask=m.zeros(3, 2, 2)),
    "mask dims": lambda m: m.nn.MultiheadAttention(8, 2)(*[m.ones(2, 1, 8)] * 3, attn_mask=m.zeros(2)),
    "mask dtype": lambda m: m.nn.MultiheadAttention(8, 2)(*[m.ones(2, 1, 8)] * 3, attn_mask=m.zeros(2, 2).long()),
    "padding dims": lambda m: m.nn.MultiheadAttention(8, 2)(*[m.ones(2, 1, 8)] * 3, key_padding_mask=m.zeros(2)),
    "padding size": lambda m: m.nn.MultiheadAttention(8, 2)(*[m.ones(2, 1, 8)] * 3, key_padding_mask=m.zeros(1, 3)),
}


@pytest.mark.parametrize("name", MHA_ERRORS)
def test_multihead_errors(torch, name):
    mine, theirs = same_error(torch, MHA_ERRORS[name])
    assert mine == theirs


def test_forward_with_static_keys(torch):
    x, static = torch.randn(3, 2, 8), torch.randn(4, 5, 4)
    weight, out = torch.randn(24, 8), torch.randn(8, 8)

    def run(m):
        own = (lambda t: t) if m is torch else ours
        return m.nn.functional.multi_head_attention_forward(
            own(x), own(x), own(x), 8, 2, own(weight), None, None, None, False, 0.0, own(out), None,
            static_k=own(static), static_v=own(static))

    same(run(fg), run(torch), 1e-4)


# ---- transformers

def quiet(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


@pytest.mark.parametrize("trial", range(16))
def test_encoder_layer(torch, trial):
    pick = random.Random(trial)
    options = {"dropout": pick.choice((0.0, 0.2)), "batch_first": pick.choice((True, False)),
               "norm_first": pick.choice((True, False)), "bias": pick.choice((True, False)),
               "layer_norm_eps": pick.choice((1e-5, 1e-3)), "dim_feedforward": 12}
    activation = pick.choice(("relu", "gelu", "callable"))
    mine, theirs = pair(torch, lambda m: m.nn.TransformerEncoderLayer(
        8, 2, activation=m.nn.functional.silu if activation == "callable" else activation, **options), seed=trial)
    x = torch.randn(3, 3, 8, requires_grad=True)
    mask = pick.choice((None, torch.ones(3, 3, dtype=torch.bool).triu(1)))
    padding = torch.zeros(3, 3, dtype=torch.bool)
    padding[:, 2] = True
    call = {"src_mask": mask, "src_key_padding_mask": pick.choice((None, padding))}
    same_run(torch, mine, theirs, (x,), **call)


@pytest.mark.parametrize("trial", range(8))
def test_decoder_layer(torch, trial):
    pick = random.Random(trial)
    options = {"dropout": pick.choice((0.0, 0.2)), "batch_first": pick.choice((True, False)),
               "norm_first": pick.choice((True, False)), "bias": pick.choice((True, False)), "activation": "gelu"}
    mine, theirs = pair(torch, lambda m: m.nn.TransformerDecoderLayer(8, 2, 12, **options), seed=trial)
    x, memory = torch.randn(3, 3, 8, requires_grad=True), torch.randn(3, 3, 8, requires_grad=True)
    call = {"tgt_mask": torch.full((3, 3), -INF).triu(1), "tgt_is_causal": pick.choice((True, False)),
            "memory_mask": pick.choice((None, torch.randn(3, 3)))}
    same_run(torch, mine, theirs, (x, memory), **call)


@pytest.mark.parametrize("batch_first", [True, False])
def test_transformer(torch, batch_first):
    mine, theirs = pair(torch, lambda m: m.nn.Transformer(
        d_model=8, nhead=2, num_encoder_layers=2, num_decoder_layers=2, dim_feedforward=12, dropout=0.1,
        batch_first=batch_first))
    src, tgt = torch.randn(3, 3, 8, requires_grad=True), torch.randn(3, 3, 8, requires_grad=True)
    padding = torch.tensor([[False, False, True]] * 3)
    causal = torch.nn.Transformer.generate_square_subsequent_mask(3)
    same(nn.Transformer.generate_square_subsequent_mask(3), causal)
    same(nn.Transformer.generate_square_subsequent_mask(2, dtype=fg.float64),
         torch.nn.Transformer.generate_square_subsequent_mask(2, dtype=torch.float64))
    same_run(torch, mine, theirs, (src, tgt), tgt_mask=causal, src_key_padding_mask=padding,
             memory_key_padding_mask=padding, tgt_is_causal=None)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("aligned", [True, False])
def test_encoder_drops_padding_in_evaluation(torch, aligned, norm):
    def make(m):
        return m.nn.TransformerEncoder(m.nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), 2,
                                       m.nn.LayerNorm(8) if norm else None)

    mine, theirs = pair(torch, make)
    mine.eval(), theirs.eval()
    x = torch.randn(2, 4, 8)
    padding = torch.tensor([[False, False, True, True], [False] * 4 if aligned else [False, True, False, False]])
    with fg.no_grad(), torch.no_grad():
        quiet(lambda: same_run(torch, mine, theirs, (x,), src_key_padding_mask=padding))
        same_run(torch, mine, theirs, (x,))
    same_run(torch, mine, theirs, (x,), src_key_padding_mask=padding)


def test_decoder(torch):
    def make(m):
        return m.nn.TransformerDecoder(m.nn.TransformerDecoderLayer(8, 2, 12), num_layers=2, norm=m.nn.LayerNorm(8))

    mine, theirs = pair(torch, make)
    same_run(torch, mine, theirs, (torch.randn(3, 2, 8, requires_grad=True), torch.randn(4, 2, 8)))


def test_encoder_warns_as_torch(torch):
    for options in ({}, {"batch_first": True, "norm_first": True}, {"batch_first": True, "bias": False},
                    {"batch_first": True, "activation": "none"}):
        texts = []
        for m in (fg, torch):
            if options.get("activation"):
                options["activation"] = m.tanh
            layer = m.nn.TransformerEncoderLayer(8, 2, 12, **options)
            with pytest.warns(UserWarning) as caught:
                m.nn.TransformerEncoder(layer, 1)
            texts.append(str(caught[0].message))
        assert texts[0] == texts[1]


TRANSFORMER_ERRORS = {
    "activation": lambda m: m.nn.TransformerEncoderLayer(8, 2, activation="elu"),
    "batch": lambda m: quiet(lambda: m.nn.Transformer(8, 2, 1, 1, 8))(m.ones(2, 3, 8), m.ones(2, 2, 8)),
    "features": lambda m: quiet(lambda: m.nn.Transformer(8, 2, 1, 1, 8))(m.ones(2, 3, 8), m.ones(2, 3, 6)),
}


@pytest.mark.parametrize("name", TRANSFORMER_ERRORS)
def test_transformer_errors(torch, name):
    mine, theirs = same_error(torch, TRANSFORMER_ERRORS[name])
    assert mine == theirs


def test_helpers(torch):
    from fastgrad.nn.modules.linear import NonDynamicallyQuantizableLinear
    from fastgrad.nn.modules.transformer import _get_activation_fn
    assert _get_activation_fn("relu") is F.relu and _get_activation_fn("gelu") is F.gelu
    assert isinstance(nn.MultiheadAttention(4, 2).out_proj, NonDynamicallyQuantizableLinear)
    encoder = nn.Transformer(8, 2, 1, 1, 8, custom_encoder=nn.Identity(), custom_decoder=nn.Identity())
    assert isinstance(encoder.encoder, nn.Identity) and isinstance(encoder.decoder, nn.Identity)


# ---- the kernel that keeps no weights

SHAPES = {  # leading dimensions, queries, keys, width, width of the values
    "even": ((2, 4), 64, 64, 16, 16),
    "odd": ((5,), 97, 131, 7, 5),
    "few_keys": ((4, 2), 300, 19, 8, 24),
    "many_keys": ((2, 2), 13, 1100, 5, 3),
    "five": ((2, 1, 4), 61, 121, 4, 4),
}


def fused_inputs(shape, dtype=np.float64):
    lead, rows, keys, width, wide = SHAPES[shape]
    random = np.random.default_rng(0)
    return [random.normal(size=(*lead, *s)).astype(dtype) for s in ((rows, width), (keys, width), (keys, wide))]


@pytest.mark.isa
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_kernel_against_products(shape, causal):
    arrays, results = fused_inputs(shape), []
    for fused in (True, False):
        q, k, v = (fg.tensor(a).requires_grad_() for a in arrays)
        if fused:
            assert _attention._fits_kernel(q, k, v, 0.3)
            out = fg.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=0.3)
        else:
            out = _attention._by_products(q, k, v, None, 0.0, causal, 0.3)
        g = fg.tensor(np.random.default_rng(1).normal(size=out.shape))
        first = fg.autograd.grad(out, (q, k, v), g, create_graph=True)
        second = fg.autograd.grad(sum((part * part).sum() for part in first), (q, k, v), retain_graph=True)
        out.backward(g)
        results.append([out, *first, q.grad, k.grad, v.grad, *second])
    for a, e in zip(*results):
        np.testing.assert_allclose(a.detach().numpy(), e.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_kernel_of_other_layouts(torch):
    """Heads in the middle, as models have them; a row that is NaN stays alone; large scores."""
    arrays = [np.random.default_rng(s).normal(size=(2, 90, 4, 16)).astype(np.float32) * 5 for s in range(3)]
    arrays[0][0, 3, 1, 2] = np.nan
    ours, theirs = (
        m.nn.functional.scaled_dot_product_attention(*[m.tensor(a).transpose(1, 2) for a in arrays], is_causal=True)
        for m in (fg, torch)
    )
    assert np.isnan(ours[0, 1, 3].numpy()).all() and np.isnan(ours.numpy()).sum() == 16
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-3)


LAYOUTS = {  # (batch, rows, heads, width) as it lies in memory, or how the query is made of ones
    "middle": lambda m, rows: [m.ones(2, rows, 4, 16).transpose(1, 2)] * 3,
    "packed": lambda m, rows: list(m.ones(2, rows, 3, 4, 16).permute(2, 0, 3, 1, 4).unbind(0)),
    "rows_first": lambda m, rows: [m.ones(rows, 2, 4, 16).permute(1, 2, 0, 3)] * 3,
    "contiguous": lambda m, rows: [m.ones(2, 4, rows, 16)] + [m.ones(2, rows, 4, 16).transpose(1, 2)] * 2,
    "part": lambda m, rows: [m.ones(2, 4, rows, 32)[..., :16]] * 3,
    "spread": lambda m, rows: [m.ones(1, 4, rows, 16).expand(2, 4, rows, 16)] * 3,
    "turned": lambda m, rows: [m.ones(2, 4, 16, rows).transpose(2, 3)] * 3,
    "other_width": lambda m, rows: [m.ones(2, rows, 4, n).transpose(1, 2) for n in (16, 16, 8)],
    "three": lambda m, rows: [m.ones(rows, 4, 16).transpose(0, 1)] * 3,
    "five": lambda m, rows: [m.ones(2, 3, rows, 4, 16).transpose(2, 3)] * 3,
}


@pytest.mark.parametrize("rows", [8, 64])
@pytest.mark.parametrize("name", LAYOUTS)
def test_output_lies_as_the_query(torch, name, rows):
    """By the kernel (64 rows) and by products: programs view heads that lie in the middle as one row."""
    options = [lambda m: {}, lambda m: {"is_causal": True}, lambda m: {"dropout_p": 0.1},
               lambda m: {"attn_mask": m.ones(rows, rows, dtype=m.bool)},
               lambda m: {"attn_mask": m.zeros(rows, rows).requires_grad_()}]
    for option in options:
        made = [m.nn.functional.scaled_dot_product_attention(*LAYOUTS[name](m, rows), **option(m)) for m in (fg, torch)]
        assert made[0].stride() == made[1].stride()


def test_gradient_of_another_layout():
    arrays = [np.random.default_rng(s).normal(size=(2, 40, 4, 8)) for s in range(3)]
    results = []
    for turn in (lambda t: t, lambda t: t.contiguous()):
        given = [fg.tensor(a).requires_grad_() for a in arrays]
        out = fg.nn.functional.scaled_dot_product_attention(*[turn(t.transpose(1, 2)) for t in given])
        results.append([out, *fg.autograd.grad(out.transpose(1, 2).reshape(2, 40, 32).square().sum(), given)])
    for a, e in zip(*results):
        np.testing.assert_array_equal(a.detach().numpy(), e.detach().numpy())


def blind_masks(torch, queries, keys):
    """Name: (mask, causal) under which some queries see nothing."""
    row = torch.ones(queries, keys, dtype=torch.bool)
    row[1] = False
    heads = row.expand(2, 4, -1, -1).clone()
    heads[1, 2] = False
    first = torch.ones(queries, keys, dtype=torch.bool)
    first[:, 0] = False  # with causal, all that the first query could see
    zeros = torch.zeros(queries, keys)
    return {
        "bool": (row, False), "per head": (heads, False), "all": (torch.zeros_like(row), False), "causal": (None, True),
        "float": (zeros.masked_fill(~row, -INF), False), "and causal": (first, True),
        "float per head": (torch.randn(2, 4, queries, keys).masked_fill(~heads, -INF), False),
        "float and causal": (zeros.masked_fill(~first, -INF), True),
    }  # fmt: skip


@pytest.mark.parametrize("rows", [(3, 5), (5, 3), (100, 90)])
@pytest.mark.parametrize("name", ["bool", "per head", "float", "float per head", "and causal", "float and causal",
                                  "all", "causal"])
def test_queries_that_see_nothing(torch, name, rows):
    """They give 0 and gradients of 0, as in torch: by products, and without a mask and with many rows by the kernel."""
    queries, keys = rows
    torch.manual_seed(0)
    mask, causal = blind_masks(torch, queries, keys)[name]
    q, k, v = (torch.randn(2, 4, n, 8, requires_grad=True) for n in (queries, keys, keys))
    options = {"is_causal": causal, "dropout_p": 0.0}
    for scale in (None, 0.3):
        made = []
        for m, given, bias in ((fg, ours((q, k, v)), ours((mask,))[0]), (torch, (q, k, v), mask)):
            out = m.nn.functional.scaled_dot_product_attention(*given, bias, scale=scale, **options)
            made.append([out, *m.autograd.grad(out.square().sum(), given)])
        for a, e in zip(*made):
            assert not a.isnan().any()
            np.testing.assert_allclose(a.detach().numpy(), e.detach().numpy(), rtol=2e-5, atol=1e-5)


@pytest.mark.isa
@pytest.mark.parametrize("rows", [3, 100])
def test_scores_that_are_all_minus_infinity(torch, rows):
    results = []
    for m in (fg, torch):
        q, k, v = (m.ones(1, 4, rows, 8).clone() for _ in range(3))
        q[0, 0, 2] = -np.inf
        for t in (q, k, v):
            t.requires_grad_()
        out = m.nn.functional.scaled_dot_product_attention(q, k, v)
        results.append([out.detach(), *m.autograd.grad(out.square().sum(), (q, v))])
    assert (results[0][0][0, 0, 2] == 0).all()
    for a, e in zip(*results):
        np.testing.assert_allclose(a.numpy(), e.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_softmax_of_nothing_is_zero(torch, dtype):
    x = torch.randn(3, 5, 4).to(getattr(torch, dtype))
    x[1, :, 2] = x[0, 3] = -INF
    x[2, 0, 0], x[2, 1, 1] = INF, float("nan")
    for dim in (0, 1, -1):
        theirs = torch._safe_softmax(x, dim)
        mine = fg._C._safe_softmax(fg.tensor(x.float().numpy()).to(getattr(fg, dtype)), dim)
        np.testing.assert_allclose(mine.float().numpy(), theirs.float().numpy(), rtol=1e-2 if "16" in dtype else 1e-6)
    assert fg._C._safe_softmax(fg.full((), -INF), 0).item() == 0
    assert fg._C._safe_softmax(fg.ones(2, 0), 1).shape == (2, 0)
    assert fg._C._safe_softmax(fg.ones(0, 2), 1).shape == (0, 2)


def test_kernel_under_vmap():
    q, k, v = (fg.tensor(a) for a in fused_inputs("even"))
    both = fg.func.vmap(fg.nn.functional.scaled_dot_product_attention, in_dims=(0, 0, None))(q, k, v[0])
    for i in range(2):
        one = fg.nn.functional.scaled_dot_product_attention(q[i], k[i], v[0])
        np.testing.assert_allclose(both[i].numpy(), one.numpy(), rtol=1e-10)
