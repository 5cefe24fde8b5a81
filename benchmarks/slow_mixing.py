"""What follows a policy best on tasks that mix slowly: ``python benchmarks/slow_mixing.py [--side N]``.

Ours, which chooses between sweeps and BiCGSTAB by what it measures, beside each of the choices alone and policy
iteration by sparse LU, on a slippery grid at discounts up to 0.9999. Writes slow_mixing.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np  # noqa: E402
from run import machine  # noqa: E402
from scipy.sparse import csc_array, eye_array  # noqa: E402
from scipy.sparse.linalg import splu  # noqa: E402

from bomrl_theory.exact import large  # noqa: E402
from bomrl_theory.tasks.sparse import SparseMDP, slippery_grid  # noqa: E402

HERE = Path(__file__).resolve().parent
DISCOUNTS = tuple(map(Fraction, ("9/10", "99/100", "999/1000", "9999/10000")))
TOLERANCE = 1e-8
MOST_POLICIES = 400


def ours(task: SparseMDP) -> str:
    found = large.solve_large(task, tolerance=TOLERANCE)
    work = f"{found.iterations} backups, {found.sweeps:,} sweeps, {found.krylov:,} BiCGSTAB"
    return f"{work}; {found.bounds.radius.max():.0e}"


def alone(method: large.Method) -> Callable[[SparseMDP], str]:
    """Ours where nothing else is ever chosen."""

    def solve(task: SparseMDP) -> str:
        chosen = large._Backups.method
        large._Backups.method = property(lambda self: method)  # pyright: ignore[reportAttributeAccessIssue]
        try:
            return ours(task)
        finally:
            large._Backups.method = chosen  # pyright: ignore[reportAttributeAccessIssue]

    return solve


def lu(task: SparseMDP) -> str:
    """Policy iteration, each policy by SuperLU in the order that fills least here."""
    gamma, states = float(task.gamma), np.arange(task.states)
    V = np.zeros(task.states)
    previous = np.inf
    for policies in range(1, MOST_POLICIES + 1):
        Q = task.r + gamma * (task.P @ V).reshape(task.r.shape)
        actions = Q.argmax(axis=1)
        change = Q.max(axis=1) - V
        spread = float(np.ptp(change))
        rounding = 1e-14 * float(np.abs(V).max())
        if spread <= 2 * TOLERANCE * (1 - gamma) or rounding >= spread >= previous:
            return f"{policies} backups; {spread / 2 / (1 - gamma):.0e}, uncertified"
        previous = spread
        matrix = csc_array(eye_array(task.states) - gamma * task.P[states * task.actions + actions])
        order = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
        V = splu(matrix, **order).solve(task.r[states, actions])
    return f"not done after {MOST_POLICIES} policies"


METHODS: dict[str, Callable[[SparseMDP], str]] = {
    "ours: chosen at run time": ours,
    "sweeps alone (modified policy iteration)": alone("sweeps"),
    "BiCGSTAB alone": alone("bicgstab"),
    "policy iteration by sparse LU": lu,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=316, help="states are its square")
    arguments = parser.parse_args()
    ours(slippery_grid(side=10, rng=np.random.default_rng(0)))  # compiles
    lines = [
        "# Tasks that mix slowly",
        "",
        f"A slippery grid of {arguments.side**2:,} states, one thread, CPU seconds; wanted within {TOLERANCE:g}. "
        "After each time the work, and the radius reached.",
        "",
        f"Machine: {', '.join(f'{key} {value}' for key, value in machine().items())}.",
        "",
        "| | " + " | ".join(f"gamma {float(gamma):g}" for gamma in DISCOUNTS) + " |",
        "|---|" + "---|" * len(DISCOUNTS),
    ]
    for name, solve in METHODS.items():
        cells = []
        for gamma in DISCOUNTS:
            task = slippery_grid(side=arguments.side, gamma=gamma, rng=np.random.default_rng(2024))
            started = time.process_time()
            outcome = solve(task)
            cells.append(f"**{time.process_time() - started:.3g} s** ({outcome})")
            print(name, float(gamma), cells[-1], flush=True)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "Command: `python benchmarks/slow_mixing.py`.", ""]
    (HERE / "slow_mixing.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
