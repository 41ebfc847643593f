"""Linear algebra against torch: every option, every error, empty matrices; gradients are in op_linalg.py."""
# ruff: noqa: B023 (the functions made in loops are called at once)

import math
import warnings

import numpy as np
import pytest

import fastgrad as fg

RANDOM = np.random.default_rng(0)
A = RANDOM.normal(size=(2, 3, 3))
WIDE, TALL, VECTOR = RANDOM.normal(size=(3, 5)), RANDOM.normal(size=(2, 5, 3)), RANDOM.normal(size=4)
TENSOR = RANDOM.normal(size=(2, 3, 6))
SYMMETRIC, POSITIVE = A + A.transpose(0, 2, 1), A @ A.transpose(0, 2, 1) + np.eye(3)
CHOLESKY = np.linalg.cholesky(POSITIVE)
SINGULAR, ONE_SINGULAR = np.array([[1.0, 2], [2, 4]]), np.stack([A[0], np.ones((3, 3))])
COUNT = np.arange(24.0).reshape(2, 3, 4)
DIAGONAL = np.stack([np.eye(2), SINGULAR])


def attempt(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except Exception as error:
            return type(error).__name__, str(error)


def flat(value):
    return [part for entry in value for part in flat(entry)] if isinstance(value, (tuple, list)) else [value]


def assert_equal(torch, call):
    """call(library, make), make(array, dtype="float64")"""
    results = [attempt(lambda m=m: call(m, lambda x, dtype="float64": m.tensor(x).to(getattr(m, dtype))))
               for m in (fg, torch)]
    ours, theirs = flat(results[0]), flat(results[1])
    assert len(ours) == len(theirs), results
    for a, e in zip(ours, theirs):
        if not hasattr(e, "numpy"):
            assert a == e, results
            continue
        assert hasattr(a, "numpy"), results
        assert tuple(a.shape) == tuple(e.shape) and str(a.dtype) == str(e.dtype), results
        np.testing.assert_allclose(a.numpy(), e.numpy(), rtol=1e-7, atol=1e-8)


def absolute(parts):
    return [abs(part) for part in parts]


ORDERS = ("fro", "nuc", 2, -2, 1, -1, math.inf, -math.inf, "x", 3)


@pytest.mark.parametrize("order", ORDERS)
def test_norms(torch, order):
    for x in (A, WIDE):
        for keep in (False, True):
            assert_equal(torch, lambda m, c: m.linalg.matrix_norm(c(x), order, keepdim=keep))
            assert_equal(torch, lambda m, c: m.linalg.norm(c(x), order, keepdim=keep))
    assert_equal(torch, lambda m, c: m.linalg.matrix_norm(c(COUNT), order, dim=(2, 0), keepdim=True))
    assert_equal(torch, lambda m, c: m.linalg.matrix_norm(c(COUNT), order, dim=(0, 1)))
    assert_equal(torch, lambda m, c: m.linalg.norm(c(COUNT), order, (0, 1)))
    for x in (A, WIDE, ONE_SINGULAR, SINGULAR):
        if x is A or x is WIDE or order not in ("nuc", 2, -2):  # 1 / rounding error
            assert_equal(torch, lambda m, c: m.linalg.cond(c(x), order))
    if not isinstance(order, str):
        assert_equal(torch, lambda m, c: m.linalg.norm(c(VECTOR), order))
        assert_equal(torch, lambda m, c: m.linalg.vector_norm(c(COUNT), order, dim=(0, 2), keepdim=True))


TRIANGLES = [(up, unit, left) for up in (False, True) for unit in (False, True) for left in (False, True)]


@pytest.mark.parametrize("n", [1, 3, 70])
def test_triangular_and_lu(torch, n):
    """Also matrices of more than one block."""
    a, b = RANDOM.normal(size=(2, n, n)), RANDOM.normal(size=(2, n, 4))
    steady = a / n + np.eye(n)
    for up, unit, left in TRIANGLES:
        side = b if left else b.transpose(0, 2, 1).copy()
        assert_equal(torch, lambda m, c: m.linalg.solve_triangular(c(steady), c(side), upper=up, unitriangular=unit,
                                                                   left=left))
    for left in (True, False):
        for adjoint in (True, False):
            side = b if left else b.transpose(0, 2, 1).copy()
            assert_equal(torch, lambda m, c: m.linalg.lu_solve(*m.linalg.lu_factor(c(a)), c(side), left=left,
                                                               adjoint=adjoint))
    for x in (a, a[:, :, :n // 2 + 1], a[:, :n // 2 + 1]):
        assert_equal(torch, lambda m, c: m.linalg.lu_factor(c(x)))
        P, L, U = fg.linalg.lu(fg.tensor(x))
        np.testing.assert_allclose((P @ L @ U).numpy(), x, atol=1e-12)


@pytest.mark.isa
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-9), ("float32", 1e-3)])
def test_blocks(dtype, tolerance):
    """Matrices around the sizes of panels, of rows of a triangle and of strips of right-hand sides."""
    for n in (1, 4, 5, 8, 9, 15, 16, 17, 33, 64, 130):
        a = RANDOM.normal(size=(n, n)) / n + np.eye(n)
        symmetric = a @ a.T + np.eye(n)
        x, right = fg.tensor(a.astype(dtype)), RANDOM.normal(size=(n, 140)).astype(dtype)
        np.testing.assert_allclose((fg.linalg.inv(x) @ x).numpy(), np.eye(n), atol=tolerance)
        np.testing.assert_allclose(a @ fg.linalg.solve(x, fg.tensor(right)).numpy(), right, atol=tolerance)
        lower = fg.linalg.cholesky(fg.tensor(symmetric.astype(dtype))).numpy()
        np.testing.assert_allclose(lower, np.linalg.cholesky(symmetric), atol=tolerance)
        np.testing.assert_allclose(fg.linalg.slogdet(x)[1].numpy(), np.linalg.slogdet(a)[1], atol=tolerance)
        assert fg.linalg.det(fg.tensor(a)).item() == pytest.approx(np.linalg.det(a))
        rows = fg.tensor(RANDOM.normal(size=(2, n, 40)).astype(dtype))
        P, L, U = fg.linalg.lu(rows)
        np.testing.assert_allclose((P @ L @ U).numpy(), rows.numpy(), atol=tolerance)
        assert L.abs().max() <= 1


