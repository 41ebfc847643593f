"""What is made of the measurements: tables, the machine's description, a bar chart as SVG."""

import math
import os
import platform
from pathlib import Path

from benchmarks.cases import GROUPS, WEAK


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
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def ratio(row, other="torch"):
    mine, theirs = row.get("fastgrad", {}), row.get(other, {})
    return theirs["best"] / mine["best"] if "best" in mine and "best" in theirs else None


def geometric_mean(ratios):
    ratios = list(ratios)
    return math.exp(sum(math.log(r) for r in ratios) / len(ratios)) if ratios else None


def microseconds(entry):
    if "best" not in entry:
        return "-" if not entry else "error"
    us = entry["best"] * 1e6
    return f"{us:,.2f}" if us < 100 else f"{us:,.0f}"


MEMORY = 24 << 20  # fewer bytes than this may stay in a cache: no limit is stated


def limit(row, limits):
    """Seconds that a call cannot be shorter than: its bytes at the speed of a copy, its flops at the peak; or None."""
    moved = row.get("fastgrad", {}).get("bytes", 0)
    bounds = [moved / limits["bytes"]] if moved >= MEMORY and "bytes" in limits else []
    if row.get("flops") and row["dtype"] in limits:
        bounds.append(row["flops"] / limits[row["dtype"]])
    return max(bounds, default=None)


def of_limit(row):
    mine = row.get("fastgrad", {})
    if not row.get("limit") or "best" not in mine:
        return ["", ""]
    return [microseconds({"best": row["limit"]}), f"{row['limit'] / mine['best']:.0%}"]


def line(cells):
    return "| " + " | ".join(cells) + " |"


def summary(results, limits, other, asks):
    """The groups' geometric means, what is asked of them, and the cases under WEAK, worst first."""
    lines = []
    if limits:
        found = [f"{v / 1e9:,.1f} G{'B' if k == 'bytes' else 'FLOP'}/s {'copy' if k == 'bytes' else k}"
                 for k, v in limits.items()]  # fmt: skip
        lines.append(f"Limits measured at the start: {', '.join(found)}.\n")
    ratios = {group: {n: r for n, row in rows.items() if (r := ratio(row, other))} for group, rows in results.items()}
    if not any(ratios.values()):
        return lines
    heads = ["group", "cases", f"geometric mean against {other}", *(["asked"] if asks else []), "under 1", "least"]
    lines += [line(heads), "| --- |" + " ---: |" * (len(heads) - 1)]
    for group, found in ratios.items():
        if found:
            mean, least = geometric_mean(found.values()), min(found, key=found.get)
            asked = [f"{GROUPS[group]:g}{'' if mean >= GROUPS[group] else ' (missed)'}"] if asks else []
            below = sum(r < 1 for r in found.values())
            cells = [group, str(len(found)), f"{mean:.2f}", *asked, str(below), f"{found[least]:.2f} {least}"]
            lines.append(line(cells))
    weak = sorted((r, f"{group}/{n}") for group, found in ratios.items() for n, r in found.items() if r < WEAK)
    if asks:
        lines.append(f"\n**under {WEAK}**: {len(weak)} cases\n")
        lines += [line(["case", f"x {other}"]), "| --- | ---: |"] if weak else []
        lines += [line([name, f"{r:.2f}"]) for r, name in weak]
    return lines


def megabytes(count):
    return f"{count / 1e6:,.2f}" if count else ""


def memory(results, libraries):
    rows = {n: row for n, row in results.get("training", {}).items() if "peak" in row.get("fastgrad", {})}
    if not rows:
        return []
    lines = ["\n**peak of live bytes in a training step**, parameters and inputs included (MB)\n"]
    names = [n for n in libraries if any("peak" in row.get(n, {}) for row in rows.values())]
    head = ["case", *names, "torch / fastgrad", "fastgrad in blocks"]
    lines += [line(head), "| --- |" + " ---: |" * (len(head) - 1)]
    shares = []
    for name, row in rows.items():
        peaks = [row.get(n, {}).get("peak") for n in names]
        both = [row.get(n, {}).get("peak") for n in ("torch", "fastgrad")]
        shares += [both[0] / both[1]] if all(both) else []
        share = f"{shares[-1]:.2f}" if all(both) else ""
        blocks = row["fastgrad"].get("allocated")
        lines.append(line([name, *map(megabytes, peaks), share, megabytes(blocks)]))
    if shares:
        lines.append(f"\ngeometric mean of torch over fastgrad: {geometric_mean(shares):.2f}")
    return lines


def table(results, libraries, limits=None, device="cpu"):
    """limits: bytes and flops per second that the machine reaches."""
    others = [name for name in libraries if name != "fastgrad"]
    asks = device == "cpu" and "torch" in others
    lines = summary(results, limits or {}, others[0] if others else "torch", asks)
    for group, rows in results.items():
        lines += [f"\n**{group}** (best, microseconds)\n"]
        limited = any(row.get("limit") for row in rows.values())
        asking = asks and any(row.get("target") for row in rows.values())
        head = ["case", "fastgrad", *others, *(f"x {o}" for o in others)]
        head += (["limit", "of limit"] if limited else []) + (["asked"] if asking else [])
        lines += [line(head), "| --- |" + " ---: |" * (len(head) - 1)]
        for name, row in rows.items():
            cells = [name, *(microseconds(row.get(n, {})) for n in libraries)]
            cells += [f"{r:.2f}" if (r := ratio(row, o)) else "" for o in others]
            cells += of_limit(row) if limited else []
            asked, reached = row.get("target"), ratio(row)
            missed = asked and reached and reached < asked
            cells += [f"{asked:g}{' (missed)' if missed else ''}" if asked else ""] if asking else []
            lines.append(line(cells))
        for name, row in rows.items():
            for library in libraries:
                if "error" in row.get(library, {}):
                    lines.append(f"\n{name}: {library}: {row[library]['error']}")
    return "\n".join([*lines, *memory(results, libraries)]) + "\n"


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
