"""Attack the certificates: enclosures against exact rationals, verdicts against exact verdicts.

Half of the cases are random, half built to break floating point. On every case with at most 6 states, and
on a sample of the larger ones, each enclosure of V, nu and J (for pi*, phi and pi+) and of both sides must
contain the exact value, and the verdict reached by climbing from enclosures must be the one that rationals
give alone.

    python experiments/soundness.py --cases 100000 -o results/soundness.json

A killed run is taken up where it was: every finished chunk is a line of ``OUTPUT.parts.jsonl``, and a rerun
makes only the others. The result is the same. The file is removed once the result is written.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import click
import numpy as np
from flint import arb, fmpq

from bomrl_theory.cli import run
from bomrl_theory.numbers import ENCLOSURES, Enclosure, Numbers, Rationals, SingularSystem, rational
from bomrl_theory.report.versions import versions
from bomrl_theory.tasks.files import replacing
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.verify.adversarial_cases import adversarial_cases
from bomrl_theory.verify.parts import run_parts
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.verdict import Outcome, Verdict, Views, judge

THEOREMS = {
    "kl-prior": "contraction_kl_prior",
    "kl-posterior": "contraction_kl_posterior",
    "euclidean": "contraction_euclidean",
    "policy-gradient": "performance_difference",
    "none": "no_adaptation",
}
SMALL = 6
"""Every case with at most this many states is checked exactly."""
EXACT = Rationals(4096)
UNDECIDED_SHARE = 1e-4
"""The largest share of undecided verdicts that passes."""


@dataclass
class Tally:
    """What an attack found.

    Attributes:
        cases: by number of states.
        exact: those of them that were compared with exact arithmetic, likewise.
        tasks: in all cases.
        enclosures: entries of V, nu and J, and sides, that were compared.
        excluded: those of them that exclude the exact value.
        unknown: entries with an infinite radius, and cases that enclosures could not solve.
        verdicts: by outcome.
        decided_by: verdicts by number system.
        compared: verdicts that rationals decide too.
        wrong: those of them that rationals decide otherwise.
        examples: of anything wrong or undecided.
    """

    cases: Counter[str] = field(default_factory=Counter)
    exact: Counter[str] = field(default_factory=Counter)
    tasks: int = 0
    enclosures: int = 0
    excluded: int = 0
    unknown: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    decided_by: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    wrong: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, other: dict[str, Any]) -> None:
        """Add another tally, as JSON gives it back."""
        for name, value in other.items():
            mine = getattr(self, name)
            if isinstance(mine, Counter):
                mine.update(value)
            else:
                setattr(self, name, mine + value)

    @property
    def passed(self) -> bool:
        """Nothing was excluded, wrong or violated, and hardly anything undecided."""
        undecided = self.verdicts[Outcome.UNDECIDED] <= UNDECIDED_SHARE * self.verdicts.total()
        return undecided and not (self.excluded or self.wrong or self.verdicts[Outcome.VIOLATED])


def size_class(case: Case) -> str:
    return f"at most {SMALL} states" if case.family.states <= SMALL else f"more than {SMALL} states"


# --- one case ------------------------------------------------------------------------------------


def quantities(case: Case, numbers: Numbers) -> dict[str, Any]:
    """V, nu and J of the three policies."""
    measured = Measured(case, numbers)
    policies = {"star": measured.star, "phi": measured.phi, "plus": measured.plus}
    return {f"{key}.{name}": getattr(e, name) for key, e in policies.items() for name in ("V", "nu", "J")}


def check_enclosures(case: Case, tally: Tally) -> None:
    """Count enclosures of V, nu and J that exclude the exact value."""
    try:
        with ENCLOSURES.activated():
            enclosed = quantities(case, ENCLOSURES)
    except SingularSystem:
        tally.unknown += 1
        return
    with EXACT.activated():
        for name, values in quantities(case, EXACT).items():
            mid, rad = enclosed[name].mid, enclosed[name].rad
            known = np.isfinite(rad) & np.isfinite(mid)
            distance = np.abs(EXACT.load(np.where(known, mid, 0.0)) - values)
            outside = known & np.asarray(distance > EXACT.load(np.where(known, rad, 0.0)), dtype=bool)
            tally.enclosures += int(known.sum())
            tally.unknown += int((~known).sum())
            if outside.any():
                tally.excluded += int(outside.sum())
                tally.examples.append(f"{name} excluded: {case.describe()}")


def check_sides(case: Case, enclosed: Verdict, exact: Verdict, tally: Tally) -> None:
    """Count enclosures of a verdict's sides that certainly exclude the exact value."""
    # Free parameters are chosen in each number system; with others the sides are other numbers.
    if not enclosed.sides or not exact.sides or enclosed.chosen != exact.chosen:
        return
    with EXACT.activated():
        for side, value in zip(enclosed.sides, exact.sides, strict=True):
            if np.isfinite(side.mid) and np.isfinite(side.rad):
                tally.enclosures += 1
                if excludes(side, value):
                    tally.excluded += 1
                    tally.examples.append(f"a side of {exact.theorem} excluded: {case.describe()}")
            else:
                tally.unknown += 1