def test_cholesky_stops_at_the_first_bad_minor():
    a = np.eye(40)
    a[20, 20] = -1
    assert fg.linalg.cholesky_ex(fg.tensor(a)).info.item() == 21
    a[20, 20] = math.nan
    assert fg.linalg.cholesky_ex(fg.tensor(a)).info.item() == 21


NANS = {
    "first": [[np.nan, 1], [0, 1]],
    "below": [[0, 1], [np.nan, 1]],
    "below_two": [[2, 1, 1], [1, 1, 1], [np.nan, 3, 1]],
    "right": [[1, np.nan], [2, 1]],
    "inside": [[1.0, 2, 3], [4, np.nan, 6], [7, 8, 10]],
    "infinite": [[1.0, 2, 3], [4, np.inf, 6], [7, 8, 10]],
}


@pytest.mark.isa
@pytest.mark.parametrize("name", NANS)
def test_nan_stays_in_a_factorisation(torch, name):
    x = np.array(NANS[name], float)
    assert_equal(torch, lambda m, make: m.linalg.lu_factor_ex(make(x)))
    assert_equal(torch, lambda m, make: m.linalg.det(make(x)))
    assert_equal(torch, lambda m, make: m.linalg.inv_ex(make(x)))
    assert_equal(torch, lambda m, make: m.linalg.solve_ex(make(x), make(np.ones(len(x)))))


@pytest.mark.parametrize("x", [SINGULAR, ONE_SINGULAR, np.diag([0.0, 1]), np.diag([1.0, 0, 2]), np.zeros((2, 2))])
def test_zero_pivots_are_divided_by(torch, x):
    """What a singular matrix gives has infinities and NaN where torch has them."""
    assert_equal(torch, lambda m, make: m.linalg.inv_ex(make(x)))
    assert_equal(torch, lambda m, make: m.linalg.solve_ex(make(x), make(COUNT.reshape(-1)[:x.size].reshape(x.shape))))
    gradients = []
    for m in (fg, torch):
        a = m.tensor(x, requires_grad=True)
        m.linalg.slogdet(a)[1].sum().backward()
        gradients.append(a.grad.numpy())
    np.testing.assert_allclose(*gradients)


