"""Attack the certificates: enclosures against exact rationals, verdicts against exact verdicts.

Half of the cases are random, half built to break floating point. On every case with at most 6 states, and
on a sample of the larger ones, each enclosure of V, nu and J (for pi*, phi and pi+) must contain the exact
value, and the verdict reached by climbing from enclosures must be the one that rationals give alone.

    python experiments/soundness.py --cases 100000 -o results/soundness.json
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.progress import track

from bomrl_theory.numbers import ENCLOSURES, Numbers, Rationals, SingularSystem
from bomrl_theory.tasks.files import replacing
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.verify.adversarial_cases import adversarial_cases
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.verdict import Outcome, judge

THEOREMS = {
    "kl-prior": "contraction_kl_prior",
    "kl-posterior": "contraction_kl_posterior",
    "euclidean": "contraction_euclidean",
    "none": "no_adaptation",
}
SMALL = 6
"""Every case with at most this many states is checked exactly."""


@dataclass
class Tally:
    """What an attack found."""

    cases: int = 0
    tasks: int = 0
    enclosures: int = 0
    excluded: int = 0
    unknown: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    decided_by: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    wrong: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if isinstance(mine, Counter):
                mine.update(value)
            else:
                setattr(self, name, mine + value)


def quantities(case: Case, numbers: Numbers) -> dict[str, Any]:
    """V, nu and J of the three policies."""
    measured = Measured(case, numbers)
    policies = {"star": measured.star, "phi": measured.phi, "plus": measured.plus}
    return {f"{key}.{name}": getattr(e, name) for key, e in policies.items() for name in ("V", "nu", "J")}


def check_enclosures(case: Case, tally: Tally) -> None:
    """Count enclosures that exclude the exact value."""
    try:
        with ENCLOSURES.activated():
            enclosed = quantities(case, ENCLOSURES)
    except SingularSystem:
        tally.unknown += 1
        return
    with Rationals(128).activated():
        exact = quantities(case, Rationals(128))
        for name, values in exact.items():
            mid, rad = enclosed[name].mid, enclosed[name].rad
            known = np.isfinite(rad) & np.isfinite(mid)
            distance = np.abs(Rationals(128).load(np.where(known, mid, 0.0)) - values)
            outside = known & np.asarray(distance > Rationals(128).load(np.where(known, rad, 0.0)), dtype=bool)
            tally.enclosures += int(known.sum())
            tally.unknown += int((~known).sum())
            if outside.any():
                tally.excluded += int(outside.sum())
                tally.examples.append(f"{name} excluded: {case.describe()}")


def check_case(case: Case, tally: Tally, exactly: bool) -> None:
    """Judge one case; with ``exactly`` also compare with exact arithmetic."""
    tally.cases += 1
    tally.tasks += case.family.tasks
    if exactly:
        check_enclosures(case, tally)
    if case.algorithm.name not in THEOREMS:
        return
    theorem = theorem_named(THEOREMS[case.algorithm.name])
    verdicts = judge(theorem, case)
    for verdict in verdicts:
        tally.verdicts[verdict.outcome] += 1
        tally.decided_by[verdict.numbers] += 1
        if verdict.outcome is Outcome.VIOLATED:
            tally.examples.append(f"{theorem.id} violated: {case.describe()}")
    if exactly:
        for verdict, exact in zip(verdicts, judge(theorem, case, only=(Rationals(4096),)), strict=True):
            if exact.outcome is Outcome.UNDECIDED or verdict.outcome is Outcome.UNDECIDED:
                continue
            tally.compared += 1
            if exact.outcome is not verdict.outcome:
                tally.wrong += 1
                tally.examples.append(f"{theorem.id} {verdict.outcome}, exactly {exact.outcome}: {case.describe()}")


def attack(seed: int, chunk: int, cases: int, share: float) -> Tally:
    """One chunk: the same seed and chunk give the same cases."""
    tally = Tally()
    streams = np.random.SeedSequence(seed, spawn_key=(chunk,)).spawn(3)
    rng = np.random.default_rng(streams[2])
    drawn = chain(adversarial_cases(streams[0], cases // 2), random_cases(streams[1], cases // 10))
    for case in drawn:
        check_case(case, tally, case.family.states <= SMALL or rng.random() < share)
    return tally


@click.command()
@click.option("--cases", default=2000, show_default=True, help="How many cases to attack.")
@click.option("--chunk", default=500, show_default=True, help="Cases a process takes at a time.")
@click.option("--share", default=0.1, show_default=True, help="Share of the larger cases that is checked exactly.")
@click.option("--seed", default=0, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the tally as JSON.")
def main(cases: int, chunk: int, share: float, seed: int, workers: int, output: Path | None) -> None:
    """Attack the certificates and print what was found; exit code 1 if anything was wrong."""
    total = Tally()
    chunks = range(-(-cases // chunk))
    with ProcessPoolExecutor(workers) as pool:
        work = pool.map(attack, *zip(*((seed, index, chunk, share) for index in chunks), strict=True))
        for tally in track(work, total=len(chunks), description="attacking"):
            total.add(tally)
    result = {
        "command": f"python experiments/soundness.py --cases {cases} --chunk {chunk} --share {share} --seed {seed}"
    }
    result |= {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(total).items()}
    text = json.dumps(result, indent=1) + "\n"
    click.echo(text)
    if output:
        with replacing(output) as temporary:
            temporary.write_text(text, encoding="utf-8")
    raise SystemExit(1 if total.excluded or total.wrong or total.verdicts[Outcome.VIOLATED] else 0)


if __name__ == "__main__":
    main()
