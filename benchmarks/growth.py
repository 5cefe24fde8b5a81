"""How time and memory grow, and how far from the machine's limit: ``python benchmarks/growth.py [--quick]``.

Each size is measured in a process of its own, on one thread. The exponent is the slope of log CPU time against log size
over the larger half of the sizes, with its standard error. The limit is the larger of two times: the floating-point
operations at the speed of a matrix product, and the bytes of P that are read at the speed of a long dot product, both
measured here; what else is read or computed is not counted, so the true limit lies above it.
Writes growth.md and growth.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np  # noqa: E402
from contestants import TOLERANCE, grid_task, rng, sparse_task  # noqa: E402
from run import machine, peak  # noqa: E402
from scipy.stats import linregress  # noqa: E402

from bomrl_theory.exact import kernels  # noqa: E402
from bomrl_theory.exact.enclose import certified_optimum  # noqa: E402
from bomrl_theory.exact.large import LargeSolution, solve_large  # noqa: E402
from bomrl_theory.exact.solved import Solved  # noqa: E402
from bomrl_theory.tasks.garnet import garnet  # noqa: E402
from bomrl_theory.tasks.mdp import MDP  # noqa: E402
from bomrl_theory.tasks.policy import uniform_policy  # noqa: E402
from bomrl_theory.tasks.sparse import SparseMDP  # noqa: E402
from bomrl_theory.theory.case import Case  # noqa: E402
from bomrl_theory.theory.registry import theorem_named  # noqa: E402
from bomrl_theory.verify.verdict import judge  # noqa: E402

HERE = Path(__file__).resolve().parent
REPEATS = 5
SPEEDS = "speeds"
PRODUCTS = 2
"""With the matrix, in an iteration of BiCGSTAB."""


@dataclass(frozen=True)
class Work:
    """A timed call, and what it cannot do without, known after a call.

    Attributes:
        call: what is timed.
        needs: from its result to floating-point operations and bytes of P.
    """

    call: Callable[[], Any]
    needs: Callable[[Any], tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """One quantity that grows.

    Attributes:
        title: with what stays fixed.
        grows: what the sizes are.
        sizes: full; with ``--quick`` the first three.
        prepare: from a size to the work.
    """

    title: str
    grows: str
    sizes: tuple[int, ...]
    prepare: Callable[[int], Work]


def optima(tasks: int = 10_000, states: int = 16, actions: int = 4) -> Work:
    """Certified optima of many small tasks: policy iteration by LU, and one residual."""
    family = garnet(tasks=tasks, states=states, actions=actions, rng=rng())
    flops = _policy_iteration_flops(family)
    return Work(lambda: certified_optimum(family), lambda _: (flops, family.P.nbytes))


def _policy_iteration_flops(family: Any) -> float:
    if kernels.backend() != "numba":
        raise SystemExit("numba is missing, and with it the count of linear systems; run: pip install numba")
    found = kernels.solve_batch(family.P, family.r, float(family.gamma), maximum_iterations=1000)
    tasks, states, actions = family.tasks, family.states, family.actions
    backup = 2 * states**2 * actions
    return float(found.iterations.sum() * (2 / 3 * states**3 + backup) + tasks * backup)


def verdicts(tasks: int) -> Work:
    """Optimum, adaptation, both sides and decision of the universal bound."""
    family, phi = garnet(tasks=tasks, rng=rng()), uniform_policy(16, 4)
    theorem, flops = theorem_named("contraction_kl_posterior"), _policy_iteration_flops(family)
    evaluation = tasks * (2 / 3 * 16**3 + 2 * 16**2 * 4)

    def call() -> None:
        found = judge(theorem, Case.new(Solved(family), phi, "kl-posterior", "1/10"))
        assert all(verdict.certified and verdict.outcome == "HOLDS" for verdict in found)

    return Work(call, lambda _: (flops + 2 * evaluation, family.P.nbytes))


def dense(states: int, actions: int = 8) -> Work:
    """A certified optimum by modified policy iteration on full rows."""
    draw = rng()
    P = draw.random((states, actions, states))
    P /= P.sum(axis=-1, keepdims=True)
    return _large(MDP.new(P, draw.random((states, actions)), "9/10", np.ones(states), weights=True), P.nbytes, P.size)


def sparse(task_of: Callable[[int], SparseMDP]) -> Callable[[int], Work]:
    """The same on sparse rows."""

    def prepare(states: int) -> Work:
        task = task_of(states)
        return _large(task, task.P.data.nbytes + task.P.indices.nbytes, task.P.nnz)

    return prepare


def _large(task: MDP | SparseMDP, size: float, entries: float) -> Work:
    def needs(found: LargeSolution) -> tuple[float, float]:
        passes = found.iterations + (found.sweeps + PRODUCTS * found.krylov) / task.actions
        return 2 * entries * passes, size * passes

    return Work(lambda: solve_large(task, tolerance=TOLERANCE), needs)


SERIES = {
    "tasks": Series(
        "certified optima, Garnet tasks of 16 states and 4 actions",
        "tasks",
        (100, 1000, 10_000, 30_000, 100_000),
        optima,
    ),
    "states": Series(
        "certified optima, 1,000 Garnet tasks of 4 actions",
        "states",
        (4, 8, 16, 32, 64),
        lambda states: optima(1000, states),
    ),
    "actions": Series(
        "certified optima, 1,000 Garnet tasks of 16 states",
        "actions",
        (2, 4, 8, 16, 32, 64),
        lambda actions: optima(1000, 16, actions),
    ),
    "cases": Series(
        "certified verdicts of the universal bound, i = 2, Garnet tasks of 16 states",
        "cases",
        (100, 1000, 3000, 10_000, 30_000),
        verdicts,
    ),
    "dense": Series("one dense task of 8 actions, gamma 0.9", "states", (250, 500, 1000, 2000, 3000), dense),
    "dense-actions": Series(
        "one dense task of 1,000 states, gamma 0.9", "actions", (2, 4, 8, 16, 32), lambda actions: dense(1000, actions)
    ),
    "sparse": Series(
        "one sparse Garnet task of 4 actions and 5 branches, gamma 0.9",
        "states",
        (1000, 10_000, 100_000, 300_000, 1_000_000),
        sparse(sparse_task),
    ),
    "grid": Series("one slippery grid, gamma 0.99", "states", (1024, 10_000, 40_000, 100_489), sparse(grid_task)),
}


def measured(name: str, size: int) -> dict[str, Any]:
    """CPU seconds of each repeat, peak memory, and what the call needs."""
    work = SERIES[name].prepare(size)
    needs = work.needs(work.call())
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        work.call()
        seconds.append(time.process_time() - started)
    return {"size": size, "cpu": seconds, "peak_mb": peak(), "flops": needs[0], "bytes": needs[1]}


def speeds() -> dict[str, float]:
    """Of one thread: floating-point operations a second of a matrix product, bytes a second of a dot product."""
    draw = np.random.default_rng(0)
    square, long, other = draw.random((1500, 1500)), draw.random(30_000_000), draw.random(30_000_000)
    product = _fastest(lambda: square @ square)
    return {"flops": 2 * 1500**3 / product, "bytes": 2 * long.nbytes / _fastest(lambda: long @ other)}


def _fastest(call: Callable[[], Any]) -> float:
    best = np.inf
    for _ in range(7):
        started = time.process_time()
        call()
        best = min(best, time.process_time() - started)
    return best


def exponent(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Slope of log time against log size over the larger half of the sizes, and its standard error."""
    used = rows[len(rows) // 2 - 1 :]
    fit: Any = linregress(
        np.log([row["size"] for row in used]), np.log([statistics.median(row["cpu"]) for row in used])
    )
    return float(fit.slope), float(fit.stderr)


def table(results: dict[str, list[dict[str, Any]]], limits: dict[str, float]) -> str:
    """Markdown: a line for each size."""
    lines = []
    for name, rows in results.items():
        series, (slope, error) = SERIES[name], exponent(rows)
        title = series.title[0].upper() + series.title[1:]
        lines += [f"## {title}", "", f"CPU time grows as {series.grows}^{slope:.2f} (standard error {error:.2f}).", ""]
        lines.append(f"| {series.grows} | CPU s | span | peak MB | limit, s | bound by | times the limit |")
        lines.append("|---:|---:|---:|---:|---:|---|---:|")
        for row in rows:
            median = statistics.median(row["cpu"])
            times = {kind: row[kind] / limits[kind] for kind in limits}
            by = max(times, key=lambda kind: times[kind])
            cells = [f"{row['size']:,}", f"{median:.3g}", f"{min(row['cpu']):.3g} to {max(row['cpu']):.3g}"]
            cells += [f"{row['peak_mb']:,.0f}", f"{times[by]:.2g}", {"flops": "arithmetic", "bytes": "memory"}[by]]
            lines.append("| " + " | ".join([*cells, f"{median / times[by]:.1f}"]) + " |")
        lines.append("")
    return "\n".join(lines)


def in_a_process(name: str, size: int = 0) -> dict[str, Any]:
    """:func:`measured` elsewhere, so that peak memory is its own; or :func:`speeds`, which would count as its."""
    command = [sys.executable, str(Path(__file__)), "--child", name, "--size", str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}, {size}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the three smallest sizes of each; nothing is written")
    parser.add_argument("--only", choices=list(SERIES), action="append", help="nothing is written")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(speeds() if arguments.child == SPEEDS else measured(arguments.child, arguments.size)))
        return
    about, limits, results = machine(("numpy", "scipy", "numba")), in_a_process(SPEEDS), {}
    for name in arguments.only or SERIES:
        results[name] = []
        for size in SERIES[name].sizes[: 3 if arguments.quick else None]:
            print(f"{name}: {size:,}", file=sys.stderr)
            results[name].append(in_a_process(name, size))
    described = ", ".join(f"{key} {value}" for key, value in about.items())
    head = (
        "# Growth, and distance to the machine's limit\n\n"
        f"`python benchmarks/growth.py` regenerates this file. One thread; medians of {REPEATS} repeats; a process for "
        f"each size.\n\nMachine: {described}. A matrix product runs at {limits['flops'] / 1e9:.1f} GFLOP/s, a dot "
        f"product reads {limits['bytes'] / 1e9:.1f} GB/s.\n\nThe limit is the larger of two times: floating-point "
        "operations at the first speed, bytes of P at the second. Of large tasks it counts the backups, sweeps and "
        "products of BiCGSTAB that were made, of small ones the LU factorisations; nothing else.\n"
    )
    text = f"{head}\n{table(results, limits)}"
    print(text)
    if not (arguments.quick or arguments.only):
        found = {"machine": about, "speeds": limits, "results": results}
        (HERE / "growth.json").write_text(json.dumps(found, indent=1) + "\n")
        (HERE / "growth.md").write_text(text)


if __name__ == "__main__":
    main()