def test_tiny_pivots_are_divided_by():
    """The inverse of a diagonal element may overflow where the quotient does not."""
    tiny = fg.tensor([[1e-40, 0.0], [0.0, 1.0]])
    x = fg.linalg.solve_triangular(tiny, fg.tensor([[1e-40], [3.0]]), upper=False)
    assert x.tolist() == [[1.0], [3.0]]


@pytest.mark.parametrize("x", [A, WIDE, TALL, SINGULAR], ids=["square", "wide", "tall", "singular"])
def test_factorisations(torch, x):
    for mode in ("reduced", "complete", "r"):
        assert_equal(torch, lambda m, c: m.linalg.qr(c(x), mode))
    for function in ("svdvals", "pinv", "matrix_rank", "lu_factor", "lu_factor_ex", "lu"):
        if not (x is SINGULAR and function == "pinv"):
            assert_equal(torch, lambda m, c: getattr(m.linalg, function)(c(x)))
    assert_equal(torch, lambda m, c: m.geqrf(c(x)))
    assert_equal(torch, lambda m, c: absolute(m.linalg.svd(c(x), False)))
    assert_equal(torch, lambda m, c: [part.shape for part in m.linalg.svd(c(x))])
    assert_equal(torch, lambda m, c: m.linalg.lu_factor(c(x), pivot=False))
    assert_equal(torch, lambda m, c: m.lu_unpack(*m.linalg.lu_factor_ex(c(x))[:2]))
    assert_equal(torch, lambda m, c: m.lu_unpack(*m.linalg.lu_factor_ex(c(x))[:2], unpack_data=False))
    assert_equal(torch, lambda m, c: m.lu_unpack(*m.linalg.lu_factor_ex(c(x))[:2], unpack_pivots=False))
    for some in (True, False):
        assert_equal(torch, lambda m, c: m.qr(c(x), some))
        assert_equal(torch, lambda m, c: [part.shape for part in m.svd(c(x), some)])
    assert_equal(torch, lambda m, c: m.svd(c(x), compute_uv=False))
    assert_equal(torch, lambda m, c: absolute(m.svd(c(x), True)))


