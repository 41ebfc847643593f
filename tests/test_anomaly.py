"""Anomaly mode: which operation failed, and where it was called; NaN in gradients."""

import warnings

import pytest

import fastgrad as fg


def caught(run):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with pytest.raises(Exception) as error:
            run()
    return error, [str(w.message) for w in found if issubclass(w.category, UserWarning)]


def nan_gradient(lib):
    x = lib.tensor([0.0, 1.0], requires_grad=True)
    y = lib.sqrt(x) * 0  # the line of the square root
    y.sum().backward()
    return x.grad


def test_nan_names_the_forward_line(lib):
    def run():
        with lib.autograd.set_detect_anomaly(True):
            nan_gradient(lib)
    error, texts = caught(run)
    assert error.type is RuntimeError
    assert str(error.value).startswith("Function 'SqrtBackward0' returned nan values in its 0th output.")
    start = "Error detected in SqrtBackward0. Traceback of forward call that caused the error:\n  File "
    assert texts[-1].startswith(start)
    assert "y = lib.sqrt(x) * 0  # the line of the square root" in texts[-1]


def test_check_nan_off(lib):
    with lib.autograd.set_detect_anomaly(True, check_nan=False):
        assert nan_gradient(lib)[0].isnan()
        assert lib.is_anomaly_enabled() and not lib.is_anomaly_check_nan_enabled()
    assert not lib.is_anomaly_enabled() and lib.is_anomaly_check_nan_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with lib.autograd.detect_anomaly(check_nan=False):
            assert nan_gradient(lib)[0].isnan()
    lib.set_anomaly_enabled(True, False)
    assert lib.is_anomaly_enabled() and not lib.is_anomaly_check_nan_enabled()
    lib.set_anomaly_enabled(False)
    assert not lib.is_anomaly_enabled() and lib.is_anomaly_check_nan_enabled()


def test_overwritten_tensor_names_the_forward_line(lib):
    def run():
        x = lib.ones(2, requires_grad=True)
        with lib.autograd.set_detect_anomaly(True):
            y = x.exp()  # saves its result
            y.mul_(2)
            y.sum().backward()
    error, texts = caught(run)
    assert "has been modified by an inplace operation" in str(error.value)
    assert "Hint: the backtrace further above shows the operation that failed" in str(error.value)
    assert "Error detected in ExpBackward0." in texts[-1] and "y = x.exp()  # saves its result" in texts[-1]


def test_freed_graph_names_the_forward_line(lib):
    def run():
        x = lib.ones(2, requires_grad=True)
        with lib.autograd.set_detect_anomaly(True):
            y = (x.exp() * x).sum()  # the product saves both
            y.backward()
            y.backward()
    error, texts = caught(run)
    assert "Trying to backward through the graph a second time" in str(error.value)
    assert "Error detected in MulBackward0." in texts[-1] and "# the product saves both" in texts[-1]


def test_forward_outside_of_the_mode(lib):
    x = lib.ones(2, requires_grad=True)
    y = x.exp()
    y.add_(1)

    def run():
        with lib.autograd.set_detect_anomaly(True):
            y.sum().backward()
    _, texts = caught(run)
    assert texts[-1].startswith("Error detected in ExpBackward0. No forward pass information available. Enable detect "
                                "anomaly during forward pass for more information.")


def test_second_gradient_names_both_lines(lib):
    def run():
        x = lib.tensor([0.0, 1.0], requires_grad=True)
        with lib.autograd.set_detect_anomaly(True):
            y = (x**1.5).sum()  # first
            g = lib.autograd.grad(y, x, create_graph=True)[0]  # second
            (g * 0).sum().backward()
    error, texts = caught(run)
    assert "returned nan values" in str(error.value)
    assert "# second" in texts[-2] and "# first" not in texts[-2]
    assert "Previous calculation was induced by PowBackward0. Traceback of forward call that induced" in texts[-1]
    assert "# first" in texts[-1]


class Broken(fg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        raise ValueError("broken")


def test_custom_function():
    def run():
        with fg.autograd.set_detect_anomaly(True):
            Broken.apply(fg.ones(2, requires_grad=True)).sum().backward()  # applied here
    error, texts = caught(run)
    assert error.type is ValueError
    assert "Error detected in BrokenBackward." in texts[-1] and "# applied here" in texts[-1]


def test_error_itself_names_the_line():
    """Here the text of the error says where, too: warnings are often hidden."""
    def run():
        with fg.autograd.set_detect_anomaly(True):
            nan_gradient(fg)
    error, _ = caught(run)
    assert "Forward call: File" in str(error.value) and "# the line of the square root" in str(error.value)
    assert "test_anomaly.py" in str(error.value) and "in nan_gradient" in str(error.value)


def test_line_is_the_callers_and_not_the_librarys():
    def run():
        with fg.autograd.set_detect_anomaly(True):
            x = fg.zeros(1, 2, requires_grad=True)
            y = fg.nn.functional.normalize(x.sqrt(), eps=0.0)  # this one
            y.sum().backward()
    error, _ = caught(run)
    assert "# this one" in str(error.value)


def test_without_the_mode_the_text_tells_how():
    x = fg.ones(2, requires_grad=True)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="set_detect_anomaly"):
        y.backward()
    z = x.exp()
    z.add_(1)
    with pytest.raises(RuntimeError, match=r"set_detect_anomaly\(True, check_nan=False\)"):
        z.sum().backward()


def test_decorator():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mode = fg.autograd.detect_anomaly()

    @mode
    def run():
        return fg.is_anomaly_enabled()

    assert run() and not fg.is_anomaly_enabled()


def test_failed_backward_leaves_the_mode_usable():
    x = fg.ones(2, requires_grad=True)
    with fg.autograd.set_detect_anomaly(True):
        for _ in range(2):
            with warnings.catch_warnings(), pytest.raises(ValueError):
                warnings.simplefilter("ignore")
                Broken.apply(x).sum().backward()
        (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
