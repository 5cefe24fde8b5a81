"""The published Frozen Lake experiment with trained meta-policies, and without sampling error.

For every draw of 20 tasks, in both variance settings, each learner is trained on exact expectations and its
meta-policy is adapted 0 to 4 times. Gaps, bounds and verdicts are certified. Regenerates results/frozen_lake:

    python experiments/frozen_lake.py

A killed run is taken up where it was: finished draws are kept in OUTPUT.parts.jsonl until the folder is written.
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

from bomrl_theory.adapt.adapt import adapt
from bomrl_theory.cli import run
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.barycentre import barycentre
from bomrl_theory.meta.learner import learner_named
from bomrl_theory.meta.train import Training, train
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.report import figures, training
from bomrl_theory.report.draws import over_draws, with_verdicts
from bomrl_theory.report.frozen_lake import CONFIDENCE, VARIANCES, bounds_gap
from bomrl_theory.report.table import Table
from bomrl_theory.report.versions import versions
from bomrl_theory.tasks.frozen_lake import frozen_lake
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.registry import registry
from bomrl_theory.verify.evaluate import evaluate_case
from bomrl_theory.verify.parts import run_parts
from bomrl_theory.verify.verdict import Outcome

OUTPUT = Path("results/frozen_lake")
PUBLISHED_LAMBDAS = (Fraction(1, 10), Fraction(1, 20))
"""What the published figures put into the bound."""
ALPHAS = (1, 10, 100, 1000)
"""Step sizes that learners with a policy-gradient step are tuned over."""
ADAPTED_BY_GRADIENT = ("maml", "fomaml", "e-maml", "promp", "reptile")
NOT_TRAINED = ("random", "barycentre")
LONGEST = 100
"""How many policy-gradient steps are tried to catch up with one step of Alg(2)."""
TIE = 1e-9
"""Gaps nearer than this count as equal."""


@dataclass(frozen=True)
class Settings:
    """What is drawn and trained.

    Attributes:
        seed: of every draw.
        draws: independent task families per variance setting.
        tasks: maps in each family.
        size: side of the maps.
        iterations: of training.
        steps: largest number of adaptation steps.
    """

    seed: int = 0
    draws: int = 20
    tasks: int = 20
    size: int = 4
    iterations: int = 150
    steps: int = 4


@dataclass(frozen=True)
class Method:
    """One learner in one setting of its adaptation.

    Attributes:
        learner: by name.
        algorithm: that adapts.
        lam: its regularisation.
        setting: as the table shows it.
    """

    learner: str
    algorithm: str
    lam: Fraction
    setting: str


def methods(gamma: Fraction) -> list[Method]:
    """All that is compared. iMAML is BO-MRL with Alg(3): the same objective, the same exact gradient."""
    found = []
    for lam in PUBLISHED_LAMBDAS:
        setting = f"λ = {lam}"
        found += [Method("bo-mrl", name, lam, setting) for name in ("kl-prior", "kl-posterior", "euclidean")]
        others = ("bo-mrl-first-order", "joint", *NOT_TRAINED)
        found += [Method(name, "kl-posterior", lam, setting) for name in others]
    for alpha in ALPHAS:
        lam = (1 - gamma) / (2 * alpha)
        found += [Method(name, "policy-gradient", lam, f"α = {alpha}") for name in ADAPTED_BY_GRADIENT]
    return found


def trained(solved: Solved, method: Method, settings: Settings, rng: np.random.Generator) -> tuple[Training, str]:
    """The better of two starts, the uniform policy and the barycentre, by the expected return after adaptation."""

    def from_start(start: Float64[Array, "S A"] | None) -> Training:
        return train(
            solved,
            method.learner,
            algorithm=method.algorithm,
            lam=method.lam,
            iterations=settings.iterations,
            rng=rng,
            start=start,
        )

    if method.learner in NOT_TRAINED:
        return from_start(None), method.learner
    starts = {"uniform": None, "barycentre": np.log(barycentre(solved.family, solved.optimum))}
    runs = {name: from_start(start) for name, start in starts.items()}
    best = max(runs, key=lambda name: runs[name].log[-1].F)
    return runs[best], best


def one_draw(part: str, settings: Settings) -> list[dict[str, Any]]:
    """Train, adapt and judge everything on one family; "high 3" is its fourth with high variance."""
    name, draw = part.split()
    variance: Literal["high", "low"] = "high" if name == "high" else "low"
    # Every draw has its own stream: more draws leave the first ones as they are.
    stream = np.random.SeedSequence(settings.seed, spawn_key=(VARIANCES.index(variance), int(draw)))
    solved = Solved(frozen_lake(variance, size=settings.size, tasks=settings.tasks, rng=np.random.default_rng(stream)))
    random = stream.spawn(1)[0]
    labels = {"variance": variance, "draw": int(draw)}
    rows: list[dict[str, Any]] = []
    for method in methods(solved.family.gamma):
        run, start = trained(solved, method, settings, np.random.default_rng(random))
        row = labels | asdict(method) | {"lam": str(method.lam), "start": start, "status": run.status}
        rows += [row | found for found in _returns(solved, run.policy, method, settings)]
        rows += [row | found for found in _certified(solved, run.policy, method)]
    with FLOATS.activated():
        optimum = float(solved.model(FLOATS).w @ solved.star(FLOATS).J)
    rows.append(labels | {"learner": "optimum", "kind": "return", "step": 0, "value": optimum})
    return rows


def _returns(
    solved: Solved, phi: Float64[Array, "S A"], method: Method, settings: Settings
) -> Iterator[dict[str, Any]]:
    """The expected return after 0..K adaptation steps; many more policy-gradient steps, to see when they catch up."""
    steps = LONGEST if method.algorithm == "policy-gradient" else settings.steps
    adaptation = adapt(solved.family, phi, method.algorithm, float(method.lam), steps=steps)
    with FLOATS.activated():
        model = solved.model(FLOATS)
        for step, policy in enumerate(adaptation.policies):
            yield {"kind": "return", "step": step, "value": float(model.w @ Evaluation.of(model, policy).J)}


def _certified(solved: Solved, phi: Float64[Array, "S A"], method: Method) -> Iterator[dict[str, Any]]:
    """The expected gap after one step, and for BO-MRL without a step; every bound on it with its verdict."""
    bounds = [theorem for theorem in registry().values() if bounds_gap(theorem)]
    shown = ("none", method.algorithm) if method.learner == "bo-mrl" else (method.algorithm,)
    for algorithm in shown:
        case = Case.new(solved, phi, algorithm, method.lam)
        judged = [theorem for theorem in bounds if method.learner == "bo-mrl" and theorem.covers(case)]
        report = evaluate_case(case, judged)
        kind = "gap without adaptation" if algorithm == "none" else "gap"
        yield {"kind": kind, "value": report.expected.gap, "certified": report.certified}
        for bound in report.bounds:
            if bound.verdict.outcome is Outcome.OUT_OF_SCOPE:
                continue
            yield {
                "kind": "bound",
                "theorem": bound.theorem.id,
                "status_of_theorem": bound.theorem.status,
                "without_adaptation": algorithm == "none",
                "value": bound.verdict.bound,
                "outcome": str(bound.verdict.outcome),
                "certified": bound.verdict.certified and all(verdict.certified for verdict in bound.tasks),
            }


@click.command(help=__doc__)
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), default=OUTPUT, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of every draw.")
@click.option("--draws", default=20, show_default=True, help="Task families per variance setting.")
@click.option("--tasks", default=20, show_default=True, help="Maps in each family.")
@click.option("--size", default=4, show_default=True, help="Side of the maps.")
@click.option("--iterations", default=150, show_default=True, help="Of training.")
@click.option("--workers", default=2, show_default=True)
def main(output: Path, seed: int, draws: int, tasks: int, size: int, iterations: int, workers: int) -> None:
    """Run the experiment and write everything."""
    settings = Settings(seed=seed, draws=draws, tasks=tasks, size=size, iterations=iterations)
    run = {"settings": asdict(settings), "versions": versions()}
    parts = [f"{variance} {draw}" for variance in VARIANCES for draw in range(draws)]
    keep = output.with_name(output.name + ".parts.jsonl")
    rows = run_parts(keep, run, parts, partial(one_draw, settings=settings), workers=workers, description="training")
    write(pd.DataFrame([row for part in rows for row in part]), settings, output)
    keep.unlink()
    click.echo(f"wrote {output}")


def write(rows: Table, settings: Settings, output: Path) -> None:
    """Tables, figures and the page of the folder."""
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(len(VARIANCES),)))
    returns, gaps, bounds = _returns_table(rows, rng), _gaps_table(rows, rng), _bounds_table(rows, rng)
    output.mkdir(parents=True, exist_ok=True)
    for old in (*output.glob("*.png"), *output.glob("*.svg"), *output.glob("*.csv")):
        old.unlink()
    for name, table in (("returns", returns), ("gaps", gaps), ("bounds", bounds), ("seeds", _seeds_table(rows))):
        table.to_csv(output / f"{name}.csv", index=False, lineterminator="\n", float_format="%.12g")
    figures.save(training.returns_figure(returns, settings.steps), output, "returns", ("png", "svg"))
    figures.save(training.gaps_figure(gaps, bounds), output, "gaps", ("png", "svg"))
    (output / "README.md").write_text(readme(rows, returns, gaps, bounds, settings), encoding="utf-8")


KEYS = ["variance", "learner", "algorithm", "setting"]


def _returns_table(rows: Table, rng: np.random.Generator) -> Table:
    chosen = rows[rows["kind"] == "return"].fillna({"algorithm": "", "setting": ""})
    return over_draws(chosen, [*KEYS, "step"], rng)


def _gaps_table(rows: Table, rng: np.random.Generator) -> Table:
    return over_draws(rows[rows["kind"].isin(["gap", "gap without adaptation"])], [*KEYS, "kind"], rng)


def _bounds_table(rows: Table, rng: np.random.Generator) -> Table:
    """A bound's mean, and how many families had which verdict."""
    chosen = rows[rows["kind"] == "bound"]
    keys = [*KEYS, "theorem", "without_adaptation", "status_of_theorem"]
    table = with_verdicts(over_draws(chosen, keys, rng), chosen, keys)
    groups = chosen.groupby(keys, sort=False)
    return table.merge(groups["certified"].all().reset_index(), on=keys, validate="one_to_one")


