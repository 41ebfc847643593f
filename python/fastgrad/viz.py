"""Pictures of the recorded graph: operations with their operands coming in and their result going out.

`graph(t)` walks from `t.grad_fn` to the leaves and gives a Graph, which draws itself as SVG (in a notebook by being the
last value of a cell) or as Graphviz text. Where boxes lie is decided in `_layout.py`. A leaf that is used in several
places is drawn at each of them, so that no arrow crosses the whole picture.
"""
from . import _C
from ._layout import layered

__all__ = ["graph", "Graph"]

_FONT = "DejaVu Sans Mono, Menlo, Consolas, Liberation Mono, monospace"
_EM = 0.61  # width of a character of that font
_SYMBOLS = {"add": "+", "sub": "−", "mul": "×", "div": "÷", "mm": "@", "bmm": "@", "mv": "@", "dot": "@",
            "sqrt": "√"}
# kind: fill, outline, text
_COLOURS = {
    "leaf": ("#e3f4e6", "#2a7d3a", "#14401d"),
    "constant": ("#f3f3f3", "#8a8a8a", "#4a4a4a"),
    "op": ("#e6effc", "#2456a6", "#122c57"),
    "matmul": ("#fdeadf", "#b8501c", "#5c270d"),
    "reduce": ("#f3e8fb", "#7a3aa8", "#3d1d55"),
    "view": ("#eef1f4", "#5b6b7b", "#2c3640"),
    "custom": ("#fde7ef", "#b02a62", "#591430"),
    "result": ("#fff3d6", "#a87400", "#523800"),
}
_MATMUL = frozenset("mm bmm mv dot addmm baddbmm addmv addr linear matmul outer".split())
_REDUCE = frozenset("""sum mean prod max min amax amin var std norm logsumexp any all softmax logsoftmax nllloss mseloss
    cumsum cumprod linalgvectornorm layernorm nativelayernorm smoothl1loss huberloss binarycrossentropy
    binarycrossentropywithlogits""".split())
_VIEWS = frozenset("""view reshape permute transpose t expand squeeze unsqueeze narrow split chunk unbind select slice
    diagonal unfold asstrided alias detach clone copy toco tocopy index cat stack repeat flip roll unsafeview
    splitwithsizes viewas reshapealias movedim copyslices""".split())


class _Box:
    """What is drawn for one node: its kind, lines of text, and the tooltip."""

    __slots__ = ("kind", "lines", "title", "size")

    def __init__(self, kind, lines, title):
        self.kind, self.lines, self.title = kind, lines, title
        wide = max(len(line) * (13.0 if i == 0 else 11.0) * _EM for i, line in enumerate(lines))
        if kind == "constant":
            self.size = (len(lines[0]) * 11.0 * _EM + 18.0, 24.0)
        elif len(lines) > 1:
            self.size = (max(wide + 24.0, 48.0), 44.0)
        else:
            self.size = (max(wide + 24.0, 34.0), 34.0)


class Graph:
    """The operations behind a tensor: `boxes`, and `edges` as pairs of box numbers from operand to result."""

    def __init__(self, boxes, edges, layers):
        self.boxes, self.edges, self._layers = boxes, edges, layers

    def __len__(self):
        return len(self.boxes)

    def __repr__(self):
        kinds = [box.kind for box in self.boxes]
        leaves, others = kinds.count("leaf"), sum(k in ("constant", "result") for k in kinds)
        return f"<Graph: {len(kinds) - leaves - others} operations, {leaves} leaves, {len(self.edges)} arrows>"

    def svg(self):
        """Return the picture as SVG text."""
        return _draw(self)

    def _repr_svg_(self):
        return self.svg()

    def dot(self):
        """Return the graph in Graphviz's language."""
        lines = ["digraph fastgrad {", '  node [fontname="monospace", fontsize=11, style="filled"];']
        for i, box in enumerate(self.boxes):
            fill, outline, text = _COLOURS[box.kind]
            shape = "box" if box.kind in ("leaf", "result", "constant") else "ellipse"
            label = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in box.lines)
            lines.append(f'  n{i} [label="{label}", shape={shape}, fillcolor="{fill}", color="{outline}", '
                         f'fontcolor="{text}"];')
        lines.extend(f"  n{a} -> n{b};" for a, b in self.edges)
        return "\n".join([*lines, "}", ""])

    def save(self, path):
        """Write the picture to a file: `.svg`, or `.dot` or `.gv` for Graphviz."""
        import os
        ending = os.path.splitext(os.fspath(path))[1].lower()
        if ending == ".svg":
            text = self.svg()
        elif ending in (".dot", ".gv"):
            text = self.dot()
        else:
            raise ValueError(f"viz: the name must end in .svg, .dot or .gv, got '{path}'")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


