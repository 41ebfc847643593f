"""Pictures of the graph: what is in them, that nothing overlaps, that size does not matter."""
import re
import xml.etree.ElementTree as ET

import pytest

import fastgrad as fg
from fastgrad import viz


def boxes_of(svg):
    """(x, y, width, height) of every box, without the background."""
    root = ET.fromstring(svg)
    ns = "{http://www.w3.org/2000/svg}"
    return [tuple(float(r.get(k)) for k in ("x", "y", "width", "height")) for g in root.iter(ns + "g")
            for r in g.findall(ns + "rect")]


def check_picture(g):
    svg = g.svg()
    boxes = boxes_of(svg)
    assert len(boxes) == len(g)
    rows = {}
    for x, y, w, h in boxes:
        rows.setdefault(round(y + h / 2), []).append((x, x + w, y, y + h))
    spans = sorted((min(b[2] for b in row), max(b[3] for b in row)) for row in rows.values())
    assert all(a[1] < b[0] for a, b in zip(spans, spans[1:]))  # layers do not touch
    for row in rows.values():
        row.sort()
        assert all(a[1] + 5 < b[0] for a, b in zip(row, row[1:]))  # boxes of a layer neither
    return svg


def test_line():
    # the figure of w * x + b: two leaves, a constant, two operations, the result
    x, w, b = fg.tensor(3.), fg.tensor(4., requires_grad=True), fg.tensor(5., requires_grad=True)
    g = viz.graph(w * x + b, {"w": w, "b": b})
    assert sorted(box.lines[0] for box in g.boxes) == ["+", "b", "const", "result", "w", "×"]
    names = {i: box.lines[0] for i, box in enumerate(g.boxes)}
    assert sorted((names[a], names[b]) for a, b in g.edges) == [
        ("+", "result"), ("b", "+"), ("const", "×"), ("w", "×"), ("×", "+")]
    svg = check_picture(g)
    assert "float32 scalar" in svg and "MulBackward0" in svg and g._repr_svg_() == svg
    assert repr(g) == "<Graph: 2 operations, 2 leaves, 5 arrows>"


def test_module_names():
    from fastgrad import nn
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    svg = check_picture(viz.graph(model(fg.ones(4, 3)).sum(), model))
    for name in ("0.weight", "0.bias", "2.weight", "2.bias", "float32 [8, 3]", "tanh", "sum"):
        assert name in svg


def test_skip_connections_and_several_results():
    h, w = fg.randn(4, 8, requires_grad=True), fg.randn(8, 8, requires_grad=True)
    y = h
    for _ in range(4):
        y = y + (y @ w).relu().sigmoid()
    check_picture(viz.graph(((y.softmax(1) * (y.sum(1, keepdim=True) + h.exp())).sum(), y.mean()), {"h": h, "w": w}))


def test_custom_function_shows_its_name():
    class Cube(fg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x ** 3

        @staticmethod
        def backward(ctx, g):
            return g
    g = viz.graph(Cube.apply(fg.ones(2, requires_grad=True)))
    assert [b.lines[0] for b in g.boxes if b.kind == "custom"] == ["Cube"]


def test_without_history():
    assert [b.kind for b in viz.graph(fg.ones(2)).boxes] == ["constant"]
    assert [b.kind for b in viz.graph(fg.ones(2, requires_grad=True)).boxes] == ["leaf"]


def test_large_graph():
    w = fg.tensor(1., requires_grad=True)
    y = w
    for i in range(5000):
        y = y * w + (w if i % 3 else y)
    g = viz.graph(y, {"w": w})
    assert len(g) > 10000
    check_picture(g)


def test_dot_and_save(tmp_path):
    w = fg.ones(2, requires_grad=True)
    g = viz.graph(w.exp(), {'a "quoted" <name>': w})
    g.save(tmp_path / "g.svg")
    g.save(tmp_path / "g.dot")
    assert ET.fromstring((tmp_path / "g.svg").read_text()).tag.endswith("svg")
    dot = (tmp_path / "g.dot").read_text()
    assert dot.startswith("digraph") and len(re.findall("->", dot)) == 2 and r"\"quoted\"" in dot
    with pytest.raises(ValueError, match="svg"):
        g.save(tmp_path / "g.png")
