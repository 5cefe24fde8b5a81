"""Meta-training on locomotion: BO-MRL beside MAML, E-MAML, ProMP, random initialisation and per-task training.

Every learner is trained with several seeds on each family at equal environment steps, and its meta-policy is adapted
0 to 3 times to tasks that no training met. Regenerates results/locomotion:

    python experiments/locomotion.py --size small

A killed run is taken up where it was: training runs live in OUTPUT.runs and resume inside of themselves; finished ones
are kept in OUTPUT.parts.jsonl until the folder is written.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from jaxtyping import Float64

from bomrl_theory.cli import run
from bomrl_theory.control.adaptation import LOWER_LEVELS
from bomrl_theory.control.catalogue import SIMULATORS, simulator_named
from bomrl_theory.control.command import described
from bomrl_theory.control.config import Config
from bomrl_theory.control.evaluate import CONFIDENCE, Trained, interquartile_mean, interval, measure
from bomrl_theory.control.learner import learner_named
from bomrl_theory.control.locomotion.watch import filmed
from bomrl_theory.control.train import ControlRun, Trainer
from bomrl_theory.errors import InvalidTask, MissingLibrary, UnknownName
from bomrl_theory.numbers import Array
from bomrl_theory.report import figures
from bomrl_theory.report.control_curves import control_curves
from bomrl_theory.report.film import draw_film_strip
from bomrl_theory.report.table import Table
from bomrl_theory.report.versions import versions
from bomrl_theory.verify.parts import run_parts

OUTPUT = Path("results/locomotion")
LEARNERS = ("bo-mrl", "bo-mrl-first-order", "maml", "e-maml", "promp", "random", "per-task")
CAVEAT = (
    "BO-MRL's divergence (two nats) and proximal weight were chosen in short runs on half-cheetah-dir with seed 0; "
    "MAML, E-MAML and ProMP have the inner rate 0.1 of their papers, which was not swept. So the comparison favours "
    "BO-MRL on that family."
)
STRIP = 3
"""Adaptations before the picture strip."""
SMOOTHED = 5
"""Iterations that a point of a learning curve is the running mean of: each iteration has tasks of its own."""
REPORTED: dict[tuple[str, str, int], list[tuple[str, list[str]]]] = {
    ("half-cheetah-vel", "finn2017", 200): [
        ("MAML (Finn et al. 2017)", ["-129.5", "-78.6", "-66.6", "-60.8"]),
        ("oracle (Finn et al. 2017)", ["-54.5"]),
    ],
    ("half-cheetah-dir", "finn2017", 200): [
        ("MAML (Finn et al. 2017)", ["-50.7", "293", "314", "316"]),
        ("oracle (Finn et al. 2017)", ["443"]),
    ],
    ("ant-vel", "finn2017", 200): [
        ("MAML (Finn et al. 2017)", ["30.6", "96.7", "100", "101"]),
        ("oracle (Finn et al. 2017)", ["108"]),
    ],
    ("ant-dir", "finn2017", 200): [
        ("MAML (Finn et al. 2017)", ["8.7", "499", "501", "499"]),
        ("oracle (Finn et al. 2017)", ["525"]),
    ],
    ("half-cheetah-dir", "promp", 100): [("ProMP-style code, 211M steps", ["-14", "260"])],
}
"""By family, preset and horizon: returns after 0, 1, ... adaptations; an oracle is told the task."""


@dataclass(frozen=True)
class Settings:
    """What is trained.

    Attributes:
        families: by name.
        learners: by name; ``name:algorithm`` adapts by another algorithm than the learner's own.
        preset: of rewards and goals.
        horizon: steps of a trajectory; None for the preset's.
        seeds: how many, from 0.
        iterations: of the meta-learners; per-task training has twice as many, which collect half as much.
        tasks, trajectories: of each iteration.
        test_tasks: that meta-policies are adapted to.
        steps: adaptations.
    """

    families: tuple[str, ...]
    learners: tuple[str, ...] = LEARNERS
    preset: str = "promp"
    horizon: int | None = 100
    seeds: int = 3
    iterations: int = 100
    tasks: int = 20
    trajectories: int = 10
    test_tasks: int = 40
    steps: int = 3


SIZES = {
    "smoke": Settings(
        families=("half-cheetah-dir", "ant-vel"),
        learners=("bo-mrl-first-order", "maml"),
        seeds=1,
        iterations=12,
        tasks=10,
        test_tasks=10,
    ),
    "small": Settings(families=("half-cheetah-vel", "half-cheetah-dir")),
    "full": Settings(families=tuple(SIMULATORS), iterations=500, tasks=40, trajectories=20, seeds=5),
}


def parts(settings: Settings) -> list[str]:
    """A training run each, seeds last, so that every learner is seen early."""
    return [
        f"{family} {learner} {seed}"
        for seed in range(settings.seeds)
        for family in settings.families
        for learner in settings.learners
    ]


def trainer_of(family: str, learner: str, settings: Settings) -> Trainer:
    """What one part trains."""
    name, _, algorithm = learner.partition(":")
    config = Config(
        learner=name,
        algorithm=algorithm or None,
        iterations=settings.iterations if learner_named(name).meta else 2 * settings.iterations,
        tasks=settings.tasks,
        trajectories=settings.trajectories,
    )
    return Trainer(simulator_named(family, preset=settings.preset, horizon=settings.horizon, threads=1), config)


def one_part(part: str, settings: Settings, runs: Path) -> dict[str, Any]:
    """Train, or go on training, then adapt to the test tasks."""
    family, learner, seed = part.split()
    directory = directory_of(part, runs)
    trainer = trainer_of(family, learner, settings)
    run = ControlRun(directory, trainer, seed=int(seed), resume=directory.exists())
    state = run.go_on()
    label = {"family": family, "learner": learner, "seed": int(seed)}
    log = [label | asdict(record) for record in run.log()]
    returns: list[list[float]] = []
    if trainer.learner.meta:
        trained = Trained.load(directory, described)
        # Tasks of the test are the same for all learners and seeds.
        found = measure(trained, tasks=settings.test_tasks, steps=settings.steps, seed=0)
        returns = found.returns.tolist()
    return {"log": log, "returns": returns, "status": state.status, "steps": state.steps} | label


@click.command(help=__doc__)
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), default=OUTPUT, show_default=True)
@click.option("--size", type=click.Choice(list(SIZES)), default="small", show_default=True)
@click.option("--smoke", is_flag=True, help="The same as --size smoke.")
@click.option("--family", "families", multiple=True, help="Instead of the size's; repeatable.")
@click.option("--learner", "learners", multiple=True, help="Instead of the size's, NAME or NAME:ALGORITHM; repeatable.")
@click.option("--preset", help="finn2017 or promp.")
@click.option("--horizon", type=click.IntRange(1))
@click.option("--seeds", type=click.IntRange(1))
@click.option("--iterations", type=click.IntRange(1))
@click.option("--tasks", type=click.IntRange(1))
@click.option("--trajectories", type=click.IntRange(1))
@click.option("--workers", default=2, show_default=True)
def main(output: Path, size: str, smoke: bool, workers: int, **changed: Any) -> None:
    """Train everything and write the folder."""
    given = {name: value for name, value in changed.items() if value not in (None, ())}
    settings = replace(SIZES["smoke" if smoke else size], **given)
    for family in settings.families:
        if family not in SIMULATORS:
            raise UnknownName("continuous-control task", family, SIMULATORS)
        for learner in settings.learners:
            trainer_of(family, learner, settings)  # what contradicts itself is told before hours of training
    used = versions() | {package: version(package) for package in ("torch", "mujoco", "gymnasium")}
    run = {"settings": asdict(settings), "versions": used}
    keep, runs = output.with_name(output.name + ".parts.jsonl"), output.with_name(output.name + ".runs")
    output.parent.mkdir(parents=True, exist_ok=True)
    found = run_parts(
        keep,
        run,
        parts(settings),
        partial(one_part, settings=settings, runs=runs),
        workers=workers,
        description="training",
    )
    write(found, settings, used, output, runs)
    keep.unlink()
    click.echo(f"wrote {output}; checkpoints are in {runs}")


def write(found: list[dict[str, Any]], settings: Settings, used: dict[str, str], output: Path, runs: Path) -> None:
    """Logs, tables, figures and the page of the folder."""
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(6,)))
    output.mkdir(parents=True, exist_ok=True)
    logs = pd.DataFrame([row for part in found for row in part["log"]])
    logs.to_csv(output / "logs.csv", index=False, lineterminator="\n", float_format="%.6g")
    table = returns_table(found, settings, rng)
    table.to_csv(output / "returns.csv", index=False, lineterminator="\n", float_format="%.6g")
    figure = control_curves(curves_table(logs, settings, rng), references(found, settings))
    figures.save(figure, output, "curves", ("png", "svg"))
    text = readme(found, table, settings, used, watch(settings, runs, output), output)
    (output / "README.md").write_text(text, encoding="utf-8")


def directory_of(part: str, runs: Path) -> Path:
    """Where a part's training run is."""
    return runs / part.replace(" ", "_").replace(":", "_")