CALLS = {
    "inv": lambda m, c: [m.linalg.inv(c(A)), m.inverse(c(A)), m.linalg.inv_ex(c(A))],
    "singular": lambda m, c: [attempt(lambda f=f, x=x: f(c(x))) for x in (SINGULAR, ONE_SINGULAR)
                              for f in (m.linalg.inv, m.linalg.det, m.linalg.slogdet, m.logdet)],
    "singular_info": lambda m, c: [m.linalg.inv_ex(c(ONE_SINGULAR)).info,
                                   m.linalg.solve_ex(c(ONE_SINGULAR), c(A)).info],
    "solve": lambda m, c: [attempt(lambda x=x, s=s: m.linalg.solve(c(x), c(np.ones(s)))) for x in (A, A[0]) for s in
                           ((3,), (2, 3), (3, 4), (2, 3, 4), (4, 2, 3, 1), (2,), (3, 3))],
    "solve_left": lambda m, c: [m.linalg.solve(c(A), c(TALL), left=False),
                                attempt(lambda: m.linalg.solve(c(A), c(np.ones((2, 3))), left=False))],
    "solve_errors": lambda m, c: [attempt(lambda: m.linalg.solve(c(A), c(A, "float32"))),
                                  attempt(lambda: m.linalg.solve(c(ONE_SINGULAR), c(A))),
                                  attempt(lambda: m.linalg.solve(c(SINGULAR), c(SINGULAR)))],
    "cholesky": lambda m, c: [m.linalg.cholesky(c(POSITIVE)), m.linalg.cholesky(c(POSITIVE), upper=True),
                              m.cholesky(c(POSITIVE), True), m.linalg.cholesky_ex(c(SYMMETRIC)).info,
                              m.linalg.cholesky_ex(c(DIAGONAL)).info],
    "cholesky_errors": lambda m, c: [attempt(lambda x=x: m.linalg.cholesky(c(x))) for x in (-SINGULAR, DIAGONAL)],
    "cholesky_solve": lambda m, c: [m.cholesky_solve(c(A), c(CHOLESKY)), m.cholesky_inverse(c(CHOLESKY)),
                                    m.cholesky_solve(c(A), c(CHOLESKY).mT, True), m.cholesky_inverse(c(A), upper=True),
                                    attempt(lambda: m.cholesky_solve(c(VECTOR), c(A)))],
    "eigh": lambda m, c: [absolute(m.linalg.eigh(c(SYMMETRIC))), m.linalg.eigvalsh(c(A), UPLO="U"),
                          m.linalg.eigvalsh(c(A)), m.linalg.eigvalsh(c(A), "u")],
    "modes": lambda m, c: [attempt(lambda: m.linalg.eigh(c(A), "X")), attempt(lambda: m.linalg.qr(c(A), mode="x")),
                           attempt(lambda: m.linalg.svd(c(A), driver="gesvd"))],
    "thresholds": lambda m, c: [f(c(SYMMETRIC), **options) for f in (m.linalg.pinv, m.linalg.matrix_rank) for options in
                                ({"atol": 1.0}, {"rtol": 0.5}, {"atol": 0.1, "rtol": 0.3}, {"hermitian": True},
                                 {"hermitian": True, "rtol": 0.3}, {"atol": c([0.5, 2.0])})],
    "old_thresholds": lambda m, c: [m.linalg.matrix_rank(c(SYMMETRIC), 1.0), m.linalg.pinv(c(SYMMETRIC), 0.5),
                                    m.pinverse(c(SINGULAR), 1e-6)],
    "householder": lambda m, c: [m.linalg.householder_product(*m.geqrf(c(TALL))), m.orgqr(*m.geqrf(c(A)))],
    "householder_errors": lambda m, c: [attempt(lambda a=a: m.linalg.householder_product(*a)) for a in (
        (c(WIDE), c(VECTOR)), (c(WIDE.T), c(VECTOR)), (c(A), c(VECTOR[:3])))],
    "ormqr": lambda m, c: [m.ormqr(*m.geqrf(c(TALL)), c(np.arange(50.0).reshape(2, 5, 5)), left, transpose)
                           for left in (True, False) for transpose in (True, False)],
    "powers": lambda m, c: [m.linalg.matrix_power(c(A), n) for n in (-3, 0, 5)] + [
        m.matrix_power(c(A), 3), attempt(lambda: m.linalg.matrix_power(c(SINGULAR), -1))],
    "matrix_exp": lambda m, c: [m.matrix_exp(c(A * scale)) for scale in (1e-3, 1, 10, 0)],
    "multi_dot": lambda m, c: [m.linalg.multi_dot([c(VECTOR[:3]), c(WIDE), c(WIDE.T), c(VECTOR[:3])]),
                               m.linalg.multi_dot([c(A[0]), c(WIDE)])],
    "multi_dot_errors": lambda m, c: [attempt(lambda p=p: m.linalg.multi_dot([c(x) for x in p])) for p in (
        [A[0]], [], [A[0], A], [A, A[0]], [WIDE, WIDE], [WIDE, A, WIDE])],
    "tensors": lambda m, c: [m.linalg.tensorinv(c(TENSOR)), m.linalg.tensorsolve(c(TENSOR), c(np.ones((2, 3)))),
                             m.linalg.tensorsolve(c(TENSOR).movedim(2, 0), c(np.ones((2, 3))), dims=(0,))],
    "tensor_errors": lambda m, c: [attempt(lambda: m.linalg.tensorinv(c(WIDE))),
                                   attempt(lambda: m.linalg.tensorinv(c(WIDE), 0)),
                                   attempt(lambda: m.linalg.tensorsolve(c(TENSOR), c(np.ones(2))))],
    "vander": lambda m, c: [m.linalg.vander(c(VECTOR)), m.linalg.vander(c(A), N=2),
                            m.linalg.vander(c([1, 2, 3], "int32"), N=5),
                            attempt(lambda: m.linalg.vander(c(VECTOR), N=1))],
    "vectors": lambda m, c: [m.linalg.vecdot(c(A), c(A), dim=1), m.linalg.cross(c(A), c(A[:1])),
                             m.linalg.cross(c(A), c(A * 2 + 1), dim=1), m.linalg.diagonal(c(A), offset=1),
                             m.linalg.matmul(c(A), c(A))],
    "cross_errors": lambda m, c: [attempt(lambda: m.linalg.cross(c(SINGULAR), c(SINGULAR))),
                                  attempt(lambda: m.linalg.cross(c(A), c(A[0])))],
    "norm_forms": lambda m, c: [m.linalg.norm(c(A)), m.linalg.norm(c(A), dim=(0, 1)), m.linalg.norm(c(A), 3, dim=1),
                                m.linalg.matrix_norm(c(A, "float32"), dtype=m.float64), m.frobenius_norm(c(A), (0, 1)),
                                m.nuclear_norm(c(WIDE)), m.linalg.cond(c(WIDE))],
    "norm_errors": lambda m, c: [attempt(call) for call in (
        lambda: m.linalg.norm(c(A), dim=(0, 1, 2)), lambda: m.linalg.norm(c(A), 2),
        lambda: m.linalg.norm(c(A), "nuc", dim=0), lambda: m.linalg.matrix_norm(c(A), "nuc", dim=(0, 0)),
        lambda: m.linalg.vector_norm(c(A, "int64")), lambda: m.linalg.matrix_norm(c(VECTOR)))],
    "old_triangular": lambda m, c: [m.triangular_solve(c(A), c(A[0]), up, transpose, unit) for up in (True, False)
                                    for transpose in (True, False) for unit in (True, False)],
    "old_lu": lambda m, c: [m.lu(c(A)), m.lu(c(A), get_infos=True), m.lu_solve(c(A), *m.linalg.lu_factor(c(A)))],
    "methods": lambda m, c: [getattr(c(A), name)() for name in (
        "det", "logdet", "inverse", "slogdet", "matrix_exp", "pinverse", "qr", "geqrf", "lu")],
    "more_methods": lambda m, c: [
        c(POSITIVE).cholesky(), c(A).cholesky_solve(c(CHOLESKY)), c(CHOLESKY).cholesky_inverse(), c(A).matrix_power(2),
        c(A).triangular_solve(c(A)), c(A).lu_solve(*m.linalg.lu_factor(c(A))), absolute(c(A).svd()),
        c(TALL).geqrf()[0].ormqr(c(TALL).geqrf()[1], c(TALL)), c(TALL).geqrf()[0].orgqr(c(TALL).geqrf()[1])],
    "out": lambda m, c: [m.linalg.inv(c(A), out=c(np.zeros(0))), m.linalg.solve(c(A), c(A), out=c(np.zeros(0))),
                         m.linalg.slogdet(c(A), out=(c(np.zeros(0)), c(np.zeros(0))))],
    "shape_errors": lambda m, c: [attempt(call) for call in (
        lambda: m.linalg.solve_triangular(c(SINGULAR), c(WIDE), upper=True),
        lambda: m.linalg.solve_triangular(c(SINGULAR), c(VECTOR), upper=True),
        lambda: m.linalg.solve_triangular(c(WIDE), c(WIDE), upper=True),
        lambda: m.linalg.lu_solve(*m.linalg.lu_factor(c(A)), c(VECTOR)), lambda: m.linalg.matrix_rank(c(VECTOR)),
        lambda: m.logdet(c(VECTOR)))],
    "zero_on_the_diagonal": lambda m, c: m.linalg.solve_triangular(c(np.zeros((2, 2))), c(SINGULAR), upper=True)}


