"""Open question 3: for which lambda >= c A_max/(1-gamma) is the published form of the bound true?

For each discount the largest c is searched at which some small task still violates the form; every number is certified.
Regenerates results/open_question_threshold: a table (CSV), the cases (JSON, for bomrl verify --replay) and a figure.

    python experiments/open_question_threshold.py [-o results/open_question_threshold] [--starts 2]
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import sympy as sp
from scipy.optimize import minimize

from bomrl_theory.numbers import FLOATS
from bomrl_theory.report import figures
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.theorems.published_bound import PUBLISHED
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import A_max, gamma, gap, lam, w
from bomrl_theory.theory.expression import largest_over_tasks, over_tasks
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.theory.theorem import Assumption
from bomrl_theory.verify.casefile import write_case
from bomrl_theory.verify.search import Found, Search, Settings
from bomrl_theory.verify.shrink import violation
from bomrl_theory.verify.verdict import Outcome, judge

OUTPUT = Path("results/open_question_threshold")
DISCOUNTS = tuple(Fraction(n, d) for n, d in ((4, 5), (99, 100), (1, 2), (9, 10), (999, 1000), (1, 10), (1, 4)))
STATES = (2, 3)
LAMBDA = Fraction(1, 100)
"""The form scales with rewards and lambda together, so one lambda serves all."""
CLEARLY = 1 + sp.Rational(1, 10**6)

PUBLISHED_BOUND = theorem_named("published_bound")
THRESHOLD = replace(
    PUBLISHED_BOUND,
    id="threshold-v1",
    title="Where the published form is violated, lambda is at most A_max/(1-gamma)",
    status="conjectured",
    left=lam.symbol * (1 - gamma.symbol) / largest_over_tasks(A_max.symbol),
    bound=sp.Integer(1),
    constants=(*PUBLISHED_BOUND.constants, A_max),
    assumptions=(
        Assumption(
            "violated",
            "the gap exceeds the published form",
            over_tasks(w.symbol * gap.symbol) / PUBLISHED - CLEARLY,
        ),
    ),
)
"""Searching this claim for its largest left side gives the largest c at which the published form is false."""


def main() -> None:
    """Search every discount and write everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help=f"folder to write to (default {OUTPUT})")
    parser.add_argument("--seed", type=int, default=0, help="of every draw (default 0)")
    parser.add_argument("--starts", type=int, default=2, help="starts for each discount and size (default 2)")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for discount in DISCOUNTS:
        row: dict[str, object] = {"gamma": str(discount), **proved(discount)}
        best: Found | None = None
        for states in STATES:
            starts = list(beginnings(discount, states, best))
            for begin in starts:
                settings = Settings(
                    states=states,
                    tasks=1,
                    gamma=discount,
                    lambdas=(LAMBDA, LAMBDA),
                    starts=max(1, arguments.starts // len(starts)),
                    seed=arguments.seed,
                )
                found = Search(THRESHOLD, settings, resume=begin).run()
                if found.ratio is not None and (best is None or best.ratio is None or found.ratio > best.ratio):
                    best = found
            row[f"false below, {states} states"] = None if best is None else best.ratio
            print(row, flush=True)
        if best is not None and best.case is not None:
            verdict = violation(PUBLISHED_BOUND, best.case, precise=True)
            assert verdict is not None, "what was searched for is not what was found"
            name = f"gamma_{discount.numerator}_{discount.denominator}.json"
            write_case(best.case, verdict, arguments.output / name)
        rows.append(row)
        rows.sort(key=lambda row: Fraction(str(row["gamma"])))
        write(rows, arguments.output)  # after every discount: an interrupted run leaves what it found
    print(f"wrote {arguments.output}")


def write(rows: list[dict[str, object]], output: Path) -> None:
    """The table and the figure; certified values are cut off, not rounded up."""

    def shown(value: object) -> object:
        return f"{math.floor(value * 1e5) / 1e5:.5f}" if isinstance(value, float) else value

    with (output / "thresholds.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: shown(value) for key, value in row.items()} for row in rows)
    draw(rows, output)


def proved(discount: Fraction) -> dict[str, float]:
    """The sufficient values of c: with the no-adaptation bound, and with the sharp factor."""
    g = float(discount)
    return {
        "true from, conditional": (2 - g) / (1 + g),
        "true from, sharp": max(1.0, (2 - g) / (2 * math.log(2))) / (1 + g),
    }


def beginnings(discount: Fraction, states: int, best: Found | None) -> Iterator[Case | None]:
    """Nothing; with three states also the family of proofs/published_bound_sharp.md, tuned to the discount."""
    yield None
    if states == 3:
        yield tuned(discount)


def wait_then_hold(discount: Fraction, x: list[float]) -> Case:
    """The family with chances of moving on, waiting and holding given by logits, at the lambda of the search."""
    move, wait, hold = (1 / (1 + math.exp(-value)) for value in x)
    P = [[[[1 - move, move, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 1]], [[0, 0, 1], [0, 0, 1]]]]
    phi = [[wait, 1 - wait], [hold, 1 - hold], [2**50, 1]]
    r = [[[0, 0], [1, 0], [0, 0]]]
    return Case.new(TaskFamily.new(P, r, discount, [1, 0, 0], row_weights=True), phi, "kl-posterior", 1)


def threshold(case: Case, c: float) -> Case:
    """The case with rewards in such a unit that :data:`LAMBDA` is ``c A_max/(1-gamma)``."""
    with FLOATS.activated():
        largest = float(abs(Measured(case, FLOATS).phi.advantage).max())
    family = case.family
    scale = float(LAMBDA) * (1 - float(family.gamma)) / (c * largest)
    scaled = replace(family, r=family.r * scale)
    return Case.new(scaled, case.phi, "kl-posterior", LAMBDA)


def tuned(discount: Fraction) -> Case:
    """The best of that family, at a c where it is violated, found by a simplex search in floats."""

    def excess(x: list[float]) -> float:
        with FLOATS.activated():
            case = threshold(wait_then_hold(discount, x), 0.3)
            (verdict,) = judge(PUBLISHED_BOUND, case, only=(FLOATS,))
        return -(verdict.ratio or 0.0)

    start = minimize(excess, [-2.0, 2.0, 0.0], method="Nelder-Mead", options={"maxiter": 400})
    low, high = 0.01, 0.6
    for _ in range(30):
        middle = (low + high) / 2
        case = threshold(wait_then_hold(discount, list(start.x)), middle)
        (verdict,) = judge(PUBLISHED_BOUND, case)
        low, high = (middle, high) if verdict.outcome is Outcome.VIOLATED else (low, middle)
    return threshold(wait_then_hold(discount, list(start.x)), low * (1 - 1e-5))


def draw(rows: list[dict[str, object]], output: Path) -> None:
    """c against gamma: proved above the solid line, certified false below the markers."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.0, 3.8), layout="constrained")
    grid = [Fraction(k, 400) for k in range(400)]
    for key, style in (("true from, conditional", "--"), ("true from, sharp", "-")):
        axes.plot([float(g) for g in grid], [proved(g)[key] for g in grid], style, label=key.replace(", ", ": "))
    for states, marker in zip(STATES, "ov", strict=True):
        key = f"false below, {states} states"
        shown = [(float(Fraction(str(row["gamma"]))), row[key]) for row in rows if isinstance(row[key], float)]
        axes.plot(*zip(*shown, strict=True), marker, label=f"certified false below: {states} states")
    axes.plot([1], [0.5], "k*", label="limit (proved)")
    axes.set(xlabel="discount γ", ylabel="c in λ = c A_max/(1−γ)", ylim=(0, 2.05), xlim=(0, 1.02))
    axes.legend()
    figures.save(figure, output, "thresholds", ("png", "svg"))
    plt.close(figure)


if __name__ == "__main__":
    main()