# ---- from tensors to boxes

def graph(t, params=None):
    """Return the graph of a tensor, or of several in a tuple.

    params: names of leaves, as a dict from name to tensor or as a module.

    >>> w = fastgrad.tensor(4., requires_grad=True)
    >>> graph(w * 3 + 5, {"w": w})
    <Graph: 2 operations, 1 leaves, 5 arrows>
    """
    results = (t,) if isinstance(t, _C.Tensor) else tuple(t)
    if params is None:
        params = {}
    elif hasattr(params, "named_parameters"):
        params = dict(params.named_parameters())
    names = {id(tensor): name for name, tensor in params.items()}
    return _build(results, names)


def _build(results, names):
    nodes, order = {}, []  # recorded node -> its operands; order: operands before their users
    stack = [(t.grad_fn, False) for t in reversed(results) if t.grad_fn is not None]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
            continue
        if node in nodes:
            continue
        nodes[node] = [fn for fn, _ in node.next_functions]
        stack.append((node, True))
        stack.extend((fn, False) for fn in reversed(nodes[node])
                     if fn is not None and fn not in nodes and not _is_leaf(fn))
    depth = {}
    for node in order:
        depth[node] = 1 + max((depth.get(fn, 0) for fn in nodes[node] if fn is not None), default=0)
    boxes, edges, layers = [], [], []

    def add(box, layer):
        boxes.append(box)
        layers.append(layer)
        return len(boxes) - 1

    number = {}
    leaves = {}  # (leaf, layer) -> box
    for node in order:
        number[node] = add(_operation(node), depth[node])
    for node in order:
        for fn in nodes[node]:
            if fn is None:
                source = add(_Box("constant", ["const"], "an operand without gradient"), depth[node] - 1)
            elif fn in number:
                source = number[fn]
            else:
                key = fn, depth[node] - 1
                if key not in leaves:
                    leaves[key] = add(_leaf(fn.variable, names), depth[node] - 1)
                source = leaves[key]
            edges.append((source, number[node]))
    for t in results:
        if t.grad_fn is not None:
            layer = depth[t.grad_fn] + 1
            box = _Box("result", [names.get(id(t), "result"), _about(t)], "the result")
            edges.append((number[t.grad_fn], add(box, layer)))
        elif t.requires_grad:
            add(_leaf(t, names), 0)
        else:
            add(_Box("constant", ["const"], "a tensor without gradient"), 0)
    return Graph(boxes, edges, layers)


def _is_leaf(node):
    return type(node).__name__ == "AccumulateGrad"


def _about(t):
    """Dtype and shape in few characters: `float32 [2, 3]`."""
    shape = "[" + ", ".join(map(str, t.shape)) + "]" if t.dim() else "scalar"
    return f"{str(t.dtype).removeprefix('torch.')} {shape}"


def _leaf(t, names):
    name = names.get(id(t), "leaf")
    return _Box("leaf", [name, _about(t)], f"{name}: {_about(t)}")


def _operation(node):
    full = type(node).__name__
    name = full.rstrip("0123456789").removesuffix("Backward")
    plain = name.lower()
    if getattr(node, "_context", None) is not None:
        kind, label = "custom", name
    else:
        label = _SYMBOLS.get(plain) or "".join(
            ("_" if i and c.isupper() and not name[i - 1].isupper() else "") + c.lower() for i, c in enumerate(name))
        kind = ("matmul" if plain in _MATMUL else "reduce" if plain in _REDUCE else "view" if plain in _VIEWS else "op")
    return _Box(kind, [label], full)


# ---- from boxes to SVG

_MARGIN = 16.0


def _escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _n(value):
    return f"{value:.1f}".removesuffix(".0")


def _shape(box, x, y):
    fill, outline, _ = _COLOURS[box.kind]
    w, h = box.size
    paint = f'fill="{fill}" stroke="{outline}"'
    if box.kind in ("leaf", "result", "constant"):
        radius = 4 if box.kind != "constant" else 12
        dash = ' stroke-dasharray="3 2"' if box.kind == "constant" else ""
    else:
        radius, dash = h / 2, ""
    return (f'<rect x="{_n(x - w / 2)}" y="{_n(y - h / 2)}" width="{_n(w)}" height="{_n(h)}" rx="{_n(radius)}" '
            f'{paint}{dash}/>')