@pytest.mark.parametrize("name", CALLS)
def test_calls(torch, name):
    assert_equal(torch, CALLS[name])


@pytest.mark.parametrize("driver", [None, "gels", "gelsy", "gelsd", "gelss", "x"])
def test_lstsq(torch, driver):
    for x, b in ((TALL, (2, 5, 2)), (A, (2, 3, 1)), (TALL, (2, 5)), (TALL[0], (5,)), (WIDE[None], (1, 3, 2))):
        assert_equal(torch, lambda m, c: m.linalg.lstsq(c(x), c(np.ones(b)), driver=driver))
    if driver in (None, "gelsd"):
        assert_equal(torch, lambda m, c: m.linalg.lstsq(c(SINGULAR), c(np.ones((2, 1))), rcond=1e-5, driver=driver)[2])
        assert_equal(torch, lambda m, c: m.linalg.lstsq(c(WIDE), c(np.ones((4, 1))), driver=driver))


CHECKED = ("inv", "det", "cholesky", "eigh", "svd", "qr", "lu_factor", "lu", "pinv", "slogdet", "matrix_exp")


@pytest.mark.parametrize("name", CHECKED)
def test_what_is_refused(torch, name):
    for x, dtype in ((SINGULAR, "float32"), (DIAGONAL, "float64"), (np.ones((2, 3)), "float32"), (VECTOR, "float32"),
                     (np.ones((2, 2)), "int64"), (np.ones((2, 2)), "float16")):
        if dtype != "float16" or name != "matrix_exp":
            assert_equal(torch, lambda m, c: [attempt(lambda: getattr(m.linalg, name)(c(x, dtype))) if (
                isinstance(attempt(lambda: getattr(m.linalg, name)(c(x, dtype)))[0], str)) else "fine"])


