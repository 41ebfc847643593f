"""Layered drawing of a directed acyclic graph: positions without overlaps, for `viz`.

Four steps: layers (longest path), long edges cut into pieces by empty points, an order in each layer with few crossings
(barycentres, some sweeps), and coordinates. The last is for each layer a least-squares fit to the neighbours' positions
under the order and the distances, solved exactly by pooling (`_fit`). Nothing recurses, so depth does not matter.
"""

GAP_X, GAP_Y = 26.0, 34.0


class Placed:
    """The result: centre of each node, points of each edge, and the size of the whole."""

    def __init__(self, x, y, routes, width, height):
        self.x, self.y, self.routes, self.width, self.height = x, y, routes, width, height


def layered(sizes, edges, layer):
    """Place nodes given their (width, height), edges (from, to), and the layer of each node; edges lead downwards."""
    n = len(sizes)
    layer = list(layer)
    widths = [w for w, _ in sizes]
    pieces = []  # for each edge the chain of nodes it passes; empty points are nodes of width 0
    budget = 4 * n + 4000
    for a, b in edges:
        span = layer[b] - layer[a]
        if span - 1 > budget:
            pieces.append(None)  # drawn beside everything
            continue
        chain = [a]
        for step in range(1, span):
            chain.append(len(layer))
            layer.append(layer[a] + step)
            widths.append(2.0)
        budget -= max(0, span - 1)
        pieces.append(chain + [b])
    above = [[] for _ in layer]
    below = [[] for _ in layer]
    for chain in pieces:
        if chain:
            for a, b in zip(chain, chain[1:]):
                below[a].append(b)
                above[b].append(a)
    rows = [[] for _ in range(max(layer, default=-1) + 1)]
    for node in _walk_order(len(layer), above, below):
        rows[layer[node]].append(node)
    _order(rows, above, below)
    x = _coordinates(rows, above, below, widths, n)
    y, height = _heights(rows, sizes, n)
    left = min((x[i] - widths[i] / 2 for i in range(len(x))), default=0.0)
    x = [value - left for value in x]
    right = max((x[i] + widths[i] / 2 for i in range(len(x))), default=0.0)
    routes, lanes = [], 0
    for (a, b), chain in zip(edges, pieces):
        if chain is None:
            lanes += 1
            beside = right + 14.0 * lanes
            routes.append([(x[a], y[layer[a]]), (beside, y[layer[a]] + 1), (beside, y[layer[b]] - 1),
                           (x[b], y[layer[b]])])
        else:
            routes.append([(x[i], y[layer[i]]) for i in chain])
    return Placed(x[:n], [y[layer[i]] for i in range(n)], routes, right + 14.0 * lanes, height)


def _walk_order(n, above, below):
    """Depth first from the lowest nodes, first operand first: a good first order from left to right."""
    seen = [False] * n
    order = []
    for start in range(n):
        if below[start] or seen[start]:
            continue
        stack = [start]
        while stack:
            node = stack.pop()
            if seen[node]:
                continue
            seen[node] = True
            order.append(node)
            stack.extend(reversed(above[node]))
    order.extend(i for i in range(n) if not seen[i])
    return order


def _crossings(rows, below, rank):
    """Number of crossings, counted only where it is cheap."""
    total = 0
    for row in rows:
        ends = [rank[b] for a in row for b in sorted(below[a], key=rank.__getitem__)]
        if len(ends) > 400:
            continue
        total += sum(ends[i] > ends[j] for i in range(len(ends)) for j in range(i + 1, len(ends)))
    return total


def _order(rows, above, below, sweeps=8):
    rank = {node: i for row in rows for i, node in enumerate(row)}
    best, fewest = [list(row) for row in rows], _crossings(rows, below, rank)
    for sweep in range(sweeps):
        if not fewest:
            break
        down = sweep % 2 == 0
        neighbours = above if down else below
        for row in (rows if down else reversed(rows)):
            if len(row) < 2:
                continue
            place = {node: (sum(rank[k] for k in neighbours[node]) / len(neighbours[node])
                            if neighbours[node] else rank[node]) for node in row}
            row.sort(key=place.__getitem__)
            for i, node in enumerate(row):
                rank[node] = i
        now = _crossings(rows, below, rank)
        if now < fewest:
            best, fewest = [list(row) for row in rows], now
    for row, kept in zip(rows, best):
        row[:] = kept


def _fit(wanted, weights, distances):
    """Positions in order, at least `distances` apart, with the least weighted squares to `wanted`."""
    offset, offsets = 0.0, []
    for d in [0.0, *distances]:
        offset += d
        offsets.append(offset)
    blocks = []  # (sum of weight * value, weight, count), means non-decreasing
    for value, weight, shift in zip(wanted, weights, offsets):
        total, heavy, count = weight * (value - shift), weight, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / heavy:
            a, b, c = blocks.pop()
            total, heavy, count = total + a, heavy + b, count + c
        blocks.append((total, heavy, count))
    found = []
    for total, heavy, count in blocks:
        found.extend([total / heavy] * count)
    return [value + shift for value, shift in zip(found, offsets)]


def _coordinates(rows, above, below, widths, n_real, sweeps=16):
    x = [0.0] * len(widths)
    distances = []
    for row in rows:
        distances.append([(widths[a] + widths[b]) / 2 + (GAP_X if a < n_real or b < n_real else GAP_X / 2)
                          for a, b in zip(row, row[1:])])
        at = 0.0
        for node, step in zip(row, [0.0, *distances[-1]]):
            at += step
            x[node] = at
        for node in row:
            x[node] -= at / 2
    for sweep in range(sweeps):
        down = sweep % 2 == 0
        first, second = (above, below) if down else (below, above)
        order = range(len(rows)) if down else range(len(rows) - 1, -1, -1)
        for i in order:
            row, wanted, weights = rows[i], [], []
            for node in row:
                near = first[node] or second[node]
                if sweep >= sweeps - 2:
                    near = first[node] + second[node]
                if not near:
                    wanted.append(x[node])
                    weights.append(0.1)
                    continue
                empty = node >= n_real
                # Pieces of one long edge hold together, so that it comes out straight.
                total = weight = 0.0
                for k in near:
                    w = 8.0 if empty and k >= n_real else 2.0 if empty or k >= n_real else 1.0
                    if len(first[node]) == 1 and len(second[k]) == 1:
                        w *= 3.0  # so do the parts of a chain
                    total += w * x[k]
                    weight += w
                wanted.append(total / weight)
                weights.append(weight)
            for node, value in zip(row, _fit(wanted, weights, distances[i])):
                x[node] = value
    return x


def _heights(rows, sizes, n_real):
    """Centre of each layer, and the height of all."""
    centres, at = [], 0.0
    for row in rows:
        tall = max((sizes[i][1] for i in row if i < n_real), default=0.0)
        centres.append(at + tall / 2)
        at += tall + GAP_Y
    return centres, max(at - GAP_Y, 0.0)