def excludes(side: Enclosure, value: fmpq | arb) -> bool:
    """Whether a value lies certainly outside."""
    return bool(abs(value - rational(float(side.mid))) > rational(float(side.rad)))


def check_case(case: Case, tally: Tally, exactly: bool) -> None:
    """Judge one case; with ``exactly`` also compare with exact arithmetic."""
    tally.cases[size_class(case)] += 1
    tally.tasks += case.family.tasks
    theorem = theorem_named(THEOREMS[case.algorithm.name])
    views: Views = {}
    verdicts = judge(theorem, case, views)
    for verdict in verdicts:
        tally.verdicts[verdict.outcome] += 1
        tally.decided_by[verdict.numbers] += 1
        if verdict.outcome in (Outcome.VIOLATED, Outcome.UNDECIDED):
            tally.examples.append(f"{theorem.id} {verdict.outcome}: {case.describe()}")
    if not exactly:
        return
    tally.exact[size_class(case)] += 1
    check_enclosures(case, tally)
    enclosed = judge(theorem, case, views, only=(ENCLOSURES,))
    exact = judge(theorem, case, views, only=(EXACT,))
    for verdict, sides, truth in zip(verdicts, enclosed, exact, strict=True):
        check_sides(case, sides, truth, tally)
        if Outcome.UNDECIDED in (truth.outcome, verdict.outcome):
            continue
        tally.compared += 1
        if truth.outcome is not verdict.outcome:
            tally.wrong += 1
            tally.examples.append(f"{theorem.id} {verdict.outcome}, exactly {truth.outcome}: {case.describe()}")


# --- many ----------------------------------------------------------------------------------------


def attack(seed: int, chunk: int, cases: int, share: float) -> Tally:
    """One chunk: the same seed and chunk give the same cases."""
    tally = Tally()
    streams = np.random.SeedSequence(seed, spawn_key=(chunk,)).spawn(3)
    rng = np.random.default_rng(streams[2])
    drawn = chain(adversarial_cases(streams[0], cases // 2), random_cases(streams[1], cases // 10))
    for case in drawn:
        sampled = rng.random() < share
        check_case(case, tally, sampled or case.family.states <= SMALL)
    tally.examples = [f"chunk {chunk}: {example}" for example in tally.examples]
    return tally


def attack_part(part: str, seed: int, cases: int, share: float) -> dict[str, Any]:
    """A chunk by its number, as JSON."""
    return vars(attack(seed, int(part), cases, share))


@click.command()
@click.option("--cases", default=2000, show_default=True, help="How many cases to attack; a multiple of the chunk.")
@click.option("--chunk", default=500, show_default=True, help="Cases a process takes at a time; a multiple of 10.")
@click.option("--share", default=0.1, show_default=True, help="Share of the larger cases that is checked exactly.")
@click.option("--seed", default=0, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="JSON to write.")
def main(cases: int, chunk: int, share: float, seed: int, workers: int, output: Path) -> None:
    """Attack the certificates and write what was found; exit code 1 if anything was wrong."""
    command = f"python experiments/soundness.py --cases {cases} --chunk {chunk} --share {share} --seed {seed}"
    run = {"command": f"{command} -o {output}", "seed": seed, "versions": versions()}
    keep = output.with_name(output.name + ".parts.jsonl")
    parts = [str(index) for index in range(-(-cases // chunk))]
    work = partial(attack_part, seed=seed, cases=chunk, share=share)
    total = Tally()
    for tally in run_parts(keep, run, parts, work, workers=workers, description="attacking"):
        total.add(tally)
    text = json.dumps(run | {"passed": total.passed} | vars(total), indent=1, sort_keys=False) + "\n"
    click.echo(text)
    with replacing(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    keep.unlink()
    raise SystemExit(0 if total.passed else 1)


if __name__ == "__main__":
    run(main)
