"""Command line of the benchmarks; run from a checkout: `python -m bench kernels --peer torch`."""

from __future__ import annotations

import argparse
import re
import sys
from importlib import metadata
from typing import Any

from bench import kernels, machine, report
from fastcnn import _C

RUNTIMES = ("onnxruntime", "openvino")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Times fastcnn's kernels (forward and each gradient) or whole training steps, interleaved with a "
        "peer, after checking that both compute the same. The machine's ceilings are measured in the same run.",
        epilog="examples:  python -m bench kernels --peer torch --filter 'conv2d.*forward' --plot roofline.png\n"
        "           python -m bench models --peer torch --json models.json --plot models.png\n"
        "           python -m bench devices    (a training step on the CPU and on a GPU)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", choices=("kernels", "models", "devices"), default="kernels")
    parser.add_argument(
        "--peer",
        nargs="+",
        choices=("torch", *RUNTIMES),
        default=[],
        help="measure them too; the best configuration of each counts. The runtimes only run inference of 'models'",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--filter", default="", metavar="REGEX", help="only rows like 'conv2d[...] d weight' that match"
    )
    parser.add_argument(
        "--threads", type=int, nargs="+", metavar="N", help="default: 1 and all; the largest is reported"
    )
    parser.add_argument("--rounds", type=int, default=15, help="samples per contender (default 15)")
    parser.add_argument("--quick", action="store_true", help="5 short rounds, no torch.compile: for a first look")
    parser.add_argument(
        "--limit", type=float, default=float("inf"), metavar="S", help="begin no row after S seconds (cuda)"
    )
    parser.add_argument("--tiny", action="store_true", help="smallest sizes: only tries out the program (cuda)")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured")
    parser.add_argument("--plot", metavar="FILE", help="write a picture: a roofline of kernels, bars of models")
    parsed = parser.parse_args(arguments)
    try:
        re.compile(parsed.filter)
    except re.error as error:
        parser.error(f"--filter {parsed.filter!r} is not a regular expression: {error}")
    if min(parsed.threads or [1]) < 1 or parsed.rounds < 1:
        parser.error("--threads and --rounds must be positive")
    if parsed.what != "models" and set(parsed.peer) & set(RUNTIMES):
        parser.error("onnxruntime and openvino are peers of 'models' only")
    return parsed


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measures and returns everything that --json writes."""
    result: dict[str, Any]
    if options.what == "devices":
        from bench import devices

        return {"machine": machine.describe(), "devices": devices.run(5 if options.quick else options.rounds)}
    threads = tuple(sorted(set(options.threads or (1, _C.num_threads()))))
    settings = kernels.Settings(
        threads=threads,
        rounds=5 if options.quick else options.rounds,
        sample_seconds=0.004 if options.quick else 0.02,
        pattern=re.compile(options.filter),
        device=options.device,
        peer="torch" if "torch" in options.peer else None,
        runtimes=tuple(name for name in RUNTIMES if name in options.peer),
        limit=options.limit,
        tiny=options.tiny,
    )
    if options.device == "cuda":
        from bench import gpu

        if options.what != "kernels":
            raise SystemExit("--device cuda measures kernels; leave out 'models'")
        result = {"machine": machine.describe()}
        if settings.peer:
            result["peer_version"] = f"torch {torch_version()}"
        return result | gpu.run(settings)
    jobs = list(kernels.jobs(settings)) if options.what == "kernels" else []
    if options.what == "kernels" and not jobs:
        raise SystemExit(f"nothing matches --filter {options.filter!r}")
    result = {"machine": machine.describe()}
    if settings.peer:
        result["peer_version"] = f"torch {torch_version()}"
    result |= {f"{name}_version": runtime_version(name) for name in settings.runtimes}
    ceilings = {n: machine.measure_ceiling(n) for n in threads}
    if options.what == "models":
        from bench import models

        result["models"] = models.run(settings, options.quick)
    else:
        rows = []
        for job in jobs:
            if sys.stderr.isatty():
                print(f"\r\x1b[K{job.name}", end="", file=sys.stderr, flush=True)
            rows.append(kernels.run_job(job, settings))
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr)
        # Measured again, because other load may have slowed down the first measurement.
        ceilings = {n: machine.better(c, machine.measure_ceiling(n)) for n, c in ceilings.items()}
        result["kernels"] = [row.as_dict(ceilings) for row in rows]
    result["ceilings"] = machine.ceilings_as_json(ceilings)
    return result


def torch_version() -> str:
    """PyTorch's version, or an explanation why it cannot be the peer."""
    try:
        import torch
    except ImportError as error:
        raise SystemExit(f"--peer torch: PyTorch is not installed here ({error}); pip install torch") from None
    return str(torch.__version__)


def runtime_version(name: str) -> str:
    """The version of an inference runtime, or an explanation why it cannot be a peer."""
    needed = (name, "torch", "onnx", "onnxscript")
    try:
        return {module: metadata.version(module) for module in needed}[name]
    except metadata.PackageNotFoundError as error:
        raise SystemExit(f"--peer {name}: {error}; pip install '.[bench]'") from None


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmarks; 1 if a result differs from the peer's."""
    options = parse_arguments(arguments)
    result = run(options)
    if "devices" in result:
        from bench import devices

        print(devices.table(result["devices"]))
    rows = result.get("kernels", result.get("models", []))
    if not rows:
        raise SystemExit(f"nothing matches --filter {options.filter!r}")
    if options.json:
        report.write_json(options.json, result)
    print(report.header(result))
    print()
    if options.what == "kernels":
        print(report.table(report.KERNEL_COLUMNS, [report.kernel_row(row) for row in rows]))
    else:
        print(report.table(report.MODEL_COLUMNS, report.model_rows(rows)))
    print(report.summary(rows))
    if options.json:
        print(f"wrote {options.json}")
    if options.plot:
        draw = report.plot_roofline if options.what == "kernels" else report.plot_models
        draw(options.plot, result)
        print(f"wrote {options.plot}")
    wrong = [row for row in rows if row.get("wrong")]
    for row in wrong:
        print(f"WRONG {row['op']}[{row['case']}] {row['pass']}: {row['wrong']}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