def watch(settings: Settings, runs: Path, output: Path) -> str:
    """A picture strip of the first learner's first run, and what it shows; nothing where nothing can draw it."""
    family, learner = settings.families[0], settings.learners[0]
    try:
        made = filmed(Trained.load(directory_of(f"{family} {learner} 0", runs), described), (), steps=STRIP, seed=0)
    except (MissingLibrary, InvalidTask) as error:
        click.echo(f"no picture: {error}", err=True)
        return ""
    told = f"{family}, {label_of(learner)}, seed 0, adapted {STRIP} times"
    draw_film_strip(made, output / "film.png", title=told)
    return told


def label_of(learner: str) -> str:
    """As figures and tables call it."""
    name, _, algorithm = learner.partition(":")
    label = learner_named(name).label
    if algorithm in LOWER_LEVELS:
        return f"{label}, Alg({LOWER_LEVELS.index(algorithm) + 1})"
    return label


def curves_table(logs: Table, settings: Settings, rng: np.random.Generator) -> Table:
    """Interquartile mean over seeds of each iteration's smoothed return, with its interval."""
    rows = []
    for (family, learner), group in logs.groupby(["family", "learner"], sort=False):
        config = learner_named(str(learner).partition(":")[0])
        if not (config.trained and config.meta):
            continue
        wide = group.pivot(index="iteration", columns="seed", values="return_after").dropna()
        smooth = wide.rolling(SMOOTHED, min_periods=1).mean()
        steps = group.groupby("iteration")["steps"].mean()
        for iteration, values in zip(smooth.index, smooth.to_numpy(dtype=np.float64), strict=True):
            low, high = over_seeds(values, rng)
            value = float(interquartile_mean(values))
            row = {"family": family, "label": label_of(str(learner)), "steps": steps[iteration]}
            rows.append(row | {"value": value, "low": low, "high": high})
    return pd.DataFrame(rows, columns=["family", "label", "steps", "value", "low", "high"])


