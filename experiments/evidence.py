"""Judge every registered theorem on at least a thousand cases and keep the counts with the package.

Named families under fixed and drawn meta-policies, then random families; each part is drawn from its own
stream, so that the table does not depend on the number of workers.

    python experiments/evidence.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click
import numpy as np
from rich.progress import track

from bomrl_theory.tasks.files import replacing
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.verify.evidence import FILE, Evidence, kind_of
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.run import Plan, draws_of
from bomrl_theory.verify.verdict import Views, judge

NAMED = {
    "frozen-lake-high:tasks=5": 10,
    "frozen-lake-low:tasks=5": 10,
    "garnet:tasks=4,states=6,actions=3": 100,
    "chain": 100,
    "bandit": 100,
    "random-dense": 60,
    "gymnasium:FrozenLake-v1:is_slippery=true|false": 10,
    "gymnasium:CliffWalking-v1": 1,
}
"""Families, and how many meta-policies are drawn on each besides the fixed ones."""
CHUNK = 50
"""Random families that a process takes at a time."""

Part = tuple[str, int]
"""A named family and its draws, or "random" and the number of a chunk."""


def cases_of(part: Part, seed: int, theorems: list[str]) -> Iterator[Case]:
    """The cases of one part."""
    name, number = part
    draws = draws_of(theorem_named(theorem) for theorem in theorems)
    if name == "random":
        return random_cases(np.random.SeedSequence(seed, spawn_key=(2, number)), CHUNK, draws)
    return Plan((name,), number, seed, draws).generate()


def judged(part: Part, seed: int, theorems: list[str]) -> dict[str, Evidence]:
    """What one part says about every theorem."""
    found = {name: Evidence.about(theorem_named(name)) for name in theorems}
    for case in cases_of(part, seed, theorems):
        views: Views = {}
        for name, evidence in found.items():
            theorem = theorem_named(name)
            if theorem.covers(case):
                evidence.add(kind_of(case), judge(theorem, case, views))
    return found


@click.command()
@click.argument("theorems", nargs=-1)
@click.option("--families", default=1000, show_default=True, help="How many random families to draw.")
@click.option("--seed", default=0, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the table there; without THEOREMS the default is the package's own.",
)
def main(theorems: tuple[str, ...], families: int, seed: int, workers: int, output: Path | None) -> None:
    """Judge THEOREMS (default: all) and print, for each, cases in scope, kinds of families and verdicts."""
    names = [theorem_named(name).id for name in theorems] or list(registry())
    parts: list[Part] = [*NAMED.items(), *(("random", k) for k in range(-(-families // CHUNK)))]
    total = {name: Evidence.about(theorem_named(name)) for name in names}
    with ProcessPoolExecutor(workers) as pool:
        work = pool.map(judged, parts, [seed] * len(parts), [names] * len(parts))
        for found in track(work, total=len(parts), description="judging"):
            for name, evidence in found.items():
                total[name].merge(evidence)
    for name, evidence in total.items():
        click.echo(
            f"{name:45} {evidence.cases:6} cases, {len(evidence.families)} kinds of families, "
            f"max ratio {evidence.max_ratio}, {dict(evidence.verdicts)}"
        )
    if output is None and not theorems:
        output = Path(__file__).resolve().parent.parent / "bomrl_theory" / "theorems" / FILE
    if output is not None:
        command = f"python experiments/evidence.py --families {families} --seed {seed}"
        table = {"command": command, "theorems": {name: evidence.as_json() for name, evidence in total.items()}}
        with replacing(output) as temporary:
            temporary.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
