"""The worst case of every registered inequality: how tight each bound is, by certified verdicts.

Searches every theorem from random starts (and, for half of the starts, around the best so far), decides the best
case exactly, and keeps the larger of its ratio and those of the theorem's own witness and probes with the package.
Theorems about other tasks than finite MDPs are not searched: theirs is the ratio of the witness and the probes.
Rows that are current are left as they are, so a run that was cut goes on where it was.

    python experiments/search.py                             # what is missing or no longer current
    python experiments/search.py coverage --again --seconds 60
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import click

from bomrl_theory.cli import run
from bomrl_theory.tasks.files import replacing
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.evidence import claim_of
from bomrl_theory.verify.search import Found, Search, Settings
from bomrl_theory.verify.tightness import FILE, Tightness, best_certified, plain_mapping

OUTPUT = Path(__file__).resolve().parent.parent / "bomrl_theory" / "theorems" / FILE
SIZES = ((1, None), (2, None), (3, None))
"""States, and tasks (None: two where the theorem is about the family, else one)."""


@click.command()
@click.argument("theorems", nargs=-1)
@click.option("--seconds", default=15.0, show_default=True, help="For each theorem, shared by the sizes.")
@click.option("--seed", default=0, show_default=True, help="Of every draw.")
@click.option("--again", is_flag=True, help="Also where the row is current.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=OUTPUT)
def main(theorems: tuple[str, ...], seconds: float, seed: int, again: bool, output: Path) -> None:
    """Search THEOREMS (default: every inequality) and write the table after each."""
    chosen = [theorem_named(name) for name in theorems] or [t for t in registry().values() if t.relation == "<="]
    rows = json.loads(output.read_text(encoding="utf-8"))["theorems"] if output.exists() else {}
    # What was derived here first: a run that is cut has done the more important half.
    for theorem in sorted(chosen, key=lambda theorem: not theorem.own):
        if not again and rows.get(theorem.id, {}).get("claim") == claim_of(theorem):
            continue
        row = searched(theorem, seconds, seed)
        rows[theorem.id] = asdict(row)
        table = {
            "command": "python experiments/search.py",
            "theorems": {name: rows[name] for name in registry() if name in rows},
        }
        with replacing(output) as temporary:
            temporary.write_text(json.dumps(table, allow_nan=False).replace('}, "', '},\n"') + "\n", encoding="utf-8")
        click.echo(f"{theorem.id:45} {row.ratio} ({row.origin}); the search alone {row.searched}")


def searched(theorem: Theorem, seconds: float, seed: int) -> Tightness:
    """The best of all sizes, beside the theorem's own cases."""
    sizes = SIZES if theorem.setting == "tabular" else ()  # the search ranges over finite MDPs
    found = [
        Search(theorem, Settings(states=states, tasks=tasks, seconds=seconds / len(SIZES), seed=seed, variants=0)).run()
        for states, tasks in sizes
    ]
    best = max(found, key=lambda one: -math.inf if one.ratio is None else one.ratio, default=Found(theorem))
    known = {"witness": theorem.witness(), **{f"probe {k}": make() for k, make in enumerate(theorem.probes)}}
    ratios = {"search": best.ratio, **{name: best_certified(theorem, case) for name, case in known.items()}}
    finite = {name: ratio for name, ratio in ratios.items() if ratio is not None and math.isfinite(ratio)}
    origin = max(finite, key=lambda name: finite[name], default="search")
    mapping = None if best.case is None or best.verdict is None else plain_mapping(best.case, best.verdict)
    return Tightness(claim_of(theorem), finite.get(origin), origin, finite.get("search"), mapping, seconds, seed)


if __name__ == "__main__":
    run(main)
