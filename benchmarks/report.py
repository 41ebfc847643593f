"""What is made of the measurements: a table, JSON with the machine's description, a bar chart as SVG."""

import math
import os
import platform
from pathlib import Path


def machine(threads, device, versions):
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": threads,
        "device": device,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def ratio(row, other="torch"):
    mine, theirs = row.get("fastgrad", {}), row.get(other, {})
    return theirs["best"] / mine["best"] if "best" in mine and "best" in theirs else None


def geometric_mean(ratios):
    return math.exp(sum(math.log(r) for r in ratios) / len(ratios)) if ratios else None


def microseconds(entry):
    if "best" not in entry:
        return "-" if not entry else "error"
    us = entry["best"] * 1e6
    return f"{us:,.2f}" if us < 100 else f"{us:,.0f}"


def share_of_peak(row, peak):
    mine = row.get("fastgrad", {})
    return f"{row['flops'] / mine['best'] / peak:.0%}" if peak and row.get("flops") and "best" in mine else ""


def table(results, libraries, peak=None):
    """peak: flops per second of the machine, where a group has cases that say how many they need."""
    others = [name for name in libraries if name != "fastgrad"]
    lines = []
    for group, rows in results.items():
        lines += [f"\n**{group}** (best, microseconds)\n"]
        counted = peak and any(row.get("flops") for row in rows.values())
        head = ["case", "fastgrad", *others, *(f"x {o}" for o in others), *(["of peak"] if counted else []), "asked"]
        lines += ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
        for name, row in rows.items():
            cells = [name, *(microseconds(row.get(n, {})) for n in libraries)]
            cells += [f"{r:.2f}" if (r := ratio(row, o)) else "" for o in others]
            cells += [share_of_peak(row, peak)] if counted else []
            asked = row.get("target")
            reached = ratio(row)
            mark = "" if asked is None else f"{asked:g}" + ("" if reached is None or reached >= asked else " (missed)")
            lines.append("| " + " | ".join([*cells, mark]) + " |")
        for other in others:
            found = [r for row in rows.values() if (r := ratio(row, other))]
            if found:
                lines.append(f"\ngeometric mean against {other}: {geometric_mean(found):.2f} ({len(found)} cases)")
        for name, row in rows.items():
            for library in libraries:
                if "error" in row.get(library, {}):
                    lines.append(f"\n{name}: {library}: {row[library]['error']}")
    return "\n".join(lines) + "\n"


def chart(results, other="torch"):
    """Bars of the ratio per case, on a logarithmic axis; 1 is the middle line."""
    rows = [
        (group, name, r) for group, cases in results.items() for name, row in cases.items() if (r := ratio(row, other))
    ]
    if not rows:
        return None
    left, right, top, step = 330, 620, 44, 15
    low = min(0.5, *(r for *_, r in rows))
    high = max(2.0, *(r for *_, r in rows))
    scale = (right - 60) / math.log(high / low)
    x = lambda r: left + math.log(r / low) * scale
    groups = list(dict.fromkeys(g for g, *_ in rows))
    height = top + step * len(rows) + 22 * len(groups) + 20
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{height}" '
        f'font-family="sans-serif" font-size="11">',
        f'<rect width="100%" height="100%" fill="white"/><text x="12" y="20" font-size="14">fastgrad against {other}: '
        f"how many times faster (logarithmic)</text>",
    ]
    for tick in (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100):
        if low <= tick <= high:
            colour = "#444" if tick == 1 else "#ddd"
            out.append(
                f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top - 8}" y2="{height - 12}" stroke="{colour}"/>'
                f'<text x="{x(tick):.1f}" y="{top - 11}" text-anchor="middle" fill="#666">{tick:g}</text>'
            )
    y = top
    for group in groups:
        found = [r for g, _, r in rows if g == group]
        out.append(f'<text x="12" y="{y + 14}" font-weight="bold">{group}: {geometric_mean(found):.2f}</text>')
        y += 22
        for _, name, r in (row for row in rows if row[0] == group):
            a, b = sorted((x(1), x(r)))
            colour = "#2a7" if r >= 1 else "#c54"
            out.append(
                f'<text x="{left - 8}" y="{y + 10}" text-anchor="end">{name}</text><rect x="{a:.1f}" y="{y + 1}" '
                f'width="{max(b - a, 1):.1f}" height="{step - 4}" fill="{colour}"/>'
                f'<text x="{b + 4:.1f}" y="{y + 10}" fill="#333">{r:.2f}</text>'
            )
            y += step
    return "\n".join([*out, "</svg>\n"])