def over_seeds(values: Float64[Array, " n"], rng: np.random.Generator) -> tuple[float, float]:
    """Interval of the interquartile mean; none of one seed."""
    return interval(values, interquartile_mean, rng) if len(values) > 1 else (np.nan, np.nan)


def references(found: list[dict[str, Any]], settings: Settings) -> Table:
    """What per-task training ends at, and what adaptation makes of a new network."""
    rows = []
    for family in settings.families:
        for learner in ("per-task", "random"):
            ends = [end_of(part) for part in found if (part["family"], part["learner"]) == (family, learner)]
            if ends:
                rows.append(
                    {"family": family, "label": label_of(learner), "value": float(interquartile_mean(np.array(ends)))}
                )
    return pd.DataFrame(rows, columns=["family", "label", "value"])


def end_of(part: dict[str, Any]) -> float:
    """A run's last returns, as smoothed as the curves."""
    return float(np.mean([row["return_after"] for row in part["log"]][-SMOOTHED:]))


def returns_table(found: list[dict[str, Any]], settings: Settings, rng: np.random.Generator) -> Table:
    """Return on the test tasks after each number of adaptations; for per-task training on its own tasks."""
    rows: list[dict[str, Any]] = []
    for family in settings.families:
        for learner in settings.learners:
            steps: list[int | None] = list(range(settings.steps + 1))
            here = [part for part in found if (part["family"], part["learner"]) == (family, learner)]
            if learner_named(learner.partition(":")[0]).meta:
                samples = np.array([np.mean(part["returns"], axis=1) for part in here])
            else:
                samples = np.array([[end_of(part)] for part in here])
                steps = [None]
            for column, step in enumerate(steps):
                low, high = over_seeds(samples[:, column], rng)
                rows.append(
                    {
                        "family": family,
                        "learner": learner,
                        "environment_steps": int(np.mean([part["steps"] for part in here])),
                        "seeds": len(here),
                        "adaptations": step,
                        "value": float(interquartile_mean(samples[:, column])),
                        "low": low,
                        "high": high,
                    }
                )
    return pd.DataFrame(rows).astype({"adaptations": "Int64"})


