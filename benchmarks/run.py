"""Our solvers and the peers', side by side: ``python benchmarks/run.py [--quick] [--only NAME]``.

Every contestant runs in a process of its own, on one thread, so that peak memory is its own. Times are medians.
Writes results.md and results.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from contestants import PROBLEMS, Contestant, Problem, Renewed, installed  # noqa: E402

HERE = Path(__file__).resolve().parent
INSTALL = "python -m pip install 'bomrl-theory[benchmark]'"
PACKAGES = ("numpy", "scipy", "numba", "quantecon", "pymdptoolbox", "mdpsolver", "torch")
LIMIT_S = 900


def measure(problem: Problem, contestant: Contestant, size: int) -> dict[str, Any]:
    """Times in seconds per unit and peak memory in MB of this process."""
    call, units = contestant.prepare(size)
    renew = call.renew if isinstance(call, Renewed) else lambda: None
    before = peak()
    renew()
    outcome = call()
    wall, cpu = [], []
    for _ in range(problem.repeats):
        renew()
        started, used = time.perf_counter(), time.process_time()
        call()
        wall.append((time.perf_counter() - started) / units)
        cpu.append((time.process_time() - used) / units)
    return {"wall": wall, "cpu": cpu, "prepared_mb": before, "peak_mb": peak(), "outcome": outcome}


def peak() -> float:
    """Of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def in_a_process(problem: Problem, contestant: Contestant, size: int) -> dict[str, Any]:
    """:func:`measure` elsewhere; what went wrong if it did."""
    command = [sys.executable, str(Path(__file__)), "--child", problem.name, contestant.name, "--size", str(size)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"not done in {LIMIT_S} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1][:120]}
    return json.loads(done.stdout.splitlines()[-1])


def machine(packages: tuple[str, ...] = PACKAGES) -> dict[str, Any]:
    """What the figures were taken on."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = models[0] if models else cpu
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def run(problem: Problem, size: int) -> list[dict[str, Any]]:
    """One block of the table."""
    rows = []
    for contestant in problem.contestants:
        if installed(contestant.module):
            print(f"{problem.name}: {contestant.name}", file=sys.stderr)
            rows.append({"name": contestant.name, **in_a_process(problem, contestant, size)})
        else:
            rows.append({"name": contestant.name, "error": f"not installed; run: {INSTALL}"})
    return rows


def table(problem: Problem, size: int, rows: list[dict[str, Any]]) -> str:
    """Markdown, with CPU times as ratios to the reference's."""
    title = problem.title.format(f"{size:,}")
    lines = [f"## {title[0].upper()}{title[1:]}", ""]
    lines.append(f"| solver | wall per {problem.unit} | CPU per {problem.unit} | CPU ratio | peak MB | outcome |")
    lines.append("|---|---:|---:|---:|---:|---|")
    reference = next(
        (statistics.median(row["cpu"]) for row in rows if row["name"] == problem.reference and "cpu" in row), None
    )
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['name']} | | | | | {row['error']} |")
            continue
        wall, cpu = statistics.median(row["wall"]), statistics.median(row["cpu"])
        ratio = f"{cpu / reference:.2f}" if reference else ""
        outcome = row["outcome"]
        if problem.unit == "verdict":
            outcome += f"; {1 / cpu:,.0f} a second of CPU"
        lines.append(f"| {row['name']} | {_time(wall)} | {_time(cpu)} | {ratio} | {row['peak_mb']:,.0f} | {outcome} |")
    return "\n".join([*lines, "", problem.remarks, ""])


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, one minute; nothing is written")
    parser.add_argument("--only", choices=[problem.name for problem in PROBLEMS], action="append")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        problem = next(p for p in PROBLEMS if p.name == arguments.child[0])
        contestant = next(c for c in problem.contestants if c.name == arguments.child[1])
        print(json.dumps(measure(problem, contestant, arguments.size)))
        return
    about = machine()
    blocks, results = [], {}
    for problem in PROBLEMS:
        size = problem.size[1 if arguments.quick else 0]
        if size is None or (arguments.only and problem.name not in arguments.only):
            continue
        rows = run(problem, size)
        results[problem.name] = {"size": size, "rows": rows}
        blocks.append(table(problem, size, rows))
        print(blocks[-1], flush=True)
    described = ", ".join(f"{key} {value}" for key, value in about.items())
    print(described)
    if not arguments.quick:
        head = (
            "# Benchmarks\n\nOne thread; medians of repeats; a process for each row. Peak memory holds the task too.\n"
        )
        old = HERE / "results.json"
        kept = json.loads(old.read_text())["results"] if arguments.only and old.exists() else {}
        results = kept | results
        blocks = [table(p, results[p.name]["size"], results[p.name]["rows"]) for p in PROBLEMS if p.name in results]
        old.write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
        (HERE / "results.md").write_text("\n".join([head, f"Machine: {described}.\n", *blocks]))


if __name__ == "__main__":
    main()
