"""Results as a table, JSON and a roofline picture."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

KERNEL_COLUMNS = ("case", "pass", "ms", "+-%", "GFLOP/s", "GB/s", "ceiling", "peer ms", "ratio", "of best", "peer")
MODEL_COLUMNS = (
    "model",
    "batch",
    "ms",
    "+-%",
    "images/s",
    "configuration",
    "MB",
    "peer ms",
    "ratio",
    "of best",
    "peer",
    "peer MB",
    "memory",
)


def seconds(value: float) -> str:
    """Milliseconds with three digits; a dash for a row that failed."""
    if math.isinf(value):
        return "-"
    milliseconds = value * 1e3
    return f"{milliseconds:.{max(0, 2 - math.floor(math.log10(max(milliseconds, 1e-6))))}f}"


def kernel_row(row: dict[str, Any]) -> tuple[str, ...]:
    """One line of the kernels table."""
    return (
        f"{row['op']}[{row['case']}]",
        row["pass"],
        seconds(row["seconds"]),
        f"{row['spread'] * 50:.0f}",
        f"{row['gflops']:.1f}" if row["flops"] else "",
        f"{row['gigabytes']:.1f}" if row["bytes"] else "",
        f"{row['share']:.0%}" if row["share"] else "",
        *peer_cells(row),
    )


def model_row(row: dict[str, Any]) -> tuple[str, ...]:
    """One line of the models table."""
    return (
        f"{row['model']} {row['kind']}",
        str(row["batch"]),
        seconds(row["seconds"]),
        f"{row['spread'] * 50:.0f}",
        f"{row['images_per_second']:.0f}",
        row["configuration"],
        megabytes(row["memory"]),
        *peer_cells(row),
        megabytes(row["peer_memory"]) if "peer_memory" in row else "",
        f"{row['memory'] / row['peer_memory']:.2f}x" if row.get("peer_memory") else "",
    )


def model_rows(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The models table: a line for each job, below it one for each inference runtime that was compared."""
    lines = []
    for row in rows:
        lines.append(model_row(row))
        runtimes = row.get("runtimes", {}).values()
        lines += [("", "", "", "", "", "", "", *peer_cells(compared), "", "") for compared in runtimes]
    return lines


def megabytes(value: float) -> str:
    """Millions of bytes."""
    return f"{value / 1e6:.0f}"


