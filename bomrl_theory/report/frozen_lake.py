"""The Frozen Lake study: returns against adaptation steps, and the expected gap against its bounds.

Families are drawn independently, and every family is adapted from its own meta-policy (the
barycentre with a little uniform mixed in). Returns are float64; gaps beside bounds, the bounds and
their verdicts come from certified verdicts on every draw. A theorem about single tasks enters as the
expectation over tasks that it implies; it counts as holding where it holds on every task too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float64
from scipy.stats import bootstrap

from bomrl_theory.adapt.adapt import adapt
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.barycentre import barycentre
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.report.table import Table
from bomrl_theory.tasks.frozen_lake import frozen_lake
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gap, gap_phi, w
from bomrl_theory.theory.expression import over_tasks
from bomrl_theory.theory.theorem import ADAPTING, Theorem
from bomrl_theory.verify.evaluate import evaluate_case
from bomrl_theory.verify.verdict import Outcome

VARIANCES: tuple[Literal["high", "low"], ...] = ("high", "low")
EXPECTED_GAPS = tuple(over_tasks(w.symbol * quantity.symbol) for quantity in (gap, gap_phi))
RESAMPLES = 9999
CONFIDENCE = 0.95
"""Level of the bootstrap intervals over draws."""
GAP = "expected optimality gap"
OPTIMUM = "optimum"


@dataclass(frozen=True)
class Settings:
    """What the study draws.

    Attributes:
        seed: of every draw and of the bootstrap.
        draws: independent task families per variance setting; the first one is the main draw.
        tasks: maps in each family.
        size: side of the maps.
        steps: largest number of adaptation steps K.
        lambdas: regularisations, in the unit of return.
        uniform_share: how much uniform policy is mixed into the barycentre.
    """

    seed: int = 0
    draws: int = 20
    tasks: int = 20
    size: int = 4
    steps: int = 4
    lambdas: tuple[Fraction, ...] = (Fraction(1, 10), Fraction(1, 100))
    uniform_share: float = 0.1


@dataclass(frozen=True)
class Study:
    """The study's tables, in long form.

    Attributes:
        settings: what was drawn.
        returns: expected return by variance, lambda, algorithm (or the optimum) and step: mean over
            draws, bootstrap interval (low, high), value on the main draw.
        gaps: by variance, lambda, algorithm and quantity, which is the expected gap or a theorem's id:
            the same columns, and for theorems how many draws had which outcome, the outcome on the
            main draw, and ``drawn``: whether figures show it (proved, certified and holding on every
            draw; or refuted, shown with its verdicts).
    """

    settings: Settings
    returns: Table
    gaps: Table


def study(
    theorems: Sequence[Theorem],
    settings: Settings | None = None,
    *,
    on_draw: Callable[[str, int], None] = lambda variance, draw: None,
) -> Study:
    """Run the study.

    Args:
        theorems: those that bound the expected gap, or every task's, are judged; others are ignored.
        settings: what to draw.
        on_draw: called with the variance setting and the index of the draw that starts.
    """
    settings = settings or Settings()
    bounds = [theorem for theorem in theorems if bounds_gap(theorem)]
    returns: list[dict[str, Any]] = []
    gaps: list[dict[str, Any]] = []
    for stream, variance in enumerate(VARIANCES):
        for draw in range(settings.draws):
            on_draw(variance, draw)
            # Every draw has its own stream: more draws leave the first ones as they are.
            rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(stream, draw)))
            solved = Solved(frozen_lake(variance, size=settings.size, tasks=settings.tasks, rng=rng))
            phi = barycentre(solved.family, solved.optimum, uniform_share=settings.uniform_share)
            labels = {"variance": variance, "draw": draw}
            returns += [labels | row for row in _returns(solved, phi, settings)]
            gaps += [labels | row for row in _gaps(solved, phi, bounds, settings.lambdas)]
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(len(VARIANCES),)))
    return Study(
        settings,
        _over_draws(pd.DataFrame(returns), ["variance", "lambda", "algorithm", "step"], rng),
        _summarise_gaps(pd.DataFrame(gaps), rng),
    )


def bounds_gap(theorem: Theorem) -> bool:
    """Whether it claims an upper bound on the expected gap, or on every task's."""
    return theorem.bounds_gap and theorem.averaged().left in EXPECTED_GAPS