def _seeds_table(rows: Table) -> Table:
    """The gap after one step of every learner on every family."""
    chosen = rows[rows["kind"] == "gap"]
    return chosen[["variance", "draw", "learner", "algorithm", "setting", "start", "status", "value", "certified"]]


def readme(rows: Table, returns: Table, gaps: Table, bounds: Table, settings: Settings) -> str:
    """What the folder holds, what regenerates it, and the tables."""
    changed = {name: value for name, value in asdict(settings).items() if value != getattr(Settings(), name)}
    options = "".join(f" --{name} {value}" for name, value in changed.items())
    used = ", ".join(f"{package} {number}" for package, number in versions().items())
    lines = [
        "# Frozen Lake, the published experiment on exact expectations",
        "",
        f"`python experiments/frozen_lake.py{options}` regenerates this folder ({used}).",
        "",
        f"{settings.draws} independent families of {settings.tasks} maps ({settings.size}x{settings.size}, discount "
        f"4/5) for each variance setting, seed {settings.seed}. Every learner trains {settings.iterations} iterations "
        "of Adam on exact expectations over tasks and trajectories, from the uniform policy and from the barycentre, "
        "and keeps the run with the larger expected return after adaptation. Gaps and bounds are certified. Brackets "
        f"hold {CONFIDENCE:.0%} percentile bootstrap intervals of the mean over families; all numbers are in units of "
        f"return, and 0 stands for less than {TIE:g}.",
        "",
        "![Expected return against adaptation steps](returns.png)",
        "",
        "![Expected optimality gap after one step, with every bound](gaps.png)",
        "",
        "## Gap after one adaptation step",
        "",
        *_gap_lines(gaps),
        "",
        "iMAML's inner problem is Alg⁽³⁾ and its gradient is exact here, so it is the line BO-MRL Alg⁽³⁾.",
        "",
        "## Families on which BO-MRL is at least as good",
        "",
        f"How many of {settings.draws} families have a gap of BO-MRL with Alg⁽²⁾ that is no larger (to {TIE:g}) than "
        "the baseline's. A baseline with a policy-gradient step is given at each step size.",
        "",
        *_wins_lines(rows),
        "",
        "## How much data policy-gradient steps need",
        "",
        "One adaptation step evaluates the policy once. The table counts the policy-gradient steps that MAML's "
        "meta-policy needs until its return reaches that of BO-MRL after one step of Alg⁽²⁾ with λ = 1/10, less 1 % "
        f"of the largest possible gap; at most {LONGEST} were tried. Median over families, and how many reached it.",
        "",
        *_steps_lines(rows, settings),
        "",
        "## Bounds",
        "",
        f"On BO-MRL's meta-policies, mean over {settings.draws} families; the verdicts are certified on each of them.",
        "",
        *_bound_lines(bounds),
        "",
        "| file | content |",
        "|---|---|",
        "| `returns.png`, `returns.csv` | expected return against adaptation steps |",
        "| `gaps.png`, `gaps.csv`, `bounds.csv` | expected gap after one step, and every bound that applies |",
        "| `seeds.csv` | the gap of every learner on every family |",
        "",
    ]
    return "\n".join(lines)