def readme(
    found: list[dict[str, Any]], table: Table, settings: Settings, used: dict[str, str], film: str, output: Path
) -> str:
    """What the folder holds, what regenerates it, and the main numbers."""
    told = ", ".join(f"{package} {number}" for package, number in used.items())
    stopped = [f"{p['family']} {p['learner']} {p['seed']}: {p['status']}" for p in found if p["status"] != "finished"]
    horizon = "the preset's horizon" if settings.horizon is None else f"horizon {settings.horizon}"
    lines = [
        "# Locomotion",
        "",
        f"`{command_of(settings, output)}` regenerates this folder ({told}).",
        "",
        f"Preset {settings.preset}, {horizon}; {settings.iterations} iterations of {settings.tasks} tasks with "
        f"{settings.trajectories} trajectories before and {settings.trajectories} after adaptation; seeds: "
        f"{settings.seeds}. Interquartile means over seeds with {CONFIDENCE:.0%} percentile bootstrap intervals; with "
        "few seeds an interval says little. `logs.csv` has every iteration of every run, `returns.csv` the table.",
        "",
        "![Return after adaptation against environment steps](curves.png)",
        "",
        f"Running means over {SMOOTHED} iterations.",
        "",
        *([f"![{film}](film.png)", "", f"{film}.", ""] if film else []),
        f"## Return after 0 to {settings.steps} adaptations",
        "",
        f"{settings.test_tasks} tasks that no training met, the same for all runs. Per-task training: the end of its "
        "training on tasks of its own.",
    ]
    for family in settings.families:
        head = " | ".join(f"after {step}" for step in range(settings.steps + 1))
        lines += [
            "",
            f"### {family}",
            "",
            f"| learner | environment steps | {head} |",
            "|---" * (settings.steps + 3) + "|",
        ]
        for learner in settings.learners:
            here = table[(table["family"] == family) & (table["learner"] == learner)]
            cells = [
                f"{r['value']:.1f}" + ("" if np.isnan(r["low"]) else f" [{r['low']:.1f}, {r['high']:.1f}]")
                for _, r in here.iterrows()
            ]
            steps = f"{int(here['environment_steps'].iloc[0]):,}"
            lines.append(row_of([label_of(learner), steps, *cells], settings))
        key = (family, settings.preset, horizon_of(family, settings))
        for source, values in REPORTED.get(key, []):
            lines.append(row_of([f"reported: {source}", "", *values], settings))
        if key in REPORTED:
            lines += ["", "Reported returns are of other simulator versions and of many more environment steps."]
    lines += ["", "## Who is ahead after one adaptation", ""]
    lines += [f"- {family}: {ranking(table, family)}." for family in settings.families]
    lines += ["", CAVEAT] if any(learner.startswith("bo-mrl") for learner in settings.learners) else []
    lines += ["", "Runs that did not finish: " + ("; ".join(stopped) if stopped else "none") + ".", ""]
    return "\n".join(lines)


def horizon_of(family: str, settings: Settings) -> int:
    """Steps of a trajectory."""
    return simulator_named(family, preset=settings.preset, horizon=settings.horizon, threads=1).horizon


def ranking(table: Table, family: str) -> str:
    """The meta-learners from the best to the worst; those whose intervals overlap the best one's are not told apart."""
    here = table[(table["family"] == family) & (table["adaptations"] == 1)].sort_values("value", ascending=False)
    best = here.iloc[0]
    told = [f"{label_of(row['learner'])} {row['value']:.1f}" for _, row in here.iterrows()]
    level = [label_of(row["learner"]) for _, row in here.iloc[1:].iterrows() if row["high"] >= best["low"]]
    return " > ".join(told) + (f" (intervals that overlap the first one's: {', '.join(level)})" if level else "")


def row_of(cells: list[str], settings: Settings) -> str:
    """A line of a table, filled up with empty cells."""
    return "| " + " | ".join([*cells, *[""] * (settings.steps + 3 - len(cells))]) + " |"


def command_of(settings: Settings, output: Path) -> str:
    """The command that has these settings and writes a folder of this name."""

    def changes(size: str) -> list[str]:
        words = []
        for name, value in asdict(settings).items():
            if value != getattr(SIZES[size], name):
                option = {"families": "family", "learners": "learner"}.get(name, name)
                words += [f"--{option} {one}" for one in (value if isinstance(value, tuple) else (value,))]
        return words

    size = min(SIZES, key=lambda name: len(changes(name)))
    place = [] if output.name == OUTPUT.name else [f"-o {OUTPUT.parent / output.name}"]
    return " ".join(["python experiments/locomotion.py", f"--size {size}", *changes(size), *place])


if __name__ == "__main__":
    run(main)
