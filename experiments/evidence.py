"""Judge every registered theorem on at least a thousand cases and keep the counts with the package.

Named families under fixed and drawn meta-policies come first, each kind up to a quota, then random families until
a theorem has its thousand cases in scope. Theorems about linear-quadratic control are judged on random families of
that kind, told apart by what differs between their tasks. Each part is drawn from its own stream and in a fixed order,
so a run that was cut goes on where it was, and a theorem's row does not depend on which others are judged beside it.

    python experiments/evidence.py
    python experiments/evidence.py coverage no_adaptation   # the other rows stay as they are
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track

from bomrl_theory.cli import run
from bomrl_theory.tasks.files import replacing
from bomrl_theory.theory.case import AnyCase, Setting
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.verify.evidence import CASES, FILE, Evidence, kind_of
from bomrl_theory.verify.quadratic_cases import quadratic_cases
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.run import Plan, draws_of, settings_of
from bomrl_theory.verify.verdict import Views, judge

OUTPUT = Path(__file__).resolve().parent.parent / "bomrl_theory" / "theorems" / FILE
DRAWN = 120
"""Meta-policies drawn on a named family, besides the fixed ones."""
NAMED = {
    "frozen-lake-high:tasks=3": DRAWN,
    "frozen-lake-low:tasks=3": DRAWN,
    "garnet:tasks=3,states=5,actions=3,branching=3": DRAWN,
    "chain": DRAWN,
    "bandit": DRAWN,
    "random-dense:tasks=3,states=4": DRAWN,
    "gymnasium:FrozenLake-v1:is_slippery=true|false": DRAWN,
    "gymnasium:CliffWalking-v1": 3,
}
A_KIND = 125
"""Cases in scope of one kind of named family that a theorem is given."""
RANDOM = 100
"""Cases in scope on random families that a theorem is given at least."""
CHUNK = 50
"""Random families in a part."""

Part = tuple[str, int]
"""A named family and its draws, or "random" or "linear-quadratic" and the number of a chunk."""


def parts(chunks: int, settings: Collection[Setting]) -> list[Part]:
    """In the order in which they are judged."""
    quadratic = [("linear-quadratic", k) for k in range(chunks)] if "linear-quadratic" in settings else []
    tabular = [*NAMED.items(), *(("random", k) for k in range(chunks))] if "tabular" in settings else []
    return quadratic + tabular


def setting_of(part: Part) -> Setting:
    """The setting of a part's cases."""
    return "linear-quadratic" if part[0] == "linear-quadratic" else "tabular"


def cases_of(part: Part, seed: int) -> Iterator[AnyCase]:
    """The cases of one part, under the draws of the whole registry."""
    name, number = part
    draws = draws_of(registry().values())
    if name == "linear-quadratic":
        return quadratic_cases(np.random.SeedSequence(seed, spawn_key=(3, number)), CHUNK)
    if name == "random":
        return random_cases(np.random.SeedSequence(seed, spawn_key=(2, number)), CHUNK, draws)
    return Plan((name,), number, seed, draws).generate()


def wanted(evidence: Evidence, kind: str) -> bool:
    """Whether a theorem is to be judged on more cases of this kind."""
    if kind.startswith("linear-quadratic"):
        return evidence.cases < CASES
    if kind == "random":
        return evidence.cases < CASES or evidence.families[kind] < RANDOM
    return evidence.families[kind] < A_KIND


def judge_part(part: Part, seed: int, rows: dict[str, Evidence]) -> None:
    """Add what one part says about every theorem that still wants cases."""
    spoken_of = {name: row for name, row in rows.items() if theorem_named(name).setting == setting_of(part)}
    for case in cases_of(part, seed):
        kind = kind_of(case)
        left = [name for name, evidence in spoken_of.items() if wanted(evidence, kind)]
        if not left:
            return
        views: Views = {}
        for name in left:
            theorem = theorem_named(name)
            if theorem.covers(case):
                rows[name].add(kind, judge(theorem, case, views))


@click.command()
@click.argument("theorems", nargs=-1)
@click.option("--chunks", default=60, show_default=True, help=f"At most so many times {CHUNK} random families.")
@click.option("--seed", default=0, show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=OUTPUT)
def main(theorems: tuple[str, ...], chunks: int, seed: int, output: Path) -> None:
    """Judge THEOREMS (default: all) and print, for each, cases in scope, kinds of families and verdicts."""
    names = [theorem_named(name).id for name in theorems] or list(registry())
    rows = {name: Evidence.about(theorem_named(name)) for name in names}
    run = {"seed": seed, "chunks": chunks, "claims": {name: evidence.claim for name, evidence in rows.items()}}
    unfinished = output.with_suffix(".partial")
    done = 0
    if unfinished.exists():
        saved = json.loads(unfinished.read_text(encoding="utf-8"))
        if saved["run"] == run:
            done, rows = saved["done"], {name: Evidence.from_json(row) for name, row in saved["theorems"].items()}
    todo = parts(chunks, settings_of(map(theorem_named, names)))[done:]
    for part in track(todo, description="judging", console=Console(stderr=True)):
        judge_part(part, seed, rows)
        done += 1
        _write(unfinished, {"run": run, "done": done, "theorems": _as_json(rows)})
        tabular = [evidence for name, evidence in rows.items() if theorem_named(name).setting == "tabular"]
        if tabular and not any(wanted(evidence, "random") for evidence in tabular):
            break  # for every theorem: named families come first
    for name, evidence in rows.items():
        click.echo(
            f"{name:45} {evidence.cases:6} cases, {len(evidence.families)} kinds of families, "
            f"max ratio {evidence.max_ratio}, {dict(evidence.verdicts)}"
        )
    former = json.loads(output.read_text(encoding="utf-8"))["theorems"] if theorems and output.exists() else {}
    known = former | _as_json(rows)
    command = "python experiments/evidence.py" + ("" if seed == 0 else f" --seed {seed}")
    _write(output, {"command": command, "theorems": {name: known[name] for name in registry() if name in known}})
    unfinished.unlink(missing_ok=True)


def _as_json(rows: dict[str, Evidence]) -> dict[str, Any]:
    return {name: evidence.as_json() for name, evidence in rows.items()}


def _write(path: Path, table: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
