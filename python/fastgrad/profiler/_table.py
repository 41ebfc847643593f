"""The table of a profile, in the columns that torch prints."""
from ._events import _time_text

_OLD_NAMES = {"cuda_time": "device_time", "cuda_time_total": "device_time_total",
              "self_cuda_time_total": "self_device_time_total"}


def _memory_text(count):
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if abs(count) >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} B"


def _cut(text, width):
    return text if width is None or len(text) <= width else text[:width - 3] + "..."


def table(events, sort_by, row_limit, max_name_width, max_shapes_width, header, top_level_only, time_unit):
    """Text of the events: names, times and their shares, memory and shapes where they were recorded."""
    if not events:
        return ""
    sort_by = _OLD_NAMES.get(sort_by, sort_by)
    rows = list(events)
    if sort_by is not None:
        if not all(hasattr(e, sort_by) for e in rows):
            raise AttributeError(f"table: events have no field '{sort_by}' to sort by")
        rows.sort(key=lambda e: getattr(e, sort_by), reverse=True)
    if top_level_only:
        rows = [e for e in rows if e.cpu_parent is None]
    units = {None: _time_text, "s": lambda us: f"{us / 1e6:.3f}s", "ms": lambda us: f"{us / 1e3:.3f}ms",
             "us": lambda us: f"{us:.3f}us"}
    if time_unit not in units:
        raise ValueError(f"table: time_unit must be one of 's', 'ms', 'us', got {time_unit!r}")
    time = units[time_unit]
    total = sum(e.self_cpu_time_total for e in events)

    def share(us):
        return f"{100.0 * us / total if total else 0.0:.2f}%"

    head = ["Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg"]
    memory = events._profile_memory
    if memory:
        head += ["CPU Mem", "Self CPU Mem"]
    head.append("# of Calls")
    with_shapes = any(e.input_shapes for e in events)
    if with_shapes:
        head.append("Input Shapes")
    body = []
    for e in rows[:row_limit] if row_limit >= 0 else rows:
        row = [_cut(e.key, max_name_width), share(e.self_cpu_time_total), time(e.self_cpu_time_total),
               share(e.cpu_time_total), time(e.cpu_time_total), time(e.cpu_time)]
        if memory:
            row += [_memory_text(e.cpu_memory_usage), _memory_text(e.self_cpu_memory_usage)]
        row.append(str(e.count))
        if with_shapes:
            row.append(_cut(str(e.input_shapes or []), max_shapes_width))
        body.append(row)
    widths = [max(12, *(len(row[i]) for row in [head] + body)) for i in range(len(head))]
    rule = "  ".join("-" * w for w in widths)

    def line(row):
        return "  ".join(text.rjust(w) for text, w in zip(row, widths, strict=True))

    lines = [line(row) for row in body]
    top = ["=" * len(rule), header] if header is not None else []
    return "\n".join([*top, rule, line(head), rule, *lines, rule, f"Self CPU time total: {time(total)}", ""])