def peer_cells(row: dict[str, Any]) -> tuple[str, ...]:
    """The columns about the peer; empty without one."""
    if "peer" not in row:
        return ("", "", "", "")
    return (seconds(row["peer_seconds"]), f"{row['ratio']:.2f}x", f"{row['ratio_of_best']:.2f}x", row["peer"])


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Aligned text; numbers to the right."""
    widths = [max(len(line[i]) for line in [columns, *rows]) for i in range(len(columns))]
    words = {"case", "pass", "peer", "model", "configuration"}

    def line(cells: tuple[str, ...]) -> str:
        parts = (
            cell.ljust(width) if column in words else cell.rjust(width)
            for cell, width, column in zip(cells, widths, columns, strict=True)
        )
        return "  ".join(parts).rstrip()

    return "\n".join([line(columns), *(line(row) for row in rows)])


def summary(rows: list[dict[str, Any]]) -> str:
    """Typical and worst ratio to the peer, bias gradients left out; empty without a peer."""
    rated = sorted((r for r in rows if "ratio" in r and r.get("pass") != "d bias"), key=lambda r: r["ratio"])
    if not rated:
        return ""
    worst = rated[0]
    name = " ".join(str(worst[key]) for key in ("model", "kind", "batch") if key in worst)
    if "op" in worst:
        name = f"{worst['op']}[{worst['case']}] {worst['pass']}"
    middle = rated[len(rated) // 2]["ratio"]
    slower = sum(row["ratio"] < 1 for row in rated)
    return (
        f"\nratio: time of the peer's best configuration / ours, median over rounds ('of best': of the fastest rounds, "
        f"which other load disturbs least): median {middle:.2f}x, worst {worst['ratio']:.2f}x "
        f"({name}); {slower} of {len(rated)} below 1"
    )


def plural(threads: int) -> str:
    """1 thread, 2 threads."""
    return f"{threads} thread{'s' if threads != 1 else ''}"


def header(result: dict[str, Any]) -> str:
    """The machine and its ceilings in a few lines."""
    machine = result["machine"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['isa']}; load {machine['load_average']}; "
        f"fastcnn {machine['fastcnn']} ({machine['commit']})"
        + (f", {result['peer_version']}" if "peer_version" in result else ""),
    ]
    if "gpu" in result:
        limits = result["ceiling"]
        lines.append(f"{result['gpu']['name']} ({result['gpu']['nvidia_smi']})")
        lines.append(
            f"ceiling: copy {limits['copy']:.0f} GB/s; matrix products bfloat16 {limits['bfloat16']:.0f}, "
            f"TF32 {limits['float32']:.0f} TFLOP/s"
        )
    lines += [
        f"ceiling with {plural(c['threads'])}: {c['gflops']:.0f} GFLOP/s float32 "
        f"multiply-add, {c['gigabytes']:.0f} GB/s copy"
        for c in result.get("ceilings", [])
    ]
    return "\n".join(lines)


def write_json(path: str, result: dict[str, Any]) -> None:
    """Everything that was measured."""
    Path(path).write_text(json.dumps(result, indent=1) + "\n")


def plot_models(path: str, result: dict[str, Any]) -> None:
    """How many times faster than the peer, or images per second without one: a bar for each row."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = result["models"]
    rated = all("ratio" in row for row in rows)
    names = [f"{row['model']} {row['kind']}, batch {row['batch']}" for row in rows]
    values = [row["ratio"] if rated else row["images_per_second"] for row in rows]
    figure, axes = plt.subplots(figsize=(9, 1.5 + 0.4 * len(rows)), layout="constrained")
    bars = axes.barh(names, values, color="C0")
    axes.bar_label(bars, [f"{value:.2f}x" if rated else f"{value:.0f}" for value in values], padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    if rated:
        axes.axvline(1.0, color="black", linewidth=1)
        axes.set_xlabel(f"time of {result['peer_version']} in its best configuration / time of fastcnn")
    else:
        axes.set_xlabel("images per second")
    machine = result["machine"]
    axes.set_title(
        f"fastcnn {machine['fastcnn']} ({machine['commit']}), {machine['isa']}, {machine['cpu']}", fontsize=10
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_roofline(path: str, result: dict[str, Any]) -> None:
    """Attained GFLOP/s over FLOP per byte, below the measured ceilings."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = [row for row in result["kernels"] if row["flops"] and row["bytes"]]
    figure, axes = plt.subplots(figsize=(10, 6.5), layout="constrained")
    intensities = [row["flops"] / row["bytes"] for row in rows] or [1.0]
    low, high = min(*intensities, 0.1) / 2, max(*intensities, 100.0) * 2
    for style, ceiling in zip(("-", "--", ":", "-."), reversed(result["ceilings"]), strict=False):
        ridge = ceiling["gflops"] / ceiling["gigabytes"]
        label = f"{plural(ceiling['threads'])}: {ceiling['gflops']:.0f} GFLOP/s, {ceiling['gigabytes']:.0f} GB/s"
        roof = [min(ceiling["gflops"], x * ceiling["gigabytes"]) for x in (low, ridge, high)]
        axes.plot([low, ridge, high], roof, style, color="black", linewidth=1.2, label=label)
    markers = {"forward": "o", "d input": "v", "d weight": "s"}
    colors = {op: f"C{i % 10}" for i, op in enumerate(sorted({row["op"] for row in rows}))}
    for op, color in colors.items():
        for kind in sorted({row["pass"] for row in rows if row["op"] == op}, key=lambda k: (k != "forward", k)):
            points = [row for row in rows if row["op"] == op and row["pass"] == kind]
            xs = [row["flops"] / row["bytes"] for row in points]
            style = {"color": color, "marker": markers.get(kind, "D"), "linestyle": "none", "alpha": 0.75}
            axes.plot(xs, [row["gflops"] for row in points], **style, markersize=6)
    for op, color in colors.items():
        axes.plot([], [], color=color, marker="o", linestyle="none", label=op)
    for kind in sorted({row["pass"] for row in rows}, key=lambda k: (k != "forward", k)):
        axes.plot([], [], color="grey", marker=markers.get(kind, "D"), linestyle="none", label=kind)
    axes.set(xscale="log", yscale="log", xlim=(low, high))
    axes.set_xlabel("arithmetic intensity (FLOP per byte of least traffic)")
    axes.set_ylabel("attained GFLOP/s")
    machine = result["machine"]
    axes.set_title(
        f"fastcnn {machine['fastcnn']} ({machine['commit']}), {machine['isa']}, {machine['cpu']}", fontsize=10
    )
    axes.grid(which="both", alpha=0.2)
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(path, dpi=120)
    plt.close(figure)