@pytest.mark.parametrize("name", (*CHECKED, "svdvals", "eigvalsh", "matrix_rank"))
def test_empty(torch, name):
    for shape in ((0, 0), (2, 0, 0), (0, 3, 3), (3, 0), (0, 3)):
        assert_equal(torch, lambda m, c: getattr(m.linalg, name)(c(np.zeros(shape))))


def test_results_have_names():
    U, S, Vh = fg.linalg.svd(fg.eye(2))
    result = fg.linalg.svd(fg.eye(2))
    assert fg.equal(result.S, S) and repr(result).startswith("torch.return_types.linalg_svd(\nU=tensor(")
    assert fg.linalg.LinAlgError is fg._C._LinAlgError and issubclass(fg.linalg.LinAlgError, RuntimeError)


def test_gradient_of_a_singular_determinant():
    """The cofactors, which exist without an inverse."""
    for x, cofactors in ((SINGULAR, [[4.0, -2], [-2, 1]]), (np.diag([0.0, 2.0, 3.0]), np.diag([6.0, 0, 0]))):
        a = fg.tensor(x, requires_grad=True)
        fg.linalg.det(a).backward()
        np.testing.assert_allclose(a.grad.numpy(), cofactors, atol=1e-12)


def test_what_has_no_gradient():
    x = fg.tensor(TALL, requires_grad=True)
    for mode, text in (("r", "depends on Q, which is not computed when mode='r'"),
                       ("complete", "not differentiable when mode='complete' and nrows > ncols")):
        with pytest.raises(RuntimeError, match=text):
            fg.linalg.qr(x, mode).R.sum().backward()
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        fg.linalg.inv([[1.0]])


def test_gradient_of_a_symmetric_matrix_is_symmetric(torch):
    grads = []
    for m in (fg, torch):
        a = m.tensor(SYMMETRIC, requires_grad=True)
        values, vectors = m.linalg.eigh(a)
        weights = m.linspace(1, 2, a.numel(), dtype=m.float64).reshape(a.shape)
        grads.append(m.autograd.grad((vectors.abs() * weights).sum() + values[..., 0].sum(), a)[0].numpy())
    np.testing.assert_allclose(*grads, rtol=1e-9, atol=1e-12)


def test_gradient_of_the_condition_number():
    x = fg.tensor(A, requires_grad=True)
    assert fg.autograd.gradcheck(lambda a: fg.linalg.cond(a, 1), (x,))
    assert fg.autograd.gradcheck(lambda a: fg.linalg.cond(a, "fro"), (x,))