def _name(learner: str, algorithm: str) -> str:
    label = learner_named(learner).label
    return f"{label}, {training.short(algorithm)}" if learner == "bo-mrl" else label


def _gap_lines(gaps: Table) -> list[str]:
    chosen = gaps[gaps["kind"] == "gap"].set_index(KEYS)
    lines = ["| learner | adaptation | high variance | low variance |", "|---|---|---|---|"]
    for learner, algorithm, setting in chosen.reset_index()[KEYS[1:]].drop_duplicates().itertuples(index=False):
        cells = [_with_interval(chosen.loc[(variance, learner, algorithm, setting)]) for variance in VARIANCES]
        by = f"{training.short(algorithm)}, {setting}"
        lines.append(f"| {_name(learner, algorithm)} | {by} | {' | '.join(cells)} |")
    return lines


def _wins_lines(rows: Table) -> list[str]:
    gaps = rows[rows["kind"] == "gap"].pivot(
        index=["variance", "draw"], columns=["learner", "algorithm", "setting"], values="value"
    )
    ours = [("bo-mrl", "kl-posterior", f"λ = {lam}") for lam in PUBLISHED_LAMBDAS]
    header = [f"{variance}, {own[2]}" for variance in VARIANCES for own in ours]
    lines = [f"| baseline | {' | '.join(header)} |", "|---|" + "---|" * len(header)]

    def add(name: str, columns: list[tuple[str, str, str]]) -> None:
        """A line: the families on which ours is no worse than the best of these."""
        cells = []
        for variance in VARIANCES:
            here = gaps.loc[variance]
            cells += [str(int((here[own] <= here[columns].min(axis=1) + TIE).sum())) for own in ours]
        lines.append(f"| {name} | {' | '.join(cells)} |")

    others = [column for column in gaps.columns if column[0] != "bo-mrl"]
    for learner, algorithm, setting in (column for column in gaps.columns if column not in ours):
        add(f"{_name(learner, algorithm)} ({setting})", [(learner, algorithm, setting)])
    for alpha in ALPHAS:
        far = {f"α = {other}" for other in ALPHAS if other > alpha}
        add(f"**all of the others, α at most {alpha}**", [column for column in others if column[2] not in far])
    return lines


