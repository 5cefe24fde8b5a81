"""Sweeps of BO-MRL's meta-training on exact expectations: lambda, gamma, task variance, and unseen tasks.

On each of several draws a meta-policy is trained at every point of a sweep; its gap after one adaptation step stands
beside that of the barycentre and beside bounds, all certified. For the number of training tasks the gap is that of
the whole task distribution, bounded from unseen tasks with a level. Regenerates results/sweeps:

    python experiments/sweeps.py

A killed run is taken up where it was: finished parts are kept in OUTPUT.parts.jsonl until the folder is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import pandas as pd
from jaxtyping import Float64

from bomrl_theory.cli import run
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.barycentre import barycentre
from bomrl_theory.meta.train import train
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.report import figures
from bomrl_theory.report.draws import over_draws, with_verdicts
from bomrl_theory.report.frozen_lake import CONFIDENCE, VARIANCES
from bomrl_theory.report.sweeps import NO_STEP, UNSEEN_BOUND, UNSEEN_GAP, sweep_figure, unseen_figure
from bomrl_theory.report.table import Table
from bomrl_theory.report.versions import versions
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.frozen_lake import frozen_lake
from bomrl_theory.tasks.interpolation import interpolate
from bomrl_theory.tasks.sampler import sampler_named
from bomrl_theory.theorems.task_variance import task_variance
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.verify.evaluate import evaluate_case
from bomrl_theory.verify.parts import run_parts
from bomrl_theory.verify.unseen import bound_on_sample
from bomrl_theory.verify.verdict import Outcome

OUTPUT = Path("results/sweeps")
LAMBDAS = (*(Fraction(10) ** k * scale for k in range(-3, 2) for scale in (1, 3)), Fraction(100))
GAMMAS = (*(Fraction(k, 10) for k in (0, 3, 5, 7, 8, 9)), Fraction(19, 20), Fraction(99, 100))
SHARES = tuple(k / 8 for k in range(9))
COUNTS = (1, 2, 5, 10, 20, 50, 100)
TEST_TASKS = 200
DELTA = Fraction(1, 20)
LAMBDA = Fraction(1, 10)
"""Where it is not swept."""
BOUNDS = ("contraction_task_average", "lookahead_5", "task_variance_tv", "no_adaptation", "published_bound")
LEARNERS = (("bo-mrl", "kl-posterior", LAMBDA), ("maml", "policy-gradient", None), ("joint", "kl-posterior", LAMBDA))
"""Compared on unseen tasks, besides the barycentre; MAML with the step size ``ALPHA``."""
ALPHA = 10
SETTINGS = {
    "barycentre": f"Alg⁽²⁾, λ = {LAMBDA}",
    "bo-mrl": f"Alg⁽²⁾, λ = {LAMBDA}",
    "maml": f"α = {ALPHA}",
    "joint": f"Alg⁽²⁾, λ = {LAMBDA}",
}
"""How each learner adapts."""


@dataclass(frozen=True)
class Settings:
    """What is drawn and trained.

    Attributes:
        seed: of every draw.
        draws: for each sweep and variance setting.
        tasks: maps in each family, where their number is not swept.
        iterations: of training.
    """

    seed: int = 0
    draws: int = 10
    tasks: int = 20
    iterations: int = 150


SWEEPS = ("lambda", "gamma", "variance", "tasks")


def parts(settings: Settings) -> list[str]:
    """Every draw of every sweep; task variance is swept from the high setting only."""
    return [
        f"{sweep} {variance} {draw}"
        for sweep in SWEEPS
        for variance in (VARIANCES[:1] if sweep == "variance" else VARIANCES)
        for draw in range(settings.draws)
    ]


def one_part(part: str, settings: Settings) -> list[dict[str, Any]]:
    """All points of one sweep on one draw."""
    sweep, name, draw = part.split()
    variance: Literal["high", "low"] = "high" if name == "high" else "low"
    # Every draw has its own stream, the same in all sweeps: they meet where their settings do.
    stream = np.random.SeedSequence(settings.seed, spawn_key=(VARIANCES.index(variance), int(draw)))

    def lake(gamma: Fraction = Fraction(4, 5)) -> TaskFamily:
        return frozen_lake(variance, tasks=settings.tasks, gamma=gamma, rng=np.random.default_rng(stream))

    rows: Iterator[dict[str, Any]]
    if sweep == "lambda":
        solved = Solved(lake())
        rows = (row | {"x": float(lam)} for lam in LAMBDAS for row in _point(solved, lam, settings))
    elif sweep == "gamma":
        rows = (row | {"x": float(gamma)} for gamma in GAMMAS for row in _point(Solved(lake(gamma)), LAMBDA, settings))
    elif sweep == "variance":
        family = lake()
        rows = (row | {"x": x} for x in SHARES for row in _point(Solved(interpolate(family, x)), LAMBDA, settings))
    else:
        rows = _unseen(f"frozen-lake-{variance}", stream, settings)
    return [{"sweep": sweep, "variance": variance, "draw": int(draw)} | row for row in rows]


def _point(solved: Solved, lam: Fraction, settings: Settings) -> Iterator[dict[str, Any]]:
    """Gaps of the barycentre and of trained meta-policies, and bounds on those of Alg(2)."""
    start = barycentre(solved.family, solved.optimum)
    with FLOATS.activated():
        variance = float(task_variance(Measured(Case.new(solved, start, "kl-posterior", lam), FLOATS)))
    for algorithm in ("kl-prior", "kl-posterior"):
        run = train(solved, algorithm=algorithm, lam=lam, iterations=settings.iterations, start=np.log(start))
        labels = {"algorithm": algorithm, "task_variance": variance, "status": run.status}
        for learner, phi in (("barycentre", start), ("bo-mrl", run.policy)):
            yield labels | {"quantity": learner} | _gap(solved, phi, algorithm, lam)
        if algorithm == "kl-posterior":
            yield labels | {"quantity": NO_STEP} | _gap(solved, run.policy, "none", lam)
            yield from (labels | row for row in _bounds(solved, run.policy, algorithm, lam))


def _gap(solved: Solved, phi: Float64[Array, "S A"], algorithm: str, lam: Fraction) -> dict[str, Any]:
    report = evaluate_case(Case.new(solved, phi, algorithm, lam), [])
    return {"value": report.expected.gap, "certified": report.certified, "outcome": ""}


def _bounds(solved: Solved, phi: Float64[Array, "S A"], algorithm: str, lam: Fraction) -> Iterator[dict[str, Any]]:
    """Each bound with its verdict; those on the gap without adaptation too."""
    for chosen in (algorithm, "none"):
        case = Case.new(solved, phi, chosen, lam)
        theorems = [theorem for theorem in map(theorem_named, BOUNDS) if theorem.covers(case)]
        for bound in evaluate_case(case, theorems).bounds:
            if bound.verdict.outcome is not Outcome.OUT_OF_SCOPE:
                yield {
                    "quantity": bound.theorem.name,
                    "value": bound.verdict.bound,
                    "certified": bound.verdict.certified and all(verdict.certified for verdict in bound.tasks),
                    "outcome": str(bound.verdict.outcome),
                }


def _unseen(name: str, stream: np.random.SeedSequence, settings: Settings) -> Iterator[dict[str, Any]]:
    """Train on n tasks, and bound the gap of the distribution from other tasks."""
    sampler = sampler_named(name)
    training, test = stream.spawn(2)
    unseen = Solved(sampler.draw(TEST_TASKS, np.random.default_rng(test)))
    for count in COUNTS:
        solved = Solved(sampler.draw(count, np.random.default_rng(training)))
        start = barycentre(solved.family, solved.optimum)
        runs = [("barycentre", "kl-posterior", LAMBDA, start)]
        for learner, algorithm, lam in LEARNERS:
            lam = (1 - solved.family.gamma) / (2 * ALPHA) if lam is None else lam
            run = train(solved, learner, algorithm=algorithm, lam=lam, iterations=settings.iterations)
            runs.append((learner, algorithm, lam, run.policy))
        for learner, algorithm, lam, phi in runs:
            labels = {"x": count, "algorithm": algorithm, "learner": learner}
            yield labels | {"quantity": "gap on the training tasks"} | _gap(solved, phi, algorithm, lam)
            found = bound_on_sample(sampler, unseen, DELTA, algorithm, lam, phi)
            status = {"certified": False, "outcome": "STATISTICAL"}
            yield labels | {"quantity": UNSEEN_GAP, "value": found.mean} | status
            yield labels | {"quantity": UNSEEN_BOUND, "value": found.bound} | status


@click.command(help=__doc__)
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), default=OUTPUT, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of every draw.")
@click.option("--draws", default=10, show_default=True, help="For each sweep and variance setting.")
@click.option("--tasks", default=20, show_default=True, help="Maps in each family.")
@click.option("--iterations", default=150, show_default=True, help="Of training.")
@click.option("--workers", default=2, show_default=True)
def main(output: Path, seed: int, draws: int, tasks: int, iterations: int, workers: int) -> None:
    """Run all sweeps and write everything."""
    settings = Settings(seed=seed, draws=draws, tasks=tasks, iterations=iterations)
    run = {"settings": asdict(settings), "versions": versions()}
    keep = output.with_name(output.name + ".parts.jsonl")
    found = run_parts(
        keep, run, parts(settings), partial(one_part, settings=settings), workers=workers, description="sweeping"
    )
    write(pd.DataFrame([row for rows in found for row in rows]), settings, output)
    keep.unlink()
    click.echo(f"wrote {output}")


def write(rows: Table, settings: Settings, output: Path) -> None:
    """Tables, figures and the page of the folder."""
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(len(VARIANCES),)))
    output.mkdir(parents=True, exist_ok=True)
    tables = {}
    for sweep in SWEEPS:
        here = rows[rows["sweep"] == sweep]
        keys = ["variance", "x", "algorithm", *(["learner"] if sweep == "tasks" else []), "quantity"]
        table = with_verdicts(over_draws(here, keys, rng), here, keys)
        tables[sweep] = table
        table.to_csv(output / f"{sweep}.csv", index=False, lineterminator="\n", float_format="%.12g")
        figure = unseen_figure(table, SETTINGS) if sweep == "tasks" else sweep_figure(table, sweep)
        figures.save(figure, output, sweep, ("png", "svg"))
    (output / "README.md").write_text(readme(tables, settings), encoding="utf-8")


def readme(tables: dict[str, Table], settings: Settings) -> str:
    """What the folder holds, what regenerates it, and the main numbers."""
    default = Settings()
    options = "".join(f" --{k} {v}" for k, v in asdict(settings).items() if v != getattr(default, k))
    used = ", ".join(f"{package} {number}" for package, number in versions().items())
    tasks, violated = tables["tasks"], 0
    for table in tables.values():
        proved = table[table["quantity"].isin(set(BOUNDS) - {"published_bound"})]
        violated += int(proved[["violated", "undecided"]].to_numpy().sum())
    lines = [
        "# Sweeps",
        "",
        f"`python experiments/sweeps.py{options}` regenerates this folder ({used}).",
        "",
        f"Frozen Lake, {settings.draws} draws, {settings.tasks} tasks (where their number is not swept), discount 4/5 "
        f"and λ = {LAMBDA} (where they are not swept), {settings.iterations} iterations of Adam on exact expectations, "
        "from the barycentre; for unseen tasks from the uniform policy. Bands are "
        f"{CONFIDENCE:.0%} bootstrap intervals over draws; units of return. Verdicts on the proved bounds that were "
        f"not HOLDS: {violated}.",
        "",
        *(
            f"![{text}]({name}.png)\n"
            for name, text in (
                ("lambda", "Gap against the regularisation"),
                ("gamma", "Gap against the discount"),
                ("variance", "Gap against task variance"),
                ("tasks", "Gap on unseen tasks against the number of training tasks"),
            )
        ),
        "## Unseen tasks",
        "",
        f"{TEST_TASKS} unseen tasks; the bound is true with probability at least {float(1 - DELTA):g} over their draw "
        "(empirical Bernstein, theorem `unseen_tasks`), and with no more: a statistical statement. Mean over draws.",
        "",
        "| variance | training tasks | learner | gap on them | gap on unseen tasks | bound on the distribution's gap |",
        "|---|---|---|---|---|---|",
    ]
    groups = tasks.groupby(["variance", "x", "learner"], sort=False)
    for (variance, count, learner), group in groups:
        value = group.set_index("quantity")["mean"]
        cells = (f"{value[name]:.3g}" for name in ("gap on the training tasks", UNSEEN_GAP, UNSEEN_BOUND))
        name = f"{learner} ({SETTINGS[str(learner)]})"
        lines.append(f"| {variance} | {int(count)} | {name} | {' | '.join(cells)} |")
    lines += ["", "`lambda.csv`, `gamma.csv`, `variance.csv`, `tasks.csv` hold all numbers, bounds and verdicts.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