def _text(box, x, y):
    colour = _COLOURS[box.kind][2]
    if len(box.lines) == 1:
        size = 11 if box.kind == "constant" else 16 if len(box.lines[0]) == 1 else 13
        return (f'<text x="{_n(x)}" y="{_n(y + size * 0.35)}" font-size="{size}" fill="{colour}">'
                f'{_escape(box.lines[0])}</text>')
    first, second = map(_escape, box.lines)
    return (f'<text x="{_n(x)}" y="{_n(y - 3.5)}" font-size="13" font-weight="bold" fill="{colour}">{first}</text>'
            f'<text x="{_n(x)}" y="{_n(y + 13)}" font-size="11" fill="{colour}">{second}</text>')


def _path(points):
    """A smooth line through the points: vertical at each of them."""
    parts = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    for (ax, ay), (bx, by) in zip(points, points[1:]):
        if (ax, ay) == (bx, by):
            continue
        if abs(ax - bx) < 3.0:
            parts.append(f"L{_n(bx)} {_n(by)}")
        else:
            middle = (ay + by) / 2
            parts.append(f"C{_n(ax)} {_n(middle)} {_n(bx)} {_n(middle)} {_n(bx)} {_n(by)}")
    return "".join(parts)


def _draw(g):
    placed = layered([box.size for box in g.boxes], g.edges, g._layers)
    arriving, leaving = {}, {}
    for i, (a, b) in enumerate(g.edges):
        arriving.setdefault(b, []).append(i)
        leaving.setdefault(a, []).append(i)
    starts, ends = {}, {}
    for ports, found, side in ((arriving, ends, -2), (leaving, starts, 1)):
        for node, list_ in ports.items():
            list_.sort(key=lambda i: placed.routes[i][side][0])
            room = g.boxes[node].size[0] * 0.5
            for k, i in enumerate(list_):
                shift = 0.0 if len(list_) == 1 else room * (k / (len(list_) - 1) - 0.5)
                found[i] = placed.x[node] + shift
    # In a layer with boxes of different heights an edge passes an empty point straight, at the height of the tallest.
    lines, heads, shapes = [], [], []
    tall = {}
    for i, box in enumerate(g.boxes):
        tall[placed.y[i]] = max(tall.get(placed.y[i], 0.0), box.size[1])
    for i, (a, b) in enumerate(g.edges):
        route = placed.routes[i]
        start_x, end_x = starts[i], ends[i]
        first = (start_x, placed.y[a] + _edge_of(g.boxes[a], start_x - placed.x[a]))
        tip = placed.y[b] - _edge_of(g.boxes[b], end_x - placed.x[b]) - 1.0
        last = (end_x, tip - 6.0)
        points = [first, (start_x, placed.y[a] + tall[placed.y[a]] / 2)]
        for x, y in route[1:-1]:
            half = tall.get(y, 0.0) / 2
            points += [(x, y - half), (x, y + half)]
        points += [(end_x, placed.y[b] - tall[placed.y[b]] / 2 - 6.0), last]
        lines.append(f'<path d="{_path(points)}"/>')
        x = end_x
        heads.append(f"M{_n(x - 3.6)} {_n(tip - 7.5)}L{_n(x)} {_n(tip)}L{_n(x + 3.6)} {_n(tip - 7.5)}Z")
    for i, box in enumerate(g.boxes):
        x, y = placed.x[i], placed.y[i]
        shapes.append(f"<g><title>{_escape(box.title)}</title>{_shape(box, x, y)}{_text(box, x, y)}</g>")
    width, height = placed.width + 2 * _MARGIN, placed.height + 2 * _MARGIN
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="{_n(-_MARGIN)} {_n(-_MARGIN)} {_n(width)} {_n(height)}" font-family="{_FONT}" text-anchor="middle">',
        f'<rect x="{_n(-_MARGIN)}" y="{_n(-_MARGIN)}" width="{_n(width)}" height="{_n(height)}" fill="white"/>',
        '<g fill="none" stroke="#444" stroke-width="1.2">', *lines, "</g>",
        f'<path fill="#444" d="{"".join(heads)}"/>',
        '<g stroke-width="1.3">', *shapes, "</g>", "</svg>", ""])


def _edge_of(box, dx):
    """Half the height of a box at a distance from its centre: less where the end of a pill is round."""
    w, h = box.size
    if box.kind in ("leaf", "result", "constant"):
        return h / 2
    beyond = max(0.0, abs(dx) - (w - h) / 2)
    return max(0.0, (h / 2) ** 2 - beyond ** 2) ** 0.5