def _steps_lines(rows: Table, settings: Settings) -> list[str]:
    returns = rows[rows["kind"] == "return"]
    lines = ["| MAML's step size | high variance | low variance |", "|---|---|---|"]
    ours = returns[
        (returns["learner"] == "bo-mrl")
        & (returns["algorithm"] == "kl-posterior")
        & (returns["setting"] == f"λ = {PUBLISHED_LAMBDAS[0]}")
        & (returns["step"] == 1)
    ].set_index(["variance", "draw"])["value"]
    largest = 2 / (1 - 4 / 5)  # rewards lie in [-1, 1]
    for alpha in ALPHAS:
        theirs = returns[(returns["learner"] == "maml") & (returns["setting"] == f"α = {alpha}")]
        cells = []
        for variance in VARIANCES:
            needed = []
            for draw in range(settings.draws):
                series = theirs[(theirs["variance"] == variance) & (theirs["draw"] == draw)].sort_values("step")
                reached = series["value"].to_numpy() >= ours.loc[(variance, draw)] - 0.01 * largest
                needed.append(int(np.argmax(reached)) if reached.any() else LONGEST + 1)
            median = float(np.median(needed))
            count = sum(steps <= LONGEST for steps in needed)
            shown = f"{median:g}" if median <= LONGEST else f"more than {LONGEST}"
            cells.append(f"{shown} ({count} of {settings.draws})")
        lines.append(f"| α = {alpha} | {' | '.join(cells)} |")
    return lines


def _bound_lines(bounds: Table) -> list[str]:
    """For Alg(2): every bound in scope, smallest first."""
    lines = [
        "| bound | λ | high variance | holds, violated | low variance | holds, violated |",
        "|---|---|" + "---|" * 4,
    ]
    chosen = bounds[(bounds["algorithm"] == "kl-posterior") & (bounds["learner"] == "bo-mrl")]
    for setting in dict.fromkeys(chosen["setting"]):
        here = chosen[chosen["setting"] == setting]
        order = here.groupby("theorem")["mean"].min().sort_values().index
        table = here.set_index(["theorem", "variance"])
        for theorem in order:
            cells = []
            for variance in VARIANCES:
                if (theorem, variance) not in table.index:
                    cells += ["out of scope", "-"]
                    continue
                row: Any = table.loc[(theorem, variance)]
                cells += [_with_interval(row), f"{row['holds']}, {row['violated']}"]
            unadapted = bool(here[here["theorem"] == theorem]["without_adaptation"].all())
            name = f"{theorem} (on the gap without adaptation)" if unadapted else theorem
            lines.append(f"| {name} | {setting.removeprefix('λ = ')} | {' | '.join(cells)} |")
    return lines


def _with_interval(row: Any) -> str:
    mean, low, high = ("0" if abs(row[name]) < TIE else f"{row[name]:.3g}" for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


if __name__ == "__main__":
    run(main)
