"""Sampled Alg^(2) on linear-quadratic control against its closed form, and the sampled hypergradient against the exact.

Adaptation and hypergradient see trajectories only. From 1e2 to 1e6 steps of each task: the gap to the optimum with the
bounds of THEORY sections 2 and 6, what is lost against the closed form, and the angle of the hypergradient to the exact
one, with the frozen-data variant. Regenerates results/control_samples:

    python experiments/control_samples.py

A killed run is taken up where it was: finished parts are kept in OUTPUT.parts.jsonl until the folder is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bomrl_theory.cli import run
from bomrl_theory.control.exact_linear_quadratic import ExactInnerProblem, return_gradient
from bomrl_theory.control.hypergradient import PARTS, hypergradient
from bomrl_theory.control.linear_gaussian import LinearGaussian
from bomrl_theory.control.linear_quadratic import LinearQuadratic
from bomrl_theory.control.lower_level import ALGORITHMS, LowerLevel, adapt
from bomrl_theory.control.policy_gradient import policy_gradient
from bomrl_theory.linear_quadratic import LinearQuadraticFamily
from bomrl_theory.linear_quadratic.closed_form import adaptation, evaluate, inexact_bound, optimum
from bomrl_theory.report import figures
from bomrl_theory.report.control_samples import samples_figure
from bomrl_theory.report.table import Table
from bomrl_theory.report.versions import versions
from bomrl_theory.verify.parts import run_parts

OUTPUT = Path("results/control_samples")
SIZES = tuple(round(10 ** (exponent / 2)) for exponent in range(4, 13))
"""Steps of each task."""
LARGEST_HYPERGRADIENT = 10**5
TASKS, STATES, ACTIONS, HORIZON = 2, 3, 2, 50
GAMMA = Fraction(9, 10)
LAMBDA = 0.3
USED = versions() | {"torch": torch.__version__}


@dataclass(frozen=True)
class Settings:
    """What can be set."""

    seed: int = 0
    draws: int = 10


def simulator(seed: int) -> LinearQuadratic:
    """Two tasks around a random stable plant, with little noise."""
    rng = np.random.default_rng([seed, 0])
    plant = rng.normal(size=(STATES, STATES))
    plant *= 0.9 / np.abs(np.linalg.eigvals(plant)).max()
    inputs = rng.normal(size=(STATES, ACTIONS)) / np.sqrt(STATES)

    def identity(size: int, scale: float) -> Any:
        return np.tile(scale * np.eye(size), (TASKS, 1, 1))

    family = LinearQuadraticFamily.new(
        plant + 0.1 * rng.normal(size=(TASKS, STATES, STATES)),
        inputs + 0.1 * rng.normal(size=(TASKS, STATES, ACTIONS)),
        identity(STATES, 0.01),
        identity(STATES, 1.0),
        identity(ACTIONS, 0.1),
        GAMMA,
        np.zeros((TASKS, STATES)),
        identity(STATES, 1.0),
        name="plants",
    )
    return LinearQuadratic.of_family(family, HORIZON)


def one_part(part: str, settings: Settings) -> list[dict[str, Any]]:
    """One draw of the plants, at one number of steps."""
    torch.set_num_threads(1)
    draw, size = (int(x) for x in part.split("/"))
    return list(rows(draw, size, settings.seed))


def rows(draw: int, size: int, seed: int) -> Iterator[dict[str, Any]]:
    """All quantities of one draw at one number of steps."""
    place = simulator(seed + draw)
    model, tasks = place.model, place.all_tasks
    rng = np.random.default_rng([seed, draw, size])
    policy = LinearGaussian(STATES, ACTIONS)
    gain = 0.3 * optimum(model).K.mean(0)
    phi = policy.parameters_of(gain, 0.3 * torch.eye(ACTIONS, dtype=gain.dtype))
    start = phi.expand(TASKS, -1)

    def collect(theta: Tensor) -> Any:
        return place.rollout(policy, theta, tasks, size // HORIZON, rng)

    def row(quantity: str, algorithm: str, value: Tensor | float) -> dict[str, Any]:
        return {"draw": draw, "x": size, "algorithm": algorithm, "quantity": quantity, "value": float(value)}

    batch = collect(start)
    for algorithm in ALGORITHMS:
        if algorithm != "kl-posterior" and size > LARGEST_HYPERGRADIENT:
            continue
        lower = LowerLevel(algorithm, LAMBDA, gamma=float(GAMMA), tolerance=1e-6)
        adapted = adapt(policy, phi, batch, lower)
        # Whoever cannot adapt keeps the meta-policy.
        theta = torch.where(adapted.solved[:, None], adapted.theta, start)
        if algorithm == "kl-posterior":
            exact = adaptation(model, *policy.gain_and_covariance(start), LAMBDA)
            found = evaluate(model, *policy.gain_and_covariance(theta))
            bound = inexact_bound(model, exact.phi, exact.best, found.K, found.Sigma, LAMBDA)
            scale = (model.weights @ exact.plus.J).abs()
            yield row("gap of the meta-policy", algorithm, model.weights @ exact.gap_phi)
            yield row("gap, closed form", algorithm, model.weights @ exact.gap)
            yield row("gap, sampled", algorithm, model.weights @ (exact.best.J - found.J))
            yield row("bound, section 2", algorithm, model.weights @ exact.bound)
            yield row("bound, section 6", algorithm, model.weights @ bound)
            yield row("loss", algorithm, (model.weights @ (exact.plus.J - found.J)).abs() / scale)
            yield row("not solved", algorithm, (~adapted.solved).double().mean())
        if size <= LARGEST_HYPERGRADIENT:
            outer = policy_gradient(policy, theta, collect(theta), lower)
            problem = ExactInnerProblem.of(model, policy, phi, lower)
            best = problem.adapt()
            wanted = model.weights @ problem.hypergradient(best, return_gradient(model, policy, best))
            for quantity, parts in (("cosine", PARTS), ("cosine, frozen data", ("direct",))):
                found = hypergradient(policy, phi, batch, adapted, outer, model.weights, parts=parts, tolerance=1e-6)
                yield row(quantity, algorithm, torch.nn.functional.cosine_similarity(found.gradient, wanted, dim=0))


@click.command(help=__doc__)
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), default=OUTPUT, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of every draw.")
@click.option("--draws", default=10, show_default=True, help="Of plants and of trajectories.")
@click.option("--workers", default=1, show_default=True)
def main(output: Path, seed: int, draws: int, workers: int) -> None:
    """Sample and write everything."""
    settings = Settings(seed=seed, draws=draws)
    known = {"settings": asdict(settings), "versions": USED}
    keep = output.with_name(output.name + ".parts.jsonl")
    parts = [f"{draw}/{size}" for size, draw in product(reversed(SIZES), range(draws))]
    found = run_parts(keep, known, parts, partial(one_part, settings=settings), workers=workers, description="sampling")
    write(pd.DataFrame([row for rows in found for row in rows]), settings, output)
    keep.unlink()
    click.echo(f"wrote {output}")


def write(found: Table, settings: Settings, output: Path) -> None:
    """Table, figure and the page of the folder."""
    output.mkdir(parents=True, exist_ok=True)
    keys = ["algorithm", "quantity", "x"]
    groups = found.fillna({"value": np.inf}).sort_values(keys).groupby(keys, sort=False)["value"]
    table = groups.quantile([0.1, 0.5, 0.9]).unstack().set_axis(["low", "median", "high"], axis=1)
    table = table.assign(worst_low=groups.min(), worst_high=groups.max(), draws=groups.count()).reset_index()
    table.to_csv(output / "samples.csv", index=False, lineterminator="\n", float_format="%.6g")
    figures.save(samples_figure(table, LAMBDA), output, "samples", ("png", "svg"))
    (output / "README.md").write_text(readme(table, found, settings), encoding="utf-8")


def readme(table: Table, found: Table, settings: Settings) -> str:
    """What the folder holds, what regenerates it, and the main numbers."""
    default = Settings()
    options = "".join(f" --{k} {v}" for k, v in asdict(settings).items() if v != getattr(default, k))
    used = ", ".join(f"{package} {number}" for package, number in USED.items())
    wide = found.pivot(index=["draw", "x", "algorithm"], columns="quantity", values="value")
    one = wide.xs("kl-posterior", level="algorithm")
    above = int((one["gap, sampled"] > one["bound, section 6"] * (1 + 1e-12)).sum())
    lines = [
        "# Sampled adaptation on linear-quadratic control",
        "",
        f"`python experiments/control_samples.py{options}` regenerates this folder ({used}).",
        "",
        f"{settings.draws} draws of {TASKS} plants with {STATES} states and {ACTIONS} actions, discount {GAMMA}, "
        f"λ = {LAMBDA}, trajectories of {HORIZON} steps; float64. The meta-policy has three tenths of the mean optimal "
        "gain. Adaptation and hypergradient see trajectories only, the hypergradient as many again after adaptation. "
        "Where adaptation is not solved the meta-policy is kept. Returns and bounds are the closed forms in floats, "
        "which is no certificate.",
        "",
        "![Gap, loss and hypergradient against the number of steps](samples.png)",
        "",
        f"The gap was above section 6's bound in {above} of {len(one)} cases.",
        "",
        "| steps a task | gap, sampled | closed form | section 6 | section 2 | loss relative to J: median | worst |",
        "|---|---|---|---|---|---|---|",
    ]
    of = table[table["algorithm"] == "kl-posterior"].set_index(["quantity", "x"])
    for size in SIZES:
        names = ("gap, sampled", "gap, closed form", "bound, section 6", "bound, section 2", "loss")
        cells = [f"{of.loc[(name, size), 'median']:.3g}" for name in names]
        lines.append(f"| {size} | {' | '.join(cells)} | {of.loc[('loss', size), 'worst_high']:.2g} |")
    lines += [
        "",
        "Cosine of the sampled with the exact hypergradient of the mean return after adaptation: median (worst) over "
        "draws.",
        "",
        "| steps a task | " + " | ".join(f"{a}, all parts | {a}, frozen data" for a in ALGORITHMS) + " |",
        "|---" * (1 + 2 * len(ALGORITHMS)) + "|",
    ]
    cosines = table.set_index(["algorithm", "quantity", "x"])
    for size in (size for size in SIZES if size <= LARGEST_HYPERGRADIENT):
        cells = []
        for algorithm, quantity in product(ALGORITHMS, ("cosine", "cosine, frozen data")):
            cell = cosines.loc[(algorithm, quantity, size)]
            cells.append(f"{cell['median']:.4f} ({cell['worst_low']:.4f})")
        lines.append(f"| {size} | {' | '.join(cells)} |")
    lines += ["", "`samples.csv` holds medians, the 10 % and 90 % quantiles and the extremes over the draws.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