def _returns(solved: Solved, phi: Float64[Array, "S A"], settings: Settings) -> Iterator[dict[str, Any]]:
    """The expected return after 0..K steps of every algorithm, and the optimum's."""
    with FLOATS.activated():
        model = solved.model(FLOATS)
        optimum = float(model.w @ solved.star(FLOATS).J)
    for lam in settings.lambdas:
        for algorithm in ADAPTING:
            adaptation = adapt(solved.family, phi, algorithm, float(lam), steps=settings.steps)
            with FLOATS.activated():
                values = [float(model.w @ Evaluation.of(model, policy).J) for policy in adaptation.policies]
            for step, value in enumerate(values):
                yield {"lambda": str(lam), "algorithm": algorithm, "step": step, "value": value}
        for step in range(settings.steps + 1):
            yield {"lambda": str(lam), "algorithm": OPTIMUM, "step": step, "value": optimum}


def _gaps(
    solved: Solved, phi: Float64[Array, "S A"], bounds: Sequence[Theorem], lambdas: Sequence[Fraction]
) -> Iterator[dict[str, Any]]:
    """The expected gap without and after one step, and every bound on it with its verdict."""
    for lam in lambdas:
        for algorithm in ("none", *ADAPTING):
            case = Case.new(solved, phi, algorithm, lam)
            report = evaluate_case(case, [theorem for theorem in bounds if theorem.covers(case)])
            row = {"lambda": str(lam), "algorithm": algorithm}
            yield row | {
                "quantity": GAP,
                "kind": "gap",
                "value": report.expected.gap,
                "outcome": None,
                "certified": report.certified,
                "reason": "",
            }
            for bound in report.bounds:
                decided = bound.verdict.outcome in (Outcome.HOLDS, Outcome.VIOLATED)
                yield row | {
                    "quantity": bound.theorem.id,
                    "kind": bound.theorem.status,
                    "value": bound.verdict.bound if decided else float("nan"),
                    "outcome": str(bound.verdict.outcome),
                    "certified": bound.verdict.certified and all(verdict.certified for verdict in bound.tasks),
                    "reason": bound.verdict.reason,
                }


def _over_draws(values: Table, keys: list[str], rng: np.random.Generator) -> Table:
    """Mean, bootstrap interval and main draw of ``value`` for every combination of ``keys``."""
    wide = values.pivot(index="draw", columns=keys, values="value")
    # Columns in the order in which the study produced them.
    wide = wide[list(values[keys].drop_duplicates().itertuples(index=False, name=None))]
    low, high = interval(wide.to_numpy(dtype=np.float64), rng)
    table = wide.columns.to_frame(index=False)
    table["mean"] = wide.mean(axis=0, skipna=False).to_numpy()
    table["low"], table["high"] = low, high
    table["main"] = wide.iloc[0].to_numpy()
    table["draws"] = len(wide)
    return table


def interval(
    samples: Float64[Array, "N K"], rng: np.random.Generator
) -> tuple[Float64[Array, " K"], Float64[Array, " K"]]:
    """Percentile bootstrap interval of each column's mean; NaN where it has a gap or a single row."""
    low = np.full(samples.shape[1], np.nan)
    high = np.full(samples.shape[1], np.nan)
    usable = np.isfinite(samples).all(axis=0)
    if len(samples) > 1 and usable.any():
        found = bootstrap(
            (samples[:, usable],),
            np.mean,
            axis=0,
            confidence_level=CONFIDENCE,
            n_resamples=RESAMPLES,
            batch=RESAMPLES // 10,
            method="percentile",
            random_state=rng,  # pyright: ignore[reportCallIssue]  (named rng from SciPy 1.15 on; both work)
        ).confidence_interval
        low[usable], high[usable] = found.low, found.high
    return low, high


def _summarise_gaps(values: Table, rng: np.random.Generator) -> Table:
    keys = ["variance", "lambda", "algorithm", "quantity"]
    table = _over_draws(values, keys, rng)
    groups = values.groupby(keys, sort=False)
    extra = pd.DataFrame(
        {
            "kind": groups["kind"].first(),
            **{
                str(outcome).lower(): groups["outcome"].agg(
                    lambda column, wanted=outcome: int((column == wanted).sum())
                )
                for outcome in Outcome
            },
            "outcome_main": groups["outcome"].first(),
            "certified": groups["certified"].all(),
            "reason": groups["reason"].agg(lambda column: "; ".join(dict.fromkeys(filter(None, column)))),
        }
    )
    table = table.merge(extra.reset_index(), on=keys, how="left", validate="one_to_one")
    finite = np.isfinite(table["mean"])
    table["drawn"] = (
        (table["kind"] == "gap")
        | ((table["kind"] == "proved") & (table["holds"] == table["draws"]) & table["certified"] & finite)
        | ((table["kind"] == "refuted") & finite)
    )
    return table
